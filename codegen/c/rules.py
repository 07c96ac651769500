"""The right-hand side of every elementwise op; spikes, conditions and counters are whole numbers of the real type."""

from __future__ import annotations

from graphc.codegen.expr import Printer
from graphc.ir.errors import TargetError
from graphc.ir.node import Node
from graphc.ir.ops import Const, Count, Map, Noise, Reset, Spike, Spread, Test, Time


def right_side(node: Node, printer: Printer, neuron: str = "_n") -> str:
    """Return the C expression of the result of `node`; `neuron` is the number of its neuron in the population."""
    number = printer.dialect.number
    names = [printer.dialect.identifier(v.name) for v in node.operands]
    match node:
        case Const(value=value):
            return number(value)
        case Time(dt=dt):
            return f"({real(printer)})((double)(_start + _t)*{dt!r})"
        case Noise(stream=stream):
            printer.used.add(f"_draw_{node.kind}")
            return f"({real(printer)})_draw_{node.kind}(_seed, _start + _t, _b0 + _r, {neuron}, {stream})"
        case Map(expr=expr):
            return printer.text(expr, node.result.loc)
        case Test(strict=strict):
            return f"{names[0]} {_fires(strict)} {number(0)} ? {number(1)} : {number(0)}"
        case Spike(strict=strict):
            # A choice inside a choice: compilers do not vectorize a condition of two parts.
            blocked = f"{names[1]} > {number(0)} ? {number(0)} : " if len(names) > 1 else ""
            return f"{blocked}{names[0]} {_fires(strict)} {number(0)} ? {number(1)} : {number(0)}"
        case Reset():
            return f"{names[1]} > {number(0)} ? {names[2]} : {names[0]}"
        case Count():
            less = f"{names[0]} > {number(1)} ? {names[0]} - {number(1)} : {number(0)}"
            return f"{names[1]} > {number(0)} ? {names[2]} : {less}"
        case Spread():
            return names[0]
        case _:
            kind = type(node).__name__
            raise TargetError(f"target 'c' has no rule for {kind}", node.result.loc, "use target='reference'")


def _fires(strict: bool) -> str:
    return ">" if strict else ">="


def real(printer: Printer) -> str:
    """Return the C type of a real number."""
    return "float" if printer.dialect.dtype == "float32" else "double"
