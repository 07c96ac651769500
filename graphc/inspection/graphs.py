"""The regions of a program as nodes and edges, to be drawn."""

from __future__ import annotations

from collections.abc import Iterator

from graphc.explain import right_hand_side
from graphc.ir import Graph, Program, Read

from .report import GraphInfo, GraphNode, scoped


def graphs_of(program: Program) -> tuple[GraphInfo, ...]:
    """Return every region of `program` that computes something."""
    return tuple(_graph(r.graph, r.kind, r.backward) for r in program.regions if r.graph.nodes)


def _graph(graph: Graph, kind: str, backward: bool) -> GraphInfo:
    edges = [(operand.name, node.result.name) for node in graph.nodes for operand in dict.fromkeys(node.operands)]
    used = {name for edge in edges for name in edge} | {n.result.name for n in graph.nodes}
    nodes = tuple(n for n in _nodes(graph, backward) if n.name in used)
    return GraphInfo(graph.name, kind, backward, nodes, tuple(edges))


def _nodes(graph: Graph, backward: bool) -> Iterator[GraphNode]:
    becomes: dict[str, list[str]] = {}
    for carry in graph.carries:
        becomes.setdefault(carry.next.name, []).append(carry.name)
    for history in graph.histories:
        becomes.setdefault(history.value.name, []).append(history.name.removesuffix("@history") + " (history)")
    for output in graph.outputs:
        becomes.setdefault(output.value.name, []).append(output.name)
    for given in graph.inputs:
        text = f"{given.value.name}: {given.value.type} = {given.kind} {given.source}"
        yield GraphNode(scoped(given.value.name, backward), given.value.name, given.kind, text, _loc(given.value.loc))
    for carry in graph.carries:
        name = carry.current.name
        text = f"{name}: {carry.current.type} = {carry.name} as the step before left it"
        next_ = tuple(becomes.get(name, ()))
        yield GraphNode(scoped(name, backward), name, "state", text, _loc(carry.current.loc), next_)
    for node in graph.nodes:
        name, op = node.result.name, type(node).__name__
        shown = f"{op} {node.delay} ago" if isinstance(node, Read) else op
        text = f"{name}: {node.result.type} = {right_hand_side(node)}"
        next_ = tuple(becomes.get(name, ()))
        yield GraphNode(scoped(name, backward), name, shown.lower(), text, _loc(node.result.loc), next_)


def _loc(loc: object) -> str | None:
    return None if loc is None else str(loc)
