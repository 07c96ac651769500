"""One node as the text of an expression on tiles.

A value over (batch, neurons) is a tile of two axes, one over neurons alone has one row, one over the batch alone one
column; bool and int values are reals.
"""

from __future__ import annotations

from graphc.codegen.expr import Printer
from graphc.ir import (
    Const,
    Count,
    Map,
    Node,
    Project,
    ProjectTransposed,
    Reset,
    Spike,
    Spread,
    TargetError,
    Test,
    Value,
)

from .memory import label
from .plan import NARROW, Plan


class Rules:
    """Emits the nodes of one kernel.

    Attributes:
        text: text of each value inside the step function.
    """

    def __init__(self, plan: Plan, printer: Printer, literal: frozenset[Value]) -> None:
        """Start with every value under its own name, and constants in `literal` as numbers."""
        self._plan, self._printer = plan, printer
        self.text = dict(plan.names)
        for node in plan.kernel.graph.nodes:
            if isinstance(node, Const) and node.result in literal:
                self.text[node.result] = printer.dialect.number(node.value)
        printer.names = {value.name: text for value, text in self.text.items()}

    def expression(self, node: Node) -> str:
        """Return the right-hand side of the statement that computes `node`.

        Raises:
            TargetError: an operation that has no place in a time loop of this target.
        """
        args = [self.text[v] for v in node.operands]
        zero = self._printer.dialect.number(0)
        real = self._plan.real
        match node:
            case Const(value=value):
                return f"tl.full((), {self._printer.dialect.number(value)}, {real})"
            case Map(expr=expr):
                return self._printer.text(expr, node.result.loc)
            case Test(strict=strict):
                return f"({args[0]} {'>' if strict else '>='} {zero}).to({real})"
            case Spike(strict=strict):
                fires = f"{args[0]} {'>' if strict else '>='} {zero}"
                if len(args) > 1:
                    fires = f"({fires}) & ({args[1]} == {zero})"
                return f"({fires}).to({real})"
            case Reset():
                v, z, r = args
                return f"tl.where({z} > {zero}, {r}, {v})"
            case Count():
                count, z, n = args
                one = self._printer.dialect.number(1)
                return f"tl.where({z} > {zero}, {n}, tl.maximum({count} - {one}, {zero}))"
            case Spread(result=result) if len(result.type.axes) < 2:
                return f"tl.broadcast_to({args[0]}, {self.shape(result)})"
            case Project() | ProjectTransposed():
                return self._product(node)
        raise TargetError(
            f"target 'triton' cannot compute {type(node).__name__} in a time loop", node.result.loc, "use target='c'"
        )

    def shape(self, value: Value) -> str:
        """Return the shape of the tile that holds `value`."""
        if not value.type.axes and not value.type.batched:
            return "()"
        rows = "_rows" if value.type.batched else "1"
        columns = self._plan.widths[value.type.axes[0]] if value.type.axes else "1"
        return f"({rows}, {columns})"

    def weights(self, node: Project | ProjectTransposed) -> list[str]:
        """Return the names of the tiles of weights that `node` multiplies with: blocks of rows of its matrix."""
        name = self._plan.names[node.operands[1]]
        if isinstance(node, ProjectTransposed):
            name = f"_{name}_transposed"
        count = self._plan.constants[self._plan.widths[node.operands[0].type.axes[0]]] // self.height(node)
        return [name] if count == 1 else [f"_{name.lstrip('_')}_{part}" for part in range(count)]

    def height(self, node: Project | ProjectTransposed) -> int:
        """Return the rows of one tile of weights."""
        return min(self._plan.constants[self._plan.widths[node.operands[0].type.axes[0]]], self._plan.depth)

    def _product(self, node: Project | ProjectTransposed) -> str:
        source, weights = node.operands[0], self.weights(node)
        if not source.type.batched:
            node.fail("multiplies a vector without batch inside a time loop")
        left = self.text[source]
        if self.pads(source):
            left = f"tl.where(_col_{label(self._plan, source.type)}, {left}, {self._printer.dialect.number(0)})"
        return self._printer.call(f"_dot{len(weights)}", self.factor(left), *weights, "_row")

    def factor(self, text: str) -> str:
        """Return `text`, a tile of reals, rounded to what products are made of."""
        narrow = self._plan.precision in NARROW
        return self._printer.call(f"_{self._plan.precision}", text, "_device") if narrow else text

    def dot(self, left: str, right: str, *added: str) -> str:
        """Return the text of the product of two tiles of factors, and of what it is added to."""
        exact = "tf32" if self._plan.precision == "tf32" else "ieee"
        return f'tl.dot({", ".join((left, right, *added))}, input_precision="{exact}")'

    def pads(self, source: Value) -> bool:
        """Return whether the tile of `source` has columns beside its neurons, where NaN times a weight of 0 is NaN."""
        axis = source.type.axes[0]
        return source.type.dtype == "real" and self._plan.extent[axis] != self._plan.constants[self._plan.widths[axis]]
