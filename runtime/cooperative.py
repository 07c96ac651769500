"""Launches of a kernel whose programs wait for each other: all programs of one launch must run at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from graphc.codegen.triton import Plan
from graphc.ir import TargetError


@dataclass(frozen=True, slots=True)
class Together:
    """One launch of some batch tiles.

    Attributes:
        grid: batch tiles, programs per tile.
        first: sample of the first tile.
        arrived: counter of the barrier per tile, zero.
    """

    grid: tuple[int, int]
    first: int
    arrived: torch.Tensor


def launches(plan: Plan, batch: int, device: torch.device) -> Iterator[Together]:
    """Return the launches of one call, each of as many batch tiles as the device runs at once.

    Raises:
        TargetError: not even the programs of one tile run at once.
    """
    tiles, programs = plan.grid(batch)
    most = running_at_once(device)
    if programs > most:
        raise refusal(plan, f"{programs} programs wait for each other and the device runs {most} at once")
    several = max(min(tiles, most // programs), 1)
    for first in range(0, tiles, several):
        grid = (min(several, tiles - first), programs)
        yield Together(grid, first * plan.constants["_rows"], torch.zeros(grid[0], dtype=torch.int32, device=device))


def running_at_once(device: torch.device) -> int:
    """Return how many programs surely run at the same time: one for each multiprocessor."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1 << 30


def refusal(plan: Plan, why: object) -> TargetError:
    """Return the error of a launch that the device cannot make."""
    kernel = plan.kernel.name
    return TargetError(f"kernel {kernel!r} cannot run: {why}", None, 'use schedule={"strategy": "stepwise"}')
