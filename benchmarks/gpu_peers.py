"""The works of the GPU suite as a PyTorch user writes them: states in float32, sequences in the given dtype.

A recurrent weight keeps float32, on a grid that bfloat16 holds exactly, and its product runs in tf32: the numbers are
those of a product in bfloat16, without a conversion per step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers.torch_cells import super_spike
from benchmarks.peers.worker import Run
from benchmarks.works import Work

Step = Callable[..., Any]
Forward = Callable[..., torch.Tensor]


def lif_step(work: Work) -> Step:
    """Return ``step(x, v) -> (z, v)`` of a LIF: v jumps by the drive, decays, spikes, is reset to 0."""

    def step(x: torch.Tensor, v: torch.Tensor) -> Any:
        v = work.v_decay * (v + x.float())
        z = super_spike(v - work.threshold, work.beta)
        return z, torch.where(z.detach() > 0, 0.0, v)

    return step


def cuba_step(work: Work) -> Step:
    """Return ``step(x, v, i, z, w) -> (z, v, i)`` of a recurrent CuBa-LIF."""

    def step(x: torch.Tensor, v: torch.Tensor, i: torch.Tensor, z: torch.Tensor, w: torch.Tensor) -> Any:
        i = i + (z @ w + x.float())
        v = work.v_decay * v + work.i_to_v * i
        i = work.i_decay * i
        z = super_spike(v - work.threshold, work.beta)
        return z, torch.where(z.detach() > 0, 0.0, v), i

    return step


def loop_over(step: Step, recurrent: bool) -> Forward:
    """Return ``forward(x[, w]) -> spikes`` that calls `step` for every row of x."""

    def forward(x: torch.Tensor, w: torch.Tensor | None = None) -> torch.Tensor:
        v = torch.zeros(x.shape[1:], device=x.device)
        i = z = v
        spikes = []
        for row in x.unbind(0):
            if recurrent:
                z, v, i = step(row, v, i, z, w)
            else:
                z, v = step(row, v)
            spikes.append(z.to(x.dtype))
        return torch.stack(spikes)

    return forward


def trained(forward: Forward, leaves: list[torch.Tensor], gy: torch.Tensor) -> Run:
    """Return forward and backward as one run that gives spikes and the gradients of `leaves`."""

    def run() -> Any:
        y = forward(*leaves)
        return y.detach(), torch.autograd.grad(y, leaves, gy)

    return run


def lstm(neurons: int, steps: int, batch: int) -> Run:
    """Return forward and backward of cuDNN's LSTM of the same size in bfloat16: a yardstick, not the same work."""
    layer = torch.nn.LSTM(neurons, neurons).to("cuda", torch.bfloat16)
    x = torch.randn(steps, batch, neurons, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    gy = torch.randn_like(x)
    leaves = [x, *layer.parameters()]

    def run() -> Any:
        return torch.autograd.grad(layer(x)[0], leaves, gy)

    return run


def recording_loop(work: Work) -> Forward:
    """Return a loop with snnTorch's pattern of memory: plain operations, and lists of all that a neuron returns."""
    a, b, a_s = work.v_decay, work.i_to_v, work.i_decay
    kept: list[Any] = []

    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        kept.clear()
        syn = mem = spk = torch.zeros(x.shape[1:], device=x.device)
        spikes, currents, potentials = [], [], []
        for row in x.unbind(0):
            syn = syn + (row + spk @ w)
            mem = a * mem + b * syn
            syn = a_s * syn
            spk = super_spike(mem - work.threshold, work.beta)
            mem = mem * (1 - spk.detach())
            spikes.append(spk)
            currents.append(syn)
            potentials.append(mem)
        kept.append((torch.stack(currents), torch.stack(potentials)))
        return torch.stack(spikes)

    return forward
