"""Functions for use in expressions, beside sympy's own: smooth rates, kinks, and markers that lowering removes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import sympy
from sympy.core.function import ArgumentIndexError


def _exprel(x: float) -> float:
    if x > 709.0:  # where math.expm1 raises
        return math.inf
    return 1.0 if x == 0 else math.expm1(x) / x


def _exprel_prime(x: float) -> float:
    if abs(x) < 0.1:  # the quotient loses half of the digits near 0
        return sum(x**k / (math.factorial(k) * (k + 2)) for k in range(12))
    return math.inf if x > 700.0 else (math.exp(x) * (x - 1) + 1) / x**2


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


class _Smooth(sympy.Function):
    """A real function of one real argument that is evaluated at numbers and nowhere else."""

    nargs: ClassVar[Any] = 1
    _value: ClassVar[Any]  # float -> float
    _limits: ClassVar[tuple[Any, Any]]

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Fold a constant argument, leave everything else as written."""
        if x in (sympy.oo, -sympy.oo):
            return cls._limits[x is sympy.oo]
        if x.is_Number and x is not sympy.nan:
            return sympy.Float(cls._value(float(x)))
        return None

    def _eval_evalf(self, prec: int) -> Any:
        x = self.args[0].evalf()
        return sympy.Float(type(self)._value(float(x))) if x.is_Number else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _check(self, argindex: int) -> Any:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return self.args[0]


class exprel(_Smooth):
    """Return ``(exp(x) - 1) / x``, 1 at ``x = 0``."""

    _value = staticmethod(_exprel)
    _limits = (sympy.S.Zero, sympy.oo)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative, itself free of the singularity."""
        return exprel_prime(self._check(argindex))


class exprel_prime(_Smooth):
    """Return the derivative of `exprel`, ``(exp(x) (x - 1) + 1) / x**2``, 1/2 at ``x = 0``."""

    _value = staticmethod(_exprel_prime)
    _limits = (sympy.S.Zero, sympy.oo)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the second derivative of `exprel`: its series near 0, else the quotient."""
        x = self._check(argindex)
        series = sum(x**k / (sympy.factorial(k) * (k + 3)) for k in range(9))
        return sympy.Piecewise((series, sympy.Abs(x) < 0.1), ((sympy.exp(x) - 2 * self) / x, True))


class sigmoid(_Smooth):
    """Return ``1 / (1 + exp(-x))``."""

    _value = staticmethod(_sigmoid)
    _limits = (sympy.S.Zero, sympy.S.One)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return ``sigmoid(x) sigmoid(-x)``, which keeps its digits for large x."""
        x = self._check(argindex)
        return sigmoid(x) * sigmoid(-x)


class softplus(_Smooth):
    """Return ``log(1 + exp(x))``."""

    _value = staticmethod(_softplus)
    _limits = (sympy.S.Zero, sympy.oo)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return ``sigmoid(x)``."""
        return sigmoid(self._check(argindex))


class relu(_Smooth):
    """Return ``max(x, 0)``; its derivative at 0 is 0."""

    _limits = (sympy.S.Zero, sympy.oo)

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Fold a constant argument exactly."""
        return sympy.Max(x, 0) if x.is_Number and x is not sympy.nan else None

    def _eval_evalf(self, prec: int) -> Any:
        x = self.args[0].evalf(prec)
        return sympy.Max(x, 0) if x.is_Number else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the step function that is 0 at 0."""
        return sympy.Heaviside(self._check(argindex), 0)


def clip(e: Any, lo: Any, hi: Any) -> sympy.Expr:
    """Return `e` limited to ``[lo, hi]``."""
    return sympy.Min(sympy.Max(e, lo), hi)


def where(cond: Any, a: Any, b: Any) -> sympy.Expr:
    """Return `a` where `cond` holds, else `b`."""
    return sympy.Piecewise((a, cond), (b, True))


class detach(sympy.Function):
    """Mark `e` as a constant of differentiation: its value, with derivative 0."""

    nargs: ClassVar[Any] = 1

    @classmethod
    def eval(cls, e: Any) -> Any:
        """Return a number as it is: it has no derivative anyway."""
        return e if e.is_Number else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return 0."""
        return sympy.S.Zero

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None


class at_threshold(sympy.Function):
    """Mark `e` as read before the reset; legal in an output only."""

    nargs: ClassVar[Any] = 1

    @classmethod
    def eval(cls, e: Any) -> Any:
        """Return a number as it is."""
        return e if e.is_Number else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None


class previous(sympy.Function):
    """Mark `a` as read `delay` earlier: an Integer counts steps, a Float is a time in ms."""

    nargs: ClassVar[Any] = (1, 2)

    def __new__(cls, a: Any, delay: Any = 1, **options: Any) -> Any:
        """Return the marker, always with both arguments."""
        return super().__new__(cls, a, delay, **options)

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None


class total(sympy.Function):
    """Mark `e` as summed over the synapses of a neuron; the second argument is the symbol "pre" or "post"."""

    nargs: ClassVar[Any] = 2

    @property
    def free_symbols(self) -> set[Any]:
        """Return the symbols of `e`: the side is none."""
        return set(self.args[0].free_symbols)

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None
