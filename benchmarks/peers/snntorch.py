"""Peer: snnTorch's RSynaptic.

Its own reset acts one step late, on the whole update. The cell therefore runs without one, and v is put back to 0
between the steps, as a user of this neuron has to. Its membrane adds the current unscaled, so that drive and weights
carry the factor.
"""

from __future__ import annotations

from typing import Any

import snntorch
import torch

from benchmarks.peers.spiking import Layer, Step, make_works
from benchmarks.peers.torch_cells import super_spike
from benchmarks.peers.worker import serve
from benchmarks.works import Work


def make_layer(work: Work) -> Layer:
    """Return the recurrent layer built on ``RSynaptic``."""
    cell: Any = snntorch.RSynaptic(
        alpha=work.i_decay, beta=work.v_decay, linear_features=work.neurons, threshold=work.threshold,
        spike_grad=lambda c: super_spike(c, work.beta), reset_mechanism="none",
    )  # fmt: skip
    cell.recurrent = torch.nn.Linear(work.neurons, work.neurons, bias=False)
    del cell.recurrent.weight

    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        cell.recurrent.weight = work.i_to_v * w.t()
        drive = work.i_to_v * x
        spk = syn = mem = torch.zeros_like(x[0])
        spikes = []
        for drive_t in drive.unbind(0):
            spk, syn, mem = cell(drive_t, spk, syn, mem)
            mem = mem * (1 - spk.detach())
            spikes.append(spk)
        return torch.stack(spikes)

    return forward


def make_step(work: Work) -> Step:
    """Return the step of c3 built on ``Leaky``, its threshold set anew in every step."""
    a = work.v_decay
    cell: Any = snntorch.Leaky(
        beta=a, spike_grad=lambda c: super_spike(c, work.beta), reset_mechanism="none", threshold=work.threshold
    )

    def step(drive: torch.Tensor, threshold: torch.Tensor, mem: Any) -> tuple[torch.Tensor, Any]:
        cell.threshold = threshold
        spk, mem = cell(a * drive, torch.zeros_like(drive) if mem is None else mem)
        return spk, mem * (1 - spk.detach())

    return step


if __name__ == "__main__":
    serve(make_works(make_layer, make_step))
