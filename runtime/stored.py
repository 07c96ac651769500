"""Tensors as the buffers of a schedule store them: dtypes and shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from graphc.ir import Precision, Schedule, Storage

from .products import NARROW


def element_dtype(storage: Storage, real: torch.dtype, precision: Precision) -> torch.dtype:
    """Return the dtype of an element, 32 of which are a word of bits."""
    if storage in ("narrow", "condition"):
        return NARROW.get(precision, real)
    return {"uint8": torch.uint8, "bits": torch.int32, "int32": torch.int32}.get(storage, real)


def row_shape(storage: Storage, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a row of neurons as they are stored."""
    return (*sizes[:-1], -(-sizes[-1] // 32)) if storage == "bits" else sizes


def empty_as_numbers(
    given: Mapping[str, torch.Tensor], schedule: Schedule, real: torch.dtype
) -> dict[str, torch.Tensor]:
    """Return what a call without elements is given, with sequences (T, B, N) of real numbers."""
    found = dict(given)
    for name, tensor in given.items():
        buffer = schedule.buffers.get(name)
        if buffer is not None and buffer.kind == "sequence" and buffer.storage != "real":
            sizes = (schedule.sizes[axis] for axis in buffer.type.axes)
            found[name] = tensor.to(real).reshape((*tensor.shape[:2], *sizes))
    return found
