"""Expressions of one population -> nodes: its symbols become values, its markers nodes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import sympy

from graphc.ir import DeclarationError, Loc, StopGradient, Type, Value, symbol
from graphc.ir.functions import at_threshold, detach, previous, total

from . import symbols as gs
from .block import Block, Past

if TYPE_CHECKING:
    from .lower import Lowering

Env = Mapping[sympy.Basic, Value]


class Scope:
    """The translation of the expressions of population `owner` into nodes of `block`."""

    def __init__(self, lowering: Lowering, block: Block, owner: str) -> None:
        self.lowering, self.block, self.owner = lowering, block, owner

    def value(self, expr: sympy.Expr, env: Env, name: str, at: Env | None = None, loc: Loc | None = None) -> Value:
        """Return the value of `expr`, its symbols read from `env`, and from `at` inside at_threshold."""
        expr, operands = self.leaves(sympy.sympify(expr), env, name, at)
        return self.block.map(f"{self.owner}.{name}", expr, operands, loc)

    def leaves(self, expr: sympy.Expr, env: Env, name: str, at: Env | None = None) -> tuple[sympy.Expr, list[Value]]:
        """Return `expr` over value names, and those values."""
        found: dict[sympy.Basic, Value] = {}
        expr = expr.xreplace({gs.dt: sympy.Float(self.lowering.network.dt)})
        for marker in markers(expr):
            if isinstance(marker, detach):
                inner = self.value(marker.args[0], env, name, at)
                result = self.block.names.value(f"{inner.name}_stopped", inner.type, inner)
                found[marker] = self.block.add(StopGradient(result=result, operands=(inner,)))
            elif isinstance(marker, at_threshold):
                found[marker] = self.value(marker.args[0], at or env, name)
            else:
                found[marker] = self._past(marker, env)
        rest = expr.xreplace({m: symbol(v) for m, v in found.items()})
        own = {symbol(v) for v in found.values()}
        leaves = {s: env[s] for s in sorted(rest.free_symbols - own, key=str)}
        return rest.xreplace({s: symbol(v) for s, v in leaves.items()}), [*leaves.values(), *found.values()]

    def _past(self, marker: sympy.Basic, env: Env) -> Value:
        """Return gc.previous(a, delay): what this very occurrence of `a` was `delay` steps ago."""
        lowering, owner = self.lowering, self.owner
        what, delay = marker.args
        steps = self._steps(delay)
        if self.block is lowering.start:
            return env[what]
        if what == gs.spike:
            type = Type("bool", True, (lowering.axis[owner],))
            return lowering.read(f"{owner}.spike@history", type, steps, None, f"{owner}_spike_{steps}")
        value = env[what]
        history = f"{owner}.{value.name}@history"
        past = lowering.pasts.setdefault(history, Past(value.type))
        past.value = value
        before = lowering.initial_values.get(f"{owner}.{what.name}") if isinstance(what, gs.State) else None
        return lowering.read(history, value.type, steps, before, f"{value.name}_{steps}")

    def _steps(self, delay: sympy.Basic) -> int:
        if delay.is_Integer:
            return int(delay)
        network = self.lowering.network
        steps = float(delay) / network.dt
        if abs(steps - round(steps)) > 1e-6:
            raise DeclarationError(
                f"gc.previous in population '{self.owner}' looks {float(delay)!r} ms back, "
                f"which is no multiple of dt = {network.dt!r} ms",
                network.populations[self.owner].loc,
                "give the delay in steps, or change dt",
            )
        return round(steps)


def markers(expr: sympy.Basic) -> list[sympy.Basic]:
    """Return the outermost detach, at_threshold, previous and total in `expr`."""
    if isinstance(expr, (detach, at_threshold, previous, total)):
        return [expr]
    return list(dict.fromkeys(m for a in expr.args for m in markers(a)))
