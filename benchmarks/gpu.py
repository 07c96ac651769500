"""The works of c1 and c2 on a CUDA device: ``python -m benchmarks.gpu`` (make gpu).

Needs torch, Triton and graphc, no network and no peers' environments. The peers are the PyTorch loop, eager and as a
replayed CUDA graph of its whole forward and backward; ``--compile`` adds torch.compile, which takes minutes.
Writes gpu.json and gpu.txt to ``$OUT``, or to benchmarks/results.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.layers import set_up
from benchmarks.peers.torch_cells import Forward, make_cuba
from benchmarks.peers.worker import Check, Run
from benchmarks.report import RESULTS, Row, spread, time_alternately, write
from benchmarks.works import C1, C2, Arrays, Work, compare, find_clean, make_inputs

# In float32 the resident strategy holds the weights of at most 128 neurons.
C2_SMALL = replace(C2, neurons=128, title="recurrent CuBa-LIF, T=100 B=128 N=128")
Contender = tuple[Run, Check]
cuda: Any = torch.cuda  # some of its classes have no types


def set_up_torch(work: Work, arrays: Arrays, transform: Callable[[Forward], Forward], graphed: bool) -> Contender:
    """Return the PyTorch loop on the device, its forward passed through `transform`, as a CUDA graph if `graphed`."""
    forward = transform(make_cuba(work, recurrent=work.id == "c2"))
    leaves = [torch.from_numpy(arrays[name]).cuda().requires_grad_() for name in ("x", "w") if name in arrays]
    names = [f"grad_{name}" for name in ("x", "w") if name in arrays]
    gy = torch.from_numpy(arrays["gy"]).cuda()
    whole = gy.clone()

    def run() -> Any:
        y = forward(*leaves)
        return y, torch.autograd.grad(y, leaves, gy)

    replay: Run = run
    if graphed:
        torch.cuda.synchronize()
        with torch.cuda.stream(cuda.Stream()):
            run()
        torch.cuda.synchronize()
        graph = cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = run()

        def replay() -> Any:
            graph.replay()
            return results

    def check(weight: NDArray[Any]) -> Arrays:
        gy.copy_(whole * torch.from_numpy(weight).cuda()[:, None])
        y, grads = replay()
        found = {name: grad.cpu().numpy() for name, grad in zip(names, grads, strict=True)}
        spikes = y.detach().cpu().numpy().astype("uint8")
        gy.copy_(whole)
        return {"spikes": spikes, **found}

    return replay, check


def measure(run: Run, runs: int) -> list[float]:
    """Return the milliseconds of `runs` runs, each waited for."""
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


def measure_copy(work: Work) -> float:
    """Return GB/s (read plus written) of copies around a ring as large as the work's traffic."""
    ring = [torch.randn(work.steps, work.batch, work.neurons, device="cuda") for _ in range(6)]

    def run() -> None:
        for source, target in zip(ring[::2], ring[1::2], strict=True):
            target.copy_(source)

    run()
    return 6 * 4 * ring[0].numel() / 1e6 / statistics.median(measure(run, 20))


def measure_work(work: Work, compiled: bool, copy_gb_s: float, rounds: int) -> Row:
    """Check and time one work against the PyTorch loops."""
    arrays = make_inputs(work)
    contenders = {
        "ours": set_up(work, arrays, target="triton", device="cuda"),
        "torch_eager": set_up_torch(work, arrays, lambda forward: forward, graphed=False),
        "torch CUDA graph": set_up_torch(work, arrays, lambda forward: forward, graphed=True),
    }
    if compiled:
        contenders["torch_compile"] = set_up_torch(work, arrays, torch.compile, graphed=False)
    for run, _ in contenders.values():
        run()
    first = {name: check(np.ones(work.batch, np.float32)) for name, (_, check) in contenders.items()}
    clean = find_clean(list(first.values()))
    told = {}
    for name, (_, check) in contenders.items():
        whole, part = compare(first["ours"], first[name]), compare(contenders["ours"][1](clean), check(clean))
        told[name] = f"{100 * whole.spikes_equal:.3f} % spikes, gradients {part.gradient_error:.0e}"
        if whole.spikes_equal < 0.999 or not part.holds:
            raise RuntimeError(f"{work.id}: {name} does not do the same work as ours: {told[name]}")

    def timer(run: Run) -> Callable[[int], list[float]]:
        return lambda runs: measure(run, runs)

    times = time_alternately({name: timer(run) for name, (run, _) in contenders.items()}, rounds, runs=5)
    medians = {name: statistics.median(found) for name, found in times.items()}
    ours = medians.pop("ours")
    ratio = min(medians.values()) / ours
    row = Row(
        work.id, work.title, ours, spread(times["ours"]), "3x the fastest PyTorch loop", ratio >= 3, ratio, medians
    )
    row.notes = {"checks": told, "microseconds_per_step": 1e3 * ours / work.steps}
    if work.id == "c1":
        moved = 6 * 4 * work.steps * work.batch * work.neurons
        row.notes["copy_fraction"] = moved / 1e6 / ours / copy_gb_s
    return row


def main() -> int:
    """Run c1 and c2 on the current device; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true", help="add torch.compile")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.gpu: no CUDA device here, nothing measured", file=sys.stderr)
        return 1
    torch.backends.cuda.matmul.allow_tf32 = False
    folder = Path(os.environ.get("OUT") or RESULTS)
    copy_gb_s = measure_copy(C1)
    rows = [measure_work(work, options.compile, copy_gb_s, options.rounds) for work in (C1, C2_SMALL)]
    name = torch.cuda.get_device_name()
    write(folder / "gpu.json", rows, {"copy_gb_s": copy_gb_s}, gpu=name)
    lines = [f"{name}, copy {copy_gb_s:.0f} GB/s"]
    for row in rows:
        peers = ", ".join(f"{peer} {ms:.3f}" for peer, ms in row.peers.items())
        lines.append(f"{row.id} {row.work}: ours {row.ours_ms:.3f} ms, {peers}; {row.ratio:.1f}x; {row.notes}")
    (folder / "gpu.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
