"""The floors of this machine: copy bandwidth and matrix rate, measured with arrays of a work's own size.

``python -m benchmarks.floor`` prints them. The copy goes from buffer to buffer around a ring as large as the work's
whole traffic, so that no cache holds what a work would have to fetch; the better of torch's copy and one with
non-temporal stores counts, because a floor has to be hard to reach.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import hand
from benchmarks.works import C1, C2, Work


@dataclass(frozen=True)
class Floor:
    """What the machine can do at best on the sizes of one work."""

    copy_gb_s: float
    matrix_gflop_s: float


def median_ms(run: Callable[[], Any], runs: int = 15) -> float:
    """Return the median milliseconds of `runs` runs after two of warm-up."""
    times = []
    for _ in range(runs + 2):
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[2:])


def budget_bytes(work: Work, saved: int = 1) -> int:
    """Return the bytes that forward and backward of a layer have to move, with `saved` values kept per neuron-step."""
    array = 4 * work.steps * work.batch * work.neurons
    return 2 * (2 + saved) * array


def measure_copy(work: Work) -> float:
    """Return GB/s (read plus written) of copies of the work's arrays, six of them as forward and backward have."""
    library = hand.build("hand_copy")
    ring = [hand.empty(work.steps, work.batch, work.neurons) for _ in range(6)]
    count, threads = ctypes.c_long(ring[0].numel()), torch.get_num_threads()

    def by_torch() -> None:
        for source, target in zip(ring[::2], ring[1::2], strict=True):
            target.copy_(source)

    def by_stream() -> None:
        for source, target in zip(ring[::2], ring[1::2], strict=True):
            library.copy(hand.address(source), hand.address(target), count, threads)

    moved = 4 * ring[0].numel() * len(ring)
    return moved / 1e6 / min(median_ms(by_torch), median_ms(by_stream))


def measure_matrix(work: Work) -> float:
    """Return GFLOP/s of the dense product that one backward step of a recurrent layer needs, by torch."""
    rows, size = work.batch, work.neurons
    a, b, out = torch.randn(rows, size), torch.randn(size, size), torch.empty(rows, size)

    def run() -> None:
        for _ in range(50):
            torch.mm(a, b, out=out)

    return 50 * 2 * rows * size * size / 1e6 / median_ms(run)


def measure_floor() -> Floor:
    """Return the floors on the sizes of c1 (copy) and c2 (product)."""
    return Floor(measure_copy(C1), measure_matrix(C2))


if __name__ == "__main__":
    floor = measure_floor()
    print(f"copy {floor.copy_gb_s:.1f} GB/s, matrix product {floor.matrix_gflop_s:.0f} GFLOP/s")
