"""Cut the graph where a local learning rule's gradient does not go: over a connection and over time at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import sympy

from graphc.ir import (
    Carry,
    Diagonal,
    Graph,
    History,
    Input,
    Map,
    Names,
    Node,
    Output,
    Parameter,
    Program,
    Project,
    Read,
    Spread,
    StopGradient,
    Type,
    Value,
    Via,
    final,
    initial,
    symbol,
)

from .base import Request, Rule
from .build import dependents, derivative
from .paths import CROSSING, sources_of

STAYS = "back in time through its target"
"""In a note: what a population keeps goes to others within the step alone."""


@dataclass(frozen=True, slots=True)
class Localize:
    """Stop what a local rule stops, and note every path that is dropped.

    before:  %d = project %z_1 (read, one step back), %W     after:  %d = project (stop_gradient %z_1), %W
             %u = map k*u0 + %o  (a leaky readout)                    carry %f (a leaky filter of z), no gradient by %z
             output %u                                                output via %u, project %f, %W

    What a step reads of an earlier one over a connection belongs to another neuron's past: stopped, or with snap1 kept
    for the neuron itself. A readout whose equations are linear with coefficients that all its neurons share filters
    each source alike, so its filter moves before the weights, where it is one more state of the source neuron.

    Source:
        Bellec et al. (2020), Nat. Commun. 11, 3625 (e-prop, and its leaky readout);
        Menick et al. (2021), ICLR, arXiv:2006.07232 (SnAp-1).
    """

    request: Request
    name: str = "localize"

    def run(self, program: Program) -> Program:
        """Return `program` with the rule's paths; itself where all paths are kept."""
        rule = self.request.rule
        if rule is None or rule.name == "full" or program.stage != "discrete" or len(program.regions) != 1:
            return program
        if any(about == "learning" for about, _ in program.notes):
            return program
        (region,) = program.regions
        local = _Local(region.graph, program, rule)
        graph = local.run()
        program = replace(program, parameters=(*program.parameters, *local.parameters))
        program = program.with_regions([replace(region, graph=graph)])
        return program.note("learning", *local.notes) if local.notes else program.note("learning", "no path is dropped")


class _Local:
    """One step graph being cut."""

    def __init__(self, graph: Graph, program: Program, rule: Rule) -> None:
        self.graph, self.program, self.rule = graph, program, rule
        self.names = Names(v.name for v in graph.values)
        self.definition = graph.definition()
        self.nodes: list[Node] = []
        self.inputs = list(graph.inputs)
        self.carries = list(graph.carries)
        self.parameters: list[Parameter] = []
        self.notes: list[str] = []
        self.stopped: dict[Value, Value] = {}
        self.clones: dict[Value, list[tuple[Value, Value]]] = {}
        states = [c.current for c in graph.carries if c.current.type.dtype == "real"]
        reads = [n.result for n in graph.nodes if isinstance(n, Read)]
        own = {i.value for i in graph.inputs if i.kind == "sequence"}
        mixed = [n.result for n in graph.nodes if isinstance(n, CROSSING)]
        self.past = dependents(graph, [*states, *mixed, *(r for r in reads if self._history(r).value not in own)])
        self.now = self._same_step(states)

    def _history(self, read: Value) -> History:
        node = self.definition[read]
        assert isinstance(node, Read)
        return self.graph.history(node.history)

    def _same_step(self, states: Iterable[Value]) -> set[Value]:
        """Return the values of this step: those that depend on a state or on what arrives, not on reads alone."""
        found = set(states)
        for node in self.graph.nodes:
            if isinstance(node, CROSSING) or any(v in found for v in node.operands):
                found.add(node.result)
        return found

    def run(self) -> Graph:
        """Return the graph with its paths cut."""
        if self.rule.name == "sltt":
            return self._without_time()
        filters = self._filters()
        synapses = self._stop_synapses()
        for node in self.graph.nodes:
            node = node.substitute(synapses)
            self.nodes += self._crossing(node, filters) if isinstance(node, CROSSING) else [node]
        self._clone(filters)
        outputs = tuple(self._output(o) for o in self.graph.outputs)
        return replace(
            self.graph,
            inputs=tuple(self.inputs),
            nodes=tuple(self.nodes),
            outputs=outputs,
            carries=tuple(self.carries),
        )

    def _stop_synapses(self) -> dict[Value, Value]:
        """Stop the states of synapses, such as weights that a rule changes: they belong to two neurons at once."""
        new: dict[Value, Value] = {}
        for carry in self.graph.carries:
            if len(carry.current.type.axes) == 2:
                self.nodes.append(self._stop_of(carry.current, new))
                self.notes.append(f"dropped: back in time through {carry.name}, a state of synapses")
        return new

    def _without_time(self) -> Graph:
        """Return the graph whose states and reads are all stopped."""
        new: dict[Value, Value] = {}
        stops: list[Node] = []
        for carry in self.graph.carries:
            if carry.current.type.dtype == "real":
                stops.append(self._stop_of(carry.current, new))
        nodes = stops
        for node in self.graph.nodes:
            nodes.append(self._with_feedback(node.substitute(new)))
            if isinstance(node, Read):
                nodes.append(self._stop_of(node.result, new))
        self.notes.append("nothing goes back in time: states and delayed signals are stopped at every step")
        graph = replace(self.graph, inputs=tuple(self.inputs), nodes=tuple(nodes))
        return replace(graph, outputs=tuple(replace(o, value=new.get(o.value, o.value)) for o in graph.outputs))

    def _stop_of(self, value: Value, new: dict[Value, Value]) -> StopGradient:
        new[value] = self.names.value(f"{value.name}_stopped", value.type, value)
        return StopGradient(result=new[value], operands=(value,))

    def _crossing(self, node: Node, filters: dict[Value, Node]) -> list[Node]:
        """Return `node` with the sources stopped that lie in the past, and what stands for them."""
        sources = [v for v in sources_of(node) if v in self.past]
        lagged = [v for v in sources if v not in self.now]
        before: list[Node] = []
        new: dict[Value, Value] = {}
        stopped = lagged + ([node.operands[0]] if node.result in filters else [])
        for value in dict.fromkeys(stopped):
            if value not in self.stopped:
                before.append(self._stop_of(value, self.stopped))
            new[value] = self.stopped[value]
        if not new:
            return [self._with_feedback(node) if sources else node]
        squared = isinstance(node, Project) and len(set(node.operands[1].type.axes)) == 1
        if self.rule.name == "snap1" and lagged and isinstance(node, Project) and squared:
            return [*before, *self._own_weight(node, new)]
        for value in lagged:
            self.notes.append(f"dropped: from {node.result.name} back to {value.name}, of another neuron's past")
        return [*before, (self._with_feedback(node) if node.result in filters else node).substitute(new)]

    def _own_weight(self, node: Project, new: dict[Value, Value]) -> list[Node]:
        """Return the product without gradient to its source but for the weight of each neuron to itself."""
        z, w = node.operands
        self.notes.append(f"dropped: from {node.result.name} back to {z.name}, but for each neuron's weight to itself")
        value = self.names.value(f"{node.result.name}_value", node.result.type, node.result)
        fixed = self.names.value(f"{w.name}_stopped", w.type, w)
        own = self.names.value(f"{w.name}_own", Type("real", False, w.type.axes[:1]), w)
        path = self.names.value(f"{node.result.name}_own", node.result.type, node.result)
        return [
            Project(result=value, operands=(new[z], w)),
            StopGradient(result=fixed, operands=(w,)),
            Diagonal(result=own, operands=(fixed,)),
            Map(result=path, operands=(own, z), expr=symbol(own) * symbol(z)),
            Via(result=node.result, operands=(value, path)),
        ]

    def _with_feedback(self, node: Node) -> Node:
        """Return `node` whose gradient goes back through weights of their own, where the rule has them."""
        feedback = self._feedback(node)
        return node if feedback is None else replace(node, operands=(*node.operands, feedback))

    def _feedback(self, node: Node) -> Value | None:
        """Return the feedback of a connection within the step, made on first use; None for its own weights."""
        if self.rule.feedback == "symmetric" or not isinstance(node, Project) or len(node.operands) > 2:
            return None
        z, w = node.operands
        if z not in self.past or z not in self.now:
            return None
        owner = next(
            (p for p in self.program.parameters if p.type.axes == w.type.axes and _owns(p, w, self.graph)), None
        )
        if owner is None:
            node.fail("has weights that are computed, so that no feedback can stand for them")
        if self.rule.feedback == "given" and owner.owner not in self.rule.given:
            return None
        name = f"{owner.owner}.feedback"
        known = next((i.value for i in self.inputs if i.source == name), None)
        if known is not None:
            return known
        value = self.names.value(name, w.type, w)
        self.inputs.append(Input(name, value, "fixed"))
        adaptive = self.rule.feedback == "adaptive"
        self.parameters.append(
            replace(
                owner,
                name=name,
                attribute="feedback",
                learn=adaptive,
                minimum=None,
                maximum=None,
                sign=None,
                value=None,
            )
        )
        self.notes.append(f"{owner.owner}: gradients go back through {name}, {self.rule.feedback}")
        return value

    def _filters(self) -> dict[Value, Node]:
        """Return the products into leaky readouts whose filter moves before the weights, by their results."""
        found: dict[Value, Node] = {}
        read_by_others = {v.type.axes for n in self.graph.nodes if isinstance(n, CROSSING) for v in sources_of(n)}
        for node in self.graph.nodes:
            if not isinstance(node, Project):
                if isinstance(node, CROSSING) and self._depends_on_carry(node.result):
                    for z in (v for v in sources_of(node) if v in self.past and v in self.now):
                        what = "whose synapses are evaluated one by one"
                        self.notes.append(f"dropped: from {node.result.name} {STAYS} to {z.name}, {what}")
                continue
            z = node.operands[0]
            if z not in self.past or z not in self.now or z.type.axes == node.result.type.axes:
                continue
            if not self._depends_on_carry(node.result):
                continue  # what the target keeps nothing of, passes within the step
            problem = None
            if node.result.type.axes in read_by_others:
                problem = "which sends to others"
            problem = problem or self._not_linear(node.result)
            if self.rule.name == "ottt":
                problem = problem or "as the rule has it"
            if problem is None:
                found[node.result] = node
            else:
                self.notes.append(f"dropped: from {node.result.name} {STAYS} to {z.name}, {problem}")
        return found

    def _block(self, drive: Value) -> set[Value]:
        """Return what depends on `drive` in this step or a later one."""
        return dependents(self.graph, [drive])

    def _depends_on_carry(self, drive: Value) -> bool:
        block = self._block(drive)
        return any(c.next in block for c in self.graph.carries)

    def _not_linear(self, drive: Value) -> str | None:
        """Return why the target of `drive` is no linear filter that all its neurons share; None where it is one."""
        block = self._block(drive)
        for node in self.graph.nodes:
            moving = [v for v in node.operands if v in block]
            if node.result not in block or node.result is drive:
                continue
            if isinstance(node, Spread) and node.result.type.axes == drive.type.axes:
                continue
            if not isinstance(node, Map):
                return f"whose {node.result.name} is not linear"
            for v in moving:
                partial = derivative(node.expr, symbol(v))
                others = [u for u in node.operands if symbol(u) in partial.free_symbols]
                if any(u in block for u in others):
                    return f"whose {node.result.name} is not linear"
                if any(u.type.batched or u.type.axes for u in others):
                    return f"whose {node.result.name} differs from neuron to neuron"
        return None

    def _clone(self, filters: dict[Value, Node]) -> None:
        """Add, for every product of `filters`, the same filter of its source, and remember what it stands for."""
        for drive, product in filters.items():
            z, w = product.operands[:2]
            block = self._block(drive)
            to: dict[Value, Value] = {drive: z}
            type = Type("real", True, z.type.axes)
            carries = [c for c in self.graph.carries if c.next in block]
            for c in carries:
                to[c.current] = self.names.value(f"{z.name}_in_{c.name}", type, z)
            for node in self.graph.nodes:
                if node.result not in block or node.result is drive or node.result in to:
                    continue
                if isinstance(node, Spread):
                    to[node.result] = to[node.operands[0]]
                    continue
                assert isinstance(node, Map)
                terms = {v: derivative(node.expr, symbol(v)) for v in node.operands if v in to}
                expr = sympy.Add(*(k * symbol(to[v]) for v, k in terms.items()))
                result = self.names.value(f"{z.name}_in_{node.result.name}", type, z)
                expr = expr.xreplace({symbol(v): symbol(self._fixed(v)) for v in node.operands if v not in to})
                known = {symbol(v): v for v in (*self.stopped.values(), *to.values())}
                operands = tuple(known[s] for s in sorted(expr.free_symbols, key=str))
                self.nodes.append(Map(result=result, operands=operands, expr=expr))
                to[node.result] = result
            source = z.type.axes[0]
            if any(c.name == f"{source}>{k.name}" for c in self.carries for k in carries):
                source = z.name
            for c in carries:
                name = f"{source}>{c.name}"
                self.carries.append(Carry(name, to[c.current], to[c.next], initial(name), final(name), virtual=True))
            for value, clone in to.items():
                self.clones.setdefault(value, []).append((clone, w))
            if carries:
                self.notes.append(
                    f"{drive.name}: its target's filter is a state of its source, {source}>{carries[0].name}"
                )

    def _fixed(self, value: Value) -> Value:
        """Return `value` without gradient: what the filter's own coefficients learn, they learn where it stands."""
        if value not in self.stopped:
            self.nodes.append(self._stop_of(value, self.stopped))
        return self.stopped[value]

    def _output(self, output: Output) -> Output:
        """Return `output`, whose gradient goes to sources by their filters."""
        paths = []
        for clone, w in self.clones.get(output.value, []):
            fixed = self._fixed(w)
            path = self.names.value(f"{output.value.name}_path", output.value.type, output.value)
            product = Project(result=path, operands=(clone, fixed))
            origin = next(n for n in self.graph.nodes if isinstance(n, Project) and n.operands[1] is w)
            feedback = self._feedback(origin)
            self.nodes.append(product if feedback is None else replace(product, operands=(clone, fixed, feedback)))
            paths.append(path)
        if not paths:
            return output
        value = self.names.value(output.value.name, output.value.type, output.value)
        self.nodes.append(Via(result=value, operands=(output.value, *paths)))
        return replace(output, value=value)


def _owns(parameter: Parameter, weights: Value, graph: Graph) -> bool:
    """Whether `weights` are the tensor of `parameter` itself."""
    return any(i.value is weights and i.source == parameter.name for i in graph.inputs)
