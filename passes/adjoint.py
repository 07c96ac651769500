"""Append the reverse region: backpropagation through time of the one time loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import sympy

from graphc.ir import (
    Carry,
    Const,
    Count,
    DelayedSynapses,
    Graph,
    History,
    Input,
    Map,
    Names,
    Node,
    Outer,
    Output,
    Pool,
    Program,
    Project,
    ProjectTransposed,
    Read,
    Region,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Synapses,
    Test,
    Time,
    Value,
    gradient,
    symbol,
)
from graphc.ir.ops import C

from .adjoint_synapses import (
    differentiate_delayed,
    differentiate_spread,
    differentiate_synapses,
    reads_of_delayed,
    seed_delayed,
)
from .base import Request
from .build import Builder, dependents

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
            return program.with_regions([once, _unstopped(steps)], "differentiated")
        active = {v.name for v in _active_fixed(once.graph, self.request.wrt)} | self.request.wrt
        forward, backward = Reverse(steps.graph, active, self.request).run()
        regions = [
            once,  # torch differentiates it, what it stops included
            _unstopped(replace(steps, graph=forward)),
            Region("reverse", backward, backward=True),
        ]
        return program.with_regions(regions, "differentiated")


def _active_fixed(graph: Graph, wrt: frozenset[str]) -> set[Value]:
    """Return the values of the prologue that depend on what `wrt` names."""
    return dependents(graph, [i.value for i in graph.inputs if i.source in wrt], ())


def _unstopped(region: Region) -> Region:
    """Return `region` with every StopGradient replaced by its operand."""
    new: dict[Value, Value] = {}
    nodes = []
    for node in region.graph.nodes:
        node = node.substitute(new)
        if isinstance(node, StopGradient):
            new[node.result] = node.operands[0]
        else:
            nodes.append(node)
    if not new:
        return region
    return replace(region, graph=region.graph.with_nodes(nodes).substitute_results(new))


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
        self.relevant = self._relevant(set(active))
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
                total = self._gradient(node.result)
                if total is not None:
                    self._differentiate(node, total)
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

    def _seed(self) -> None:
        """Collect what arrives from outside the step: gradients of outputs, of the next step and of later reads."""
        for output in self.forward.outputs:
            if output.value in self.relevant:
                name = gradient(output.name)
                value = self.build.new(f"d_{output.name}", output.value.type.with_dtype("real"), output.value)
                self._declare(Input(name, value, "sequence"))
                self.add(output.value, value)
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

    def _declare(self, item: Input) -> Value:
        self.inputs[item.source] = item
        self.build.values[item.value.name] = item.value
        return item.value

    def add(self, value: Value, part: Value) -> None:
        """Let the gradient `part` arrive at `value`."""
        self.parts.setdefault(value, []).append(part)

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
        if isinstance(node, (Const, Time)):
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
        return self.saved.setdefault(value, f"saved {value.name}")

    def _differentiate(self, node: Node, g: Value) -> None:
        """Add the gradients of the operands of `node`, given that of its result."""
        s = symbol(g)
        match node:
            case Map(expr=expr):
                for operand in node.operands:
                    if operand in self.relevant:
                        partial = sympy.diff(expr, symbol(operand))
                        if partial != 0:
                            self._flow(operand, s * self._local(partial, node.operands), g)
            case Spread(side=str()):
                differentiate_spread(self, node, g)
            case Pool():
                pooled = self.build.new(f"d_{node.operands[0].name}", node.result.type, node.operands[0])
                if node.operands[0] in self.relevant:
                    self.add(node.operands[0], self.build.add(replace(node, result=pooled, operands=(g,))))
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
            case Project():
                z, w = node.operands
                if z in self.relevant:
                    result = self.build.new(f"d_{z.name}", z.type.with_dtype("real"), z)
                    weight = self.forward_value(w)
                    self.add(z, self.build.add(ProjectTransposed(result=result, operands=(g, weight))))
                if w in self.relevant:
                    source = self.forward_value(z)
                    outer = Outer(result=self.build.new(f"d_{w.name}", w.type, w), operands=(source, g))
                    self.emit(w, self.build.add(outer))
            case Synapses():
                differentiate_synapses(self, node, g)
            case DelayedSynapses():
                differentiate_delayed(self, node, g)
            case Read(history=history, delay=delay):
                self._arrive(history, delay, g)
            case Const() | Time() | StopGradient() | Test() | Count():
                pass
            case _:
                node.fail("has no gradient rule in the adjoint pass")

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
        source = next(i.source for i in self.forward.inputs if i.value is fixed)
        count = sum(o.name.partition("+")[0] == gradient(source) for o in self.outputs)
        self.outputs.append(Output(gradient(source) + (f"+{count}" if count else ""), part, "sum"))

    def _arrive(self, history: str, delay: int, g: Value) -> None:
        """Keep the gradient of a Read, for the step it read and, before the first one, for the initial history."""
        source = self.forward.history(history)
        name = f"{gradient(history)}@{delay}"
        ends = self.request.final or source.init in self.request.wrt
        init = f"{gradient(history)}@{delay}@final" if ends and delay == source.depth else None
        self.histories.append(History(name, g, delay, init, name if ends else None))

    def _finish(self) -> None:
        """Close the carries, the histories without a gradient, and write the gradients of inputs and initial states."""
        wrt = self.request.wrt
        for carry in self.forward.carries:
            if carry.name not in self.arriving:
                continue
            total = self._gradient(carry.current) or self.zero(carry.current)
            init = gradient(carry.final) if self.request.final and carry.final else None
            final = gradient(carry.init) if carry.init in wrt else None
            self.carries.append(Carry(gradient(carry.name), self.arriving[carry.name], total, init, final))
        for node in list(self.build.nodes):
            if isinstance(node, Read) and all(h.name != node.history for h in self.histories):
                self.histories.append(History(node.history, self.zero(node.result), node.delay, None, None))
        for item in self.forward.inputs:
            if item.kind == "fixed" and item.value in self.parts:
                total = self.build.total(f"d_{item.value.name}", self.parts[item.value])
                self.emit(item.value, self.build.reduce(total, item.value.type.axes))
            if item.kind == "sequence" and item.source in wrt:
                total = self._gradient(item.value) or self.zero(item.value)
                self.outputs.append(Output(gradient(item.source), total, "sequence"))

    def zero(self, like: Value) -> Value:
        """Return 0 over the domain of `like`."""
        return self.build.spread(self.build.const(0.0), like.type.with_dtype("real"))
