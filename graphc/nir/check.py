"""What a NIR graph leaves open, and what graphc takes of it for what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.ir.loc import Loc
from graphc.values import time_in_ms, whole_steps

from .cells import SPIKING, TWO_STATES
from .cycles import Link, in_cycles
from .file import LARGEST
from .graph import CELLS, TIMES, Graph, graph_of
from .route import routes_of
from .shapes import shapes_of


@dataclass(frozen=True)
class Finding:
    """One thing that a graph leaves open.

    Attributes:
        about: what it is about, such as "reset".
        nodes: the nodes that it concerns.
        text: what is open, and who decides it.
    """

    about: str
    nodes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        """Return everything in one line."""
        shown = ", ".join(self.nodes[:4]) + (f" and {len(self.nodes) - 4} more" if len(self.nodes) > 4 else "")
        return f"{self.about} ({shown}): {self.text}" if shown else f"{self.about}: {self.text}"


@dataclass(frozen=True)
class Report:
    """What a NIR graph holds, and what it leaves open."""

    nodes: dict[str, int]
    version: str
    findings: tuple[Finding, ...]

    def about(self, about: str) -> list[Finding]:
        """Return the findings about one thing."""
        return [f for f in self.findings if f.about == about]

    def __str__(self) -> str:
        """Return one line per finding."""
        held = ", ".join(f"{count} {kind}" for kind, count in sorted(self.nodes.items()))
        return "\n".join([f"NIR {self.version}: {held}", *(f"  {finding}" for finding in self.findings)])


def check(source: Any, *, dt: Any = None, max_bytes: int = LARGEST) -> Report:
    """Return what a NIR graph leaves open.

    Args:
        source: as of `read`.
        dt: a step length, to look at time constants and delays, too.
        max_bytes: as of `read`.

    Raises:
        DeclarationError: the file is damaged, no NIR file, or its graph contradicts itself.
    """
    loc = Loc.caller()
    graph = graph_of(source, loc, max_bytes)
    _, after = shapes_of(graph, loc)
    counts: dict[str, int] = {}
    for node in graph.nodes.values():
        counts[node.kind] = counts.get(node.kind, 0) + 1
    version = graph.tree.get("version", "of no stated version")
    found = [*_open(graph), *_cycles(graph, after, loc)]
    if dt is not None:
        found += _steps(graph, time_in_ms(dt, "dt of graphc.nir.check", loc))
    return Report(counts, str(version), tuple(found))


def _open(graph: Graph) -> Iterator[Finding]:
    """Yield what the dialect decides, and what the fields do not say."""

    def those(*kinds: str) -> tuple[str, ...]:
        return tuple(name for name, node in graph.nodes.items() if node.kind in kinds)

    cells = those(*CELLS - {"Threshold"})
    if cells:
        yield Finding("method", cells, "equations in continuous time; how a step is made is method= of the dialect")
    if acting := those(*CELLS - {"Threshold", "I", "IF"}):
        yield Finding("input", acting, "a current that is held over the step or an impulse: input= of the dialect")
    if resetting := those(*SPIKING - {"Threshold"}):
        yield Finding(
            "reset", resetting, "to v_reset, or by subtraction, as several simulators do: reset= of the dialect"
        )
    lacking = tuple(n for n, node in graph.nodes.items() if "v_reset" in node.lacking)
    if lacking:
        yield Finding("v_reset", lacking, "not in the file; 0 is taken, as the nir package does")
    unweighted = tuple(n for n, node in graph.nodes.items() if "w_in" in node.lacking)
    if unweighted:
        yield Finding("w_in", unweighted, "not in the file; 1 is taken, as the nir package does")
    if two := those(*TWO_STATES):
        yield Finding("current", two, "the membrane reads the new or the old synaptic current: current= of the dialect")
    if cells:
        yield Finding("initial state", cells, "not in the file; 0 is taken")
    padded = tuple(n for n in those("AvgPool2d") if np.any(np.array(graph.nodes[n].fields["padding"]) != 0))
    if padded:
        yield Finding("padding", padded, "zeros beside the edge count in the mean, as by default in torch")
    if flat := those("Flatten"):
        yield Finding("axes", flat, "start_dim and end_dim are taken without a batch axis, as the nir package does")


def _cycles(graph: Graph, after: dict[str, Any], loc: Loc) -> Iterator[Finding]:
    routes, _, _ = routes_of(graph, after, loc)
    links = []
    for route in routes:
        node = graph.nodes.get(route.via or "")
        delayed = node is not None and node.kind == "Delay" and bool(np.min(node.fields["delay"]) > 0)
        links.append(Link(route.pre, route.post, int(delayed), route.edges))
    for k in sorted(in_cycles(links)):
        if links[k].pre == links[k].post:
            yield Finding("cycle", (str(links[k]),), "has no delay; one step is inserted")
        else:
            text = "lies in a cycle without delay; where the one step sits is cycle= of the dialect"
            yield Finding("cycle", (str(links[k]),), text)


def _steps(graph: Graph, dt: float) -> Iterator[Finding]:
    """Yield what a step length makes of times."""
    for name, node in graph.nodes.items():
        for field in sorted(TIMES & set(node.fields)):
            times = np.unique(node.fields[field] * 1000.0)
            if field == "delay":
                if any(whole_steps(float(time), dt) is None for time in times):
                    yield Finding("delay", (name,), f"no multiple of dt = {dt!r} ms; give another dt, or round=True")
            elif times[0] <= dt:
                yield Finding(
                    "time constant",
                    (name,),
                    f"{field} = {float(times[0])!r} ms is not above dt = {dt!r} ms; Euler's method overshoots",
                )
