"""One learning rule's part of the step: jumps when spikes arrive, and jumps and equations at the end of the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import sympy

from graphc.ir import (
    Carry,
    DeclarationError,
    Ode,
    OdeSystem,
    Pool,
    Reset,
    Spread,
    StopGradient,
    Synapses,
    Tensor,
    Test,
    Type,
    Value,
    final,
    initial,
    slot,
    symbol,
)
from graphc.ir.functions import detach, previous, total
from graphc.ir.program import Applied

from . import symbols as gs
from .connection import Connection
from .lower_connection import ConnectionStep
from .lower_lists import is_list
from .rule_places import place_of
from .translate import markers

if TYPE_CHECKING:
    from .lower import Lowering

Placed = tuple[Value, "gs.Place | None"]
CHANGE = "change"  # what a rule that applies gradients sums up


class RuleStep:
    """The states of the synapses of one connection, and what happens to them in a step.

    Attributes:
        values: the states and, where the rule changes it, gc.weight, as they stand.
        places: where each state is kept.
    """

    def __init__(self, lowering: Lowering, connection: Connection, detect: bool) -> None:
        """Declare the current values."""
        self.lowering, self.connection, self.block = lowering, connection, lowering.block
        assert connection.rule is not None
        self.rule, self.name = connection.rule, connection.name
        self.systems = self.rule.places()  # equations of one place are solved together, however they are stored
        self.places: dict[Any, gs.Place] = self.rule.places(detect)
        weight = lowering.parameters[f"{self.name}.weight"].type
        ends = lowering.axis[connection.pre], lowering.axis[connection.post]
        self.ends = ends
        self.types = {
            "pre": Type("real", True, ends[:1]),
            "post": Type("real", True, ends[1:]),
            "synapse": Type("real", True, weight.axes),
        }
        self.paired = weight.axes == ends[1:]
        self.at_end = False
        self.spread: dict[tuple[Value, tuple[str, ...], str], Value] = {}
        self.factors: dict[sympy.Basic, Value] = {}
        self.values: dict[Any, Value] = {s: self._current(s.name, self.places[s]) for s in self.rule.states}
        if self.rule.carries_weight:
            self.values[gs.weight] = self._current("weight", "synapse")
        elif self.rule.changes_weight:
            self.values[CHANGE] = self._current(CHANGE, "synapse")
        self.start = dict(self.values)
        self._initial()

    def _current(self, name: str, place: gs.Place) -> Value:
        return self.block.names.value(f"{self.name}.{name}", self.types[place], loc=self.rule.loc)

    @property
    def weight(self) -> Value:
        """The weight that acts: a state, or the parameter."""
        return self.values.get(gs.weight) or self.lowering.parameter(self.block, self.name, "weight")

    def placed(self, expr: sympy.Expr) -> sympy.Expr:
        """Return `expr` with states that say where they are kept."""
        return expr.xreplace({s: gs.State(s.name, self.places[s]) for s in self.rule.states})

    def kept(self, place: gs.Place | None = None) -> dict[sympy.Basic, Value]:
        """Return the states as `placed` names them, those kept at one place or outside the synapses."""
        chosen = {s: p for s, p in self.places.items() if (p == place if place else p != "synapse")}
        return {gs.State(s.name, p): self.values[s] for s, p in chosen.items()}

    # Before the first step.

    def _initial(self) -> None:
        lowering, start = self.lowering, self.lowering.start
        env: dict[sympy.Basic, Value] = {gs.weight: lowering.parameter(start, self.name, "weight")}
        env |= {p: lowering.parameter(start, self.name, p.name) for p in self.rule.parameters}
        for state, expr in self.rule.init.items():
            leaves = {s: env[s] for s in sorted(expr.free_symbols, key=str) if s != gs.dt}
            expr = expr.xreplace({gs.dt: sympy.Float(lowering.network.dt)})
            expr = expr.xreplace({s: symbol(v) for s, v in leaves.items()})
            full = f"{self.name}.{state.name}"
            lowering.initial_values[full] = start.map(full, expr, leaves.values())
        if self.rule.carries_weight:
            lowering.initial_values[f"{self.name}.weight"] = env[gs.weight]

    # The two moments of a step.

    def arrive(self) -> None:
        """Apply on_pre, after the arriving spikes have been delivered."""
        if self.rule.on_pre:
            connection = self.connection
            event = self.lowering.signal(connection.pre, self._event(connection.source), connection.shortest)
            if event.type.dtype != "bool":
                size = self.block.map(f"{self.name}.arriving", sympy.Abs(symbol(event)), (event,))
                flag = self.block.names.value(f"{self.name}.arrives", size.type.with_dtype("bool"))
                event = self.block.add(Test(result=flag, operands=(size,)))
            self._jump("on_pre", event, "pre")

    def finish(self) -> None:
        """Read the third factors, apply on_post, advance the equations, and close the carries."""
        self.at_end = True
        for factor in self.rule.inputs:
            self.factors[factor] = self._factor(factor.name)
        if self.rule.on_post:
            self._jump("on_post", self.lowering.signals[self.connection.post].final["spike"], "post")
        old = dict(self.values)
        new = self._integrate()
        for key, expr in self.rule.update.items():
            new[key] = self._next(key, expr, "update")
        self.values = old
        self._assign({k: self._clipped(v) if k == gs.weight else v for k, v in new.items()})
        for key, value in self.values.items():
            name = f"{self.name}.{key if key in (gs.weight, CHANGE) else key.name}"
            self.lowering.states.append(Tensor(name, value.type, None, self.rule.loc))
            self.lowering.carries.append(Carry(name, self.start[key], value, initial(name), final(name)))
        if self.rule.apply == "gradient" or self.rule.reduction is not None:
            state = "weight" if self.rule.apply == "weight" else CHANGE
            applied = Applied(f"{self.name}.weight", f"{self.name}.{state}", self.rule.reduction == "mean")
            self.lowering.applied.append(applied)

    def record(self, signal: str) -> Value:
        """Return what a record of this connection holds, over the domain that the user declared."""
        if signal == "weight":
            return self.values[gs.weight]
        state = next(s for s in self.rule.states if s.name == signal)
        return self._widen((self.values[state], self.places[state]), place_of(state) or "synapse")

    @staticmethod
    def _event(source: Any) -> str:
        return "spike" if getattr(getattr(source, "neuron", None), "spike", None) is not None else "output"

    def _factor(self, name: str) -> Value:
        """Return the sum of what arrives at a third factor."""
        parts: list[Value] = []
        for c in self.lowering.network.connections.values():
            if c.post == f"{self.name}.{name}":
                parts += ConnectionStep(self.lowering, c).drives(name)
        if not parts:
            return self.block.const(0.0, f"{self.name}.{name}")
        return self.block.map(f"{self.name}.{name}", sympy.Add(*map(symbol, parts), evaluate=False), parts)

    # Groups of assignments, whose right-hand sides read the values before all of them.

    def _jump(self, group: str, event: Value, side: gs.Place) -> None:
        new: dict[Any, Value] = {}
        for key, expr in getattr(self.rule, group).items():
            place = self._place(key)
            target = self._next(key, expr, group)
            target = self._clipped(target) if key == gs.weight else target
            flag = self._widen((event, side), place)
            loc = self.rule.loc_of(group, key)
            result = self.block.names.value(f"{self.name}.{key}", self.types[place], loc=loc)
            before = self._old(key)
            new[key] = self.block.add(Reset(result=result, operands=(before, flag, target)))
        self._assign(new)

    def _place(self, key: Any) -> gs.Place:
        return "synapse" if key == gs.weight else self.places[key]

    def _old(self, key: Any) -> Value:
        if key != gs.weight:
            return self.values[key]
        return self.block.spread(self.weight, self.types["synapse"])

    def _next(self, key: Any, expr: sympy.Expr, group: str) -> Value:
        place, loc = self._place(key), self.rule.loc_of(group, key)
        value = self.value(expr, place, str(key), loc)
        return self.block.spread(value, self.types[place])

    def _assign(self, new: Mapping[Any, Value]) -> None:
        """Take over the new values of a group; the weight in the way that the rule is applied."""
        rest = {k: v for k, v in new.items() if k != gs.weight}
        weight = new.get(gs.weight)
        if weight is not None:
            old = self._old(gs.weight)
            difference = symbol(weight) - symbol(old)
            if self.rule.apply == "gradient":
                change = self.values[CHANGE]
                total_change = symbol(change) + difference
                rest[CHANGE] = self.block.map(f"{self.name}.{CHANGE}", total_change, (change, weight, old))
            elif self.rule.reduction is not None:
                change = self.block.map(f"{self.name}.{CHANGE}", difference, (weight, old))
                pooled = self.block.names.value(f"{self.name}.pooled", change.type)
                mean = self.rule.reduction == "mean"
                pooled = self.block.add(Pool(result=pooled, operands=(change,), mean=mean))
                moved = self.block.map(f"{self.name}.weight", symbol(old) + symbol(pooled), (old, pooled))
                rest[gs.weight] = self._clipped(moved)
            else:
                rest[gs.weight] = weight
        self.values |= rest

    def _clipped(self, value: Value) -> Value:
        if self.rule.bounds is None:
            return value
        low, high = self.rule.bounds
        expr, leaves = self._leaves(sympy.Min(sympy.Max(_VALUE, low), high), "synapse", "bounds", {_VALUE: value})
        return self.block.map(f"{self.name}.weight", expr, leaves, self.rule.loc.entry("bounds"))

    def _integrate(self) -> dict[Any, Value]:
        new: dict[Any, Value] = {}
        keys = list(self.rule.ode)
        for place in ("pre", "post", "synapse"):
            here = [k for k in keys if (self.systems[k] if k != gs.weight else "synapse") == place]
            if here:
                new |= self._system(here)
        return new

    def _system(self, keys: list[Any]) -> dict[Any, Value]:
        """Return the states of one place after the step, as one system of equations."""
        stored = self._place(keys[0])
        operands, rates = [self._old(k) for k in keys], []
        given = dict(zip(keys, operands, strict=True))
        for key in keys:
            expr = self.rule.ode[key]
            if self.rule.integrator in ("heun", "rk4") and any(m.free_symbols & set(keys) for m in markers(expr)):
                raise DeclarationError(
                    f"d{key}/dt of rule '{self.rule.name}' stops or sums a state inside the stages of "
                    f"{self.rule.integrator}",
                    self.rule.loc_of("ode", key),
                    'use integrator="euler" or "exponential_euler"',
                )
            rate, leaves = self._leaves(expr, stored, str(key), given)
            rates.append(rate)
            operands += leaves
        operands = list(dict.fromkeys(operands))
        system = OdeSystem(
            owner=self.name,
            states=tuple(str(k) for k in keys),
            rates=tuple(rates),
            integrator=self.rule.integrator,
            h=self.lowering.network.dt,
            holds=(False,) * len(keys),
            held=None,
            time=next((k for k, v in enumerate(operands) if v is self.lowering.time), None),
        )
        new = {}
        for index, key in enumerate(keys):
            loc = self.rule.loc_of("ode", key)
            result = self.block.names.value(f"{self.name}.{key}", self.types[stored], loc=loc)
            new[key] = self.block.add(Ode(result=result, operands=tuple(operands), system=system, index=index))
        return new

    # Expressions.

    def value(self, expr: sympy.Expr, place: gs.Place, name: str, loc: Any = None) -> Value:
        """Return the value of `expr` over the domain of `place`."""
        rest, leaves = self._leaves(expr, place, name)
        return self.block.map(f"{self.name}.{name}", rest, leaves, loc)

    def _leaves(
        self, expr: sympy.Expr, place: gs.Place, name: str, given: Mapping[Any, Value] | None = None
    ) -> tuple[sympy.Expr, list[Value]]:
        """Return `expr` over value names, and those values, each over the domain of `place`."""
        expr = expr.xreplace({gs.dt: sympy.Float(self.lowering.network.dt)})
        found: dict[sympy.Basic, Value] = {}
        for marker in markers(expr):
            if isinstance(marker, detach):
                inner = self.value(marker.args[0], place, name)
                result = self.block.names.value(f"{inner.name}_stopped", inner.type, inner)
                found[marker] = self.block.add(StopGradient(result=result, operands=(inner,)))
            elif isinstance(marker, total):
                found[marker] = self._widen(self._sum(marker), place)
            else:
                assert isinstance(marker, previous)
                found[marker] = self._widen(self._signal(marker.args[0], self._steps(marker.args[1])), place)
        rest = expr.xreplace({m: symbol(v) for m, v in found.items()})
        own = {symbol(v) for v in found.values()}
        leaves: dict[sympy.Basic, Value] = {}
        for s in sorted(rest.free_symbols - own, key=str):
            leaves[s] = given[s] if given and s in given else self._widen(self._leaf(s), place)
        return rest.xreplace({s: symbol(v) for s, v in leaves.items()}), [*leaves.values(), *found.values()]

    def _leaf(self, s: sympy.Basic) -> Placed:
        if s == gs.weight:
            return self.weight, "synapse"
        if s == gs.t:
            return self.lowering.now(), None
        if isinstance(s, gs.State):
            return self.values[s], self.places[s]
        if isinstance(s, gs.Input):
            return self.factors[s], s.on
        if isinstance(s, gs.Signal):
            return self._signal(s, 0)
        assert isinstance(s, gs.Parameter)
        return self.lowering.parameter(self.block, self.name, s.name), place_of(s)

    def _signal(self, s: Any, before: int) -> Placed:
        """Return a signal as it arrives, or of the target: at the end of a step its own, before that the last one."""
        connection, lowering = self.connection, self.lowering
        if s.side == "pre":
            owner, steps = connection.pre, connection.shortest + before
        else:
            owner, steps = connection.post, before + (0 if self.at_end else 1)
        value = lowering.signal(owner, s.signal, steps)
        side: gs.Place = s.side
        return self.block.spread(value, Type(value.type.dtype, True, self.types[side].axes)), side

    def _steps(self, delay: sympy.Basic) -> int:
        if delay.is_Integer:
            return int(delay)
        steps = float(delay) / self.lowering.network.dt
        if abs(steps - round(steps)) > 1e-6:
            message = f"gc.previous in rule '{self.rule.name}' looks {float(delay)!r} ms back, no multiple of dt"
            raise DeclarationError(message, self.rule.loc, "give the delay in steps, or change dt")
        return round(steps)

    def _sum(self, marker: sympy.Basic) -> Placed:
        """Return a sum over the synapses of every neuron of one side."""
        over = str(marker.args[1])
        each = self.block.spread(self.value(marker.args[0], "synapse", "summand"), self.types["synapse"])
        side: gs.Place = "post" if over == "pre" else "pre"
        if self.paired:
            return each, side
        result = self.block.names.value(f"{self.name}.sum", self.types[side], loc=self.rule.loc)
        node = Synapses(
            result=result,
            operands=(each, *self._tables()),
            expr=slot(0),
            roles=("synapse",),
            over="pre" if over == "pre" else "post",
            ends=self.ends,
            layout="list" if is_list(self.connection) else "auto",
        )
        return self.block.add(node), side

    def _tables(self) -> Iterable[Value]:
        if not is_list(self.connection):
            return ()
        return tuple(self.lowering.parameter(self.block, self.name, table) for table in ("rows", "post"))

    def _widen(self, given: Placed, place: gs.Place) -> Value:
        """Return a value over the domain of `place`; what is the same everywhere stays as it is."""
        value, where = given
        if where is None or where == place or not value.type.axes:
            return value
        if where == "network":
            if place == "synapse":
                return self._widen((self._widen(given, "post"), "post"), place)
            return self._spread(value, self.types[place].axes, "one", ())
        if self.paired:
            return value
        return self._spread(value, self.types[place].axes, where, tuple(self._tables()))

    def _spread(self, value: Value, axes: tuple[str, ...], side: Any, tables: tuple[Value, ...]) -> Value:
        if (value, axes, side) in self.spread:
            return self.spread[value, axes, side]
        type = Type(value.type.dtype, value.type.batched, axes)
        result = self.block.names.value(f"{value.name}_{side}", type, value)
        ends = () if side == "one" else self.ends
        made = self.block.add(Spread(result=result, operands=(value, *tables), side=side, ends=ends))
        self.spread[value, axes, side] = made
        return made


_VALUE = sympy.Dummy("value", real=True)
