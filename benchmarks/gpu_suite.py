"""What the works of the GPU suite share: the state of a run, jobs, and rows."""

from __future__ import annotations

import gc as garbage
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.gpu_device import copy_rate, median, replayed, timer
from benchmarks.gpu_jax import Jax
from benchmarks.peers.worker import Run
from benchmarks.report import Row, spread, time_alternately
from graphc.ir import GraphcError

FAILURES = (GraphcError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, AssertionError, OSError)
"""What may go wrong in one row without taking the others with it; torch's errors are RuntimeErrors."""


class LeftOut(Exception):
    """A row that this device cannot have, and why; no failure."""


@dataclass
class Bench:
    """One run of the suite.

    Attributes:
        budget: seconds after which no further peer is set up.
        rounds: rounds of alternated timing.
        compiled: measure torch.compile too.
        jax: the process of the JAX peers, None where there is none.
        rates: measured copy bandwidth by size of the arrays.
    """

    budget: float
    rounds: int
    compiled: bool
    jax: Jax | None = None
    rates: dict[int, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return the seconds left."""
        return self.budget - (time.monotonic() - self.started)

    def copy_rate(self, size: int) -> float:
        """Return the copy bandwidth in GB/s for arrays of `size` bytes, measured once per size."""
        if size not in self.rates:
            self.rates[size] = copy_rate(size)
        return self.rates[size]


@dataclass(frozen=True)
class Job:
    """One row: how it is measured on a GPU, and what can be said of it without one."""

    id: str
    title: str
    target: str
    run: Callable[[Bench], Row]
    predict: Callable[[], list[str]]


@dataclass
class Peers:
    """The peers of one row: runs in this process or another's times, and why some are missing."""

    runs: dict[str, Callable[[int], list[float]]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, bench: Bench, seconds: float, make: Callable[[], Callable[[int], list[float]]]) -> None:
        """Set a peer up that takes about `seconds`; where it cannot be, a note says why."""
        if bench.left() < seconds:
            self.notes[name] = "left out: no time left"
            return
        started = time.monotonic()
        try:
            self.runs[name] = make()
            self.notes.setdefault("set-up seconds", {})[name] = round(time.monotonic() - started, 1)
        except FAILURES as error:
            self.notes[name] = f"failed: {_first_line(error)}"


def timed_row(job_id: str, title: str, ours: Run, peers: Peers, bench: Bench, runs: int = 3) -> Row:
    """Return the row of `ours` beside its peers, timed in alternation; its target is still open.

    Ours is replayed from a CUDA graph, as the peers are: what the host does before a call is in the note "eager_ms".
    """
    notes = dict(peers.notes)
    notes["eager_ms"] = median(ours, 5)
    contenders: dict[str, Callable[[int], list[float]]] = {"ours": timer(replayed(ours))}
    contenders |= {name: _until_it_fails(name, run, notes) for name, run in peers.runs.items()}
    times = time_alternately(contenders, bench.rounds, runs)
    times = {name: found for name, found in times.items() if name == "ours" or name not in notes}
    medians = {name: statistics.median(found) for name, found in times.items()}
    row = Row(job_id, title, medians.pop("ours"), spread(times["ours"]), "", False, 0.0, medians, notes)
    row.notes["spreads"] = {name: round(spread(found), 3) for name, found in times.items()}
    return row


def _until_it_fails(
    name: str, run: Callable[[int], list[float]], notes: dict[str, Any]
) -> Callable[[int], list[float]]:
    """Return what times a peer; one that fails while it is timed is noted and takes no row with it."""

    def timed(runs: int) -> list[float]:
        if name not in notes:
            try:
                return run(runs)
            except FAILURES as error:
                notes[name] = f"failed: {_first_line(error)}"
        return [0.0] * runs

    return timed


def run_job(job: Job, bench: Bench) -> Row:
    """Return the row of `job`; one that says so where it failed."""
    try:
        row = job.run(bench)
    except LeftOut as why:
        row = Row(job.id, job.title, 0.0, 0.0, job.target, False, 0.0, notes={"left out": str(why)})
    except FAILURES as error:
        row = failed(job, error)
    row.target = row.target or job.target
    garbage.collect()  # models hold builds and builds models: nobody else's memory should count against the next row
    torch.cuda.empty_cache()
    return row


def failed(job: Job, error: BaseException) -> Row:
    """Return a row for what could not be measured, with the error and where it arose."""
    where = traceback.format_exception(error)[-6:]
    notes = {"failed": f"{type(error).__name__}: {_first_line(error)}", "traceback": "".join(where)[-2000:]}
    return Row(job.id, job.title, 0.0, 0.0, job.target, False, 0.0, notes=notes)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def assert_equal_work(what: str, found: Mapping[str, float], least: float, most: float) -> str:
    """Return the agreement in words; raise where spikes or gradients are those of another work.

    Args:
        what: the peer.
        found: "spikes", the fraction that is equal, and relative errors of gradients by name.
        least: of the spikes.
        most: of the errors.
    """
    errors = {name: value for name, value in found.items() if name != "spikes"}
    told = f"{100 * found['spikes']:.3f} % spikes, " + ", ".join(f"{n} {e:.0e}" for n, e in errors.items())
    if not (found["spikes"] >= least and all(e <= most for e in errors.values())):
        raise AssertionError(f"{what} does not do the same work as ours: {told}")
    return told


def relative_error(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the distance of two tensors, relative to the second."""
    a, b = ours.detach().float(), wanted.detach().float()
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def spikes_equal(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the fraction of spikes that are the same."""
    return float(((ours > 0) == (wanted > 0)).float().mean())
