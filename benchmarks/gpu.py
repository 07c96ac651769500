"""The GPU suite: ``python -m benchmarks.gpu [g1 ... g7]`` (make gpu), or ``--dry-run`` on a machine without one.

Needs torch, Triton and graphc, no network and no peers' environments; JAX takes part where it is installed and sees
the GPU. Every row is checked against a peer first, then timed in alternation. A row that fails is written as failed,
the others stand, and the exit status is 1. Writes gpu.json and gpu.txt to ``$OUT``, or to benchmarks/results.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

from benchmarks import gpu_g1, gpu_g2, gpu_g4, gpu_g5, gpu_g6, gpu_g7
from benchmarks.gpu_device import LARGEST, copy_rate, matrix_rate
from benchmarks.gpu_jax import Jax, installed
from benchmarks.gpu_suite import FAILURES, Bench, Job, run_job
from benchmarks.report import RESULTS, Row, write

WORKS = {"g1": gpu_g1, "g2": gpu_g2, "g4": gpu_g4, "g5": gpu_g5, "g6": gpu_g6, "g7": gpu_g7}
SHOWN = (
    "rate",
    "us per step",
    "us per step, eager",
    "predicted forward us per step",
    "predicted backward us per step",
    "predicted_ms",
    "floors_ms",
    "bytes at once",
    "predicted bytes",
    "eager_ms",
    "left out",
    "failed",
)
"""Notes of a row that the short table repeats."""


def describe_row(row: Row) -> list[str]:
    """Return the lines of one row in the short table."""
    peers = ", ".join(f"{peer} {ms:.3f}" for peer, ms in sorted(row.peers.items(), key=lambda pair: pair[1]))
    verdict = next((v for v in ("failed", "left out") if v in row.notes), "reached" if row.reached else "MISSED")
    head = f"{row.id} {row.work}: {row.ours_ms:.3f} ms +-{100 * row.spread:.0f} %, ratio {row.ratio:.2f}, {verdict}"
    lines = [head + (f"; {peers} ms" if peers else "")]
    shown = {name: row.notes[name] for name in SHOWN if name in row.notes}
    return lines + ([f"   {shown}"] if shown else [])


def dry_run(jobs: list[Job]) -> int:
    """Print every prediction, each kernel built ahead of time; return the exit status."""
    status = 0
    for job in jobs:
        print(f"{job.id} {job.title} [{job.target}]", flush=True)
        try:
            lines = job.predict()
        except FAILURES as error:
            status, lines = 1, [f"failed: {type(error).__name__}: {error}"]
        print("\n".join(f"   {line}" for line in lines), flush=True)
    return status


def measure_all(jobs: list[Job], bench: Bench, folder: Path) -> int:
    """Run all rows and write the results after each of them; return the exit status."""
    name = torch.cuda.get_device_name()
    floor = {"copy_gb_s": copy_rate(LARGEST), "matrix_gflop_s": matrix_rate()}
    head = (
        f"{name}: copy {floor['copy_gb_s']:.0f} GB/s, product in bfloat16 {floor['matrix_gflop_s'] / 1e3:.0f} TFLOP/s"
    )
    lines, rows = [head], []
    print(head, flush=True)
    for job in jobs:
        rows.append(run_job(job, bench))
        told = describe_row(rows[-1])
        lines += told
        print("\n".join(told), flush=True)
        write(folder / "gpu.json", rows, floor, gpu=name)
        (folder / "gpu.txt").write_text("\n".join(lines) + "\n")
    return int(any("failed" in row.notes for row in rows))


def main() -> int:
    """Run the works named on the command line, or all, on the current device; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", default=[*WORKS], help=" ".join(WORKS))
    parser.add_argument("--dry-run", action="store_true", help="print predictions and build for sm_90; needs no GPU")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes")
    parser.add_argument("--budget", type=float, default=200.0, help="seconds after which no more peers are set up")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    jobs = [job for name in WORKS if name in options.works for job in WORKS[name].jobs()]
    if options.dry_run:
        return dry_run(jobs)
    if not torch.cuda.is_available():
        print("benchmarks.gpu: no CUDA device here, nothing measured; --dry-run needs none", file=sys.stderr)
        return 1
    jax = Jax() if installed() else None
    bench = Bench(options.budget, options.rounds, not options.no_compile, jax)
    try:
        return measure_all(jobs, bench, Path(os.environ.get("OUT") or RESULTS))
    finally:
        if jax is not None:
            jax.close()


if __name__ == "__main__":
    raise SystemExit(main())
