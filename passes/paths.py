"""Where gradients of a learning rule go, and what says so in a graph."""

from __future__ import annotations

from dataclasses import replace

from graphc.ir import DelayedSynapses, Graph, Node, Project, Region, StopGradient, Synapses, Value, Via

from .build import dependents

CROSSING = (Project, Synapses, DelayedSynapses)
"""Nodes that mix neurons."""


def without_filters(graph: Graph) -> Graph:
    """Return `graph` without the states that stand for a readout's filter: no value depends on them."""
    carries = tuple(c for c in graph.carries if not c.virtual)
    if len(carries) == len(graph.carries):
        return graph
    dead = {c.current for c in graph.carries if c.virtual}
    dead |= {v for n in graph.nodes if isinstance(n, Via) for v in n.operands[1:]}
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Via):
            nodes.append(replace(node, operands=node.operands[:1]))
        elif node.result in dead or any(v in dead for v in node.operands):
            dead.add(node.result)
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes), carries=carries)


def unstopped(region: Region) -> Region:
    """Return `region` with every StopGradient and Via replaced by its first operand, and without feedback."""
    new: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in region.graph.nodes:
        node = node.substitute(new)
        if isinstance(node, (StopGradient, Via)):
            new[node.result] = node.operands[0]
        elif isinstance(node, Project) and len(node.operands) > 2:
            nodes.append(replace(node, operands=node.operands[:2]))
        else:
            nodes.append(node)
    if not new and all(a is b for a, b in zip(nodes, region.graph.nodes, strict=True)):
        return region
    return replace(region, graph=region.graph.with_nodes(nodes).substitute_results(new))


def sources_of(node: Node) -> list[Value]:
    """Return the operands of a node that belong to other neurons than its result."""
    match node:
        case Synapses():
            return node.role("pre")
        case DelayedSynapses():
            return list(node.reads)
    return [node.operands[0]]


def driving(graph: Graph, relevant: set[Value]) -> set[Value]:
    """Return the sources whose sequences traces accumulate."""
    found = set()
    for node in graph.nodes:
        if isinstance(node, Project) and node.operands[1] in relevant:
            value = node.operands[0]
            while isinstance(stop := graph.definition().get(value), StopGradient):
                value = stop.operands[0]
            found.add(value)
    return found


def crossed(graph: Graph, relevant: set[Value]) -> set[Value]:
    """Return the values from which a gradient goes back to another neuron within the same step."""
    found: set[Value] = set()
    for node in graph.nodes:
        sources = sources_of(node) if isinstance(node, CROSSING) else node.operands
        here = any(v in relevant for v in sources) if isinstance(node, CROSSING) else False
        if here or any(v in found for v in node.operands):
            found.add(node.result)
    return found


def active_names(once: Graph, wrt: frozenset[str]) -> set[str]:
    """Return `wrt` and the coefficients of the prologue that depend on it."""
    found = dependents(once, [i.value for i in once.inputs if i.source in wrt], (StopGradient,))
    return {v.name for v in found} | wrt
