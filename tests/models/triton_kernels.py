"""Kernels built by hand, and networks, as the Triton target runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch

import graphc as gc
from graphc.codegen.triton import emit
from graphc.ir import DeviceSpec, Precision, Program, Schedule
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes, schedule
from graphc.runtime.load_triton import load
from tests.oracles.loops import LOOPS
from tests.oracles.networks import SCALES

from .kernels import STORAGE, shape_of

DEVICES: Mapping[int | str, DeviceSpec] = {
    80: DeviceSpec("cuda", 80, 108, 166912, cooperative=True),
    90: DeviceSpec("cuda", 90, 132, 232448, cooperative=True),
    "gfx942": DeviceSpec("cuda", 94, 304, 65536, cooperative=True),
}
"""A GPU of each architecture that kernels are built for: A100, H100, MI300X."""


def for_triton(plan: Schedule, strategy: str, options: Mapping[str, int] | None = None) -> Schedule:
    """Return `plan` with its kernel laid out by `strategy`."""
    kernel = replace(plan.kernels[0], strategy=strategy, options={**plan.kernels[0].options, **(options or {})})
    return replace(plan, target="triton", kernels=(kernel,))


def run_triton(
    plan: Schedule,
    given: Mapping[str, torch.Tensor],
    steps: int,
    batch: int,
    start: int = 0,
    bad: torch.Tensor | None = None,
    device: str = "cpu",
) -> dict[str, torch.Tensor]:
    """Return what the kernel of `plan` writes; its outputs start as 99. Strides of what is given are kept."""
    kernel, real = plan.kernels[0], getattr(torch, plan.dtype)
    tensors, written = [], {}
    for name in kernel.arguments:
        dtype = STORAGE.get(plan.buffers[name].storage, real)
        if name in kernel.writes:
            shape = shape_of(plan, name, steps, batch)
            written[name] = torch.full(shape, 99, dtype=dtype, device=device)
        kept = written[name] if name in written else given[name].to(device)
        tensors.append(kept if kept.dtype == dtype else kept.to(dtype))
    load(plan, emit(plan)).launch(kernel, tensors, steps, batch, start, bad)
    return {name: tensor.cpu() for name, tensor in written.items()}


def schedule_network(
    network: gc.Network,
    dtype: Literal["float32", "float64"] = "float32",
    tuned: Mapping[str, int | str] | None = None,
    precision: Precision = "float32",
    arch: int | str = 90,
) -> Schedule:
    """Return the schedule by which a network is trained on a GPU of one of `DEVICES`."""
    return schedule(trained(network), DEVICES[arch], dtype, "triton", tuned, precision)


def trained(network: gc.Network) -> Program:
    """Return the program with the gradients of all that `network` learns."""
    program = lower(network)
    learned = frozenset(p.name for p in program.parameters if p.learn)
    return run_passes(program, pipeline(Request(wrt=learned)))


def network_of(neuron: str, size: int, delay: int | None = None) -> gc.Network:
    """Return 64 inputs into one population of `size`, recurrent with `delay` unless that is None."""
    network = gc.Network(dt=SCALES[neuron].dt)
    network.input("x", 64)
    network.population("hid", gc.zoo.ALL[neuron], size, **SCALES[neuron].values)
    for target in LOOPS[neuron].inputs:
        network.connect("x", "hid", target=target)
        if delay is not None:
            network.connect("hid", "hid", target=target, delay=delay)
    network.output("hid")
    return network
