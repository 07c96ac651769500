"""Sums over synapses of eligibility traces, by kernels of the C target."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from graphc.codegen.c.traces import MOST, emit_traces

from .compiler import build
from .load_c import threads_for

_NAMES = {torch.float32: "float", torch.float64: "double", torch.uint8: "uint8_t"}


@dataclass
class Term:
    """One state of the targets of a matrix of weights.

    Attributes:
        trace: before the chunk, (B, pre, post), or (B, pre) where `shared`.
        shared: whether all targets have the same.
        row: gradient of the state before the chunk, (B, post).
        after: where the trace after the chunk goes; None where it is not asked for.
        drive: d state after the chunk / d drive of each step, (T, B, post).
        jacobian: d state after the chunk / d state before it, (B, post), of each term; None where it is zero.
    """

    trace: torch.Tensor
    shared: bool
    row: torch.Tensor | None = None
    after: torch.Tensor | None = None
    drive: torch.Tensor | None = None
    jacobian: tuple[torch.Tensor | None, ...] = ()


class _States(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_int64),
        ("shared", ctypes.c_int64 * MOST),
        ("trace", ctypes.c_void_p * MOST),
        ("row", ctypes.c_void_p * MOST),
        ("after", ctypes.c_void_p * MOST),
        ("drive", ctypes.c_void_p * MOST),
        ("jacobian", (ctypes.c_void_p * MOST) * MOST),
    ]


@functools.lru_cache(maxsize=8)
def _library(real: torch.dtype, source: torch.dtype) -> ctypes.CDLL:
    library = ctypes.CDLL(str(build(emit_traces(_NAMES[real], _NAMES[source]))))  # type: ignore[arg-type]
    library.chunk.restype = None
    return library


def fits(source: torch.Tensor, count: int) -> bool:
    """Whether the kernels take this source, and traces of so many states."""
    return source.dtype in _NAMES and source.device.type == "cpu" and count <= MOST and source.stride(-1) == 1


def chunk(
    source: torch.Tensor, signals: torch.Tensor | None, terms: Sequence[Term], post: int, real: torch.dtype
) -> torch.Tensor | None:
    """Advance the traces of `terms` that have an `after`, and return the gradient (pre, post) of the weights.

    Args:
        source: (T, B, pre), what the weights multiply.
        signals: (T, B, post), the gradient of the drive; None to advance traces alone.
        terms: the states of the targets.
        post: number of targets.
        real: the state dtype.
    """
    kept: list[torch.Tensor] = []  # alive until the kernel has returned

    def pointer(tensor: torch.Tensor | None) -> int | None:
        if tensor is None:
            return None
        kept.append(tensor.contiguous())
        return kept[-1].data_ptr()

    given = _States(count=len(terms))
    for k, term in enumerate(terms):
        given.shared[k], given.trace[k], given.row[k] = term.shared, pointer(term.trace), pointer(term.row)
        given.after[k] = None if term.after is None else term.after.data_ptr()
        given.drive[k] = pointer(term.drive)
        for other, entry in enumerate(term.jacobian):
            given.jacobian[k][other] = pointer(entry)
    steps, batch, pre = source.shape
    out = None if signals is None else torch.empty((pre, post), dtype=real)
    sizes = (ctypes.c_int64 * 7)(
        steps, batch, pre, post, threads_for(batch * pre * post), source.stride(0), source.stride(1)
    )
    _library(real, source.dtype).chunk(
        sizes,
        ctypes.c_void_p(source.data_ptr()),
        ctypes.c_void_p(pointer(signals)),
        ctypes.byref(given),
        ctypes.c_void_p(None if out is None else out.data_ptr()),
    )
    return out
