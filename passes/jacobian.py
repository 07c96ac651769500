"""Derivatives of the values of one step by one of them, within the same neuron."""

from __future__ import annotations

from collections.abc import Iterable

import sympy

from graphc.ir import Graph, Map, Node, Reset, Spike, Spread, Value, Via, symbol

from .build import derivative

LONGEST = 40  # operations up to which a derivative is written out
NONZERO = sympy.Symbol("nonzero")
"""Stands for a derivative that is too long to write out."""


def derivatives(graph: Graph, starts: Value | Iterable[Value]) -> dict[Value, sympy.Expr]:
    """Return the derivative of every value of `graph` with respect to `starts`, where it is not zero by structure.

    Paths over connections and histories belong to other neurons or steps and are left out. ``z'(c)`` is the surrogate
    at the condition c.
    """
    found: dict[Value, sympy.Expr] = dict.fromkeys([starts] if isinstance(starts, Value) else starts, sympy.S.One)
    for node in graph.nodes:
        if node.result in found or not any(v in found for v in node.operands):
            continue
        total = _chained(node, found)
        if total != 0:
            found[node.result] = total if total.count_ops() <= LONGEST and not total.has(NONZERO) else NONZERO
    return found


def _chained(node: Node, found: dict[Value, sympy.Expr]) -> sympy.Expr:
    if isinstance(node, Reset):
        v, z, r = node.operands
        before, after = found.get(v, sympy.S.Zero), found.get(r, sympy.S.Zero)
        jump = (symbol(r) - symbol(v)) * found[z] if z in found else sympy.S.Zero
        if before == after:  # a subtractive reset: the same on both branches
            return before + jump
        return (1 - symbol(z)) * before + symbol(z) * after + jump
    return sympy.Add(*(_local(node, k) * found[v] for k, v in enumerate(node.operands) if v in found))


def _local(node: Node, index: int) -> sympy.Expr:
    """Return the derivative of a node with respect to one operand."""
    operand = node.operands[index]
    match node:
        case Map(expr=expr):
            return derivative(expr, symbol(operand))
        case Spike() if index == 0:
            return sympy.Symbol(f"z'({operand.name})")
        case Spread() | Via():
            return sympy.S.One
    return sympy.S.Zero
