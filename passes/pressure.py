"""How many registers a time loop wants: what a resource model can say of it without a build."""

from __future__ import annotations

import sympy

from graphc.ir import Const, Graph, Map, Project, Time, Value

_CHEAP = (sympy.Abs, sympy.Max, sympy.Min, sympy.Piecewise, sympy.Heaviside, sympy.sign, sympy.floor)
"""Functions that are one instruction or two; others keep values of their own while they are computed."""


def pressure(graph: Graph) -> int:
    """Return how many values of each neuron are kept at once, with what its functions keep while they are computed.

    Counted are, beside the values that the step makes, its states, and twice what it loads: the rows of a step are
    loaded before the step ahead of it is over. A step that begins with a product keeps all of them over it.
    """
    nodes = [n for n in graph.nodes if not isinstance(n, (Const, Time))]
    last = {v: place for place, n in enumerate(nodes) for v in n.operands}
    last |= dict.fromkeys(graph.results, len(nodes))
    loaded = [i.value for i in graph.inputs if i.kind == "sequence"]
    alive = {v for v in (*loaded, *(c.current for c in graph.carries)) if _is_tile(v)}
    most = len(alive)
    for place, node in enumerate(nodes):
        if _is_tile(node.result):
            alive.add(node.result)
        most = max(most, len(alive))
        alive = {v for v in alive if last.get(v, -1) > place}
    functions = sum(_functions(n) for n in nodes if isinstance(n, Map) and _is_tile(n.result))
    over = 6 if any(isinstance(n, Project) for n in nodes) else 3
    return most + len(loaded) + -(-3 * functions // 4) + over


def _is_tile(value: Value) -> bool:
    return value.type.batched


def _functions(node: Map) -> int:
    return sum(not isinstance(f, _CHEAP) for f in node.expr.atoms(sympy.Function))
