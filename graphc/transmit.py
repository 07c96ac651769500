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
    return {s.side if isinstance(s, gs.Signal) else "synapse" for s in expr.free_symbols if s != gs.dt}


def separate(expr: sympy.Expr) -> tuple[list[Term], sympy.Expr]:
    """Return the terms of a sum that are products of one factor per side, and the rest.

    w*(pre - post) becomes w*pre and -w*post: two products of matrices instead of a number per synapse and step.
    """
    expanded = sympy.expand_mul(expr)
    terms: list[Term] = []
    rest: list[sympy.Expr] = []
    for part in sympy.Add.make_args(expanded):
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
