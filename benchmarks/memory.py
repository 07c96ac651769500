"""Memory and time of a training call with and without checkpoints: `python -m benchmarks.memory`.

A recurrent CuBa-LIF network of 256 neurons, T = 1000, B = 32, target c, float32. Measured bytes are the running sum of
what torch allocates and frees, of a model whose memory is fresh; predicted ones those of `model.explain(steps=,
batch_size=)`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

import graphc as gc
from graphc.learn import BPTT

STEPS, BATCH, INPUTS, NEURONS = 1000, 32, 100, 256


def compiled(learn: BPTT) -> gc.Model:
    """Return the network of this benchmark."""
    torch.manual_seed(0)
    net = gc.Network(dt=1.0)
    net.input("x", INPUTS)
    net.population("hid", gc.zoo.CuBaLIF, NEURONS)
    net.connect("x", "hid", weight=gc.Normal(0.0, 0.05))
    net.connect("hid", "hid", delay=1, weight=gc.Normal(0.0, 0.03))
    net.output("hid")
    return gc.compile(net, learn=learn, target="c")


def peak(model: gc.Model, x: torch.Tensor, grad: torch.Tensor) -> int:
    """Return the most bytes that are allocated at once by a first call, forward and backward."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        model(x).backward(grad)
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    most = now = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def seconds(models: Sequence[gc.Model], x: torch.Tensor, grad: torch.Tensor) -> list[float]:
    """Return the median time of a call of each model, in alternation."""
    times: list[list[float]] = [[] for _ in models]
    for _ in range(15):
        for model, found in zip(models, times, strict=True):
            start = time.perf_counter()
            model(x).backward(grad)
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


def main() -> None:
    """Print the table."""
    x = (torch.rand(STEPS, BATCH, INPUTS) < 0.05).float()
    grad = torch.rand(STEPS, BATCH, NEURONS)
    budget = 50_000_000
    learns = [BPTT(checkpoint="none"), BPTT(checkpoint=100), BPTT(checkpoint=32), BPTT(memory_budget=budget)]
    models, rows = [compiled(learn) for learn in learns], []
    for learn, model in zip(learns, models, strict=True):
        model(x[:, :1]).backward(grad[:, :1])  # builds what the call needs, but for its memory
        measured = peak(model, x, grad)
        build = model.last_build()
        found = build.footprint(STEPS, BATCH)
        assert found is not None
        options = f"memory_budget={budget}" if learn.memory_budget else f"checkpoint={learn.checkpoint!r}"
        chunks = -(-STEPS // build.every(STEPS, BATCH))
        sizes = " | ".join(f"{size / 1e6:.1f} MB" for size in (found.saved, measured, found.peak))
        rows.append(f"| `{options}` | {chunks} | {sizes} |")
    print("| `gc.learn.BPTT(...)` | chunks | kept for backward | most at once | predicted | time |")
    print("|---|---|---|---|---|---|")
    for row, taken in zip(rows, seconds(models, x, grad), strict=True):
        print(f"{row} {1e3 * taken:.0f} ms |")


if __name__ == "__main__":
    main()
