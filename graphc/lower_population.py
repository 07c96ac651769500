"""One population's part of the time step: deliver, integrate, threshold, reset, output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy

from graphc.ir import (
    Carry,
    Count,
    DeclarationError,
    Ode,
    OdeSystem,
    Reset,
    Spike,
    StopGradient,
    Tensor,
    Test,
    Type,
    Value,
    final,
    initial,
    symbol,
)
from graphc.ir.ops import C

from . import symbols as gs
from .block import Signals
from .lower_connection import ConnectionStep
from .lower_escape import EscapeStep
from .network import Population
from .neuron import Neuron
from .translate import Scope, markers

if TYPE_CHECKING:
    from .lower import Lowering

FOREVER = 1e9  # steps: what `refractory=sympy.oo` counts down from


class PopulationStep:
    """One population's part of the step: deliver, integrate, threshold, reset, output."""

    def __init__(self, lowering: Lowering, population: Population) -> None:
        self.lowering, self.population = lowering, population
        self.neuron: Neuron = population.neuron
        self.owner = population.name
        self.axis = lowering.axis[self.owner]
        self.block = lowering.block
        self.scope = Scope(lowering, self.block, self.owner)
        self.type = Type("real", True, (self.axis,))
        self.refractory: Value | None = None
        self.env: dict[sympy.Basic, Value] = {}

    def run(self) -> None:
        """Lower the five parts in order."""
        neuron, owner, block = self.neuron, self.owner, self.block
        signals = self.lowering.signals.setdefault(owner, Signals())
        current = {
            s: block.names.value(f"{owner}.{s.name}", self.type, loc=neuron.loc_of_state(s)) for s in neuron.states
        }
        self.env |= {p: self.lowering.parameter(block, owner, p.name) for p in neuron.parameters}
        self.env |= {i: self._drive(i.name) for i in neuron.inputs}
        for rule in self.lowering.rules.values():
            if rule.connection.post == owner:
                rule.arrive()
        self.env |= {n: self.lowering.drawn(self.owner, n.name, n.kind) for n in neuron.noises}
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
        if self.refractory is not None:
            final[gs.refractory] = before[gs.refractory] = self.refractory
        output = self.scope.value(neuron.output, final, "output", before, neuron.loc_of("output", 0))
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
            exprs += [e for e in (neuron.spike.condition, neuron.spike.escape) if e is not None]
        return any(e.has(s) for e in exprs)

    def _drive(self, name: str) -> Value:
        """Return the summed drive of input `name`; an input without a connection is 0."""
        parts = []
        for c in self.lowering.network.connections.values():
            if c.post == self.owner and name in c.transmit:
                parts += ConnectionStep(self.lowering, c).drives(name)
        if not parts:
            return self.block.const(0.0, f"{self.owner}.{name}")
        total = sympy.Add(*(symbol(v) for v in parts), evaluate=len(parts) == 1)
        return self.block.map(f"{self.owner}.{name}", total, parts, parts[0].loc)

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
            value = self.scope.value(expr, self.env, state.name, loc=loc)
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
            if neuron.integrator in ("heun", "rk4") and any(m.free_symbols & set(states) for m in markers(expr)):
                raise DeclarationError(
                    f"d{state.name}/dt of neuron '{neuron.name}' stops or delays a state "
                    f"inside the stages of {neuron.integrator}",
                    neuron.loc_of("ode", state),
                    'use integrator="euler" or "exponential_euler"',
                )
            rate, leaves = self.scope.leaves(expr, self.env, state.name)
            rates.append(rate)
            operands += leaves
        operands = list(dict.fromkeys(operands))
        hold = neuron.refractory.hold if neuron.refractory is not None else ()
        held = None
        if self.refractory is not None and any(s in hold for s in states):
            operands.append(self.refractory)
            held = len(operands) - 1
        white = {self.env[n] for n in neuron.noises}
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
            noises=tuple(k for k, v in enumerate(operands) if v in white),
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
        if spike.escape is not None:
            return EscapeStep(self).spike()
        margin = self.scope.value(spike.margin, self.env, "condition", loc=loc)
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
            target = self.scope.value(expr, env, f"{state.name}_reset", loc=loc)
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
        if z is not None and f"{owner}.spike@history" in lowering.pasts:
            lowering.pasts[f"{owner}.spike@history"].value = z

    def _refractory_steps(self) -> Value:
        rule = self.neuron.refractory
        assert rule is not None
        duration = sympy.sympify(rule.duration)
        if duration == sympy.oo:
            return self.block.const(FOREVER, f"{self.owner}.refractory_steps")
        if duration.is_Number:
            return self.block.const(round(float(duration) / self.lowering.network.dt), f"{self.owner}.refractory_steps")
        steps = sympy.floor(duration / self.lowering.network.dt + sympy.Rational(1, 2))
        return self.scope.value(steps, self.env, "refractory_steps")

    def _publish(
        self,
        signals: Signals,
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
        signals.final |= {f"{name}@threshold": value for name, value in signals.threshold.items()}
        for record in self.lowering.requested:
            if record.owner == owner and record.signal in neuron.let:
                table, env = (signals.threshold, threshold) if record.at_threshold else (signals.final, final)
                expr = neuron.let[record.signal]
                table[record.signal] = self.scope.value(expr, env, record.signal, threshold)
        for name, expr in neuron.let.items():
            if name not in signals.final and self.lowering.delays_let(owner, name):
                signals.final[name] = self.scope.value(expr, final, name, threshold)
