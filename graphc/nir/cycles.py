"""Where the delay of one step of a cycle sits: NIR is written in continuous time and has none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import networkx

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .dialect import Dialect


@dataclass(frozen=True)
class Link:
    """What one connection will be: its ends, its shortest delay so far, and the edges of the NIR graph on its way."""

    pre: str
    post: str
    steps: int
    edges: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """Return the nodes on its way."""
        return " -> ".join([self.edges[0][0], *(b for _, b in self.edges)])


def delayed(links: Sequence[Link], inputs: Iterable[str], dialect: Dialect, loc: Loc) -> set[int]:
    """Return the numbers of the links that get one more step.

    Raises:
        DeclarationError: a cycle is left without any delay.
    """
    rank = _ranks(links, inputs)
    inside = in_cycles(links)
    if dialect.cycle == "all":
        return inside
    if dialect.cycle == "back":
        return {k for k in inside if rank[links[k].pre] >= rank[links[k].post]}
    wanted = set(dialect.cycle)
    for edge in sorted(wanted):
        if all(edge not in link.edges for link in links):
            raise DeclarationError(f"cycle of the dialect names {edge}, which is no edge between nodes", loc)
    chosen = {k for k, link in enumerate(links) if wanted & set(link.edges)}
    if left := in_cycles([link if k not in chosen else _later(link) for k, link in enumerate(links)]):
        message = f"a cycle of the NIR graph has no delay: {links[min(left)]}"
        raise DeclarationError(message, loc, "name one of its edges in cycle= of the dialect, too")
    return chosen


def in_cycles(links: Sequence[Link]) -> set[int]:
    """Return the numbers of the links that lie in a cycle of links without delay."""
    graph = networkx.DiGraph((link.pre, link.post) for link in links if link.steps == 0)
    part = {n: k for k, nodes in enumerate(networkx.strongly_connected_components(graph)) for n in nodes}
    return {k for k, link in enumerate(links) if link.steps == 0 and part[link.pre] == part[link.post]}


def _later(link: Link) -> Link:
    return Link(link.pre, link.post, link.steps + 1, link.edges)


def _ranks(links: Sequence[Link], inputs: Iterable[str]) -> dict[str, tuple[float, str]]:
    """Return the distance of every end from the inputs, and its name; the order of edges in a file says nothing."""
    graph = networkx.DiGraph((link.pre, link.post) for link in links)
    graph.add_nodes_from(inputs)
    distance = networkx.multi_source_dijkstra_path_length(graph, set(inputs))
    return {name: (distance.get(name, float("inf")), name) for name in graph}
