"""How many steps of a loop can go together: its products for all of them at once, the rest step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from graphc.ir import (
    DelayedSynapses,
    Graph,
    Map,
    Names,
    Node,
    Phase,
    Program,
    Read,
    Reduce,
    Region,
    Stage,
    Synapses,
    Value,
    symbol,
)

from .fuse import loops_of
from .partition import PRODUCTS
from .phases import phases_of

MOST = 32
"""Steps that go together at most: what a block of them hands on takes memory."""


@dataclass(frozen=True, slots=True)
class TileTime:
    """Set the steps D that each loop can take together, from the least delay of the cycles that its products lie on.

    before:  steps  %z3 = read z[-3]             after:  steps, 3 at once  (the same)
                    %d = project %z3, W
                    %z = spike ... %d

    A block of D steps is done in stages: a read of D steps ago or more is there before the block begins, so a product
    on a cycle with such a read alone is computed for all steps of a block before, between or after loops over them.
    """

    name: str = "tile-time"

    def run(self, program: Program) -> Program:
        """Return `program` with the tiles of its loops, and notes that name the histories that set them."""
        if any(about == self.name for about, _ in program.notes):
            return program
        lines: list[str] = []
        regions: list[Region] = []
        for region in program.regions:
            if region.kind in ("steps", "reverse") and any(isinstance(n, PRODUCTS) for n in region.graph.nodes):
                lists = any(isinstance(n, (Synapses, DelayedSynapses)) for n in region.graph.nodes)
                tile = 1 if lists else largest_tile(region.graph)
                listed = f"{region.graph.name}: 1 step at a time, for its lists of synapses are read step by step"
                lines.append(listed if lists else _describe(region.graph, tile))
                region = replace(region, tile=tile) if tile != region.tile else region
            regions.append(region)
        return program.with_regions(regions).note(self.name, *lines) if lines else program


def largest_tile(graph: Graph) -> int:
    """Return the most steps that `graph` can take together."""
    delays = {min(n.delay, MOST) for n in graph.nodes if isinstance(n, Read)}
    return next((d for d in sorted(delays, reverse=True) if d > 1 and levels(graph, d) is not None), 1)


def levels(graph: Graph, tile: int) -> dict[Value, int] | None:
    """Return the stage of every value in a block of `tile` steps: even for products, odd for the loops over its steps.

    None where a product lies on a cycle with a state, or with reads that are all of fewer steps ago.
    """
    import networkx

    condensed = networkx.condensation(_dependences(graph, tile))
    definition = graph.definition()
    if any(not (c.current.type.batched or c.current.type.axes) for c in graph.carries):
        return None  # numbers are computed anew in every stage, from what is known there
    given = {i.value for i in graph.inputs}
    level: dict[Value, int] = {}
    together: set[Value] = set()
    for component in networkx.topological_sort(condensed):
        members: set[Value] = condensed.nodes[component]["members"]
        nodes = [definition[v] for v in members if v in definition]
        before = max((level[p] for n in nodes for p in n.operands if p not in members), default=0)
        if len(members) > 1:
            if any(isinstance(n, PRODUCTS) for n in nodes):
                return None
            stage = _loop(max([before, *(_loop(level[v]) for v in _read_late(graph, nodes, tile) - members)]))
            together |= members
        elif not nodes or (_is_shared(nodes[0]) and not isinstance(nodes[0], Read)):
            stage = int(any(c.current in members for c in graph.carries))
        elif isinstance(nodes[0], PRODUCTS):
            before = max(before, int(nodes[0].operands[0] in given))
            stage = before + before % 2
        elif isinstance(nodes[0], Read):
            stage = max((_loop(level[v]) for v in _read_late(graph, nodes, tile)), default=0)
        else:
            stage = _loop(before)
        level.update(dict.fromkeys(members, stage))
    return _as_late_as_possible(graph, level, together)


def _loop(stage: int) -> int:
    """Return the first loop from `stage` on."""
    return stage + 1 - stage % 2


def _is_number(value: Value) -> bool:
    return not (value.type.batched or value.type.axes)


def _read_late(graph: Graph, nodes: Iterable[Node], tile: int) -> set[Value]:
    """Return the values that reads among `nodes` find only within the block that makes them."""
    return {graph.history(n.history).value for n in nodes if isinstance(n, Read) and n.delay < tile}


def _dependences(graph: Graph, tile: int):  # type: ignore[no-untyped-def]
    """Return the dependences within a block; a state and its next value are one."""
    dependences = graph.to_networkx(across_steps=False)
    for node in graph.nodes:
        if isinstance(node, Read) and node.delay < tile:
            dependences.add_edge(graph.history(node.history).value, node.result)
    for carry in graph.carries:
        dependences.add_edge(carry.next, carry.current)
        dependences.add_edge(carry.current, carry.next)
    return dependences


def _as_late_as_possible(graph: Graph, level: dict[Value, int], together: set[Value]) -> dict[Value, int]:
    """Move elementwise nodes to the first stage that reads them, so that no block of their values is kept."""
    users = graph.users()
    fixed = together | set(graph.results)
    for node in reversed(graph.nodes):
        v = node.result
        if level[v] % 2 and v not in fixed and not isinstance(node, Read) and (reading := users[v]):
            level[v] = min(level[u.result] - isinstance(u, PRODUCTS) for u in reading)
    return level


def stages_of(graph: Graph, tile: int) -> tuple[Graph, tuple[Stage, ...]]:
    """Return the stages of a block of `tile` steps, and `graph` with copies of states that later stages read.

    Every stage has the inputs of `graph`; what it reads beside them is made by an earlier one for the whole block.
    """
    level = levels(graph, tile)
    assert level is not None, "the tile is no more than what largest_tile returns"
    graph, level = _keep(graph, level)
    definition = graph.definition()
    homes = [_loop(level[v]) for v in graph.results]
    numbers = sorted({level[n.result] for n in graph.nodes if not _is_shared(n)} | set(homes))
    stages = []
    for number in numbers:
        own = [n for n in graph.nodes if level[n.result] == number and not _is_shared(n)]
        histories = tuple(h for h in graph.histories if _loop(level[h.value]) == number)
        carries = tuple(c for c in graph.carries if level[c.next] == number)
        outputs = tuple(o for o in graph.outputs if _loop(level[o.value]) == number)
        here = replace(graph, nodes=tuple(own), outputs=outputs, carries=carries, histories=histories)
        wanted = [v for n in own for v in n.operands] + list(here.results)
        shared = _shared(wanted, definition)
        nodes = tuple(n for n in graph.nodes if n in shared or (level[n.result] == number and not _is_shared(n)))
        here = replace(here, nodes=nodes)
        stages.append(Stage(here, loops_of(here)))
    return graph, tuple(stages)


def _is_shared(node: Node) -> bool:
    """Whether every stage finds the value for itself: reads and numbers."""
    return isinstance(node, Read) or (_is_number(node.result) and not isinstance(node, Reduce))


def _shared(wanted: Iterable[Value], definition: dict[Value, Node]) -> set[Node]:
    found: set[Node] = set()
    waiting = list(wanted)
    while waiting:
        node = definition.get(waiting.pop())
        if node is not None and node not in found and _is_shared(node):
            found.add(node)
            waiting += node.operands
    return found


def _keep(graph: Graph, level: dict[Value, int]) -> tuple[Graph, dict[Value, int]]:
    """Copy what later stages read of states, and products of inputs, into values of the stage before."""
    names = Names(v.name for v in graph.values)
    given = {i.value for i in graph.inputs}
    states = {c.current for c in graph.carries}
    kept: dict[tuple[Value, int], Map] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        for v in dict.fromkeys(node.operands[:1] if isinstance(node, PRODUCTS) else node.operands):
            stage = level[v] if v in states else level[node.result] - 1
            copied = (v in states and stage != level[node.result]) or (v in given and isinstance(node, PRODUCTS))
            if copied:
                if (v, stage) not in kept:
                    copy = names.value(f"{v.name}_kept", v.type, v)
                    kept[v, stage] = Map(result=copy, operands=(v,), expr=symbol(v))
                    level[copy] = stage
                    nodes.append(kept[v, stage])
                node = node.substitute({v: kept[v, stage].result})
        nodes.append(node)
    return graph.with_nodes(nodes), level


def _describe(graph: Graph, tile: int) -> str:
    """Return in words what sets the tile."""
    if tile == 1:
        return f"{graph.name}: step by step, {_obstacle(graph)}"
    for delay in sorted({n.delay for n in graph.nodes if isinstance(n, Read) and n.delay >= tile}):
        reads = [n for nodes in _cycles(graph, delay + 1) for n in nodes if isinstance(n, Read)]
        closing = {n.history for n in reads if n.delay == delay}
        if closing:
            capped = f", of which {MOST} at most go together" if delay > MOST else ""
            names = ", ".join(sorted(closing)) + (" are" if len(closing) > 1 else " is")
            return f"{graph.name}: {tile} steps at once, {names} read {delay} back{capped}"
    return f"{graph.name}: {tile} steps at once"


def _cycles(graph: Graph, tile: int) -> list[list[Node]]:
    """Return the nodes of the cycles within a block of `tile` steps on which products lie."""
    import networkx

    components = networkx.strongly_connected_components(_dependences(graph, tile))
    cycles = [[n for n in graph.nodes if n.result in members] for members in components if len(members) > 1]
    return [nodes for nodes in cycles if any(isinstance(n, PRODUCTS) for n in nodes)]


def _obstacle(graph: Graph) -> str:
    """Return why not even two steps go together."""
    for nodes in _cycles(graph, 2):
        products = sorted(n.result.name for n in nodes if isinstance(n, PRODUCTS))
        reads = sorted(f"{n.history}, read {n.delay} back" for n in nodes if isinstance(n, Read))
        found = {n.result for n in nodes}
        states = sorted(f"the state {c.name}" for c in graph.carries if c.next in found)
        return f"{products[0]} waits for {' and '.join(reads or states)}"
    return "a number is a state of it" if any(_is_number(c.current) for c in graph.carries) else "no cycle has a delay"


def between_barriers(graph: Graph, tile: int) -> tuple[Graph, tuple[Phase, ...]] | None:
    """Return a loop and its phases whose neurons need to hear of each other once in `tile` steps only, else None.

    Either all products read what was told before the block, or all are made after its steps for the next block, and
    nothing but histories needs their results.
    """
    kept, _ = stages_of(graph, tile)
    phases = phases_of(kept)
    reads = {n.result: n.delay for n in kept.nodes if isinstance(n, Read)}
    if len(phases) == 1:
        told = all(reads.get(n.operands[0], 0) >= tile for n in phases[0].products)
        return (kept, phases) if told else None
    if len(phases) > 2 or phases[0].products:
        return None
    late = {n.result for n in (*phases[1].products, *phases[1].nodes)}
    wanted = {v for n in phases[0].nodes for v in n.operands} | {o.value for o in kept.outputs}
    wanted |= {c.next for c in kept.carries}
    apart = late.isdisjoint(wanted) and all(late.issuperset(n.operands) for n in phases[1].nodes)
    return (kept, phases) if apart else None
