"""The kernels built by hand as the Triton target runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from graphc.codegen.triton import emit
from graphc.ir import Schedule
from graphc.runtime.load_triton import load

from .kernels import STORAGE, shape_of


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
