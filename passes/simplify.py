"""Merge equal nodes and drop what nothing reads, within regions and across them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphc.ir import Const, Graph, Map, Node, Noise, Program, Read, Region, Spread, Time, Value


@dataclass(frozen=True, slots=True)
class Simplify:
    """Common subexpressions and dead code; carries and histories that no result needs go too.

    before:  %a = map x + 1        after:  %a = map x + 1
             %b = map x + 1                %c = map a*a
             %c = map a*b                  output %c
             %d = map c + 1
             output %c
    """

    name: str = "simplify"

    def run(self, program: Program) -> Program:
        """Return the smaller program."""
        regions: list[Region] = []
        wanted: set[str] = set()
        for region in reversed(program.regions):
            graph = _drop_outputs(region.graph, wanted) if not region.backward else region.graph
            graph = remove_dead(merge_equal(graph))
            wanted |= {i.source for i in graph.inputs}
            regions.append(region if graph is region.graph else replace(region, graph=graph))
        return program.with_regions(reversed(regions))


def _drop_outputs(graph: Graph, wanted: set[str]) -> Graph:
    """Drop what was saved, or computed ahead, for a reader that is gone."""
    kept = tuple(o for o in graph.outputs if o.name in wanted or not _internal(o.name, o.kind))
    return graph if len(kept) == len(graph.outputs) else replace(graph, outputs=kept)


def _internal(name: str, kind: str) -> bool:
    return kind == "fixed" or name.startswith("saved ")


def merge_equal(graph: Graph) -> Graph:
    """Return `graph` with nodes that compute the same from the same operands made one."""
    seen: dict[object, Value] = {}
    new: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = node.substitute(new)
        key = _key(node)
        if key is not None and key in seen:
            new[node.result] = seen[key]
            continue
        if key is not None:
            seen[key] = node.result
        nodes.append(node)
    return graph.with_nodes(nodes).substitute_results(new) if new else graph


def _key(node: Node) -> object | None:
    match node:
        case Map(expr=expr):
            return (expr, node.result.type)
        case Const(value=value):
            return ("const", value)
        case Time():
            return "time"
        case Noise(stream=stream, result=result):
            return ("noise", stream, result.type)
        case Read(history=history, delay=delay):
            return ("read", history, delay)
        case Spread(operands=operands, result=result, side=side):
            return ("spread", operands, result.type, side)
        case _:
            return None


def remove_dead(graph: Graph) -> Graph:
    """Return `graph` without nodes, inputs, carries and histories that no output or final state needs."""
    live = {o.value for o in graph.outputs}
    live |= {c.next for c in graph.carries if c.final} | {h.value for h in graph.histories if h.final}
    definition = graph.definition()
    next_of = {c.current: c.next for c in graph.carries}
    todo = list(live)
    while todo:
        value = todo.pop()
        node = definition.get(value)
        reads = list(node.operands) if node is not None else []
        if isinstance(node, Read):
            reads.append(graph.history(node.history).value)
        if value in next_of:
            reads.append(next_of[value])
        for read in reads:
            if read not in live:
                live.add(read)
                todo.append(read)
    used = {n.history for n in graph.nodes if isinstance(n, Read) and n.result in live}
    nodes = tuple(n for n in graph.nodes if n.result in live)
    carries = tuple(c for c in graph.carries if c.final or c.current in live)
    histories = tuple(h for h in graph.histories if h.final or h.name in used)
    inputs = tuple(i for i in graph.inputs if i.value in live)
    if (len(nodes), len(carries), len(histories), len(inputs)) == (
        len(graph.nodes),
        len(graph.carries),
        len(graph.histories),
        len(graph.inputs),
    ):
        return graph
    return replace(graph, nodes=nodes, carries=carries, histories=histories, inputs=inputs)
