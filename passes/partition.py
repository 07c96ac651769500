"""Cut the time loop: what does not depend on its own past is computed for all steps at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from graphc.ir import (
    LEAVES,
    Carry,
    Const,
    DelayedSynapses,
    Graph,
    History,
    Input,
    Node,
    Noise,
    Outer,
    Output,
    Program,
    Project,
    ProjectTransposed,
    Read,
    Region,
    Synapses,
    Time,
    Value,
)

PRODUCTS = (Project, ProjectTransposed, Outer)


def is_product(node: Node | None) -> bool:
    """Whether `node` is computed for all steps at once where it does not depend on its own past.

    A sum over listed synapses is one only where it is the gradient of a weight: inside a loop it costs no more.
    """
    over_batch = isinstance(node, (Synapses, DelayedSynapses)) and node.over == "batch"
    return isinstance(node, PRODUCTS) or over_batch


@dataclass(frozen=True, slots=True)
class Partition:
    """Split each loop into stages: products of whole sequences (all_steps) and loops, alternating.

    before:  steps  %i = project x, W               after:  all_steps  %i = project x, W
                    %v = map k*v0 + i                       steps      %v = map k*v0 + i
                    %o = project v, U                       all_steps  %o = project v, U

    A strongly connected component of the step graph (an edge next -> current for each carry, value -> Read for each
    history) stays together in one loop; loops of one level share a region, which fuses populations that do not wait for
    each other. The stage of a product is even, that of everything else odd.
    """

    name: str = "partition"

    def run(self, program: Program) -> Program:
        """Return `program` with its loops cut into stages."""
        if any(r.kind == "all_steps" for r in program.regions) or sum(r.kind == "steps" for r in program.regions) != 1:
            return program
        forward = program.region("steps").graph
        regions: list[Region] = []
        for region in program.regions:
            if region.kind == "once":
                regions.append(region)
            else:
                regions += _Cut(region, forward).regions()
        return program.with_regions(_drop_unread_saves(regions))


def levels(graph: Graph, clone_reads: bool) -> dict[Value, int]:
    """Return the stage of every value."""
    import networkx

    dependences = graph.to_networkx()
    dependences.add_edges_from((c.current, c.next) for c in graph.carries)  # a carry lives in one region
    definition = graph.definition()
    level: dict[Value, int] = {}
    condensed = networkx.condensation(dependences)
    for component in networkx.topological_sort(condensed):
        members: set[Value] = condensed.nodes[component]["members"]
        before = max((level[p] for m in members for p in dependences.predecessors(m) if p not in members), default=0)
        (first,) = members if len(members) == 1 else (None,)
        node = definition.get(first) if first is not None else None
        if first is not None and node is None and not any(c.current is first for c in graph.carries):
            stage = 0
        elif is_product(node):
            stage = before + before % 2
        elif isinstance(node, (Const, Time)):
            stage = 0
        elif isinstance(node, Read) and clone_reads:
            stage = before
        else:
            stage = before + 1 - before % 2
        level.update(dict.fromkeys(members, stage))
    return level


@dataclass
class _Stage:
    """One region under construction."""

    nodes: list[Node] = field(default_factory=list)
    inputs: dict[Value, Input] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    carries: list[Carry] = field(default_factory=list)
    histories: dict[str, History] = field(default_factory=dict)
    present: set[Value] = field(default_factory=set)


class _Cut:
    """One loop being cut into stages."""

    def __init__(self, region: Region, forward: Graph) -> None:
        self.region, self.graph = region, region.graph
        self.forward = forward
        self.ascending = region.kind == "steps"
        self.level = levels(self.graph, clone_reads=self.ascending)
        self.definition = self.graph.definition()
        self.inputs = {i.value: i for i in self.graph.inputs}
        self.stages: dict[int, _Stage] = {}
        self.names = {o.value: o.name for o in reversed(self.graph.outputs) if o.kind == "sequence"}

    def stage(self, number: int) -> _Stage:
        """Return stage `number`, made on first use."""
        return self.stages.setdefault(number, _Stage())

    def regions(self) -> list[Region]:
        """Return the stages in order, those of products one product at a time."""
        for node in self.graph.nodes:
            if not isinstance(node, LEAVES) and not (isinstance(node, Read) and self.ascending):
                self._place(node)
        for carry in self.graph.carries:
            stage = self.level[carry.next]
            self.stage(stage).carries.append(carry)
            self._need(carry.next, stage)
        for history in self.graph.histories:
            stage = self.level[history.value]
            if history.final:
                self._history(history, stage + 1 - stage % 2, history.final)
        for output in self.graph.outputs:
            stage = self._home(output)
            self._need(output.value, stage)
            if all(o.name != output.name for o in self.stage(stage).outputs):
                self.stage(stage).outputs.append(output)
        return [self._region(number) for number in sorted(self.stages)]

    def _home(self, output: Output) -> int:
        """Return the stage that writes `output`: that of its value, but a stage of products writes products only."""
        level = self.level[output.value]
        node = self.definition.get(output.value)
        return level if is_product(node) and level % 2 == 0 else level + 1 - level % 2

    def _place(self, node: Node) -> None:
        stage = self.level[node.result]
        for operand in node.operands:
            self._need(operand, stage)
        if isinstance(node, Read):
            self._history(self.graph.history(node.history), stage, None)
        self.stage(stage).nodes.append(node)
        self.stage(stage).present.add(node.result)

    def _need(self, value: Value, number: int) -> None:
        """Make `value` readable in stage `number`: numbers and shifts are computed there, the rest read."""
        stage = self.stage(number)
        node = self.definition.get(value)
        carried = any(c.current is value for c in self.graph.carries)
        if value in stage.present or (carried and self.level[value] == number):
            return
        if isinstance(node, (Const, Time)) or (isinstance(node, Noise) and number % 2):
            stage.nodes.append(node)
        elif isinstance(node, Read) and self.ascending:
            self._history(self.graph.history(node.history), number, None)
            stage.nodes.append(node)
        elif value in self.inputs:
            if not self._shift(value, number):
                stage.inputs[value] = self.inputs[value]
        elif self.level[value] != number:
            if isinstance(node, Noise):  # a product reads what a loop draws
                self._need(value, self.level[value])
            self._cross(value, number)
        else:
            return
        stage.present.add(value)

    def _shift(self, value: Value, number: int) -> bool:
        """In a product of the backward half, read a shifted sequence instead of one saved already shifted."""
        item = self.inputs[value]
        if self.ascending or number % 2 or not item.source.startswith("saved "):
            return False
        node = next((n for n in self.forward.nodes if n.result is value), None)
        if not isinstance(node, Read):
            return False
        history = self.forward.history(node.history)
        source = next((i.source for i in self.forward.inputs if i.value is history.value), None)
        source = source or next(
            (o.name for o in self.forward.outputs if o.value is history.value), f"saved {history.value.name}"
        )
        stage = self.stage(number)
        stage.inputs[history.value] = Input(source, history.value, "sequence")
        stage.present.add(history.value)
        stage.histories[history.name] = replace(history, final=None)
        stage.nodes.append(node)
        return True

    def _cross(self, value: Value, number: int) -> None:
        """Hand `value` from its stage to stage `number` as a sequence."""
        name = self.names.setdefault(value, value.name)
        home = self.stage(self.level[value])
        if all(o.name != name for o in home.outputs):
            home.outputs.append(Output(name, value, "sequence"))
        self.stage(number).inputs[value] = Input(name, value, "sequence")

    def _history(self, history: History, number: int, final: str | None) -> None:
        """Keep `history` in stage `number`; only the stage after its value writes the final one."""
        stage = self.stage(number)
        known = stage.histories.get(history.name)
        stage.histories[history.name] = replace(history, final=final or (known.final if known else None))
        if self.level[history.value] != number or history.value in self.inputs:
            self._need(history.value, number)

    def _region(self, number: int) -> Region:
        stage = self.stages[number]
        half = "forward" if self.ascending else "backward"
        graph = Graph(
            f"{half}_{number}",
            tuple(stage.inputs.values()),
            tuple(self._ordered(stage)),
            tuple(stage.outputs),
            tuple(stage.carries),
            tuple(stage.histories.values()),
        )
        return Region("all_steps" if number % 2 == 0 else self.region.kind, graph, self.region.backward)

    def _ordered(self, stage: _Stage) -> Iterable[Node]:
        """Return the nodes with numbers and shifts first: they were added where they were first read."""
        leaves = [n for n in stage.nodes if not n.operands]
        return [*leaves, *(n for n in stage.nodes if n.operands)]


def _drop_unread_saves(regions: list[Region]) -> list[Region]:
    """Make the forward loops save exactly what the backward half reads."""
    reads: Mapping[str, Value] = {
        i.source: i.value for r in regions for i in r.graph.inputs if i.source.startswith("saved ")
    }
    result = []
    for region in regions:
        graph = region.graph
        if not region.backward:
            kept = tuple(o for o in graph.outputs if not o.name.startswith("saved ") or o.name in reads)
            names = {o.name for o in kept}
            defined = {n.result for n in graph.nodes}
            if region.kind == "steps":
                missing = [(s, v) for s, v in reads.items() if s not in names and v in defined]
                kept += tuple(Output(s, v, "sequence") for s, v in missing)
            graph = graph if kept == graph.outputs else replace(graph, outputs=kept)
        result.append(region if graph is region.graph else replace(region, graph=graph))
    return result
