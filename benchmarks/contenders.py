"""Who runs a work: graphc in this process, and the peers in theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.peers.worker import Check, Run, measure
from benchmarks.process import Worker, find_python
from benchmarks.works import Arrays, Work

TOLD = Console()


class Ours:
    """A contender in this process, with the methods of a `Worker`."""

    def __init__(self, set_up: Callable[[Work, Arrays], tuple[Run, Check]], work: Work, arrays: Arrays) -> None:
        """Set the work up and run it once."""
        self.run, self.check = set_up(work, arrays)
        self.run()

    def time(self, runs: int) -> list[float]:
        """Return the milliseconds of `runs` runs."""
        return [measure(self.run) for _ in range(runs)]


Contenders = dict[str, Ours | Worker]


def start_peers(work: Work, names: tuple[str, ...], folder: Path) -> list[Worker]:
    """Start the installed peers on `work`."""
    missing = [name for name in names if find_python(name) is None]
    if missing:
        TOLD.print(f"{work.id}: without {', '.join(missing)}, not installed (make peers)")
    return [Worker(name, folder) for name in names if name not in missing]


def wait_for(worker: Worker) -> float | None:
    """Return the seconds of a worker's first run, or None, with a line, where it failed."""
    try:
        return worker.ready()
    except RuntimeError as error:
        TOLD.print(f"without {worker.name}: {error}")
        return None
