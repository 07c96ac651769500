"""Evaluate a sympy expression on torch tensors by walking it; text is never executed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import sympy
import torch
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from .errors import VerifyError
from .functions import exprel, exprel_prime, relu, sigmoid, softplus

_HALVINGS = 6
_TERMS = 18
_NODES = 64
_ROUNDING = 1e-12

Evaluator = Callable[[Mapping[str, torch.Tensor], torch.dtype, "torch.device | None"], torch.Tensor]


def evaluate(
    expr: sympy.Expr, values: Mapping[str, torch.Tensor], dtype: torch.dtype, device: torch.device | None
) -> torch.Tensor:
    """Return `expr` with every symbol replaced by the tensor of its name, in `dtype`."""
    return evaluator(expr)(values, dtype, device)


@functools.lru_cache(maxsize=8192)
def evaluator(expr: Any) -> Evaluator:
    """Return a closure that evaluates `expr`; shared sub-expressions share closures."""
    if isinstance(expr, sympy.Symbol):
        name = expr.name
        return lambda values, dtype, device: values[name]
    if isinstance(expr, (BooleanTrue, BooleanFalse)):
        truth = bool(expr)
        return lambda values, dtype, device: torch.full((), truth, device=device)
    if expr.is_Number or expr.is_NumberSymbol:
        number = float(expr)
        return lambda values, dtype, device: torch.full((), number, dtype=dtype, device=device)
    args = [evaluator(a) for a in (expr.args if not isinstance(expr, sympy.Piecewise) else ())]
    if isinstance(expr, sympy.Piecewise):
        return _piecewise(expr)
    if isinstance(expr, sympy.Pow) and expr.exp.is_Integer:
        power = int(expr.exp)
        base = args[0]
        return lambda values, dtype, device: _integer_power(base(values, dtype, device), power)
    for kind, rule in _RULES.items():
        if isinstance(expr, kind):
            return lambda values, dtype, device: rule(*(a(values, dtype, device) for a in args))
    raise VerifyError(f"the interpreter cannot evaluate {type(expr).__name__} in {expr}")


def _piecewise(expr: sympy.Piecewise) -> Evaluator:
    branches = [(evaluator(e), evaluator(c)) for e, c in expr.args]

    def run(values: Mapping[str, torch.Tensor], dtype: torch.dtype, device: torch.device | None) -> torch.Tensor:
        result = torch.full((), float("nan"), dtype=dtype, device=device)
        for value, condition in reversed(branches):
            result = torch.where(condition(values, dtype, device), value(values, dtype, device), result)
        return result

    return run


def _integer_power(base: torch.Tensor, power: int) -> torch.Tensor:
    positive = base if abs(power) == 1 else base ** abs(power)
    return torch.reciprocal(positive) if power < 0 else positive


class _Exprel(torch.autograd.Function):
    """(e^x - 1) / x with its removable singularity, in value and derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        zero = x == 0
        return torch.where(zero, torch.ones_like(x), torch.expm1(x) / torch.where(zero, torch.ones_like(x), x))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * exprel_derivative(x)


def exprel_derivative(x: torch.Tensor) -> torch.Tensor:
    """Return d/dx (e^x - 1)/x = (e^x - (e^x - 1)/x) / x, from its Taylor series where |x| < 0.7."""
    small = x.abs() < 0.7
    safe = torch.where(small, torch.ones_like(x), x)
    far = (torch.exp(safe) - torch.expm1(safe) / safe) / safe
    near, term = torch.full_like(x, 0.5), torch.full_like(x, 1.0)
    for k in range(1, 16):  # sum x^k / (k! (k + 2))
        term = term * x / k
        near = near + term / (k + 2)
    return torch.where(small, near, far)


def _fold(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda *args: functools.reduce(function, args)


def _heaviside(x: torch.Tensor, at_zero: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, torch.ones_like(x), torch.where(x == 0, at_zero, torch.zeros_like(x))).detach()


_RULES: dict[Any, Callable[..., torch.Tensor]] = {
    sympy.Add: _fold(torch.add),
    sympy.Mul: _fold(torch.mul),
    sympy.Pow: torch.pow,
    sympy.exp: torch.exp,
    sympy.log: torch.log,
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tan: torch.tan,
    sympy.sinh: torch.sinh,
    sympy.cosh: torch.cosh,
    sympy.tanh: torch.tanh,
    sympy.atan: torch.atan,
    sympy.asin: torch.asin,
    sympy.acos: torch.acos,
    sympy.erf: torch.erf,
    sympy.Abs: torch.abs,
    sympy.sign: torch.sign,
    sympy.floor: torch.floor,
    sympy.ceiling: torch.ceil,
    sympy.Mod: torch.remainder,
    sympy.Max: _fold(torch.maximum),
    sympy.Min: _fold(torch.minimum),
    sympy.Heaviside: _heaviside,
    sympy.StrictGreaterThan: torch.gt,
    sympy.GreaterThan: torch.ge,
    sympy.StrictLessThan: torch.lt,
    sympy.LessThan: torch.le,
    sympy.Equality: torch.eq,
    sympy.Unequality: torch.ne,
    sympy.And: _fold(torch.logical_and),
    sympy.Or: _fold(torch.logical_or),
    sympy.Not: torch.logical_not,
    exprel: _Exprel.apply,
    exprel_prime: exprel_derivative,
    sigmoid: torch.sigmoid,
    softplus: torch.nn.functional.softplus,
    relu: torch.relu,
}


def matrix_exp(a: torch.Tensor) -> torch.Tensor:
    """Return the exponential of every matrix of `a`, shape ``(..., K, K)``, differentiable.

    On a GPU torch's own looks at the norm on the host, which waits for the device and cannot be captured in a CUDA
    graph. There the series is summed at ``a / 64`` and squared six times, whatever the norm: exact to 1e-13 up to
    norms of 64, where the step is 64 time constants long.
    """
    if a.device.type == "cpu":
        exact: torch.Tensor = torch.linalg.matrix_exp(a)
        return exact
    return scaled_series(a)


def scaled_series(a: torch.Tensor) -> torch.Tensor:
    """Return the exponential by Taylor's series and repeated squaring, without a decision that depends on values."""
    small = a / 2**_HALVINGS
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    total = identity.expand_as(a)
    for k in range(_TERMS, 0, -1):  # Horner: I + a/1 (I + a/2 (I + ...))
        total = identity + small @ total / k
    for _ in range(_HALVINGS):
        total = total @ total
    return total


def gathered_noise(a: torch.Tensor, g: torch.Tensor, h: float) -> torch.Tensor:
    """Return the lower factor L of ``integral from 0 to h of v v^T ds``, ``v(s) = exp(s a) g``, differentiable.

    The integral is a sum at Chebyshev's points (Fejer's first rule), exact to 1e-12 up to steps of 20 time constants,
    made where `a` is: nothing waits for a GPU. A covariance without full rank (two states that move alike) leaves zeros
    in L.

    Args:
        a: (..., K, K), in 1/ms.
        g: (..., K).
        h: step in ms.
    """
    count = torch.arange(_NODES, dtype=a.dtype, device=a.device)
    angle = (2 * count + 1) * (math.pi / (2 * _NODES))
    order = count.narrow(0, 1, _NODES // 2)
    waves = torch.cos(2 * angle.unsqueeze(-1) * order) / (4 * order * order - 1)
    weight = (1 - 2 * waves.sum(-1)) * (h / _NODES)
    at = (torch.cos(angle) + 1) * (h / 2)
    steps = matrix_exp(a.unsqueeze(-3) * at.unsqueeze(-1).unsqueeze(-1))
    v = (steps @ g.unsqueeze(-2).unsqueeze(-1)).squeeze(-1) * weight.sqrt().unsqueeze(-1)
    covariance = v.mT @ v
    size = a.shape[-1]
    rows: list[list[torch.Tensor]] = []
    for i in range(size):
        rows.append([])
        for j in range(i + 1):
            left = covariance.select(-2, i).select(-1, j)
            for k in range(j):
                left = left - rows[i][k] * rows[j][k]
            if i == j:
                some = left > _ROUNDING * covariance.select(-2, i).select(-1, i)
                rows[i].append(torch.where(some, torch.where(some, left, torch.ones_like(left)).sqrt(), 0.0))
            else:
                pivot = rows[j][j]
                rows[i].append(torch.where(pivot > 0, left / torch.where(pivot > 0, pivot, 1.0), 0.0))
        rows[i] += [torch.zeros_like(rows[i][0])] * (size - 1 - i)
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
