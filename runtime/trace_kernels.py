"""Sums over synapses of eligibility traces, by kernels of the C target."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from graphc.codegen.c.traces import MOST, emit_traces
from graphc.ir import Trace

from .compiler import build
from .load_c import threads_for
from .trace_products import Rows

_NAMES = {torch.float32: "float", torch.float64: "double", torch.uint8: "uint8_t"}


class _Terms(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_int64),
        ("trace", ctypes.c_void_p * MOST),
        ("row", ctypes.c_void_p * MOST),
        ("shared", ctypes.c_int64 * MOST),
    ]


@functools.lru_cache(maxsize=8)
def _library(real: torch.dtype, source: torch.dtype) -> ctypes.CDLL:
    return ctypes.CDLL(str(build(emit_traces(_NAMES[real], _NAMES[source]))))  # type: ignore[arg-type]


def fits(source: torch.Tensor, terms: Sequence[Any]) -> bool:
    """Whether the kernels take these tensors."""
    return source.dtype in _NAMES and source.device.type == "cpu" and len(terms) <= MOST and source.stride(-1) == 1


def advance(
    trace: Trace,
    before: Mapping[str, tuple[Trace, torch.Tensor]],
    row: Rows,
    source: torch.Tensor,
    drive: torch.Tensor,
    out: torch.Tensor,
) -> torch.Tensor:
    """Return the dense trace after a chunk, written into `out`; see `trace_products.advance`."""
    terms = [(t, value, row[label]) for label, (t, value) in before.items() if label in row]
    return _call("advance", source, drive, terms, out)


def learn(
    source: torch.Tensor, drive: torch.Tensor, terms: Sequence[tuple[Trace, torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """Return the gradient (pre, post) of weights, from sources, learning signals and traces with their rows."""
    out = torch.empty((source.shape[-1], drive.shape[-1]), dtype=drive.dtype)
    return _call("learn", source, drive, terms, out)


def _call(
    name: str,
    source: torch.Tensor,
    drive: torch.Tensor,
    terms: Sequence[tuple[Trace, torch.Tensor, torch.Tensor]],
    out: torch.Tensor,
) -> torch.Tensor:
    drive = drive.contiguous()
    kept = [(value.contiguous(), row.contiguous()) for _, value, row in terms]
    given = _Terms(count=len(terms))
    for k, ((trace, _, _), (value, row)) in enumerate(zip(terms, kept, strict=True)):
        given.trace[k], given.row[k], given.shared[k] = value.data_ptr(), row.data_ptr(), trace.kind == "shared"
    steps, batch, pre = source.shape
    post = drive.shape[-1]
    threads = threads_for(batch * pre * post)
    sizes = (ctypes.c_int64 * 7)(steps, batch, pre, post, threads, source.stride(0), source.stride(1))
    function = getattr(_library(drive.dtype, source.dtype), name)
    function.restype = None
    function(
        sizes,
        ctypes.c_void_p(source.data_ptr()),
        ctypes.c_void_p(drive.data_ptr()),
        ctypes.byref(given),
        ctypes.c_void_p(out.data_ptr()),
    )
    return out
