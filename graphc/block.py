"""What lowering builds with: nodes, histories and signals under construction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy

from graphc.ir import Const, Input, Loc, Map, Names, Node, Repeat, Spread, Type, Value, symbol
from graphc.ir.graph import InputKind


@dataclass
class Past:
    """A history under construction: its value is known once the step that computes it has been lowered."""

    type: Type
    depth: int = 0
    value: Value | None = None


@dataclass
class Signals:
    """The values of one population in one step, by the name that a record uses."""

    final: dict[str, Value] = field(default_factory=dict)
    threshold: dict[str, Value] = field(default_factory=dict)


class Block:
    """Nodes of one graph under construction."""

    def __init__(self) -> None:
        self.names = Names()
        self.nodes: list[Node] = []
        self.inputs: dict[str, Input] = {}
        self._repeated: dict[Value, Value] = {}

    def input(self, source: str, type: Type, kind: InputKind, loc: Loc | None = None) -> Value:
        """Return the value of the input tensor `source`, declared once."""
        if source not in self.inputs:
            self.inputs[source] = Input(source, self.names.value(source, type, loc=loc), kind)
        return self.inputs[source].value

    def repeat(self, value: Value, axis: str, times: int) -> Value:
        """Return one number per channel as one per neuron, made once."""
        if value not in self._repeated:
            result = self.names.value(value.name, Type("real", False, (axis,)), value)
            self._repeated[value] = self.add(Repeat(result=result, operands=(value,), times=times))
        return self._repeated[value]

    def add(self, node: Node) -> Value:
        """Append `node` and return its result."""
        self.nodes.append(node)
        return node.result

    def spread(self, value: Value, type: Type) -> Value:
        """Return `value` over the whole domain of `type`."""
        if value.type == type:
            return value
        return self.add(Spread(result=self.names.value(value.name, type, value), operands=(value,)))

    def const(self, number: float, name: str = "constant") -> Value:
        """Append a number."""
        return self.add(Const(result=self.names.value(name, Type()), value=float(number)))

    def map(self, name: str, expr: sympy.Expr, operands: Iterable[Value], loc: Loc | None = None) -> Value:
        """Append a Map of the operands that `expr` uses; a bare operand is returned as it is."""
        used = {str(s) for s in expr.free_symbols}
        operands = tuple(v for v in dict.fromkeys(operands) if v.name in used)
        if not operands:
            return self.const(float(expr), name)
        if expr == symbol(operands[0]):
            return operands[0]
        draft = Map(result=Value("", Type()), operands=operands, expr=expr)
        return self.add(Map(result=self.names.value(name, draft.infer_type(), loc=loc), operands=operands, expr=expr))
