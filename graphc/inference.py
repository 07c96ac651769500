"""Dimension inference: one unknown dimension per symbol, solved from the equations of a neuron by substitution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy

from graphc.ir.functions import at_threshold, detach, previous, relu

from .dimensions import NONE, TIME, Dimension, in_base_units, quantities

_ANY = frozenset({sympy.true, sympy.false, sympy.oo, -sympy.oo})


class Mismatch(Exception):
    """Two things of different dimension meet; the text says which."""


@dataclass(frozen=True)
class Form:
    """A dimension that depends on unknown ones: ``constant * prod(unknown[name] ** power)``."""

    constant: Dimension = NONE
    powers: Mapping[str, Fraction] = field(default_factory=dict)

    def __mul__(self, other: Form) -> Form:
        """Return the dimension of a product."""
        powers = dict(self.powers)
        for name, power in other.powers.items():
            powers[name] = powers.get(name, Fraction(0)) + power
        return Form(self.constant * other.constant, {n: p for n, p in powers.items() if p})

    def __pow__(self, power: int | Fraction) -> Form:
        """Return the dimension of a power."""
        return Form(self.constant**power, {n: p * power for n, p in self.powers.items() if p * power})

    def __str__(self) -> str:
        """Return the dimension in words, unknown ones as ``[x]``."""
        unknown = [f"[{n}]" if p == 1 else f"[{n}]^{p}" for n, p in self.powers.items()]
        return " * ".join([*unknown, *([str(self.constant)] if self.constant != NONE or not unknown else [])])


class Dimensions:
    """What is known of the dimensions of the symbols of one neuron; `of` and `equate` add to it."""

    def __init__(self, known: Mapping[str, Dimension]) -> None:
        """Start from the symbols whose dimension the user stated."""
        self._solved: dict[str, Form] = {name: Form(dimension) for name, dimension in known.items()}

    def known(self, name: str) -> Dimension | None:
        """Return the dimension of a symbol, None while it is undetermined."""
        form = self._reduce(Form(powers={name: Fraction(1)}))
        return None if form.powers else form.constant

    def equate(self, a: Form | None, b: Form | None, message: str) -> None:
        """Learn from ``a = b``, where None fits any dimension.

        A contradiction is a Mismatch, whose `message` shows the sides as ``{a}`` and ``{b}``.
        """
        if a is None or b is None:
            return
        left, right = self._reduce(a), self._reduce(b)
        ratio = left * right**-1
        if ratio.powers:
            name, power = next(iter(ratio.powers.items()))
            rest = Form(ratio.constant, {n: p for n, p in ratio.powers.items() if n != name})
            self._solved[name] = rest ** (-1 / power)
        elif ratio.constant != NONE:
            raise Mismatch(message.format(a=left, b=right))

    def of(self, e: Any) -> Form | None:
        """Return the dimension of an expression, None when it fits any (0 and infinities)."""
        if e in _ANY or (e.is_Number and e.is_zero):
            return None
        if e.is_Symbol:
            return self._reduce(Form(powers={e.name: Fraction(1)}))
        if quantities(e) == {e}:
            return Form(in_base_units(e)[1])
        if not e.args:
            return Form()
        match e:
            case sympy.Add() | sympy.Min() | sympy.Max():
                return self._common(list(e.args), f"'{e}'")
            case sympy.Mul():
                return self._product(e)
            case sympy.Pow():
                return self._power(e)
            case sympy.Piecewise():
                for _, condition in e.args:
                    self.of(condition)
                return self._common([value for value, _ in e.args], f"'{e}'")
            case sympy.core.relational.Relational() | sympy.atan2():
                self._common(list(e.args), f"'{e}'")
                return Form()
            case previous():
                return self.of(e.args[0])
            case sympy.Abs() | detach() | at_threshold() | relu():
                return self.of(e.args[0])
            case sympy.sign() | sympy.Heaviside() | sympy.logic.boolalg.Boolean():
                for arg in e.args:
                    self.of(arg)
                return Form()
        for arg in e.args:
            self._demand_number(arg, f"'{e.func.__name__}' takes a dimensionless argument")
        return Form()

    def _reduce(self, form: Form) -> Form:
        while unsolved := [name for name in form.powers if name in self._solved]:
            for name in unsolved:
                power = form.powers[name]
                rest = Form(form.constant, {n: p for n, p in form.powers.items() if n != name})
                form = rest * self._solved[name] ** power
        return form

    def _common(self, args: list[Any], whole: str) -> Form | None:
        first: Form | None = None
        first_arg: Any = None
        for arg in args:
            form = self.of(arg)
            if first is None:
                first, first_arg = form, arg
                continue
            self.equate(first, form, f"mixes {{a}} and {{b}}: '{first_arg}' and '{arg}' in {whole}")
        return None if first is None else self._reduce(first)

    def _product(self, e: Any) -> Form | None:
        product = Form()
        for arg in e.args:
            form = self.of(arg)
            if form is None:
                return None
            product = product * form
        return self._reduce(product)

    def _power(self, e: Any) -> Form | None:
        base, exponent = e.args
        if exponent.is_Rational or exponent.is_Float:  # x**0.5 is a square root
            form, power = self.of(base), Fraction(float(exponent)).limit_denominator(1000)
            return None if form is None else self._reduce(form**power)
        for arg in (base, exponent):
            self._demand_number(arg, f"'{e}' is a power and takes dimensionless parts")
        return Form()

    def _demand_number(self, arg: Any, why: str) -> None:
        self.equate(self.of(arg), Form(), f"mixes {{a}} and {{b}}: {why}, but '{arg}' is {{a}}")


def dimension_of_number(e: Any) -> Dimension:
    """Return the dimension of an expression without symbols."""
    form = Dimensions({}).of(e)
    return NONE if form is None else form.constant


__all__ = ["NONE", "TIME", "Dimensions", "Form", "Mismatch", "dimension_of_number"]
