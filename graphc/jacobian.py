"""The step Jacobian of every population: which state of the next step depends on which of this one, and how."""

from __future__ import annotations

from collections.abc import Mapping

import sympy

from graphc.ir import Graph, Map, Node, Program, Reset, Spike, Spread, Value, Via, symbol

LONGEST = 40  # operations up to which an entry is written out

Entries = dict[tuple[str, str], sympy.Expr]


def step_jacobian(program: Program) -> Entries:
    """Return ``d next / d current`` for the pairs of states of one neuron where it is not zero by structure.

    Paths over connections and histories belong to other neurons or steps and are left out. An entry names values of
    `program`, and ``z'(c)`` is the surrogate at the condition c; one that is too long to read is None's stand-in, the
    symbol ``nonzero``.

    Args:
        program: a program after `discretize`, before it is differentiated.
    """
    (graph,) = (r.graph for r in program.regions if r.kind == "steps")
    entries: Entries = {}
    for source in graph.carries:
        if source.current.type.dtype != "real":
            continue
        found = derivatives(graph, source.current)
        for carry in graph.carries:
            entry = found.get(carry.next, sympy.S.Zero)
            if entry != 0 and carry.current.type.dtype == "real":
                entries[carry.name, source.name] = entry
    return entries


NONZERO = sympy.Symbol("nonzero")


def derivatives(graph: Graph, start: Value) -> dict[Value, sympy.Expr]:
    """Return the derivative of every value of `graph` with respect to `start`, where it is not zero."""
    found: dict[Value, sympy.Expr] = {start: sympy.S.One}
    for node in graph.nodes:
        if any(v in found for v in node.operands):
            total = sympy.Add(*(_local(node, k) * found[v] for k, v in enumerate(node.operands) if v in found))
            if total != 0:
                found[node.result] = total if total.count_ops() <= LONGEST and not total.has(NONZERO) else NONZERO
    return found


def _local(node: Node, index: int) -> sympy.Expr:
    """Return the derivative of a node with respect to one operand."""
    operand = node.operands[index]
    match node:
        case Map(expr=expr):
            return sympy.diff(expr, symbol(operand))
        case Reset(operands=(v, z, r)):
            parts = (1 - symbol(z), symbol(r) - symbol(v), symbol(z))
            return parts[index]
        case Spike() if index == 0:
            return sympy.Symbol(f"z'({operand.name})")
        case Spread() | Via():
            return sympy.S.One
    return sympy.S.Zero


def show_jacobian(entries: Mapping[tuple[str, str], sympy.Expr]) -> list[str]:
    """Return one line per entry."""
    return [
        f"d {after} / d {before} = {'not zero' if entry == NONZERO else entry}"
        for (after, before), entry in entries.items()
    ]
