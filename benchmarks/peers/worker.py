"""The worker side of a measurement: reads a work's files, then obeys one command a line.

``check PATH`` writes spikes and gradients as .npz, the loss weighing the samples as ``PATH`` says on entry;
``time N`` runs the work N times. Both answer one JSON line.
The caller alternates between workers, which is why a worker stays alive instead of timing everything at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.works import Arrays, Work, load

Run = Callable[[], Any]
Check = Callable[[NDArray[Any]], Arrays]
Setup = Callable[[Work, Arrays], tuple[Run, Check]]


def measure(run: Run) -> float:
    """Return the milliseconds of one run."""
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)


def forget_peak() -> None:
    """Let the peak of `read_peak` begin anew with what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def read_peak() -> float:
    """Return the most megabytes of this process that were resident at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1e3


def serve(setups: dict[str, Setup], measure: Callable[[Run], float] = measure) -> None:
    """Serve the work in the folder named on the command line until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")  # libraries print; their words go to standard error
    os.dup2(2, 1)
    work, arrays = load(Path(sys.argv[1]))
    started = time.perf_counter()
    run, check = setups[work.id](work, arrays)
    run()
    reply: dict[str, Any] = {"first_s": time.perf_counter() - started, "versions": read_versions()}
    while True:
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
        words = sys.stdin.readline().split()
        if not words:
            return
        if words[0] == "check":
            np.savez(words[1], **check(np.load(words[1])["weight"]))  # type: ignore[arg-type]
            reply = {}
        else:
            reply = {"ms": [measure(run) for _ in range(int(words[1]))]}


def read_versions() -> dict[str, str]:
    """Return the versions of the peers imported into this process."""
    names = ("jax", "snntorch", "norse", "spikingjelly", "brian2", "braintrace")
    return {name: metadata.version(name) for name in names if name in sys.modules}
