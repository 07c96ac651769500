"""g7: what the tuner finds against the defaults, for a feed-forward layer that moves bytes and a recurrent one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import graphc as gc
from benchmarks import gpu_g1
from benchmarks.gpu_predict import plan_of
from benchmarks.gpu_suite import Bench, Job, LeftOut
from benchmarks.layers import make_network
from benchmarks.report import Row
from benchmarks.works import Work
from graphc.runtime.tune.predict import MACHINES, predict_ms

TARGET = "never slower than the defaults, 1.1x somewhere"
BUDGET = 25.0  # seconds of one search
TRIES = (
    {"unroll": 1},
    {"block": 1024, "warps": 2},
    {"columns": 64},
    {"rows": 32},
    {"ahead": 1},
    {"strategy": "stepwise"},
)
"""Candidates whose predicted times a dry run prints."""


def feed_forward() -> tuple[Work, gc.Network]:
    """Return the layer of g1 with 4 M neurons at once."""
    work = Work("g7", "feed-forward LIF, bfloat16, 4 M neurons at once, T=100, tuned", 100, 4096, gpu_g1.NEURONS)
    return work, gpu_g1.make_network(work)


def recurrent() -> tuple[Work, gc.Network]:
    """Return the layer of g2 with 1024 neurons."""
    work = Work("g7", "recurrent CuBa-LIF, bf16, T=1000 B=64 N=1024, tuned", 1000, 64, 1024)
    return work, make_network(work, recurrent=True)


def run(make: Callable[[], tuple[Work, gc.Network]], bench: Bench) -> Row:
    """Search, and report what the last comparison found; its times are of calls as a user makes them."""
    if bench.left() < -60:
        raise LeftOut("no time left")
    work, network = make()
    torch.manual_seed(0)
    x = torch.empty(work.steps, work.batch, work.neurons, device="cuda", dtype=torch.bfloat16).normal_(0.2, 0.8)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tune.sqlite"
        found = gc.tune(network, x, target="triton", precision="bfloat16", budget=BUDGET, database=file)
    row = Row(
        "g7", work.title, found.ms, 0.0, TARGET, found.gain >= 1.0, found.gain, {"the defaults": found.default_ms}
    )
    row.notes = {
        "schedule": dict(found.schedule),
        "candidates timed": sum(t.ratio is not None for t in found.tried),
        "given up": [f"{t.options}: {t.why}" for t in found.tried if t.ratio is None],
    }
    return row


def predict(make: Callable[[], tuple[Work, gc.Network]]) -> list[str]:
    """Return the predicted times of the defaults and of some candidates."""
    work, network = make()
    lines = []
    for options in ({}, *TRIES):
        plan = plan_of(network, frozenset({"x"}), "bfloat16", options)
        ms = predict_ms(plan, MACHINES["sm_90"], work.steps, work.batch)
        lines.append(f"{options or 'the defaults'}: {ms:.3f} ms predicted")
    return lines


def jobs() -> list[Job]:
    """Return the rows."""
    return [
        Job("g7", make()[0].title, TARGET, partial(run, make), partial(predict, make))
        for make in (feed_forward, recurrent)
    ]
