"""Peer: SpikingJelly's LIFNode, single-step, with the synaptic current and the recurrent product written in torch.

It has no current-based neuron with recurrence. ``tau = 1 / (1 - a)`` makes its charge our exact step for a current
scaled by ``b tau``.
"""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron

from benchmarks.peers.spiking import Layer, Step, make_works
from benchmarks.peers.torch_cells import super_spike
from benchmarks.peers.worker import serve
from benchmarks.works import Work


class Surrogate(torch.nn.Module):
    """SuperSpike as the module that a neuron of SpikingJelly expects."""

    def __init__(self, beta: float) -> None:
        """Take the steepness."""
        super().__init__()
        self.beta = beta

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """Return the spikes."""
        return super_spike(c, self.beta)


def make_layer(work: Work) -> Layer:
    """Return the recurrent layer built on ``LIFNode``."""
    tau = 1 / (1 - work.v_decay)
    node = neuron.LIFNode(
        tau=tau, v_threshold=work.threshold, v_reset=0.0, surrogate_function=Surrogate(work.beta), detach_reset=True
    )

    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        functional.reset_net(node)
        weights, drive = tau * work.i_to_v * w, tau * work.i_to_v * x
        i = z = torch.zeros_like(x[0])
        spikes = []
        for drive_t in drive.unbind(0):
            i = i + drive_t + z @ weights
            z = node(i)
            i = work.i_decay * i
            spikes.append(z)
        return torch.stack(spikes)

    return forward


def make_step(work: Work) -> Step:
    """Return the step of c3 built on ``LIFNode``, its threshold set anew in every step."""
    tau = 1 / (1 - work.v_decay)
    node: Any = neuron.LIFNode(tau=tau, v_reset=0.0, surrogate_function=Surrogate(work.beta), detach_reset=True)

    def step(drive: torch.Tensor, threshold: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        if state is None:
            functional.reset_net(node)
        node.v_threshold = threshold
        return node(tau * work.v_decay * drive), node

    return step


if __name__ == "__main__":
    serve(make_works(make_layer, make_step))
