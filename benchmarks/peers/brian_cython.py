"""Peer: Brian2 at runtime, its code generated in Cython; its first run, from the declaration on, compiles anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brian2 as b2
from numpy.typing import NDArray

from benchmarks.peers.brian import DECLARE, read_results
from benchmarks.peers.worker import serve
from benchmarks.works import Arrays, Work


def set_up(work: Work, arrays: Arrays) -> Any:
    """Declare the work; every run starts from its initial state."""
    b2.prefs.codegen.target = "cython"
    b2.prefs.codegen.runtime.cython.cache_dir = str(Path("cython").absolute())
    b2.defaultclock.dt = work.dt * b2.ms
    network, cells, monitor = DECLARE[work.id](work, arrays)
    network.store()

    def run() -> None:
        network.restore()
        network.run(work.steps * work.dt * b2.ms)

    def check(weight: NDArray[Any]) -> Arrays:
        return read_results(work, cells, monitor)

    return run, check


if __name__ == "__main__":
    serve({name: set_up for name in DECLARE})
