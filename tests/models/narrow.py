"""Narrow numbers under Triton's interpreter: rounded as devices round them, and kernels with buffers of any storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from graphc.codegen.triton import emit
from graphc.ir import Graph, Precision, Schedule
from graphc.runtime.load_triton import load
from graphc.runtime.stored import element_dtype, row_shape

from .kernels import schedule_of, shape_of

NARROW = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def rounding_to_nearest() -> Iterator[None]:
    """Round float32 to bfloat16 as devices do, where Triton's interpreter cuts the digits off."""
    import triton.language as tl
    from triton.runtime import interpreter

    original = interpreter.InterpreterBuilder.cast_impl

    def cast(self: Any, source: Any, type: Any) -> Any:
        if source.dtype.scalar != tl.float32 or type.scalar != tl.bfloat16:
            return original(self, source, type)
        rounded = torch.from_numpy(np.array(source.data)).to(torch.bfloat16).view(torch.int16).numpy()
        return interpreter.TensorHandle(rounded.view(np.uint16), type.scalar)

    interpreter.InterpreterBuilder.cast_impl = cast
    try:
        yield
    finally:
        interpreter.InterpreterBuilder.cast_impl = original


def stored_schedule(
    graph: Graph, kind: str, sizes: Mapping[str, int], precision: Precision, storage: Mapping[str, str]
) -> Schedule:
    """Return a schedule of one elementwise kernel in float32."""
    plan = schedule_of(graph, kind, sizes, "float32", {"block": 64, "unroll": 2}, storage)
    kernel = replace(plan.kernels[0], strategy="elementwise")
    return replace(plan, target="triton", kernels=(kernel,), precision=precision)


def run_stored(plan: Schedule, given: Mapping[str, torch.Tensor], steps: int, batch: int) -> dict[str, torch.Tensor]:
    """Return what the kernel of `plan` writes, as it is stored; what it has not written is -1."""
    (kernel,) = plan.kernels
    written = {}
    for name in kernel.writes:
        storage, shape = plan.buffers[name].storage, shape_of(plan, name, steps, batch)
        shape = (*shape[:-1], *row_shape(storage, shape[-1:]))
        written[name] = torch.full(shape, -1, dtype=element_dtype(storage, torch.float32, plan.precision))
    load(plan, emit(plan)).launch(kernel, [(given | written)[n] for n in kernel.arguments], steps, batch, 0, None)
    return written
