"""Network -> Program: the declared equations as one time step, in the order of the step semantics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy

from graphc.ir import (
    Carry,
    Const,
    Count,
    DeclarationError,
    Graph,
    History,
    Input,
    Loc,
    Map,
    Names,
    Node,
    Ode,
    OdeSystem,
    Output,
    Parameter,
    Program,
    Project,
    Read,
    Region,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Tensor,
    Test,
    Time,
    Type,
    Value,
    final,
    initial,
    symbol,
)
from graphc.ir.functions import at_threshold, detach, previous
from graphc.ir.ops import C

from . import symbols as gs
from .connectivity import Dense
from .distributions import Distribution
from .network import Connection, Network, Population, Record
from .neuron import Neuron

FOREVER = 1e9  # steps: what `refractory=sympy.oo` counts down from


def lower(network: Network, records: Sequence[str] = ()) -> Program:
    """Return the program of `network` that writes its outputs and `records`.

    Raises:
        DeclarationError: a record names nothing of the network.
    """
    return _Lowering(network).run(tuple(dict.fromkeys((*network.outputs, *records))))


def axes_of(network: Network) -> dict[str, str]:
    """Return the axis of every input and population; those joined one to one share the axis of the first."""
    axis = {name: name for name in (*network.inputs, *network.populations)}

    def root(name: str) -> str:
        while axis[name] != name:
            name = axis[name]
        return name

    for connection in network.connections.values():
        if not isinstance(connection.connectivity, Dense):
            a, b = root(connection.pre), root(connection.post)
            axis[a] = b
    return {name: root(name) for name in axis}


@dataclass
class _Past:
    """A history under construction: its value is known once the step that computes it has been lowered."""

    type: Type
    depth: int = 0
    value: Value | None = None
    initial: Value | None = None


@dataclass
class _Signals:
    """The values of one population in one step, by the name that a record uses."""

    final: dict[str, Value] = field(default_factory=dict)
    threshold: dict[str, Value] = field(default_factory=dict)


class _Block:
    """Nodes under construction, and the translation of expressions into them."""

    def __init__(self) -> None:
        self.names = Names()
        self.nodes: list[Node] = []
        self.inputs: dict[str, Input] = {}

    def input(self, source: str, type: Type, kind: Any, loc: Loc | None = None) -> Value:
        """Return the value of the input tensor `source`, declared once."""
        if source not in self.inputs:
            self.inputs[source] = Input(source, self.names.value(source, type, loc=loc), kind)
        return self.inputs[source].value

    def add(self, node: Node) -> Value:
        """Append `node` and return its result."""
        self.nodes.append(node)
        return node.result

    def spread(self, value: Value, type: Type) -> Value:
        """Return `value` over the whole domain of `type`."""
        if value.type == type:
            return value
        return self.add(Spread(result=self.names.value(value.name, type, value), operands=(value,)))

    def const(self, number: float, name: str = "constant") -> Value:
        """Append a number."""
        return self.add(Const(result=self.names.value(name, Type()), value=float(number)))

    def map(self, name: str, expr: sympy.Expr, operands: Iterable[Value], loc: Loc | None = None) -> Value:
        """Append a Map of the operands that `expr` uses; a bare operand is returned as it is."""
        used = {str(s) for s in expr.free_symbols}
        operands = tuple(v for v in dict.fromkeys(operands) if v.name in used)
        if not operands:
            return self.const(float(expr), name)
        if expr == symbol(operands[0]):
            return operands[0]
        draft = Map(result=Value("", Type()), operands=operands, expr=expr)
        return self.add(Map(result=self.names.value(name, draft.infer_type(), loc=loc), operands=operands, expr=expr))


class _Lowering:
    """The state of one call of `lower`."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.axis = axes_of(network)
        self.block = _Block()
        self.start = _Block()
        self.carries: list[Carry] = []
        self.pasts: dict[str, _Past] = {}
        self.parameters: dict[str, Parameter] = {}
        self.draws: dict[str, Parameter] = {}
        self.states: list[Tensor] = []
        self.signals: dict[str, _Signals] = {}
        self.requested: list[Record] = []
        self.initial_values: dict[str, Value] = {}
        self.time: Value | None = None

    def run(self, records: tuple[str, ...]) -> Program:
        """Lower every population in the order of the zero-delay connections, then what was asked for."""
        network = self.network
        self.requested = [network.resolve_record(r) for r in records]
        order = evaluation_order(network)
        self._declare_parameters()
        for name in order:
            self._initial(network.populations[name])
        for name in order:
            _PopulationStep(self, network.populations[name]).run()
        outputs = tuple(Output(r, self._record(q), "sequence") for r, q in zip(records, self.requested, strict=True))
        histories = []
        for name, past in self.pasts.items():
            assert past.value is not None
            self.states.append(Tensor(name, past.type, past.depth))
            histories.append(History(name, past.value, past.depth, initial(name), final(name)))
        graph = Graph(
            "step",
            tuple(self.block.inputs.values()),
            tuple(self.block.nodes),
            outputs,
            tuple(self.carries),
            tuple(histories),
        )
        start = Graph(
            "initial",
            tuple(self.start.inputs.values()),
            tuple(self.start.nodes),
            tuple(
                Output(initial(t.name), self.initial_values[t.name], "fixed")
                for t in self.states
                if t.name in self.initial_values
            ),
        )
        sizes = {self.axis[n]: p.size for n, p in (*network.inputs.items(), *network.populations.items())}
        return Program(
            stage="declared",
            dt=network.dt,
            sizes=sizes,
            parameters=tuple(self.parameters.values()),
            inputs=tuple(
                Tensor(n, Type("real", True, (self.axis[n],)), None, i.loc) for n, i in network.inputs.items()
            ),
            outputs=records,
            states=tuple(self.states),
            initial=start,
            draws=tuple(self.draws.values()),
            regions=(Region("steps", graph),),
        )

    def _declare_parameters(self) -> None:
        for population in self.network.populations.values():
            for p in population.parameters.values():
                axes = (self.axis[population.name],) if p.per == "neuron" else ()
                self._declare(population.name, p.name, Type("real", False, axes), p, population.loc)
        for connection in self.network.connections.values():
            if connection.shared is None:
                post = self.axis[connection.post]
                dense = isinstance(connection.connectivity, Dense)
                type = Type("real", False, (self.axis[connection.pre], post) if dense else (post,))
                fan_in = self._size(connection.pre) if dense else 1
                name = f"{connection.name}.weight"
                self.parameters[name] = Parameter(
                    name,
                    connection.name,
                    "weight",
                    type,
                    connection.weight,
                    connection.learn,
                    fan_in=fan_in,
                    loc=connection.loc,
                )

    def _declare(self, owner: str, name: str, type: Type, p: Any, loc: Loc) -> None:
        full = f"{owner}.{name}"
        self.parameters[full] = Parameter(full, owner, name, type, p.value, p.learn, p.min, p.max, loc=loc)

    def _size(self, name: str) -> int:
        network = self.network
        return network.inputs[name].size if name in network.inputs else network.populations[name].size

    def parameter(self, block: _Block, owner: str, name: str) -> Value:
        """Return the value of a parameter in `block`."""
        p = self.parameters[f"{owner}.{name}"]
        return block.input(p.name, p.type, "fixed", p.loc)

    def now(self) -> Value:
        """Return the time of the step, made once."""
        if self.time is None:
            self.time = self.block.add(Time(result=self.block.names.value("t", Type()), dt=self.network.dt))
        return self.time

    def read(self, name: str, type: Type, delay: int, before: Value | None, hint: str) -> Value:
        """Return what the history `name` held `delay` steps ago."""
        past = self.pasts.setdefault(name, _Past(type))
        past.depth = max(past.depth, delay)
        if before is not None:
            self.initial_values.setdefault(name, before)
        for node in self.block.nodes:
            if isinstance(node, Read) and node.history == name and node.delay == delay:
                return node.result
        return self.block.add(Read(result=self.block.names.value(hint, type), history=name, delay=delay))

    def source(self, connection: Connection) -> Value:
        """Return the signal that arrives over `connection` at this step."""
        pre, delay = connection.pre, connection.delay
        if pre in self.network.inputs:
            value = self.block.input(
                pre, Type("real", True, (self.axis[pre],)), "sequence", self.network.inputs[pre].loc
            )
            if delay == 0:
                return value
            name = f"{pre}@history"
            self.pasts.setdefault(name, _Past(value.type)).value = value
            return self.read(name, value.type, delay, None, f"{pre}_{delay}")
        if delay == 0:
            return self.signals[pre].final["output"]
        neuron = self.network.populations[pre].neuron
        spiking = neuron.output == gs.spike
        name = f"{pre}.spike@history" if spiking else f"{pre}.output@history"
        type = Type("bool" if spiking else "real", True, (self.axis[pre],))
        before = None if spiking else self.initial_values[f"{pre}.output"]
        return self.read(name, type, delay, before, f"{pre}_{'spike' if spiking else 'output'}_{delay}")

    def _initial(self, population: Population) -> None:
        """Write the initial state, and the output that it makes, into the initial graph."""
        neuron, block, owner = population.neuron, self.start, population.name
        axis = self.axis[owner]
        env: dict[sympy.Basic, Value] = {gs.t: block.const(0.0)}
        env |= {i: env[gs.t] for i in neuron.inputs} | {gs.spike: env[gs.t]}
        env |= {p: self.parameter(block, owner, p.name) for p in neuron.parameters}
        todo = dict(population.init)
        for _ in range(len(todo) + 1):
            for state in [s for s in todo if not _unknown(todo[s], env)]:
                env[state] = self._initial_value(f"{owner}.{state.name}", todo.pop(state), env, axis)
        if todo:
            state = next(iter(todo))
            raise DeclarationError(
                f"the initial value of '{state.name}' of population '{owner}' depends on itself", population.loc
            )
        for state in neuron.states:
            self.initial_values[f"{owner}.{state.name}"] = env[state]
        self.initial_values[f"{owner}.output"] = _translate(
            self, block, owner, neuron.output, env, env, f"{owner}.output"
        )
        if neuron.spike is not None and neuron.spike.edge == "rising":
            margin = _translate(self, block, owner, neuron.spike.margin, env, env, f"{owner}.condition")
            result = block.names.value(f"{owner}.above", margin.type.with_dtype("bool"))
            self.initial_values[f"{owner}.above"] = block.add(
                Test(result=result, operands=(margin,), strict=neuron.spike.strict)
            )

    def _initial_value(self, name: str, value: Any, env: Mapping[sympy.Basic, Value], axis: str) -> Value:
        if isinstance(value, sympy.Basic):
            return _translate(self, self.start, name.partition(".")[0], value, env, env, name)
        if isinstance(value, (int, float)):
            return self.start.const(float(value), name)
        draw = f"{name}@draw"
        batched = isinstance(value, Distribution)
        self.draws[draw] = Parameter(draw, "", "", Type("real", batched, (axis,)), value, False)
        return self.start.input(draw, self.draws[draw].type, "fixed")

    def _record(self, record: Record) -> Value:
        if record.owner in self.network.inputs:
            return self.block.input(record.owner, Type("real", True, (self.axis[record.owner],)), "sequence")
        if record.owner in self.network.connections:
            raise DeclarationError(
                f"recording '{record.owner}.{record.signal}' is not supported yet: a weight without plasticity does not change in a run",
                self.network.connections[record.owner].loc,
                f"read model.{record.owner}.weight",
            )
        signals = self.signals[record.owner]
        found = (signals.threshold if record.at_threshold else signals.final)[record.signal]
        return self.block.spread(found, Type(found.type.dtype, True, (self.axis[record.owner],)))


def evaluation_order(network: Network) -> list[str]:
    """Return the populations so that those joined with delay 0 stand after their sources."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(network.populations)
    graph.add_edges_from(
        (c.pre, c.post) for c in network.connections.values() if c.delay == 0 and c.pre in network.populations
    )
    return list(networkx.lexicographical_topological_sort(graph, key=list(network.populations).index))


def _unknown(value: Any, env: Mapping[sympy.Basic, Value]) -> bool:
    return isinstance(value, sympy.Basic) and any(isinstance(s, gs.State) and s not in env for s in value.free_symbols)


def _translate(
    lowering: _Lowering,
    block: _Block,
    owner: str,
    expr: sympy.Expr,
    env: Mapping[sympy.Basic, Value],
    at: Mapping[sympy.Basic, Value],
    name: str,
    loc: Loc | None = None,
) -> Value:
    """Return the value of `expr`, its symbols read from `env`, and from `at` inside at_threshold."""
    expr, operands = _leaves(lowering, block, owner, sympy.sympify(expr), env, at, name)
    return block.map(name, expr, operands, loc)


def _leaves(
    lowering: _Lowering,
    block: _Block,
    owner: str,
    expr: sympy.Expr,
    env: Mapping[sympy.Basic, Value],
    at: Mapping[sympy.Basic, Value],
    name: str,
) -> tuple[sympy.Expr, list[Value]]:
    """Return `expr` over value names, and those values; markers become nodes of their own."""
    found: dict[sympy.Basic, Value] = {}
    expr = expr.xreplace({gs.dt: sympy.Float(lowering.network.dt)})
    for marker in _outermost(expr):
        if isinstance(marker, detach):
            inner = _translate(lowering, block, owner, marker.args[0], env, at, name)
            result = block.names.value(f"{inner.name}_stopped", inner.type, inner)
            found[marker] = block.add(StopGradient(result=result, operands=(inner,)))
        elif isinstance(marker, at_threshold):
            found[marker] = _translate(lowering, block, owner, marker.args[0], at, at, name)
        else:
            found[marker] = _past_value(lowering, block, owner, marker, env)
    rest = expr.xreplace({m: symbol(v) for m, v in found.items()})
    own = {symbol(v) for v in found.values()}
    leaves = {s: env[s] for s in sorted(rest.free_symbols - own, key=str)}
    return rest.xreplace({s: symbol(v) for s, v in leaves.items()}), [*leaves.values(), *found.values()]


def _outermost(expr: sympy.Basic) -> list[sympy.Basic]:
    if isinstance(expr, (detach, at_threshold, previous)):
        return [expr]
    return list(dict.fromkeys(m for a in expr.args for m in _outermost(a)))


def _past_value(
    lowering: _Lowering, block: _Block, owner: str, marker: sympy.Basic, env: Mapping[sympy.Basic, Value]
) -> Value:
    """Return gc.previous(a, delay): what this very occurrence of `a` was `delay` steps ago."""
    what, delay = marker.args
    steps = _steps(delay, lowering.network, owner)
    if block is lowering.start:
        return env[what]
    if what == gs.spike:
        type = Type("bool", True, (lowering.axis[owner],))
        return lowering.read(f"{owner}.spike@history", type, steps, None, f"{owner}_spike_{steps}")
    value = env[what]
    history = f"{owner}.{value.name}@history"
    past = lowering.pasts.setdefault(history, _Past(value.type))
    past.value = value
    before = lowering.initial_values.get(f"{owner}.{what.name}") if isinstance(what, gs.State) else None
    return lowering.read(history, value.type, steps, before, f"{value.name}_{steps}")


def _steps(delay: sympy.Basic, network: Network, owner: str) -> int:
    if delay.is_Integer:
        return int(delay)
    steps = float(delay) / network.dt
    if abs(steps - round(steps)) > 1e-6:
        raise DeclarationError(
            f"gc.previous in population '{owner}' looks {float(delay)!r} ms back, which is no multiple of dt = {network.dt!r} ms",
            network.populations[owner].loc,
            "give the delay in steps, or change dt",
        )
    return round(steps)


class _PopulationStep:
    """One population's part of the step: deliver, integrate, threshold, reset, output."""

    def __init__(self, lowering: _Lowering, population: Population) -> None:
        self.lowering, self.population = lowering, population
        self.neuron: Neuron = population.neuron
        self.owner = population.name
        self.axis = lowering.axis[self.owner]
        self.block = lowering.block
        self.type = Type("real", True, (self.axis,))
        self.refractory: Value | None = None
        self.env: dict[sympy.Basic, Value] = {}

    def run(self) -> None:
        """Lower the five parts in order."""
        neuron, owner, block = self.neuron, self.owner, self.block
        signals = self.lowering.signals.setdefault(owner, _Signals())
        current = {
            s: block.names.value(f"{owner}.{s.name}", self.type, loc=neuron.loc_of_state(s)) for s in neuron.states
        }
        self.env |= {p: self.lowering.parameter(block, owner, p.name) for p in neuron.parameters}
        self.env |= {i: self._drive(i.name) for i in neuron.inputs}
        if self._uses(gs.t):
            self.env[gs.t] = self.lowering.now()
        count = self._refractory_flag()

        self.env |= current
        self.env |= self._group("receive", neuron.receive)
        self.env |= self._integrate() | self._group("update", neuron.update)
        threshold = dict(self.env)
        z = self._spike()
        final = dict(threshold)
        if z is not None:
            final |= self._reset(threshold, z)
            final[gs.spike] = z
        before = threshold if z is None else {**threshold, gs.spike: z}
        output = _translate(
            self.lowering, block, owner, neuron.output, final, before, f"{owner}.output", neuron.loc_of("output", 0)
        )
        output = block.spread(output, Type(output.type.dtype, True, (self.axis,)))
        self._finish(current, final, z, count, output)
        self._publish(signals, threshold, final, output)

    def _uses(self, s: sympy.Symbol) -> bool:
        neuron = self.neuron
        exprs: list[Any] = [
            *neuron.ode.values(),
            *neuron.update.values(),
            *neuron.receive.values(),
            *neuron.reset.values(),
        ]
        exprs += [neuron.output, *neuron.let.values()]
        if neuron.spike is not None:
            exprs.append(neuron.spike.margin)
        return any(e.has(s) for e in exprs)

    def _drive(self, name: str) -> Value:
        """Return the summed drive of input `name`; an input without a connection is 0."""
        parts = []
        for c in self.lowering.network.connections.values():
            if c.post == self.owner and c.target == name:
                parts.append(self._delivered(c))
        if not parts:
            return self.block.const(0.0, f"{self.owner}.{name}")
        total = sympy.Add(*(symbol(v) for v in parts), evaluate=len(parts) == 1)
        return self.block.map(f"{self.owner}.{name}", total, parts, parts[0].loc)

    def _delivered(self, connection: Connection) -> Value:
        block = self.block
        source = self.lowering.source(connection)
        weight = self.lowering.parameter(block, connection.shared or connection.name, "weight")
        if isinstance(connection.connectivity, Dense):
            result = block.names.value(f"{connection.name}.drive", self.type, loc=connection.loc)
            return block.add(Project(result=result, operands=(source, weight)))
        return block.map(f"{connection.name}.drive", symbol(source) * symbol(weight), (source, weight), connection.loc)

    def _refractory_flag(self) -> Value | None:
        if self.neuron.refractory is None:
            return None
        count = self.block.names.value(f"{self.owner}.refractory", Type("int", True, (self.axis,)))
        result = self.block.names.value(f"{self.owner}.held", Type("bool", True, (self.axis,)))
        self.refractory = self.block.add(Test(result=result, operands=(count,)))
        return count

    def _held(self, state: gs.State, before: Value, after: Value) -> Value:
        """Return `after`, or `before` while the population is refractory and holds `state`."""
        rule = self.neuron.refractory
        if rule is None or self.refractory is None or state not in rule.hold or before is after:
            return after
        flag = self.refractory
        chosen = sympy.Piecewise((symbol(before), symbol(flag) > 0), (symbol(after), True))
        return self.block.map(f"{self.owner}.{state.name}", chosen, (before, after, flag), after.loc)

    def _group(self, group: str, assignments: Mapping[gs.State, sympy.Expr]) -> dict[sympy.Basic, Value]:
        """Return the new values of one group, whose right-hand sides all read the values before it."""
        new: dict[sympy.Basic, Value] = {}
        for state, expr in assignments.items():
            loc = self.neuron.loc_of(group, state)
            value = _translate(
                self.lowering, self.block, self.owner, expr, self.env, self.env, f"{self.owner}.{state.name}", loc
            )
            new[state] = self._held(state, self.env[state], self.block.spread(value, self.type))
        return new

    def _integrate(self) -> dict[sympy.Basic, Value]:
        neuron, block = self.neuron, self.block
        if not neuron.ode:
            return {}
        states = tuple(neuron.ode)
        operands = [self.env[s] for s in states]
        rates = []
        for state, expr in neuron.ode.items():
            if neuron.integrator in ("heun", "rk4") and any(m.free_symbols & set(states) for m in _outermost(expr)):
                raise DeclarationError(
                    f"d{state.name}/dt of neuron '{neuron.name}' stops or delays a state inside the stages of {neuron.integrator}",
                    neuron.loc_of("ode", state),
                    'use integrator="euler" or "exponential_euler"',
                )
            rate, leaves = _leaves(
                self.lowering, block, self.owner, expr, self.env, self.env, f"{self.owner}.{state.name}"
            )
            rates.append(rate)
            operands += leaves
        operands = list(dict.fromkeys(operands))
        hold = neuron.refractory.hold if neuron.refractory is not None else ()
        held = None
        if self.refractory is not None and any(s in hold for s in states):
            operands.append(self.refractory)
            held = len(operands) - 1
        time = next((k for k, v in enumerate(operands) if v is self.lowering.time), None)
        system = OdeSystem(
            owner=self.owner,
            states=tuple(s.name for s in states),
            rates=tuple(rates),
            integrator=neuron.integrator,
            h=self.lowering.network.dt,
            holds=tuple(s in hold for s in states),
            held=held,
            time=time,
        )
        new: dict[sympy.Basic, Value] = {}
        for index, state in enumerate(states):
            result = block.names.value(f"{self.owner}.{state.name}", self.type, loc=neuron.loc_of("ode", state))
            new[state] = block.add(Ode(result=result, operands=tuple(operands), system=system, index=index))
        return new

    def _spike(self) -> Value | None:
        spike, block, owner = self.neuron.spike, self.block, self.owner
        if spike is None:
            return None
        loc = self.neuron.loc_of("spike", 0)
        margin = _translate(self.lowering, block, owner, spike.margin, self.env, self.env, f"{owner}.condition", loc)
        margin = block.spread(margin, self.type)
        blocked = self.refractory
        if spike.edge == "rising":
            blocked = self._was_above(margin, spike.strict)
        flag = Type("bool", True, (self.axis,))
        operands = (margin,) if blocked is None else (margin, blocked)
        result = block.names.value(f"{owner}.spike", flag, loc=loc)
        return block.add(
            Spike(
                result=result,
                operands=operands,
                strict=spike.strict,
                derivative=spike.surrogate.derivative(C),
                antiderivative=spike.surrogate.antiderivative(C),
            )
        )

    def _was_above(self, margin: Value, strict: bool) -> Value:
        """Return whether a spike is blocked: the condition held at the step before, or the neuron is refractory."""
        block, owner = self.block, self.owner
        flag = Type("bool", True, (self.axis,))
        before = block.names.value(f"{owner}.above", flag)
        above = block.add(Test(result=block.names.value(f"{owner}.above", flag), operands=(margin,), strict=strict))
        name = f"{owner}.above"
        self.lowering.states.append(Tensor(name, flag))
        self.lowering.carries.append(Carry(name, before, above, initial(name), final(name)))
        if self.refractory is None:
            return before
        either = block.map(f"{owner}.blocked", symbol(before) + symbol(self.refractory), (before, self.refractory))
        return block.add(Test(result=block.names.value(f"{owner}.blocked", flag), operands=(either,)))

    def _reset(self, threshold: Mapping[sympy.Basic, Value], z: Value) -> dict[sympy.Basic, Value]:
        neuron, block, owner = self.neuron, self.block, self.owner
        new: dict[sympy.Basic, Value] = {}
        stopped: Value | None = None
        assert neuron.spike is not None
        for state, expr in neuron.reset.items():
            own = z
            if state in neuron.spike.detached:
                if stopped is None:
                    stopped = block.add(
                        StopGradient(result=block.names.value(f"{z.name}_self", z.type, z), operands=(z,))
                    )
                own = stopped
            loc = neuron.loc_of("reset", state)
            env = {**threshold, gs.spike: own}
            target = _translate(self.lowering, block, owner, expr, env, env, f"{owner}.{state.name}_reset", loc)
            result = block.names.value(f"{owner}.{state.name}", self.type, loc=loc)
            new[state] = block.add(Reset(result=result, operands=(threshold[state], own, target)))
        return new

    def _finish(
        self,
        current: Mapping[gs.State, Value],
        after: Mapping[sympy.Basic, Value],
        z: Value | None,
        count: Value | None,
        output: Value,
    ) -> None:
        """Declare the carries, and give the histories of this population their values."""
        lowering, owner = self.lowering, self.owner
        for state in self.neuron.states:
            name = f"{owner}.{state.name}"
            lowering.states.append(Tensor(name, self.type, None, self.population.loc))
            lowering.carries.append(Carry(name, current[state], after[state], initial(name), final(name)))
        if count is not None and z is not None:
            name = f"{owner}.refractory"
            less = self.block.names.value(name, count.type)
            self.block.add(Count(result=less, operands=(count, z, self._refractory_steps())))
            lowering.states.append(Tensor(name, count.type))
            lowering.carries.append(Carry(name, count, less, initial(name), final(name)))
        spiking = self.neuron.output == gs.spike
        readers = [c for c in lowering.network.connections.values() if c.pre == owner and c.delay > 0]
        if z is not None and (f"{owner}.spike@history" in lowering.pasts or (spiking and readers)):
            lowering.pasts.setdefault(f"{owner}.spike@history", _Past(z.type)).value = z
        if readers and not spiking:
            lowering.pasts.setdefault(f"{owner}.output@history", _Past(self.type)).value = output

    def _refractory_steps(self) -> Value:
        rule = self.neuron.refractory
        assert rule is not None
        duration = sympy.sympify(rule.duration)
        if duration == sympy.oo:
            return self.block.const(FOREVER, f"{self.owner}.refractory_steps")
        if duration.is_Number:
            return self.block.const(round(float(duration) / self.lowering.network.dt), f"{self.owner}.refractory_steps")
        steps = sympy.floor(duration / self.lowering.network.dt + sympy.Rational(1, 2))
        return _translate(
            self.lowering, self.block, self.owner, steps, self.env, self.env, f"{self.owner}.refractory_steps"
        )

    def _publish(
        self,
        signals: _Signals,
        threshold: Mapping[sympy.Basic, Value],
        final: Mapping[sympy.Basic, Value],
        output: Value,
    ) -> None:
        neuron, owner = self.neuron, self.owner
        signals.final["output"] = output
        for s in (*neuron.states, *neuron.inputs):
            signals.final[s.name], signals.threshold[s.name] = final[s], threshold[s]
        if gs.spike in final:
            signals.final["spike"] = final[gs.spike]
        if self.refractory is not None:
            signals.final["refractory"] = self.refractory
        for record in self.lowering.requested:
            if record.owner == owner and record.signal in neuron.let:
                table, env = (signals.threshold, threshold) if record.at_threshold else (signals.final, final)
                expr = neuron.let[record.signal]
                table[record.signal] = _translate(
                    self.lowering, self.block, owner, expr, env, threshold, f"{owner}.{record.signal}"
                )
