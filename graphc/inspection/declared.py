"""Equations as the user declared them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy

from graphc.connection import DEFAULT, Connection
from graphc.ir import Loc
from graphc.network import Network, Population

from .report import Equation, Where
from .tex import Naming, text

_TEX = Naming()
_JUMPS = {
    "receive": ("on input", "on input"),
    "reset": ("at a spike", "at a spike"),
    "on_pre": ("as a spike arrives", "as a spike arrives"),
    "on_post": ("at a spike of the target", "at a spike of the target"),
}


def declared(network: Network) -> list[Equation]:
    """Return the equations of every population and connection, in the order of their declaration."""
    found: list[Equation] = []
    for population in network.populations.values():
        found += _population(population)
    for connection in network.connections.values():
        found += _connection(connection)
    return found


def _population(population: Population) -> Iterator[Equation]:
    neuron, owner = population.neuron, population.name
    for state, rate in neuron.ode.items():
        yield _rate(owner, state, rate, neuron.loc_of("ode", state))
    for state, expr in neuron.update.items():
        yield _next(owner, state, expr, neuron.loc_of("update", state))
    for state, expr in neuron.receive.items():
        yield _jump(owner, "receive", state, expr, neuron.loc_of("receive", state))
    if neuron.escapes:
        rate = neuron.spike.escape  # type: ignore[union-attr]
        yield Equation(
            "declared", owner, "spike", f"spike with the rate {rate} per ms",
            text("spike with the rate ") + _TEX.expression(rate) + text(" per ms"), Where.of(neuron.loc_of("escape")),
        )  # fmt: skip
    elif neuron.spike is not None:
        condition = neuron.spike.condition
        if not isinstance(condition, sympy.core.relational.Relational):
            condition = sympy.Gt(condition, 0)
        rising = " begins to hold" if neuron.spike.edge == "rising" else ""
        yield Equation(
            "declared", owner, "spike", f"spike where {condition}{rising}",
            text("spike where ") + _TEX.expression(condition) + (text(rising) if rising else ""),
            Where.of(neuron.loc_of("spike")),
        )  # fmt: skip
    for state, expr in neuron.reset.items():
        yield _jump(owner, "reset", state, expr, neuron.loc_of("reset", state))
    if neuron.refractory is not None:
        duration, held = sympy.sympify(neuron.refractory.duration), neuron.refractory.hold
        keeps = f", {', '.join(s.name for s in held)} held" if held else ""
        yield Equation(
            "declared", owner, "refractory", f"no spike for {duration} ms after one{keeps}",
            text("no spike for ") + _TEX.expression(duration) + text(f" ms after one{keeps}".replace("_", r"\_")),
            Where.of(neuron.loc_of("refractory")),
        )  # fmt: skip


def _connection(connection: Connection) -> Iterator[Equation]:
    owner, loc = connection.name, connection.loc
    for target, expr in connection.transmit.items():
        at = Where.of(loc if expr == DEFAULT else loc.entry("transmit"))
        goal = f"{connection.post}.{target}"
        delay = connection.delays
        late = "" if delay[-1] == 0 else f", {delay[0]} steps later" if len(delay) == 1 else ", after its delay"
        late = late.replace("1 steps", "1 step") if delay[0] == 1 else late
        tex = rf"{_TEX.name(target)} \;\text{{+=}}\; {_TEX.expression(expr)}" + (text(late) if late else "")
        yield Equation("declared", owner, "transmit", f"{goal} += {expr}{late}", tex, at)
    rule = connection.rule
    for group, equations in ({} if rule is None else rule.groups).items():
        assert rule is not None
        for state, expr in equations.items():
            make = {"ode": _rate, "update": _next}.get(group)
            line = rule.loc_of(group, state)
            yield make(owner, state, expr, line) if make else _jump(owner, group, state, expr, line)


def _rate(owner: str, state: Any, rate: sympy.Expr, loc: Loc) -> Equation:
    tex = rf"\frac{{d{_TEX.name(state.name)}}}{{dt}} = {_TEX.expression(rate)}"
    return Equation("declared", owner, "ode", f"d{state.name}/dt = {rate}", tex, Where.of(loc))


def _next(owner: str, state: Any, expr: sympy.Expr, loc: Loc) -> Equation:
    tex = rf"{_TEX.name(state.name)}[t+1] = {_TEX.expression(expr)}"
    return Equation("declared", owner, "update", f"{state.name}[t+1] = {expr}", tex, Where.of(loc))


def _jump(owner: str, group: str, state: Any, expr: sympy.Expr, loc: Loc) -> Equation:
    when = _JUMPS[group][0]
    tex = rf"{_TEX.name(state.name)} \leftarrow {_TEX.expression(expr)} \quad {text(when)}"
    return Equation("declared", owner, group, f"{state.name} <- {expr} {when}", tex, Where.of(loc))
