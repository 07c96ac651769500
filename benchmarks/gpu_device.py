"""What the GPU suite measures with: events, replayed graphs, peak memory, builds, and the floors of the device."""

from __future__ import annotations

import gc as garbage
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.peers.worker import Run

cuda: Any = torch.cuda  # some of its classes have no types
LARGEST = 1 << 32  # bytes of an array from which a copy runs no faster or slower


def measure(run: Run, runs: int) -> list[float]:
    """Return the milliseconds of `runs` runs between two events on the device, each run waited for."""
    times = []
    for _ in range(runs):
        start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return times


def median(run: Run, runs: int = 9) -> float:
    """Return the median milliseconds of `runs` runs, after one of warm-up."""
    return statistics.median(measure(run, runs + 1)[1:])


def timer(run: Run) -> Callable[[int], list[float]]:
    """Return what `benchmarks.report.time_alternately` calls."""
    return lambda runs: measure(run, runs)


def first_run(run: Run) -> float:
    """Return the seconds of the first run, compilation included."""
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def replayed(run: Run) -> Run:
    """Return `run` captured in a CUDA graph: the device works without waiting for the host."""
    stream = cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = cuda.CUDAGraph()
    garbage.collect()  # what is freed on the device during a capture can spoil it
    garbage.disable()
    try:
        with torch.cuda.graph(graph):
            results = run()
    finally:
        garbage.enable()

    def replay() -> Any:
        graph.replay()
        return results

    return replay


def peak_bytes(run: Run) -> int:
    """Return the most that one run has allocated at once beyond what was allocated before it."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


@contextmanager
def counted_builds() -> Iterator[Counter[str]]:
    """Count the builds of Triton's kernels by name, those fetched from its cache on disk among them."""
    import triton

    built: Counter[str] = Counter()
    runtime = triton.knobs.runtime
    before = runtime.jit_post_compile_hook

    def count(*args: object, **told: object) -> None:
        built[str(getattr(told.get("fn"), "name", "a kernel")).rpartition(".")[2]] += 1

    runtime.jit_post_compile_hook = count
    try:
        yield built
    finally:
        runtime.jit_post_compile_hook = before


def copy_rate(size: int, arrays: int = 6) -> float:
    """Return GB/s, read plus written, of copies around a ring of `arrays` arrays of `size` bytes.

    The arrays are as large as those of the work, so that what a cache holds for the work it holds for the copy.
    """
    count = min(size, LARGEST) // 4
    pairs = arrays // 2 if size < LARGEST else 1
    ring = [torch.randn(count, device="cuda") for _ in range(2 * pairs)]
    sources, targets = ring[::2], ring[1::2]

    def run() -> None:
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source)

    return 2 * pairs * 4 * count / 1e6 / median(replayed(run), 15)


def matrix_rate(size: int = 8192) -> float:
    """Return GFLOP/s of a square product in bfloat16."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / 1e6 / median(lambda: a @ b, 9)


def highest_clock() -> float:
    """Return the highest clock in MHz at which the multiprocessors may run; 1980 where nothing tells."""
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return 1980.0
