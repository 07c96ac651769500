"""Decide what the backward half loads and what it computes again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphc.ir import (
    LEAVES,
    Count,
    Graph,
    Input,
    Map,
    Node,
    Output,
    Program,
    Region,
    Reset,
    Spike,
    Spread,
    Test,
    Value,
)

_SYNAPSES = 64  # of a neuron: a guess that only has to be larger than the numbers a neuron has
_AGAIN: tuple[type[Node], ...] = (Map, Spike, Test, Reset, Spread, Count)


@dataclass(frozen=True, slots=True)
class Materialize:
    """Save the cheapest set of values from which every value that a reverse loop reads can be computed again.

    before:  steps    sequence "saved v", "saved c", "saved z"      after:  steps    sequence "saved c"
             reverse  reads all three                                       reverse  reads "saved c"; %z = spike c

    The set is a minimum cut of the step graph between what is there anyway and what is read. A value costs the bytes it
    moves: written and read when it must be saved, read only when it is a sequence that exists. Products are never
    computed again, and neither is what a carry or a history brings in. Of equal cuts the latest is taken, so a spiking
    neuron saves its condition: the spike recomputed from it by comparison is that of the forward pass, bit for bit.

    Nothing is a candidate that would have to run the loop again: that is decided for a whole call, by its size (see
    runtime/checkpoint.py). To save a value of S bytes and to load it moves 2 S; to run the loop again from a checkpoint
    moves its inputs once more, and what a short chunk saves stays in cache. The cut is the same with and without.
    """

    name: str = "materialize"

    def run(self, program: Program) -> Program:
        """Return `program` with smaller saved sets and recomputation in its reverse loops."""
        regions = list(program.regions)
        lines: list[str] = []
        for index, region in enumerate(regions):
            if region.kind == "steps" and not region.backward:
                regions, saved = _materialize(regions, index)
                lines += [f"saves {s}" for s in saved]
        noted = any(about == "saved for backward" for about, _ in program.notes)
        program = program.with_regions(regions)
        return program if noted or not lines else program.note("saved for backward", *lines)


def _materialize(regions: list[Region], index: int) -> tuple[list[Region], list[str]]:
    graph = regions[index].graph
    defined = {n.result for n in graph.nodes} | {c.current for c in graph.carries}
    readers = [r for r in regions if r.backward]
    loops = [r for r in readers if r.kind == "reverse"]
    needed = list(dict.fromkeys(i.value for r in loops for i in r.graph.inputs if i.value in defined))
    if not needed:
        return regions, []
    products = [r for r in readers if r.kind == "all_steps"]
    pinned = dict.fromkeys(i.value for r in products for i in r.graph.inputs if i.value in defined)
    names = {o.value: o.name for o in graph.outputs if o.kind == "sequence" and not o.name.startswith("saved ")}
    names |= {v: f"saved {v.name}" for v in pinned if v not in names}
    cut = _cheapest(graph, needed, set(names))
    for value in cut:
        if all(i.value is not value for i in graph.inputs):
            names.setdefault(value, f"saved {value.name}")
    sources = {i.value: i.source for i in graph.inputs} | names
    rebuilt = []
    for r in regions:
        reverse = _recompute(r.graph, graph, cut, sources) if r.kind == "reverse" and r.backward else r.graph
        rebuilt.append(r if reverse is r.graph else replace(r, graph=reverse))
    read = {i.source for r in rebuilt for i in r.graph.inputs}
    kept = [o for o in graph.outputs if not o.name.startswith("saved ") or o.name in read]
    have = {o.name for o in kept}
    kept += [Output(n, v, "sequence") for v, n in names.items() if n in read and n not in have]
    if tuple(kept) != graph.outputs:
        rebuilt[index] = replace(regions[index], graph=replace(graph, outputs=tuple(kept)))
    saved = [f"{o.value.name}: {o.value.type.dtype} per neuron and step" for o in kept if o.name.startswith("saved ")]
    return rebuilt, saved


def _bytes(value: Value) -> int:
    """Return the bytes of an element; a number per synapse stands for many per neuron, however many they are."""
    return (1 if value.type.dtype == "bool" else 4) * (_SYNAPSES if len(value.type.axes) == 2 else 1)


def _cheapest(graph: Graph, needed: list[Value], stored: set[Value]) -> list[Value]:
    """Return the minimum cut, in the order of the graph: the values that the reverse loop loads."""
    import networkx

    flow = networkx.DiGraph()
    definition = graph.definition()
    inputs = {i.value: i for i in graph.inputs}
    order = {v: k for k, v in enumerate(graph.values)}
    scale = len(order) + 1
    seen: set[Value] = set()
    todo = list(needed)
    while todo:
        value = todo.pop()
        if value in seen or _free(value, definition, inputs):
            continue
        seen.add(value)
        moved = _bytes(value) * (1 if value in stored or value in inputs else 2)
        flow.add_edge((value, 0), (value, 1), capacity=moved * scale * scale - order[value])
        node = definition.get(value)
        if isinstance(node, _AGAIN):
            for operand in node.operands:
                if not _free(operand, definition, inputs):
                    flow.add_edge((operand, 1), (value, 0))
                    todo.append(operand)
        else:
            flow.add_edge("source", (value, 0))
    for value in needed:
        if value in seen:
            flow.add_edge((value, 1), "sink")
    if "source" not in flow or "sink" not in flow:
        return []
    _, (near, _) = networkx.minimum_cut(flow, "source", "sink")
    return [v for v in order if v in seen and (v, 0) in near and (v, 1) not in near]


def _free(value: Value, definition: dict[Value, Node], inputs: dict[Value, Input]) -> bool:
    """Whether `value` costs nothing: a coefficient, a number, the time, or an expression of these alone."""
    if value in inputs:
        return inputs[value].kind == "fixed"
    node = definition.get(value)
    if isinstance(node, LEAVES):
        return True
    return isinstance(node, (Map, Spread)) and all(_free(v, definition, inputs) for v in node.operands)


def _recompute(reverse: Graph, forward: Graph, cut: list[Value], sources: dict[Value, str]) -> Graph:
    """Return `reverse` reading the cut, with the nodes between it and what was read before in front."""
    definition = forward.definition()
    inputs = {i.value: i for i in forward.inputs}
    read = {i.value: i for i in reverse.inputs}
    mine = {v for v in read if v in definition or any(c.current is v for c in forward.carries)}
    if all(v in cut and sources[v] == read[v].source for v in mine):
        return reverse
    present = set(read) - mine
    own = {n.result: n for n in reverse.nodes}
    nodes: list[Node] = []
    added: dict[Value, Input] = {}

    def bring(value: Value) -> None:
        if value in present:
            return
        present.add(value)
        if value in inputs and inputs[value].kind == "fixed":
            added[value] = inputs[value]
        elif value in cut:
            added[value] = Input(sources[value], value, "sequence")
        else:
            node = own.pop(value, None) or definition[value]  # a constant that both halves have moves to the front
            for operand in node.operands:
                bring(operand)
            nodes.append(node)

    for value in [v for v in read if v in mine]:
        bring(value)
    kept = tuple(i for v, i in read.items() if v not in mine)
    return replace(reverse, inputs=kept + tuple(added.values()), nodes=(*nodes, *own.values()))
