"""Append the reverse region: backpropagation through time of the one time loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import sympy

from graphc.ir import (
    LEAVES,
    Carry,
    Count,
    DelayedSynapses,
    Driver,
    Graph,
    GraphcError,
    History,
    Input,
    Map,
    Names,
    Node,
    Output,
    Pool,
    Program,
    Project,
    Read,
    Region,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Synapses,
    Test,
    Value,
    Via,
    gradient,
    symbol,
)
from graphc.ir.ops import C

from .adjoint_synapses import (
    differentiate_delayed,
    differentiate_pool,
    differentiate_product,
    differentiate_spread,
    differentiate_synapses,
    longest,
    reads_of_delayed,
    seed_delayed,
)
from .base import Request
from .build import Builder, dependents, derivative
from .paths import active_names, crossed, driving, unstopped, without_filters
from .traces import states_of, traces_of

Channel = Literal["both", "total", "instant"]
"""Which gradient a rule of differentiation is handed: the whole, or the part that came within the step."""

_OPAQUE: tuple[type[Node], ...] = (StopGradient, Test, Count)


@dataclass(frozen=True, slots=True)
class Adjoint:
    """Add the gradients of what `request` wants, and drop StopGradient.

    before:  steps   %v = map k*v0 + x              after:  steps   %v = map k*v0 + x, saved where the reverse reads it
                     sequence out <- %v                     reverse %d_v = map d_out + d_v_later
                                                                    %d_x = map d_v;  carry d_v_later <- map d_v*k

    The gradient of a loss L with respect to a value is a value of the reverse region at the same step. The gradient of
    what a step hands to the next one (a carry) is a carry of the reverse loop, and the gradient of Read(h, d) at step t
    is read at step t - d, by a Read of the reverse loop.
    """

    request: Request
    name: str = "adjoint"

    def run(self, program: Program) -> Program:
        """Return `program` with a reverse region, or only without StopGradient where no gradient is wanted."""
        if program.stage != "discrete":
            return program
        once, steps = program.regions
        if not self.request.wrt:
            plain = unstopped(replace(steps, graph=without_filters(steps.graph)))
            return program.with_regions([once, plain], "differentiated")
        active = active_names(once.graph, self.request.wrt)
        reverse = Reverse(steps.graph, active, self.request)
        forward, backward = reverse.run()
        regions = [
            once,  # torch differentiates it, what it stops included
            unstopped(replace(steps, graph=without_filters(forward))),
            Region("reverse", backward, backward=True),
        ]
        if reverse.drivers:
            states = states_of(steps.graph, reverse.relevant)
            traces = traces_of(steps.graph, states, reverse.drivers, reverse.local)
            program = replace(program, drivers=tuple(reverse.drivers), traces=tuple(traces))
        return program.with_regions(regions, "differentiated")


class Reverse:
    """The reverse graph under construction."""

    def __init__(self, forward: Graph, active: Iterable[str], request: Request) -> None:
        self.forward, self.request = forward, request
        self.definition = forward.definition()
        self.inputs: dict[str, Input] = {}
        self.saved: dict[Value, str] = {}
        self.build = Builder(Names(v.name for v in forward.values))
        self.refs: dict[Value, Value] = {}
        self.parts: dict[Value, list[Value]] = {}
        self.outputs: list[Output] = []
        self.carries: list[Carry] = []
        self.histories: list[History] = []
        self.local = request.rule is not None and request.rule.local
        self.channel: Channel = "both"
        self.instant: dict[Value, list[Value]] = {}
        self.drivers: list[Driver] = []
        self.relevant = self._relevant(set(active))
        self.sources = driving(self.forward, self.relevant) if request.drivers else set()
        self.crossed = crossed(self.forward, self.relevant) if self.local else set()
        self.delayed = reads_of_delayed(forward)

    def _relevant(self, active: set[str]) -> set[Value]:
        """Return the values that depend on something active and on which a result depends."""
        graph, final = self.forward, self.request.final
        seeds = [i.value for i in graph.inputs if i.source in active]
        seeds += [c.current for c in graph.carries if c.init in active and c.current.type.dtype == "real"]
        starts = [n.result for n in graph.nodes if isinstance(n, Read) and graph.history(n.history).init in active]
        depends = dependents(graph, seeds + starts, _OPAQUE)
        useful = {o.value for o in graph.outputs}
        if final:
            useful |= {c.next for c in graph.carries} | {h.value for h in graph.histories}
        while True:
            size = len(useful)
            for node in reversed(graph.nodes):
                if node.result in useful and not isinstance(node, _OPAQUE):
                    useful.update(node.operands)
                    if isinstance(node, Read):
                        useful.add(graph.history(node.history).value)
            useful |= {c.next for c in graph.carries if c.current in useful}
            if len(useful) == size:
                return {v for v in depends & useful if v.type.dtype != "int"}

    def run(self) -> tuple[Graph, Graph]:
        """Return the forward graph that saves what the reverse graph reads, and the reverse graph."""
        self._seed()
        for node in reversed(self.forward.nodes):
            if node.result in self.relevant:
                self._visit(node)
        self._finish()
        saves = tuple(Output(name, v, "sequence") for v, name in self.saved.items())
        forward = replace(self.forward, outputs=self.forward.outputs + saves)
        return forward, Graph(
            "reverse",
            tuple(self.inputs.values()),
            tuple(self.build.nodes),
            tuple(self.outputs),
            tuple(self.carries),
            tuple(self.histories),
        )

    def _visit(self, node: Node) -> None:
        """Differentiate `node`; under a local rule what came within the step also goes on by itself.

        Only that part leaves the neuron, over connections within the step. What came from later steps stays in it.
        """
        if (total := self._gradient(node.result)) is None:
            return
        within = self.instant.get(node.result, [])
        if not self.local or within == self.parts[node.result]:
            self.channel = "both"
            self._differentiate(node, total)
            return
        self.channel = "total"
        self._differentiate(node, total)
        if within and node.result in self.crossed:
            self.channel = "instant"
            self._differentiate(node, self.build.total(f"d_{node.result.name}_now", within))
        self.channel = "both"

    def _seed(self) -> None:
        """Collect what arrives from outside the step: gradients of outputs, of the next step and of later reads."""
        for output in self.forward.outputs:
            if output.value in self.relevant:
                name = gradient(output.name)
                value = self.build.new(f"d_{output.name}", output.value.type.with_dtype("real"), output.value)
                self._declare(Input(name, value, "sequence"))
                self.add(output.value, value)
        self.channel = "total"
        self.arriving: dict[str, Value] = {}
        for carry in self.forward.carries:
            if carry.current in self.relevant:
                later = self.build.new(f"d_{carry.name}_later", carry.current.type, carry.current)
                self.build.values[later.name] = later
                self.arriving[carry.name] = later
                if carry.next in self.relevant:
                    self.add(carry.next, later)
        self.reads: dict[Read, Value] = {}
        for node in self.forward.nodes:
            if isinstance(node, DelayedSynapses):
                seed_delayed(self, node)
            if isinstance(node, Read) and node.result in self.relevant and node.result not in self.delayed:
                history = self.forward.history(node.history)
                name = f"{gradient(node.history)}@{node.delay}"
                result = self.build.new(
                    f"d_{history.value.name}_at_{node.delay}", node.result.type.with_dtype("real"), history.value
                )
                read = Read(result=result, history=name, delay=node.delay)
                if history.value in self.relevant:
                    self.add(history.value, self.build.add(read))
        self.channel = "both"

    def _declare(self, item: Input) -> Value:
        self.inputs[item.source] = item
        self.build.values[item.value.name] = item.value
        return item.value

    def add(self, value: Value, part: Value) -> None:
        """Let the gradient `part` arrive at `value`."""
        if self.channel != "instant":
            self.parts.setdefault(value, []).append(part)
        if self.local and self.channel != "total":
            self.instant.setdefault(value, []).append(part)

    def cross(self, value: Value, part: Node) -> None:
        """Let the gradient that `part` makes arrive at another neuron's `value`, unless it came from later steps."""
        if self.channel == "total":
            return
        made = self.build.add(part)
        self.parts.setdefault(value, []).append(made)
        if self.local:
            self.instant.setdefault(value, []).append(made)

    def _gradient(self, value: Value) -> Value | None:
        """Return the sum of the parts that arrived for `value`."""
        parts = self.parts.get(value)
        return self.build.total(f"d_{value.name}", parts) if parts else None

    def _ref(self, value: Value) -> sympy.Symbol:
        """Return the symbol, in the reverse graph, of a value of the forward step."""
        return symbol(self.forward_value(value))

    def forward_value(self, value: Value) -> Value:
        """Return, in the reverse graph, a value of the forward step."""
        if value in self.refs:
            return self.refs[value]
        node = self.definition.get(value)
        fixed = next((i for i in self.forward.inputs if i.value is value), None)
        if isinstance(node, LEAVES):
            ref = self.build.add(replace(node))
        elif isinstance(node, StopGradient):
            ref = self.forward_value(node.operands[0])
        elif fixed is not None:
            ref = self._declare(Input(fixed.source, value, fixed.kind))
        else:
            ref = self._declare(Input(self._sequence(value), value, "sequence"))
        self.refs[value] = ref
        return ref

    def _sequence(self, value: Value) -> str:
        """Return the name of the sequence that holds `value` at every step, saving it if nothing does yet."""
        for output in self.forward.outputs:
            if output.value is value and output.kind == "sequence":
                return output.name
        return self.saved.setdefault(value, f"{'source' if value in self.sources else 'saved'} {value.name}")

    def _differentiate(self, node: Node, g: Value) -> None:
        """Add the gradients of the operands of `node`, given that of its result."""
        s = symbol(g)
        match node:
            case Map(expr=expr):
                for operand in node.operands:
                    if operand in self.relevant:
                        partial = derivative(expr, symbol(operand))
                        if partial != 0:
                            self._flow(operand, s * self._local(partial, node.operands), g)
            case Spread(side=str()):
                differentiate_spread(self, node, g)
            case Pool():
                differentiate_pool(self, node, g)
            case Spread():
                self._flow(node.operands[0], s, g)
            case Spike():
                slope = node.derivative.xreplace({C: self._ref(node.operands[0])})
                if len(node.operands) > 1:
                    slope = sympy.Piecewise((sympy.S.Zero, self._ref(node.operands[1]) > 0), (slope, True))
                self._flow(node.operands[0], s * slope, g)
            case Reset():
                v, z, r = node.operands
                self._flow(v, s * (1 - self._ref(z)), g)
                if z in self.relevant:
                    self._flow(z, s * (self._ref(r) - self._ref(v)), g)
                self._flow(r, s * self._ref(z), g)
            case Via():
                for operand in node.operands:
                    if operand in self.relevant:
                        self.add(operand, g)
            case Project():
                differentiate_product(self, node, g)
            case Synapses():
                differentiate_synapses(self, node, g)
            case DelayedSynapses():
                differentiate_delayed(self, node, g)
            case Read(history=history, delay=delay):
                self._arrive(history, delay, g)
            case _ if not isinstance(node, (*LEAVES, StopGradient, Test, Count)):
                node.fail("has no gradient rule in the adjoint pass")

    def input_of(self, value: Value) -> Input:
        """Return the input that is `value`."""
        return next(i for i in self.inputs.values() if i.value is value)

    def drive(self, coefficient: Value, g: Value, source: str | None, into: str = "") -> None:
        """Write the gradient of what `coefficient` adds to, at every step, in place of its own."""
        name = f"drive {g.name}"
        if all(o.name != name for o in self.outputs):
            self.outputs.append(Output(name, g, "sequence"))
        axes = coefficient.type.axes if source is not None else g.type.axes
        self.drivers.append(Driver(self.source(coefficient), name, source, axes, into))

    def source(self, fixed: Value) -> str:
        """Return the name of the tensor that a fixed input of the step is."""
        return next(i.source for i in self.forward.inputs if i.value is fixed)

    def _local(self, partial: sympy.Expr, operands: Iterable[Value]) -> sympy.Expr:
        used = partial.free_symbols
        return partial.xreplace({symbol(v): self._ref(v) for v in operands if symbol(v) in used})

    def _flow(self, operand: Value, expr: sympy.Expr, g: Value) -> None:
        """Add the value `expr` to the gradient of `operand`."""
        if operand not in self.relevant or expr == 0:
            return
        part = self.build.map(f"d_{operand.name}", expr, operand)
        self.add(operand, self.build.spread(part, operand.type.with_dtype("real") if operand.type.batched else g.type))

    def emit(self, fixed: Value, part: Value) -> None:
        """Write a gradient of a fixed input, summed over the steps; a weight used twice gets a name for each part."""
        if self.channel == "instant":
            return
        if self.request.drivers:
            raise GraphcError(
                f"no trace carries the gradient of {fixed.name}: its synapses are evaluated one by one",
                part.loc,
                'use learn="bptt", learn=False for these weights, or a transmit that separates',
            )
        source = self.source(fixed)
        count = sum(o.name.partition("+")[0] == gradient(source) for o in self.outputs)
        self.outputs.append(Output(gradient(source) + (f"+{count}" if count else ""), part, "sum"))

    def _arrive(self, history: str, delay: int, g: Value) -> None:
        """Keep the gradient of a Read, for the step it read and, before the first one, for the initial history."""
        if self.channel == "instant":
            return
        source, name = self.forward.history(history), f"{gradient(history)}@{delay}"
        ends = self.request.final or source.init in self.request.wrt
        init = f"{name}@final" if ends and delay == longest(self, source) else None
        self.histories.append(History(name, g, delay, init, name if ends else None))

    def _finish(self) -> None:
        """Close the carries, the histories without a gradient, and write the gradients of inputs and initial states."""
        wrt = self.request.wrt
        for carry in self.forward.carries:
            if carry.name not in self.arriving:
                continue
            total = self._gradient(carry.current) or self.zero(carry.current)
            init = gradient(carry.final) if self.request.final and carry.final else None
            wanted = carry.init in wrt or (carry.virtual and self.request.drivers)
            final = gradient(carry.init) if wanted and carry.init else None
            self.carries.append(Carry(gradient(carry.name), self.arriving[carry.name], total, init, final))
        own = {gradient(h.name): h.name for h in self.forward.histories}
        for node in list(self.build.nodes):  # the loop sends no gradient to these, but the final history may have one
            if isinstance(node, Read) and all(h.name != node.history for h in self.histories):
                if history := own.get(node.history.rpartition("@")[0]):
                    self._arrive(history, node.delay, self.zero(node.result))
                else:
                    self.histories.append(History(node.history, self.zero(node.result), node.delay, None, None))
        for item in self.forward.inputs:
            if item.kind == "fixed" and item.value in self.parts and self.request.drivers:
                for part in self._by_axes(item.value):
                    self.drive(item.value, part, None)
            elif item.kind == "fixed" and item.value in self.parts:
                total = self.build.total(f"d_{item.value.name}", self.parts[item.value])
                self.emit(item.value, self.build.reduce(total, item.value.type.axes))
            if item.kind == "sequence" and item.source in wrt:
                total = self._gradient(item.value) or self.zero(item.value)
                self.outputs.append(Output(gradient(item.source), total, "sequence"))

    def _by_axes(self, fixed: Value) -> list[Value]:
        """Return the gradients that arrived at a coefficient, those of one population added."""
        groups: dict[tuple[str, ...], list[Value]] = {}
        for part in self.parts[fixed]:
            groups.setdefault(part.type.axes, []).append(part)
        return [self.build.total(f"d_{fixed.name}", parts) for parts in groups.values()]

    def zero(self, like: Value) -> Value:
        """Return 0 over the domain of `like`."""
        return self.build.spread(self.build.const(0.0), like.type.with_dtype("real"))
