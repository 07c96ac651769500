"""Routes: which ends of a NIR graph become populations, and what lies on the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .graph import CELLS, SYNAPSES, Graph
from .shapes import Shape

Edge = tuple[str, str]
WINDOWS = frozenset({"Conv1d", "Conv2d", "SumPool2d", "AvgPool2d"})
MOST = 100_000  # paths into one node through nodes that only pass on


@dataclass(frozen=True)
class Route:
    """One connection to be made.

    Attributes:
        pre: an Input, a neuron, or a unit that sends what it receives.
        post: a neuron, or such a unit.
        via: the node that the connection stands for; `post` itself where that is such a unit, None for bare edges.
        edges: of the NIR graph, on the way.
    """

    pre: str
    post: str
    via: str | None
    edges: tuple[Edge, ...]


def routes_of(graph: Graph, after_node: dict[str, Shape], loc: Loc) -> tuple[list[Route], set[str], dict[str, str]]:
    """Return the routes, the nodes that become units which send what they receive, and the source of every Output.

    Raises:
        DeclarationError: a cycle has no neuron.
    """
    kinds = {name: node.kind for name, node in graph.nodes.items()}
    before: dict[str, list[str]] = {name: [] for name in kinds}
    after: dict[str, list[str]] = {name: [] for name in kinds}
    for a, b in graph.edges:
        before[b].append(a)
        after[a].append(b)
    passing = {n for n, kind in kinds.items() if kind in ("Flatten", "Pass")}
    _check_passing(graph, passing, before, loc)
    sums = set()
    for name, kind in kinds.items():
        ends = _ends(name, after, passing) if kind in SYNAPSES or kind == "Flatten" else []
        if kind == "Flatten" and any(kinds[end] in WINDOWS for end in ends):
            sums.add(name)  # what follows looks at the axes
        elif kind in SYNAPSES and not _folds(name, ends, kinds, after_node):
            sums.add(name)
    passing -= sums
    routes: list[Route] = []
    outputs: dict[str, str] = {}
    for name, kind in kinds.items():
        if kind in CELLS or name in sums:
            for pre, edges in _sources(name, before, passing):
                if kinds[pre] in SYNAPSES and pre not in sums:
                    routes += [Route(p, name, pre, (*e, *edges)) for p, e in _sources(pre, before, passing)]
                else:
                    routes.append(Route(pre, name, name if name in sums else None, edges))
    for name, kind in kinds.items():
        if kind != "Output":
            continue
        found = _sources(name, before, passing)
        if len(found) == 1 and kinds[found[0][0]] != "Input" and found[0][0] not in outputs.values():
            outputs[name] = found[0][0]
        else:
            sums.add(name)
            outputs[name] = name
            routes += [Route(pre, name, None, edges) for pre, edges in found]
    return routes, sums, outputs


def _sources(name: str, before: dict[str, list[str]], passing: set[str]) -> list[tuple[str, tuple[Edge, ...]]]:
    """Return what reaches a node, through nodes that only pass on, and the edges on the way."""
    found: list[tuple[str, tuple[Edge, ...]]] = []
    waiting: list[tuple[str, tuple[Edge, ...]]] = [(a, ((a, name),)) for a in reversed(before[name])]
    while waiting:
        node, edges = waiting.pop()
        if node in passing:
            waiting += [(a, ((a, node), *edges)) for a in reversed(before[node])]
        else:
            found.append((node, edges))
        if len(found) + len(waiting) > MOST:
            raise DeclarationError(f"more than {MOST} paths lead to or from node '{name}'", Loc.caller())
    return found


def _ends(name: str, after: dict[str, list[str]], passing: set[str]) -> list[str]:
    """Return what a node reaches through nodes that only pass on."""
    return [end for end, _ in _sources(name, after, passing)]


def _folds(name: str, ends: list[str], kinds: dict[str, str], after: dict[str, Shape]) -> bool:
    """Return whether a node can be the connection to the one neuron that it leads to."""
    if len(ends) != 1 or kinds[ends[0]] not in CELLS:
        return False
    return kinds[name] not in WINDOWS or after[name] == after[ends[0]]


def _check_passing(graph: Graph, passing: set[str], before: dict[str, list[str]], loc: Loc) -> None:
    """Refuse a cycle of nodes that only pass on."""
    import networkx

    within = networkx.DiGraph((a, b) for a, b in graph.edges if a in passing and b in passing)
    if not networkx.is_directed_acyclic_graph(within):
        (first, _), *_ = networkx.find_cycle(within)
        raise DeclarationError(f"{graph.nodes[first]} is part of a cycle without any neuron", loc)
