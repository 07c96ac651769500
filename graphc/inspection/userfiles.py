"""The parts of the user's files that a model comes from."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence

from graphc.ir import Loc, Program
from graphc.network import Network

from .report import UserFile

AROUND, MOST = 3, 400
"""Lines shown before and after those that something comes from, and the most of one file."""


def files_of(network: Network, programs: Sequence[Program]) -> tuple[UserFile, ...]:
    """Return the lines of every file that a population, a connection or a value comes from."""
    lines: dict[str, set[int]] = {}
    for loc in _locs(network, programs):
        lines.setdefault(loc.file, set()).add(loc.line)
    found = []
    for path, numbers in lines.items():
        text = linecache.getlines(path)
        first = max(min(numbers) - AROUND, 1)
        last = min(max(numbers) + AROUND, len(text), first + MOST)
        shown = tuple(line.rstrip("\n") for line in text[first - 1 : last])
        if shown:
            found.append(UserFile(str(Loc(path, 1)).rpartition(":")[0], first, shown))
    return tuple(found)


def _locs(network: Network, programs: Sequence[Program]) -> Iterator[Loc]:
    for population in network.populations.values():
        yield population.neuron.loc
        yield from (population.neuron.loc_of(group) for group in ("ode", "update", "spike", "reset"))
    yield from (p.loc for p in network.populations.values())
    yield from (c.loc for c in network.connections.values())
    for program in programs:
        for region in program.regions:
            yield from (v.loc for v in region.graph.values if v.loc is not None)
