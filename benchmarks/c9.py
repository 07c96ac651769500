"""c9 and g7: the schedule that the tuner finds against the defaults, for c1, c2, c3 and the digits.

``python -m benchmarks.c9 [--budget 60] [--works c1 c2 c3 digits]``; what was found is timed against the defaults
again, in a comparison of its own that the search took no part in.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import graphc as gc
from benchmarks.c3 import make_network as make_c3
from benchmarks.contenders import TOLD
from benchmarks.floor import measure_floor
from benchmarks.layers import make_network
from benchmarks.report import RESULTS, Row, spread, write
from benchmarks.works import C1, C2, C3, make_inputs
from graphc.runtime.tune.race import Runner, race, ratio
from graphc.runtime.tune.trial import ModelTrial

ROUNDS = 30
DIGITS_SAMPLES = 32


def case(name: str) -> tuple[str, gc.Network, torch.Tensor, dict[str, Any]]:
    """Return title, network, inputs and weights of a work."""
    if name == "digits":
        from sklearn.datasets import load_digits

        from examples.digits import latency_code, network

        images = load_digits(return_X_y=True)[0][:DIGITS_SAMPLES] / 16
        return "examples/digits.py, T=50 B=32", network, latency_code(images, 3.0, torch.Generator().manual_seed(0)), {}
    work = {"c1": C1, "c2": C2, "c3": C3}[name]
    arrays = make_inputs(work)
    if name == "c3":
        weights = {"x_hid.weight": arrays["w_in"], "hid_hid.weight": arrays["w_rec"], "hid_out.weight": arrays["w_out"]}
        return work.title, make_c3(work), torch.from_numpy(arrays["x"].astype(np.float32)), weights
    given = {"hid_hid.weight": arrays["w"]} if name == "c2" else {}
    return work.title, make_network(work, name == "c2"), torch.from_numpy(arrays["x"]), given


def measure(name: str, budget: float, seed: int, target: str) -> Row:
    """Tune one work and time what was found against the defaults."""
    title, network, x, weights = case(name)
    x = x.to("cuda") if target == "triton" else x
    with tempfile.TemporaryDirectory() as scratch:
        found = gc.tune(
            network, x, target=target, budget=budget, seed=seed, database=Path(scratch) / "tune.sqlite", name=name
        )
    runners = []
    for schedule in ({}, dict(found.schedule)):
        model = gc.compile(network, target=target, schedule=schedule).to(x.device)
        model.load_state_dict({**model.state_dict(), **{n: torch.from_numpy(w) for n, w in weights.items()}})
        runners.append(Runner(ModelTrial(model, x, *x.shape[:2]).run))
        runners[-1].warm_up()
    race(runners, random.Random(seed), time.monotonic() + 120, rounds=ROUNDS, keep=2)
    first, tuned = runners
    gain = 1 / ratio(tuned, first) if found.schedule else 1.0  # the defaults are not faster than themselves
    times = [1e3 * sum(pair) for pair in (tuned if found.schedule else first).halves]
    notes = {
        "schedule": dict(found.schedule),
        "gain in the search": found.gain,
        "candidates timed": sum(t.ratio is not None for t in found.tried),
    }
    TOLD.print(f"{name}: {gain:.2f}x by {notes['schedule']} after {notes['candidates timed']} candidates")
    defaults = {"the defaults": 1e3 * first.seconds}
    id = "g7" if target == "triton" else "c9"
    goal = "never slower, 1.1x somewhere"
    return Row(id, title, statistics.median(times), spread(times), goal, gain >= 0.99, gain, defaults, notes)


def main() -> None:
    """Tune the works and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", nargs="+", default=["c1", "c2", "c3", "digits"])
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="c")
    parser.add_argument("--out", type=Path, default=RESULTS / "cpu-tune.json")
    options = parser.parse_args()
    load, floor = os.getloadavg()[0], measure_floor()
    rows = [measure(name, options.budget, options.seed, options.target) for name in options.works]
    write(options.out, rows, asdict(floor), versions={}, load=load)


if __name__ == "__main__":
    main()
