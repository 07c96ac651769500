"""Kill tuners at random points and see that the database opens and serves: ``python -m benchmarks.kill_tuner``.

Every run of the tuner is a process of its own, forked from this one, and ends by SIGKILL at a random moment; those that
live longest write their entry. tests/test_tune_database.py does the same with writers that do nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from rich.progress import track

import graphc as gc
from graphc.runtime.tune.database import Database
from tests.models.tuning import network, spikes


def tune_forever(path: Path) -> None:
    """Tune again and again, in short runs."""
    for seed in range(1000):
        gc.tune(network(), spikes(), target="c", budget=0.3, seed=seed, database=path)


def main() -> None:
    """Kill as many tuners as asked for, and look at the database after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--longest", type=float, default=6.0, help="seconds that a tuner lives at most")
    options = parser.parse_args()
    order, context, counts = random.Random(0), multiprocessing.get_context("fork"), [0]
    with tempfile.TemporaryDirectory() as scratch:
        file = Database(Path(scratch) / "tune.sqlite")
        for _ in track(range(options.times)):
            process = context.Process(target=tune_forever, args=(file.path,))
            process.start()
            time.sleep(order.uniform(0.0, options.longest))
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            if wrong := file.check():
                raise SystemExit(f"the database is damaged: {wrong}")
            if file.count() < counts[-1]:
                raise SystemExit(f"rows were lost: {counts[-1]}, now {file.count()}")
            counts.append(file.count())
            entries = file.entries()
            if entries and file.lookup(entries[-1].identity) is None:
                raise SystemExit("the database does not serve")
    print(f"{options.times} tuners killed, {counts[-1]} entries kept, the database opens and serves")


if __name__ == "__main__":
    main()
