"""The step Jacobian of every population: which state of the next step depends on which of this one, and how."""

from __future__ import annotations

from collections.abc import Mapping

import sympy

from graphc.ir import Program
from graphc.passes.jacobian import NONZERO, derivatives

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


def show_jacobian(entries: Mapping[tuple[str, str], sympy.Expr]) -> list[str]:
    """Return one line per entry."""
    return [
        f"d {after} / d {before} = {'not zero' if entry == NONZERO else entry}"
        for (after, before), entry in entries.items()
    ]
