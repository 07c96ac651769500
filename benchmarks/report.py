"""The figures of a suite: alternated timing, the machine, the JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("torch", "triton", "sympy", "numpy")


@dataclass
class Row:
    """One work: our time, the peers' times, and whether the target is reached.

    `ratio` is what `target` speaks of; `notes` holds further measured figures by name.
    """

    id: str
    work: str
    ours_ms: float
    spread: float
    target: str
    reached: bool
    ratio: float
    peers: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def time_alternately(
    contenders: Mapping[str, Callable[[int], list[float]]], rounds: int, runs: int
) -> dict[str, list[float]]:
    """Return the times in ms of every contender, `rounds` rounds in which each runs `runs` times in turn.

    The first run of a turn warms caches up after the others and does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            times[name] += measure(runs + 1)[1:]
    return times


def spread(times: list[float]) -> float:
    """Return the interquartile range as a fraction of the median."""
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle


def describe_machine() -> str:
    """Return the processor's name, the number of cores in use and the memory."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def read_commit() -> str:
    """Return the commit of the checkout, marked when files differ from it; "unknown" outside one."""
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def read_versions() -> dict[str, str]:
    """Return the versions of Python, of what graphc stands on and of the C compiler."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    try:
        done = subprocess.run([os.environ.get("CC", "gcc"), "--version"], capture_output=True, text=True, check=False)
        versions["compiler"] = done.stdout.splitlines()[0] if done.stdout else "unknown"
    except FileNotFoundError:
        versions["compiler"] = "none"
    return versions


def write(
    path: Path,
    rows: list[Row],
    floor: dict[str, float],
    *,
    gpu: str | None = None,
    versions: dict[str, str] | None = None,
    load: float = 0.0,
) -> None:
    """Write the results of a suite as JSON; `load` is the machine's load average before it began."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "machine": describe_machine(),
        "gpu": gpu,
        "versions": read_versions() | (versions or {}),
        "commit": read_commit(),
        "load_before": load,
        "floor": floor,
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(results, indent=1) + "\n")
