"""One linearly implicit Euler step as single-assignment nodes: Gaussian elimination, unrolled over the Jacobian.

The step d of x' = f(x) over h solves ``(1 - h J) d = h f(x)`` with J = df/dx. States are eliminated in the order of
least degree, so that leaves of a tree come before what they hang on: on a tree of compartments no entry comes up that J
lacks, and the work grows with their number. What depends on parameters alone moves to the prologue with all other
coefficients: of a passive cable the loop keeps two multiplications per edge and one per compartment.

There is no pivoting: a state whose equation grows so fast that 1 - h J meets 0 on its diagonal makes no finite step.

Source:
    Hines (1984), Int. J. Biomed. Comput. 15, 69-76: elimination over a tree of compartments. Deuflhard (1985), SIAM
    Rev. 27, 505-535: the linearly implicit Euler step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy

from graphc.ir import OdeSystem, Value, symbol

from .build import Builder, derivative

Edge = tuple[int, int]
Rates = Mapping[sympy.Symbol, sympy.Expr]


@dataclass(frozen=True, slots=True)
class Elimination:
    """The order in which states are eliminated, and the entries of the matrix that come up on the way."""

    order: tuple[int, ...]
    fill: frozenset[Edge]


def eliminate(entries: Sequence[Edge], count: int) -> Elimination:
    """Return an order of `count` states of least degree, for the entries (row, column) that are not 0.

    The degree of a state is the number of others that it is joined to by an entry of either side.
    """
    known = {e for e in entries if e[0] != e[1]}
    near: dict[int, set[int]] = {k: set() for k in range(count)}
    for i, j in known:
        near[i].add(j)
        near[j].add(i)
    fill: set[Edge] = set()
    order: list[int] = []
    while near:
        k = min(near, key=lambda k: (len(near[k]), k))
        others = near.pop(k)
        order.append(k)
        for i in others:
            near[i].discard(k)
        new = {(i, j) for i in others for j in others if i != j and (i, k) in known and (k, j) in known} - known
        for i, j in new:
            near[i].add(j)
            near[j].add(i)
        known |= new
        fill |= new
    return Elimination(tuple(order), frozenset(fill))


def slopes_of(rates: Rates) -> dict[Edge, sympy.Expr]:
    """Return the entries of the Jacobian that are not 0 by structure, by the numbers of rate and state."""
    states = list(rates)
    found = {
        (r, c): derivative(rates[row], column)
        for r, row in enumerate(states)
        for c, column in enumerate(states)
        if rates[row].has(column)
    }
    return {edge: slope for edge, slope in found.items() if slope != 0}


def in_words(rates: Rates) -> str:
    """Return how a step is found, for `explain()`."""
    slopes = slopes_of(rates)
    fill = len(eliminate(list(slopes), len(rates)).fill)
    joined = sum(r != c for r, c in slopes)
    filled = f"{fill} filled in" if fill else "no fill-in"
    return f"one linearly implicit step, (1 - dt J) d = dt f; J has {joined} entries off its diagonal, {filled}"


def implicit_euler(rates: Rates, kicks: Rates, system: OdeSystem, build: Builder) -> list[Value]:
    """Append the nodes of one step, and return the new value of every state; noise `kicks` the right-hand side."""
    states, h = list(rates), system.h
    slopes = slopes_of(rates)
    order = eliminate(list(slopes), len(states)).order
    matrix = {(k, k): sympy.S.One for k in range(len(states))}
    for (r, c), slope in slopes.items():
        like = build.values[states[r].name]
        entry = build.map(f"{states[r].name}_slope_{system.states[c]}", slope, like)
        matrix[r, c] = matrix.get((r, c), sympy.S.Zero) - h * _number_or_symbol(entry, slope)
    right = [h * rates[s] + kicks.get(s, sympy.S.Zero) for s in states]
    factor: dict[int, sympy.Expr] = {}

    def node(name: str, k: int, expr: sympy.Expr) -> sympy.Expr:
        """Return `expr` as a symbol of a node of its own."""
        value = build.map(f"{states[k].name}_{name}", expr, build.values[states[k].name])
        return _number_or_symbol(value, expr)

    for number, k in enumerate(order):
        later = order[number + 1 :]
        factor[k] = node("pivot", k, 1 / matrix[k, k])
        right[k] = node("pull", k, right[k])
        for j in (j for j in later if (k, j) in matrix):
            matrix[k, j] = node(f"to_{system.states[j]}", k, matrix[k, j])
        for i in (i for i in later if (i, k) in matrix):
            ratio = node(f"from_{system.states[k]}", i, matrix[i, k] * factor[k])
            right[i] = right[i] - ratio * right[k]
            for j in (j for j in later if (k, j) in matrix):
                matrix[i, j] = matrix.get((i, j), sympy.S.Zero) - ratio * matrix[k, j]
    moved: dict[int, sympy.Expr] = {}
    for k in reversed(order):
        rest = sympy.Add(right[k], *(-matrix[k, j] * moved[j] for j in moved if (k, j) in matrix))
        moved[k] = node("move", k, factor[k] * rest)
    return [build.map(s.name, s + moved[k], build.values[s.name]) for k, s in enumerate(states)]


def _number_or_symbol(value: Value, expr: sympy.Expr) -> sympy.Expr:
    """Return what stands for `value` in an expression: numbers as they are."""
    return sympy.sympify(expr) if not sympy.sympify(expr).free_symbols else symbol(value)
