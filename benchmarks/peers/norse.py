"""Peer: Norse's recurrent LIF step.

Its Euler step with ``dt tau_mem_inv = 1 - a`` is our exact one for a current scaled by ``b / (1 - a)``. The drive
enters one to one, so it is added to the current instead of passing through the step's matrix of input weights.
Norse 1.1 ignores `alpha` in SuperSpike's backward; the surrogate is replaced by one that does not.
"""

from __future__ import annotations

from typing import Any

import norse.torch.functional.threshold as norse_threshold
import torch
from norse.torch.functional.lif import LIFParameters, LIFState, lif_step

from benchmarks.peers.spiking import Layer, Step, make_works
from benchmarks.peers.torch_cells import super_spike
from benchmarks.peers.worker import serve
from benchmarks.works import Work


def make_layer(work: Work) -> Layer:
    """Return the recurrent layer built on ``lif_step``."""
    beta = work.beta
    norse_threshold.superspike_fn = lambda c, alpha: super_spike(c, beta)
    mem, syn = 1 - work.v_decay, 1 - work.i_decay
    scale = work.i_to_v / mem
    parameters = LIFParameters(
        tau_mem_inv=torch.as_tensor(mem), tau_syn_inv=torch.as_tensor(syn), v_th=torch.as_tensor(work.threshold)
    )
    no_input, no_weights = torch.empty(work.batch, 0), torch.empty(work.neurons, 0)

    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        weights, drive = scale * w.t(), scale * x
        zeros = torch.zeros_like(x[0])
        state = LIFState(zeros, zeros, zeros)
        spikes = []
        for drive_t in drive.unbind(0):
            state = LIFState(state.z, state.v, state.i + drive_t)
            z, state = lif_step(no_input, state, no_weights, weights, parameters, dt=1.0)
            spikes.append(z)
        return torch.stack(spikes)

    return forward


def make_step(work: Work) -> Step:
    """Return the step of c3 built on ``lif_step`` with a current that lasts one step."""
    beta = work.beta
    norse_threshold.superspike_fn = lambda c, alpha: super_spike(c, beta)
    mem, scale = 1 - work.v_decay, work.v_decay / (1 - work.v_decay)
    nothing, no_weights = torch.empty(work.batch, 0), torch.empty(work.neurons, 0)

    def step(drive: torch.Tensor, threshold: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        parameters = LIFParameters(tau_mem_inv=torch.as_tensor(mem), tau_syn_inv=torch.as_tensor(1.0), v_th=threshold)
        v = torch.zeros_like(drive) if state is None else state.v
        z, state = lif_step(nothing, LIFState(nothing, v, scale * drive), no_weights, no_weights, parameters, dt=1.0)
        return z, state

    return step


if __name__ == "__main__":
    serve(make_works(make_layer, make_step))
