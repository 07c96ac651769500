"""Evaluate a declared expression on numpy arrays by walking it: shares nothing with the interpreter of the IR."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import sympy

from graphc.ir import functions as markers

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Values: TypeAlias = "Mapping[sympy.Basic, Any]"


class NotCovered(Exception):
    """An expression holds something that has no rule here; the text says what."""


def _exprel(x: Array) -> Array:
    near = np.abs(x) < 1e-5
    safe = np.where(near, 1.0, x)
    return np.asarray(np.where(near, 1 + x / 2 + x**2 / 6, np.expm1(safe) / safe))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[float])(x)  # type: ignore[no-any-return]


ONE: dict[Any, Callable[[Any], Any]] = {
    sympy.exp: np.exp,
    sympy.log: np.log,
    sympy.sin: np.sin,
    sympy.cos: np.cos,
    sympy.tan: np.tan,
    sympy.sinh: np.sinh,
    sympy.cosh: np.cosh,
    sympy.tanh: np.tanh,
    sympy.asin: np.arcsin,
    sympy.acos: np.arccos,
    sympy.atan: np.arctan,
    sympy.Abs: np.abs,
    sympy.sign: np.sign,
    sympy.floor: np.floor,
    sympy.ceiling: np.ceil,
    sympy.erf: _erf,
    markers.exprel: _exprel,
    markers.softplus: _softplus,
    markers.sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    markers.relu: lambda x: np.maximum(x, 0),
    markers.detach: lambda x: x,
}
MANY: dict[Any, Callable[[Any, Any], Any]] = {
    sympy.Add: np.add,
    sympy.Mul: np.multiply,
    sympy.Min: np.minimum,
    sympy.Max: np.maximum,
    sympy.And: np.logical_and,
    sympy.Or: np.logical_or,
}
TWO: dict[Any, Callable[[Any, Any], Any]] = {
    sympy.Gt: np.greater,
    sympy.Ge: np.greater_equal,
    sympy.Lt: np.less,
    sympy.Le: np.less_equal,
    sympy.Eq: np.equal,
    sympy.Ne: np.not_equal,
    sympy.Mod: np.mod,
    sympy.atan2: np.arctan2,
}


def walk(e: sympy.Basic, values: Values) -> Any:
    """Return `e` with every symbol, or marked part, that `values` knows replaced by its array.

    Raises:
        NotCovered: a part has no rule.
    """
    if e in values:
        return values[e]
    kind = e.func
    if e is sympy.true or e is sympy.false:
        return np.bool_(e is sympy.true)
    if e.is_Number or e.is_NumberSymbol:
        return float(e)
    if kind is sympy.Piecewise:
        return _piecewise(e, values)
    if kind in MANY:
        return functools.reduce(MANY[kind], [walk(a, values) for a in e.args])
    if kind is sympy.Pow:
        base, exponent = e.args
        return np.power(np.asarray(walk(base, values), float), walk(exponent, values))
    if kind in TWO:
        return TWO[kind](*(walk(a, values) for a in e.args))
    if kind is sympy.Not:
        return np.logical_not(walk(e.args[0], values))
    if kind is sympy.Heaviside:
        return np.heaviside(walk(e.args[0], values), walk(e.args[1], values))
    if kind in ONE:
        return ONE[kind](walk(e.args[0], values))
    raise NotCovered(f"'{e}' has no rule here")


def _piecewise(e: sympy.Basic, values: Values) -> Any:
    chosen: Any = np.nan
    with np.errstate(all="ignore"):  # branches that are not taken
        for value, condition in reversed(e.args):
            chosen = np.where(walk(condition, values), walk(value, values), chosen)
    return chosen


def expm(a: Array) -> Array:
    """Return the exponentials of a stack of square matrices: Taylor's series of a halved matrix, squared again."""
    norm = float(np.abs(a).sum(axis=-1).max()) if a.size else 0.0
    halvings = max(0, math.ceil(math.log2(norm)) + 4) if norm > 0 else 0
    scaled = a / 2**halvings
    term = total = np.broadcast_to(np.eye(a.shape[-1]), a.shape).copy()
    for k in range(1, 20):
        term = term @ scaled / k
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total
