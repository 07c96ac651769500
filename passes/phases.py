"""Cut a time loop where its neurons hear of each other: into phases of a step, and into parts of one axis each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from graphc.ir import (
    Carry,
    Graph,
    History,
    Input,
    Kernel,
    Names,
    Node,
    Output,
    Phase,
    Precision,
    Project,
    ProjectTransposed,
    Read,
    StepBuffer,
    Synapses,
    Type,
    Value,
)

from .fuse import loops_of

MIXING = (Project, ProjectTransposed, Synapses)
"""Products that a step makes: their results depend on other neurons."""


def sources_of(node: Node) -> tuple[Value, ...]:
    """Return what a product reads of neurons: all its operands but weights."""
    if isinstance(node, Synapses):
        return tuple(v for v, r in zip(node.operands, node.roles, strict=False) if r != "synapse")
    return node.operands[:1]


def phases_of(graph: Graph) -> tuple[Phase, ...]:
    """Return the phases of one step: a product waits for the phase that makes what it reads, all else for products.

    What an earlier step made (a Read, the current value of a carry) is there in the first phase. Elementwise nodes
    stand in the latest phase that still serves all of their users, so that few values wait from one to the next.
    """
    level = _levels(graph)
    count = 1 + max(level.values(), default=0)
    products: list[list[Node]] = [[] for _ in range(count)]
    nodes: list[list[Node]] = [[] for _ in range(count)]
    for node in graph.nodes:
        (products if isinstance(node, MIXING) else nodes)[level[node.result]].append(node)
    return tuple(Phase(tuple(p), tuple(n)) for p, n in zip(products, nodes, strict=True))


def _levels(graph: Graph) -> dict[Value, int]:
    made = {n.result for n in graph.nodes if not isinstance(n, Read)}
    level = dict.fromkeys(graph.arguments, 0)
    for node in graph.nodes:
        if isinstance(node, MIXING):
            level[node.result] = max((level[v] + (v in made) for v in sources_of(node)), default=0)
        else:
            level[node.result] = max((level[v] for v in node.operands), default=0)
    users = graph.users()
    for node in reversed(graph.nodes):
        if not isinstance(node, (*MIXING, Read)) and (reading := users[node.result]):
            level[node.result] = min(level[u.result] - isinstance(u, MIXING) for u in reading)
    return level


def axis_of(value: Value) -> str | None:
    """Return the population that `value` has an element for each neuron of, None where it has one for all."""
    return value.type.axes[0] if value.type.axes else None


def split_axes(graph: Graph) -> list[Graph]:
    """Return a graph without products as one per axis; what stands for all neurons is computed in each that reads it.

    Outputs, carries and histories of no axis, or of one without nodes, go with the first.
    """
    axes = list(dict.fromkeys(a for n in graph.nodes if (a := axis_of(n.result)) is not None))
    if len(axes) < 2:
        return [graph]
    graphs = []
    for number, axis in enumerate(axes):

        def mine(value: Value, axis: str = axis, first: bool = number == 0) -> bool:
            home = axis_of(value)
            return home == axis or (first and home not in axes)

        outputs = tuple(o for o in graph.outputs if mine(o.value))
        carries = tuple(c for c in graph.carries if mine(c.next))
        histories = tuple(h for h in graph.histories if mine(h.value))
        part = Graph(f"{graph.name}_{number + 1}", graph.inputs, graph.nodes, outputs, carries, histories)
        graphs.append(_live(part))
    return graphs


def _live(graph: Graph) -> Graph:
    """Return `graph` without the nodes and inputs that its results do not need."""
    live, kept = set(graph.results), []
    for node in reversed(graph.nodes):
        if node.result in live:
            live.update(node.operands)
            kept.append(node)
    inputs = tuple(i for i in graph.inputs if i.value in live)
    return replace(graph, nodes=tuple(reversed(kept)), inputs=inputs)


class Parts:
    """The launches of one step of `kernel`: a product of torch's, or a loop over the neurons of one axis.

    before:  %d = project %z1, W   (z1 = read z[-1])      after:  project: "step z1" @ W -> "step d"
             %v = map k*v0 + d                                    hid: reads "step d", "step v" and writes "step v",
             %z = spike v                                              z -> "step z1" for the next step

    A part hands on what another one reads, and what the next step starts from, in a StepBuffer. Histories of an axis
    are written by its last part, and so is a state, unless the part that computes it is the last to read what it was. A
    shift that an earlier part or a product reads is handed on a step before; one by a single step of what a product
    makes stays where it is until that product is made again.
    The histories of a part have no tensors: who runs it keeps their rows, and those of histories that no part has.
    """

    def __init__(self, kernel: Kernel, precision: Precision) -> None:
        """Take the kernel, and what its products round their factors to."""
        self.kernel, self.graph = kernel, kernel.graph
        self.level = _levels(self.graph)
        self.definition = self.graph.definition()
        self.carried = {c.current: c for c in self.graph.carries}
        self.inputs = {i.value: i for i in self.graph.inputs}
        self.narrow = precision in ("bfloat16", "float16")
        self.names = Names(v.name for v in self.graph.values)
        self.standing: list[History] = []
        self.buffers: dict[str, StepBuffer] = {}
        self.staged: dict[str, dict[str, Value]] = {}  # axis -> buffer -> what its last part leaves in it
        self.handed: dict[tuple[int, str], dict[str, Value]] = {}  # part -> buffer -> value
        axes = [axis_of(v) for v in self.graph.results] + [axis_of(n.result) for n in self.graph.nodes]
        self.axes = [a for a in dict.fromkeys(axes) if a is not None and self._has_work(a)]
        self.last = dict.fromkeys(self.axes, 0)
        for node in self.graph.nodes:
            if not isinstance(node, (*MIXING, Read)) and (axis := axis_of(node.result)):
                self.last[axis] = max(self.last[axis], self.level[node.result])
        self.users = self.graph.users()
        self.standing = [h for h in self.graph.histories if self._stays(h)]
        for value in self._results():  # a result of a late product
            if (axis := axis_of(value)) in self.last:
                self.last[axis] = max(self.last[axis], self.level.get(value, 0))
        for carry in self.graph.carries:
            self._buffer(self._state(carry), carry.current.type, carry.init, None, carry.final)
        for h in self.standing:
            self._buffer(f"step {h.value.name}", h.value.type, h.init, 0 if h.init else None, h.final)

    def _results(self) -> list[Value]:
        """Return what parts write of the results of the loop."""
        graph = self.graph
        written = [o.value for o in graph.outputs] + [c.next for c in graph.carries]
        return written + [h.value for h in graph.histories if h not in self.standing]

    def _stays(self, history: History) -> bool:
        """Return whether all that read what a product made a step ago do so before it is made again."""
        if history.depth > 1 or not isinstance(self.definition.get(history.value), MIXING):
            return False
        shifts = {n.result for n in self.graph.nodes if isinstance(n, Read) and n.history == history.name}
        readers = [u for v in shifts for u in self.users[v]]
        early = all(self.level[u.result] < self.level[history.value] for u in readers)
        return early and not any(isinstance(u, MIXING) for u in readers) and shifts.isdisjoint(self.graph.results)

    def _has_work(self, axis: str) -> bool:
        """Whether more is to be done for an axis than to keep the last rows of an input."""
        results = [v for v in self.graph.results if axis_of(v) == axis]
        nodes = [n for n in self.graph.nodes if axis_of(n.result) == axis and not isinstance(n, MIXING)]
        kept = {h.value for h in self.graph.histories}
        return bool(nodes) or any(v not in self.inputs or v not in kept for v in results)

    def split(self) -> Kernel:
        """Return the kernel with its parts and their buffers."""
        count = 1 + max(self.level.values(), default=0)
        products = [
            [self._product(n) for n in self.graph.nodes if isinstance(n, MIXING) and self.level[n.result] == phase]
            for phase in range(count)
        ]
        keys = [(p, a) for p in range(count) for a in self.axes if p == self.last[a] or self._nodes(p, a)]
        bodies = {key: self._body(*key) for key in keys}
        parts: list[Kernel] = []
        for phase in range(count):
            parts += products[phase]
            parts += [self._finish(key, bodies[key]) for key in keys if key[0] == phase]
        return replace(self.kernel, parts=tuple(parts), buffers=tuple(self.buffers.values()))

    # Buffers.

    def _buffer(
        self,
        name: str,
        type: Type,
        init: str | None = None,
        row: int | None = None,
        final: str | None = None,
        factor: bool = False,
    ) -> str:
        storage: Literal["int32", "narrow", "real"] = (
            "int32" if type.dtype == "int" else "narrow" if factor and self.narrow else "real"
        )
        self.buffers.setdefault(name, StepBuffer(name, type, storage, init, row, final))
        return name

    def _state(self, carry: Carry) -> str:
        return f"step {carry.name}"

    def _hand_on(self, value: Value, factor: bool = False) -> str:
        """Return the buffer in which `value` stands when a later part, or a product, reads it."""
        node = self.definition.get(value)
        kind = "factor" if factor else "step"
        if isinstance(node, Read):
            history = self.graph.history(node.history)
            if history in self.standing:
                return f"step {history.value.name}"
            row = history.depth - node.delay if history.init else None
            name = self._buffer(f"{kind} {value.name}", value.type, history.init, row, factor=factor)
            axis = axis_of(value)
            assert axis is not None
            self.staged.setdefault(axis, {})[name] = self._before(history, node)
            return name
        if value in self.carried:
            carry = self.carried[value]
            if not factor or not self.narrow:
                return self._state(carry)
            name = self._buffer(f"{kind} {value.name}", value.type, carry.init, factor=True)
            self.staged.setdefault(axis_of(value) or "", {})[name] = carry.next
            return name
        name = self._buffer(f"{kind} {value.name}", value.type, factor=factor)
        if not isinstance(node, MIXING):
            self.handed.setdefault((self.level[value], axis_of(value) or ""), {})[name] = value
        return name

    def _before(self, history: History, node: Read) -> Value:
        """Return what a step has to leave so that the next one finds the value of `node`."""
        if node.delay == 1:
            return history.value
        return Value(self.names.fresh(f"{node.result.name}_next"), node.result.type, node.result.loc)

    def _is_standing(self, node: Read) -> bool:
        return any(h.name == node.history for h in self.standing)

    # Parts.

    def _product(self, node: Node) -> Kernel:
        if isinstance(node, Synapses):
            heard = [v for v in dict.fromkeys(sources_of(node)) if v not in self.inputs or self._changes(v)]
            given = [self.inputs[v] for v in dict.fromkeys(node.operands) if v not in heard]
            inputs = (*(Input(self._hand_on(v), v, "step") for v in heard), *given)
        else:
            source, weight = node.operands[0], node.operands[1]
            inputs = (Input(self._hand_on(source, factor=True), source, "step"), self.inputs[weight])
        output = Output(self._buffer(f"step {node.result.name}", node.result.type), node.result, "step")
        graph = Graph(f"{self.graph.name}_{node.result.name}", inputs, (node,), (output,))
        strategies = {Project: "project", ProjectTransposed: "project_transposed", Synapses: "synapses"}
        strategy = strategies[type(node)]
        return Kernel(graph.name, "product", graph, ((node,),), strategy, {}, self.kernel.backward)

    def _changes(self, value: Value) -> bool:
        """Whether an input is another at every step."""
        return self.inputs[value].kind == "sequence"

    def _nodes(self, phase: int, axis: str) -> list[Node]:
        return [
            n
            for n in self.graph.nodes
            if not isinstance(n, (*MIXING, Read)) and axis_of(n.result) == axis and self.level[n.result] == phase
        ]

    def _body(self, phase: int, axis: str) -> Graph:
        """Return a part without what it hands on, which is not known before every part has been seen."""
        own = self._nodes(phase, axis)
        results = [o for o in self.graph.outputs if axis_of(o.value) == axis and self._home(o.value) == phase]
        carries = [c for c in self.graph.carries if axis_of(c.next) == axis and self._settles(c) == phase]
        wanted = [v for n in own for v in n.operands] + [o.value for o in results] + [c.next for c in carries]
        if phase == self.last[axis]:
            wanted += [h.value for h in self.graph.histories if axis_of(h.value) == axis and h not in self.standing]
        inputs, shared = self._inputs(wanted, own, phase, axis)
        outputs = [*results, *(Output(self._state(c), c.next, "step") for c in carries)]
        return Graph(f"{self.graph.name}_{phase}_{axis}", inputs, (*shared, *own), tuple(outputs))

    def _settles(self, carry: Carry) -> int:
        """Return the phase of the part that writes a state: no later one reads what it was."""
        home, last = self._home(carry.next), self.last[axis_of(carry.next) or ""]
        read = max((self.level[u.result] for u in self.users[carry.current]), default=0)
        return last if read > home or carry.current in self.graph.results else home

    def _home(self, value: Value) -> int:
        """Return the phase of the part that writes `value`; what no part computes is written by the last."""
        axis, node = axis_of(value), self.definition.get(value)
        late = node is None or isinstance(node, (*MIXING, Read))
        return self.last[axis] if late and axis in self.last else self.level[value]

    def _inputs(
        self, wanted: Iterable[Value], own: Iterable[Node], phase: int, axis: str
    ) -> tuple[tuple[Input, ...], tuple[Node, ...]]:
        """Return where a part finds the values it wants, and the nodes of no axis or of the past that it computes."""
        present = {n.result for n in own}
        inputs: dict[Value, Input] = {}
        shared: dict[Node, None] = {}

        def bring(value: Value) -> None:
            if value in present:
                return
            present.add(value)
            node = self.definition.get(value)
            if value in self.inputs:
                inputs[value] = self.inputs[value]
            elif isinstance(node, Read) and phase == self.last[axis] and not self._is_standing(node):
                shared[node] = None
            elif node is not None and axis_of(value) is None and not isinstance(node, MIXING):
                for operand in node.operands:
                    bring(operand)
                shared[node] = None
            else:
                inputs[value] = Input(self._hand_on(value), value, "step")

        for value in wanted:
            bring(value)
        return tuple(inputs.values()), tuple(shared)

    def _finish(self, key: tuple[int, str], body: Graph) -> Kernel:
        """Return a part that also leaves what others read, and keeps the histories of its axis if it is the last."""
        phase, axis = key
        outputs = [*body.outputs, *(Output(n, v, "step") for n, v in self.handed.get(key, {}).items())]
        nodes, histories = list(body.nodes), []
        if phase == self.last[axis]:
            for name, value in self.staged.get(axis, {}).items():
                outputs.append(Output(name, value, "step"))
                if value not in self.level:
                    nodes.insert(0, self._earlier(name, value))
            read = {n.history for n in nodes if isinstance(n, Read)}
            mine = [h for h in self.graph.histories if axis_of(h.value) == axis and h not in self.standing]
            histories = [
                replace(h, init=None, final=None) for h in mine if h.name in read or (h.final and not self._stands(h))
            ]
        given = {v.value for v in body.inputs} | {n.result for n in nodes}
        extra = [o.value for o in outputs if o.value not in given]
        inputs, shared = self._inputs(extra, nodes, phase, axis)
        known = {i.value for i in body.inputs}
        body = Graph(
            body.name,
            (*body.inputs, *(i for i in inputs if i.value not in known)),
            (*(n for n in shared if n.result not in given), *nodes),
            tuple(outputs),
            (),
            tuple(histories),
        )
        checks = tuple((v, name) for v, name in self.kernel.checks if axis_of(v) == axis and self._home(v) == phase)
        return Kernel(
            body.name, self.kernel.kind, body, loops_of(body), "step", self.kernel.options, self.kernel.backward, checks
        )

    def _stands(self, history: History) -> bool:
        """Return whether the values of `history` are the rows of a sequence, so that no part need keep them."""
        sequences = [i.value for i in self.graph.inputs if i.kind == "sequence"]
        sequences += [o.value for o in self.graph.outputs if o.kind == "sequence"]
        exact = history.value.type.dtype == "bool" or not self.narrow
        return self.kernel.kind == "steps" and exact and history.value in sequences

    def _earlier(self, name: str, value: Value) -> Read:
        """Return the shift, one step shorter, that is handed on in buffer `name`."""
        node = next(n for n in self.graph.nodes if isinstance(n, Read) and name.partition(" ")[2] == n.result.name)
        return replace(node, result=value, delay=node.delay - 1)


def split_parts(kernel: Kernel, precision: Precision) -> Kernel:
    """Return a stepwise kernel with its parts and the buffers that they hand on."""
    return Parts(kernel, precision).split()
