"""Where the parts of a learning rule live: on the source neuron, on the target neuron, or on the synapse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy

from graphc.ir.functions import total

from .symbols import Input, Parameter, Place, Signal, State, weight

Key = Any  # a State, or gc.weight

READABLE: dict[Place, frozenset[Place]] = {
    "pre": frozenset(("pre", "network")),
    "post": frozenset(("post", "network")),
    "synapse": frozenset(("pre", "post", "synapse", "network")),
}
"""What an equation of a state that lives somewhere can read without a sum over synapses."""


def place_of(s: sympy.Basic) -> Place | None:
    """Return where one symbol lives as declared; None for what is the same everywhere."""
    if s == weight:
        return "synapse"
    if isinstance(s, State):
        return s.on or "synapse"
    if isinstance(s, Signal):
        return s.side  # type: ignore[no-any-return]
    if isinstance(s, Input):
        return s.on
    if isinstance(s, Parameter) and s.per == "synapse":
        return "synapse"
    return None


def leaves_of(expr: sympy.Basic) -> list[tuple[sympy.Basic, Place]]:
    """Return what `expr` reads and where that lives; a sum over synapses is one number per neuron of the other side."""
    if isinstance(expr, total):
        return [(expr, "post" if str(expr.args[1]) == "pre" else "pre")]
    if expr.is_Symbol:
        place = place_of(expr)
        return [] if place is None else [(expr, place)]
    return list(dict.fromkeys(leaf for a in expr.args for leaf in leaves_of(a)))


def term_with(expr: sympy.Basic, leaf: sympy.Basic) -> sympy.Basic:
    """Return the term of a sum that reads `leaf`."""
    return next((a for a in sympy.Add.make_args(expr) if a.has(leaf)), expr)


def per_neuron(
    states: Iterable[State], groups: Mapping[str, Mapping[Key, sympy.Expr]], init: Mapping[State, Any]
) -> dict[State, Place]:
    """Return the side of every state that was declared per synapse but whose equations know one side alone.

    All synapses of a source neuron then hold the same number, so one per neuron is kept: the matrix of the state has
    rank 1. Every number stays what it is, because the same operations make it.
    """
    found: dict[State, Place] = {}
    sides: tuple[Place, Place] = ("pre", "post")
    for side, other in (sides, sides[::-1]):
        alike = {s for s in states if place_of(s) == "synapse" and s not in found}
        while True:
            kept = {s for s in alike if _knows_only(s, side, other, groups, init, alike)}
            if kept == alike:
                break
            alike = kept
        found |= dict.fromkeys(alike, side)
    return found


def _knows_only(
    state: State,
    side: Place,
    other: Place,
    groups: Mapping[str, Mapping[Key, sympy.Expr]],
    init: Mapping[State, Any],
    alike: set[State],
) -> bool:
    if state in groups[f"on_{other}"]:
        return False
    exprs = [group[state] for group in groups.values() if state in group]
    exprs += [init[state]] if isinstance(init.get(state), sympy.Expr) else []
    return all(
        leaf in alike or (place in (side, "network") and not isinstance(leaf, total))
        for expr in exprs
        for leaf, place in leaves_of(expr)
    )
