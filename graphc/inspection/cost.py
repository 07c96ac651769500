"""What kernels have to do, counted from their graphs: bytes moved and floating-point operations per neuron and step."""

from __future__ import annotations

import math

import sympy

from graphc.ir import (
    Count,
    DelayedSynapses,
    Kernel,
    Map,
    Node,
    Outer,
    Project,
    ProjectTransposed,
    Reduce,
    Reset,
    Schedule,
    Spike,
    Synapses,
    Test,
    Value,
)
from graphc.passes.footprint import bytes_of, traffic

from .report import KernelCost, Machine

FUNCTION = 16
"""Operations that a function such as exp counts as: a range reduction and a polynomial."""

_ONE = (sympy.Abs, sympy.Max, sympy.Min, sympy.Piecewise, sympy.Heaviside, sympy.sign, sympy.floor)


def costs(schedule: Schedule, machine: Machine, steps: int, batch: int) -> tuple[KernelCost, ...]:
    """Return what every kernel does in a call of `steps` and `batch`, on `machine`."""
    return tuple(_cost(schedule, kernel, machine, steps, batch) for kernel in schedule.kernels)


def _cost(schedule: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> KernelCost:
    nodes = kernel.graph.nodes
    elementwise = sum(operations_of(n) * _elements(schedule, n.result, batch) for n in nodes)
    products = sum(product_of(schedule, n) for n in nodes)
    moved = traffic(schedule, kernel)
    once = sum(
        bytes_of(schedule, b, 1, batch)
        for name in dict.fromkeys(kernel.arguments)
        if (b := schedule.buffers[name]).kind != "sequence"
    )
    done, all_bytes = (elementwise + products) * steps * batch, moved * steps * batch + once
    seconds = {"bytes": all_bytes / machine.gbytes_s, "operations": done / machine.gflop_s}
    bound = max(seconds, key=lambda name: seconds[name])
    axes = dict.fromkeys(a for n in nodes for a in n.result.type.axes if n.result.type.batched)
    return KernelCost(
        kernel=kernel.name,
        half="backward" if kernel.backward else "forward",
        kind=kernel.kind,
        strategy=kernel.strategy,
        reason=kernel.reason,
        nodes=len(nodes),
        loops=len(kernel.loops),
        bytes=moved,
        once=once,
        elementwise=elementwise,
        functions=sum(functions_of(n.expr) for n in nodes if isinstance(n, Map)),
        products=products,
        neurons=0 if kernel.kind == "product" else sum(schedule.sizes[a] for a in axes),
        intensity=done / max(all_bytes, 1),
        bound=bound,
        least_us=seconds[bound] / 1e3,
    )


def _elements(schedule: Schedule, value: Value, batch: int) -> float:
    """Return the elements of a value per sample; what all samples share is a part of one."""
    return math.prod(schedule.sizes[a] for a in value.type.axes) / (1 if value.type.batched else batch)


def operations_of(node: Node) -> float:
    """Return the floating-point operations of an elementwise node, per element."""
    match node:
        case Map(expr=expr):
            return expression_operations(expr)
        case Spike() | Test() | Reset():
            return 1.0
        case Count():
            return 2.0
    return 0.0


def expression_operations(expr: sympy.Basic) -> float:
    """Return the operations of an expression: one for each sum, product, quotient and comparison; see `FUNCTION`."""
    own = 0.0
    if isinstance(expr, sympy.Add):
        own = len(expr.args) - 1
    elif isinstance(expr, sympy.Mul):  # a quotient is one operation, and a sign none
        inverted = sum(isinstance(a, sympy.Pow) and bool(a.exp.is_negative) for a in expr.args)
        own = len(expr.args) - 1 - (expr.args[0] == -1) - min(inverted, len(expr.args) - 1)
    elif isinstance(expr, sympy.Pow):
        own = _power(expr)
    elif isinstance(expr, sympy.core.relational.Relational):
        own = 1
    elif isinstance(expr, _ONE):
        own = max(len(expr.args) - 1, 1)
    elif isinstance(expr, sympy.Function):
        own = FUNCTION
    return own + sum(expression_operations(a) for a in expr.args)


def _power(expr: sympy.Pow) -> float:
    exponent = expr.exp
    if exponent in (sympy.S.Half, -sympy.S.Half):
        return 1 + bool(exponent.is_negative)
    if not exponent.is_Integer:
        return 2 * FUNCTION
    size = abs(int(exponent))
    return max(size.bit_length() - 1, 0) + size.bit_count() - 1 + (int(exponent) < 0)


def functions_of(expr: sympy.Basic) -> int:
    """Return how many functions such as exp an expression calls."""
    own = isinstance(expr, sympy.Function) and not isinstance(expr, _ONE)
    own = own or (isinstance(expr, sympy.Pow) and not (2 * expr.exp).is_Integer)
    return int(own) + sum(functions_of(a) for a in expr.args)


def product_of(schedule: Schedule, node: Node) -> float:
    """Return the operations of a product per sample: two per synapse, or one per number that is summed."""
    sizes = schedule.sizes
    if isinstance(node, (Project, ProjectTransposed)):
        return 2.0 * math.prod(sizes[a] for a in node.operands[1].type.axes)
    if isinstance(node, Outer):
        return 2.0 * math.prod(sizes[a] for a in node.result.type.axes)
    if isinstance(node, Reduce):
        return float(math.prod(sizes[a] for a in node.operands[0].type.axes))
    if isinstance(node, Synapses):
        pairs = math.prod(sizes[a] for a in node.synapse_axes) * (node.drawn.probability if node.drawn else 1.0)
        return pairs * (expression_operations(node.expr) + 1)
    if isinstance(node, DelayedSynapses):
        return 2.0 * math.prod(sizes[a] for a in node.tables[1].type.axes)
    return 0.0
