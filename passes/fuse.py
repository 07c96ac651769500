"""Order the nodes of every loop so that elementwise work over one axis stands together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphc.ir import (
    DelayedSynapses,
    Graph,
    Node,
    Outer,
    Pool,
    Program,
    Project,
    ProjectTransposed,
    Read,
    Synapses,
    Value,
)

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fuse:
    """Reorder: a run of nodes over one axis becomes one loop over neurons, with nothing stored in between.

    before:  %a = map x  (hid)          after:  %a = map x  (hid)
             %b = map u  (out)                  %c = map a  (hid)
             %c = map a  (hid)                  %b = map u  (out)
    """

    name: str = "fuse"

    def run(self, program: Program) -> Program:
        """Return `program` with its loops reordered."""
        regions = [
            replace(r, graph=graph) if (graph := reordered(r.graph)) is not r.graph else r for r in program.regions
        ]
        return program.with_regions(regions)


def group_of(node: Node) -> Group:
    """Return what decides whether two nodes share a loop: their axes, or for a product the node itself."""
    if isinstance(node, (Project, ProjectTransposed, Outer, Pool, Synapses, DelayedSynapses)):
        return ("product", node.result.name)
    operand = node.operands[0].type if node.operands else node.result.type
    return node.result.type.axes or operand.axes


def loops_of(graph: Graph) -> tuple[tuple[Node, ...], ...]:
    """Return the nodes of an ordered graph as runs of one group."""
    runs: list[list[Node]] = []
    for node in graph.nodes:
        if runs and group_of(runs[-1][-1]) == group_of(node):
            runs[-1].append(node)
        else:
            runs.append([node])
    return tuple(tuple(run) for run in runs)


def reordered(graph: Graph) -> Graph:
    """Return `graph` with its nodes in the fewest runs that greedy scheduling finds; equal choices keep their order."""
    users: dict[Value, list[Node]] = {}
    defined = set(graph.arguments)
    missing: dict[Node, int] = {}
    for node in graph.nodes:
        operands = [v for v in dict.fromkeys(node.operands) if v not in defined]
        missing[node] = len(operands)
        for operand in operands:
            users.setdefault(operand, []).append(node)
    ready: dict[Node, None] = {n: None for n in graph.nodes if missing[n] == 0}
    order: list[Node] = []
    current: Group | None = None
    position = {n: k for k, n in enumerate(graph.nodes)}
    while ready:
        same = [n for n in ready if group_of(n) == current]
        products = [n for n in ready if group_of(n)[:1] == ("product",)]
        reads = [
            n
            for n in ready
            if isinstance(n, Read) and any(group_of(u)[:1] == ("product",) for u in users.get(n.result, ()))
        ]
        node = min(same or reads or products or list(ready), key=position.__getitem__)
        current = group_of(node)
        del ready[node]
        order.append(node)
        for user in users.get(node.result, ()):
            missing[user] -= 1
            if missing[user] == 0:
                ready[user] = None
    return graph.with_nodes(order)
