"""What a synapse delivers, taken apart: factors of the synapse, of its source and of its target."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from . import symbols as gs


@dataclass(frozen=True)
class Term:
    """One product of what a synapse, its source and its target have."""

    synapse: sympy.Expr
    pre: sympy.Expr
    post: sympy.Expr


def kinds_of(expr: sympy.Basic) -> set[str]:
    """Return which of "pre", "post" and "synapse" an expression reads."""
    kinds = {_kind_of(s) for s in expr.free_symbols}
    return {kind for kind in kinds if kind is not None}


def _kind_of(s: sympy.Basic) -> str | None:
    if s == gs.dt or (isinstance(s, gs.Parameter) and s.per == "population"):
        return None
    if isinstance(s, gs.State):
        return s.on or "synapse"
    return s.side if isinstance(s, gs.Signal) else "synapse"


def separate(expr: sympy.Expr) -> tuple[list[Term], sympy.Expr]:
    """Return the terms of a sum that are products of one factor per side, and the rest.

    w*(pre - post) becomes w*pre and -w*post: two products of matrices instead of a number per synapse and step.
    """
    terms: list[Term] = []
    rest: list[sympy.Expr] = []
    for part in _parts(expr):
        sides: dict[str, list[sympy.Expr]] = {"synapse": [], "pre": [], "post": []}
        for factor in sympy.Mul.make_args(part):
            kinds = kinds_of(factor)
            if len(kinds) > 1:
                break
            sides[next(iter(kinds), "synapse")].append(factor)
        else:
            terms.append(Term(*(sympy.Mul(*sides[s]) for s in ("synapse", "pre", "post"))))
            continue
        rest.append(part)
    if rest and terms:  # one sum over the synapses anyway: a product beside it would save nothing
        return [], expr
    return terms, sympy.Add(*rest)


def _parts(expr: sympy.Expr) -> list[sympy.Expr]:
    """Return the terms of a sum, expanded only where a factor reads more than one side."""
    parts: list[sympy.Expr] = []
    for part in sympy.Add.make_args(expr):
        mixed = any(len(kinds_of(factor)) > 1 for factor in sympy.Mul.make_args(part))
        parts += sympy.Add.make_args(sympy.expand_mul(part)) if mixed else [part]
    return parts
