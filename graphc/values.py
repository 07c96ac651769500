"""Numbers that a user gives: plain, with a unit, as an array or as a distribution; turned into base units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import sympy

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .dimensions import TIME, Dimension, quantities, without_units
from .distributions import Distribution, LogNormal, checked
from .inference import Mismatch, dimension_of_number

if TYPE_CHECKING:
    import numpy as np

Value: TypeAlias = "float | np.ndarray[Any, np.dtype[np.float64]] | Distribution"


@dataclass(frozen=True)
class Measured:
    """A value in base units, and its dimension when a unit was given (None for plain numbers)."""

    value: Value
    dimension: Dimension | None


def measure(value: Any, what: str, loc: Loc) -> Measured:
    """Return a number, quantity, array or distribution in base units."""
    if isinstance(value, Distribution):
        label = f"an argument of {type(value).__name__} of {what}"
        numbers = [measure_number(v, label, loc) for v in value.arguments]
        kinds = {n.dimension for n in numbers if n.value != 0}  # 0 * ms is 0 for sympy, so 0 has any unit
        if len(kinds) > 1 or (isinstance(value, LogNormal) and kinds - {None}):
            raise DeclarationError(f"{what} is drawn from {value!r}, whose arguments differ in their units", loc)
        return Measured(checked(value, tuple(n.value for n in numbers), loc), kinds.pop() if kinds else None)
    if is_array(value):
        return _measure_array(value, what, loc)
    number = measure_number(value, what, loc)
    return Measured(number.value, number.dimension)


@dataclass(frozen=True)
class Number:
    """One float in base units, and its dimension when a unit was given."""

    value: float
    dimension: Dimension | None


def measure_number(value: Any, what: str, loc: Loc) -> Number:
    """Return a number or quantity in base units."""
    e = to_sympy(value, what, loc)
    if e.free_symbols:
        names = ", ".join(repr(str(s)) for s in sorted(e.free_symbols, key=str))
        raise DeclarationError(f"{what} must be a number, but depends on {names}", loc)
    dimension = None
    if quantities(e):
        try:
            dimension = dimension_of_number(e)
        except Mismatch as error:
            raise DeclarationError(f"{what} {error}", loc) from None
    number = without_units(e)
    if not number.is_extended_real:
        raise DeclarationError(f"{what} must be a real number, not {value}", loc)
    return Number(float(number), dimension)


def to_sympy(value: Any, what: str, loc: Loc) -> Any:
    """Return a number or expression as sympy's; text is refused, for sympy would execute it."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if isinstance(value, bool):
        raise DeclarationError(f"{what} must be a number, not {value}", loc)
    try:
        return sympy.sympify(value, strict=True)
    except (sympy.SympifyError, TypeError, AttributeError):
        kind = type(value).__name__
        raise DeclarationError(f"{what} must be a number or a sympy expression, not {value!r} ({kind})", loc) from None


def time_in_ms(value: Any, what: str, loc: Loc) -> float:
    """Return a time, a quantity or a number of ms, in ms."""
    number = measure_number(value, what, loc)
    if number.dimension not in (None, TIME):
        raise DeclarationError(f"{what} must be a time, not {value} ({number.dimension})", loc)
    return number.value


def is_array(value: Any) -> bool:
    """Return whether `value` is an array, tensor or list of numbers rather than one of them."""
    if isinstance(value, (list, tuple)):
        return True
    return hasattr(value, "__array__") and getattr(value, "shape", ()) != ()


def whole_steps(time: float, dt: float) -> int | None:
    """Return how many steps of `dt` make `time`, None when that is no whole number to 1e-6."""
    steps = time / dt
    return round(steps) if abs(steps - round(steps)) <= 1e-6 * max(1.0, abs(steps)) else None


def _measure_array(value: Any, what: str, loc: Loc) -> Measured:
    import numpy as np

    if hasattr(value, "detach"):  # a tensor that may require a gradient or live on another device
        value = value.detach().cpu()
    array = np.asarray(value)
    dimension = None
    if array.dtype == object:  # numbers times a unit
        numbers = [measure_number(v, what, loc) for v in array.ravel()]
        kinds = {number.dimension for number in numbers if number.value != 0}
        if len(kinds) > 1:
            raise DeclarationError(f"{what} mixes {' and '.join(sorted(str(k) for k in kinds))}", loc)
        array = np.array([number.value for number in numbers]).reshape(array.shape)
        dimension = kinds.pop() if kinds else None
    if array.dtype.kind not in "fiu":
        raise DeclarationError(f"{what} must be an array of real numbers, not of {array.dtype}", loc)
    array = np.array(array, dtype=np.float64)  # a copy: later changes by the user must not reach the declaration
    if np.isnan(array).any():
        raise DeclarationError(f"{what} contains NaN", loc)
    array.setflags(write=False)
    return Measured(array, dimension)
