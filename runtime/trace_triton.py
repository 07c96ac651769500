"""Sums over synapses of eligibility traces, by a Triton kernel."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from graphc.codegen.triton.traces import SIZES, Shape, emit_traces

from .load_triton import import_text, interpreting, on_device
from .trace_kernels import Term

TILE = {"J": 16, "I": 32, "K": 16}
"""Sources, targets and steps of one program. Small tiles keep more loads in flight: on an H100, three states of 956 by
256 synapses and 128 samples take 391 us with K = 1, tiles of 32 by 64 took 891 us; a copy takes 225 us."""

WARPS = {"cuda": 8, "hip": 4}
"""With these, three states and their gradient stay in registers."""


@functools.lru_cache(maxsize=64)
def _kernel(shape: Shape) -> Any:
    return import_text(emit_traces(shape)).chunk


def fits(source: torch.Tensor, real: torch.dtype) -> bool:
    """Whether the kernel takes this source: states of float64 are left to torch, which multiplies them exactly."""
    return real == torch.float32 and source.stride(-1) == 1 and source.dtype in (torch.uint8, torch.float32)


def chunk(source: torch.Tensor, signals: torch.Tensor | None, terms: Sequence[Term], post: int) -> torch.Tensor | None:
    """Advance the traces of `terms` and return the gradient of the weights; see `trace_kernels.chunk`."""
    shape = Shape(
        tuple(t.shared for t in terms),
        tuple(t.row is not None for t in terms),
        tuple(
            tuple(k for k, entry in enumerate(t.jacobian) if entry is not None) if t.after is not None else ()
            for t in terms
        ),
        signals is not None,
    )
    steps, batch, pre = source.shape
    tensors: list[Any] = [source, *(t.trace.contiguous() for t in terms)]
    out = None
    if signals is not None:
        out = torch.empty((pre, post), dtype=signals.dtype, device=signals.device)
        tensors += [signals.contiguous(), out, *(t.row.contiguous() for t in terms if t.row is not None)]
    for s in shape.moving:
        term = terms[s]
        assert term.drive is not None
        tensors += [term.after, term.drive.contiguous()]
        tensors += [entry.contiguous() for entry in term.jacobian if entry is not None]
    sizes = (steps, batch, pre, post, source.stride(0), source.stride(1))
    grid = (-(-pre // TILE["J"]), -(-post // TILE["I"]))
    with torch.no_grad(), on_device([source]):
        _kernel(shape)[grid](*tensors, *sizes, **TILE, **_options())
    return out


def _options() -> dict[str, Any]:
    if interpreting():
        return {}
    return {"num_warps": WARPS["hip" if torch.version.hip else "cuda"], "enable_fp_fusion": True}


def signature(shape: Shape, uint8: bool = True) -> dict[str, str]:
    """Return the types of the kernel's arguments, to build it ahead of time."""
    types = {name: "*fp32" for name in shape.pointers} | {"z": "*u8" if uint8 else "*fp32"}
    return types | dict.fromkeys(SIZES, "i32") | dict.fromkeys(TILE, "constexpr")
