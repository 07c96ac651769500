"""g6: the memory of one training call over 1000 steps, against a loop with the memory pattern of snnTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

import graphc as gc
from benchmarks.gpu_device import median, peak_bytes
from benchmarks.gpu_g2 import make_arrays, on_device
from benchmarks.gpu_peers import recording_loop, trained
from benchmarks.gpu_predict import dry_run, plan_of
from benchmarks.gpu_suite import Bench, Job
from benchmarks.layers import make_network
from benchmarks.report import Row
from benchmarks.works import Work
from graphc.ir import Precision

STEPS, BATCH, NEURONS = 1000, 64, 512
TARGET = "1/4 of the loop's memory"
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def make_work(precision: str) -> Work:
    """Return the work in one precision."""
    title = f"memory of one training call, recurrent CuBa-LIF, {precision}, T={STEPS} B={BATCH} N={NEURONS}"
    return Work("g6", title, STEPS, BATCH, NEURONS)


def run(precision: Precision, bench: Bench) -> Row:
    """Measure the peaks of both, and how far ours is from its prediction."""
    del bench
    work = make_work(precision)
    x, gy, w = on_device(make_arrays(work), torch.bfloat16 if precision == "bfloat16" else torch.float32)
    model: Any = gc.compile(make_network(work, recurrent=True), target="triton", precision=precision).to("cuda")
    with torch.no_grad():
        model.hid_hid.weight.copy_(w)
    x.requires_grad_()
    ours = trained(lambda x, _: model(x), [x, model.hid_hid.weight], gy)
    ours()  # builds, and what cuBLAS keeps
    found = peak_bytes(ours)
    ms = median(ours, 5)
    footprint = model.last_build().footprint(STEPS, BATCH)
    wide = [t.detach().float().requires_grad_() for t in (x, w)]
    loop = trained(recording_loop(work), wide, gy.float())
    loop()
    theirs = peak_bytes(loop)
    row = Row("g6", work.title, ms, 0.0, TARGET, found <= theirs / 4, found / theirs)
    row.notes = {
        "bytes at once": found,
        "bytes at once of the loop": theirs,
        "snnTorch": "not installed; a loop that keeps what it keeps",
    }
    if footprint is not None:
        row.notes |= {"predicted bytes": footprint.peak, "measured over predicted": found / footprint.peak}
    return row


def predict(precision: Precision) -> list[str]:
    """Return what is known without a GPU."""
    from graphc.passes.footprint import footprint

    plan = plan_of(make_network(make_work(precision), recurrent=True), frozenset({"x"}), precision)
    found = footprint(plan, {"hid.output", "d(x)"}, STEPS, BATCH, None, pooled=False)
    lines = [f"predicted {found.peak:,} bytes at once, {found.saved:,} of them kept for backward"]
    return lines + dry_run(plan, STEPS, BATCH)


def jobs() -> list[Job]:
    """Return a row for every precision."""
    return [Job("g6", make_work(p).title, TARGET, partial(run, p), partial(predict, p)) for p in PRECISIONS]
