"""Build nodes with hash-consing: an expression over the same operands is made once."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import sympy

from graphc.ir import (
    PREPARES,
    Const,
    Diffusion,
    Graph,
    Map,
    Names,
    Node,
    Propagator,
    Read,
    Reduce,
    Spread,
    StopGradient,
    Type,
    Value,
    symbol,
)


@functools.lru_cache(maxsize=4096)
def derivative(expr: sympy.Expr, by: sympy.Symbol) -> sympy.Expr:
    """Return d `expr` / d `by`, kept: every key that a network is compiled for differentiates the same expressions."""
    return sympy.diff(expr, by)


class Builder:
    """Appends nodes to a list, each new expression once; `values` resolves names to values."""

    def __init__(self, names: Names, values: Iterable[Value] = ()) -> None:
        self.names = names
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {v.name: v for v in values}
        self._made: dict[tuple[sympy.Expr, Type | None], Value] = {}

    @staticmethod
    def extending(graph: Graph) -> Builder:
        """Return a builder for the names of `graph`, with its values known and no node yet."""
        return Builder(Names(v.name for v in graph.values), graph.values)

    def add(self, node: Node) -> Value:
        """Append `node` as it is and return its result."""
        self.nodes.append(node)
        self.values[node.result.name] = node.result
        return node.result

    def new(self, wanted: str, type: Type, like: Value | None = None) -> Value:
        """Return a fresh value."""
        return self.names.value(wanted, type, like)

    def const(self, number: float, name: str = "constant") -> Value:
        """Return the value of a number."""
        key = (sympy.Float(number), None)
        if key not in self._made:
            self._made[key] = self.add(Const(result=self.new(name, Type()), value=float(number)))
        return self._made[key]

    def map(self, wanted: str, expr: sympy.Expr, like: Value | None = None) -> Value:
        """Return the value of `expr`, an expression of names of known values."""
        expr = sympy.sympify(expr)
        if not expr.free_symbols:
            return self.const(float(expr), wanted)
        if isinstance(expr, sympy.Symbol):
            return self.values[expr.name]
        key = (expr, None)
        if key not in self._made:
            operands = tuple(self.values[s.name] for s in sorted(expr.free_symbols, key=str))
            draft = Map(result=Value("", Type()), operands=operands, expr=expr)
            self._made[key] = self.add(
                Map(result=self.new(wanted, draft.infer_type(), like), operands=operands, expr=expr)
            )
        return self._made[key]

    def total(self, wanted: str, values: Iterable[Value]) -> Value:
        """Return the sum of `values`."""
        terms = list(values)
        if len(terms) == 1:
            return terms[0]
        return self.map(wanted, sympy.Add(*(symbol(v) for v in terms)))

    def spread(self, value: Value, type: Type) -> Value:
        """Return `value` over the whole domain of `type`."""
        if value.type.batched == type.batched and value.type.axes == type.axes:
            return value
        return self.add(Spread(result=self.new(value.name, type, value), operands=(value,)))

    def reduce(self, value: Value, axes: tuple[str, ...]) -> Value:
        """Return `value` summed over the batch and, for no axes, over the neurons."""
        return self.add(Reduce(result=self.new(f"{value.name}_sum", Type("real", False, axes)), operands=(value,)))


def fixed_values(graph: Graph) -> set[Value]:
    """Return the values that depend on fixed unbatched inputs and numbers only, by ops that the prologue knows."""
    fixed = {i.value for i in graph.inputs if i.kind == "fixed" and not i.value.type.batched}
    for node in graph.nodes:
        here = isinstance(node, (Const, Map, Propagator, Diffusion, StopGradient, *PREPARES)) or (
            isinstance(node, Spread) and not node.result.type.batched
        )
        if here and all(v in fixed for v in node.operands):
            fixed.add(node.result)
    return fixed


def dependents(graph: Graph, of: Iterable[Value], blocked: tuple[type[Node], ...] = ()) -> set[Value]:
    """Return the values that depend on any of `of`, through carries and histories too; not through `blocked` ops."""
    found = set(of)
    while True:
        size = len(found)
        for node in graph.nodes:
            if isinstance(node, blocked):
                continue
            reads = graph.history(node.history).value if isinstance(node, Read) else None
            if any(v in found for v in node.operands) or reads in found:
                found.add(node.result)
        found |= {c.current for c in graph.carries if c.next in found}
        if len(found) == size:
            return found
