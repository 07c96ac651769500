"""Physical dimensions: vectors of exponents, their names, and numbers in base units (ms, mV, pA and what follows)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy

BASES = ("time", "voltage", "current", "length", "amount", "temperature")
# One base unit in SI: ms, mV, pA, um, amol, K. Then conductance is in nS, resistance in GOhm, capacitance in pF,
# concentration in mM, so no conversion factor ever appears inside an equation.
_IN_SI = {"time": 3, "voltage": 3, "current": 12, "length": 6, "amount": 18, "temperature": 0}


@dataclass(frozen=True, slots=True)
class Dimension:
    """Exponents of `BASES`; ``str`` names it in words."""

    exponents: tuple[Fraction, ...] = (Fraction(0),) * len(BASES)

    @staticmethod
    def of(**exponents: int | Fraction) -> Dimension:
        """Return the dimension with these exponents of the bases."""
        return Dimension(tuple(Fraction(exponents.get(base, 0)) for base in BASES))

    def __mul__(self, other: Dimension) -> Dimension:
        """Return the dimension of a product."""
        return Dimension(tuple(a + b for a, b in zip(self.exponents, other.exponents, strict=True)))

    def __truediv__(self, other: Dimension) -> Dimension:
        """Return the dimension of a quotient."""
        return self * other**-1

    def __pow__(self, power: int | Fraction) -> Dimension:
        """Return the dimension of a power."""
        return Dimension(tuple(a * power for a in self.exponents))

    def __str__(self) -> str:
        """Return the name, for example ``conductance`` or ``voltage / time``."""
        if self in NAMES:
            return NAMES[self]
        if self * TIME in NAMES:
            return f"{NAMES[self * TIME]} / time"
        parts = zip(BASES, self.exponents, strict=True)
        return " * ".join(base if e == 1 else f"{base}^{e}" for base, e in parts if e)

    @property
    def unit(self) -> str:
        """The base unit, for example ``mV`` or ``nS``; nothing for a number without one."""
        if self in UNITS:
            return UNITS[self]
        if self * TIME in UNITS:
            return f"{UNITS[self * TIME]}/ms"
        parts = zip(("ms", "mV", "pA", "um", "amol", "K"), self.exponents, strict=True)
        return " ".join(unit if e == 1 else f"{unit}^{e}" for unit, e in parts if e)


NONE = Dimension()
TIME = Dimension.of(time=1)
NAMES = {
    NONE: "dimensionless",
    TIME: "time",
    TIME**-1: "1 / time",
    Dimension.of(voltage=1): "voltage",
    Dimension.of(current=1): "current",
    Dimension.of(current=1, voltage=-1): "conductance",
    Dimension.of(current=-1, voltage=1): "resistance",
    Dimension.of(current=1, voltage=-1, time=1): "capacitance",
    Dimension.of(current=1, time=1): "charge",
    Dimension.of(voltage=1, time=-1): "voltage / time",
    Dimension.of(length=1): "length",
    Dimension.of(length=2): "area",
    Dimension.of(length=3): "volume",
    Dimension.of(current=1, length=-2): "current / area",
    Dimension.of(current=1, voltage=-1, length=-2): "conductance / area",
    Dimension.of(current=1, voltage=-1, time=1, length=-2): "capacitance / area",
    Dimension.of(amount=1): "amount",
    Dimension.of(amount=1, length=-3): "concentration",
    Dimension.of(temperature=1): "temperature",
}

UNITS = {
    NONE: "",
    TIME**-1: "1/ms",
    Dimension.of(current=1, voltage=-1): "nS",
    Dimension.of(current=-1, voltage=1): "GOhm",
    Dimension.of(current=1, voltage=-1, time=1): "pF",
    Dimension.of(amount=1, length=-3): "mM",
    **{Dimension.of(**{base: 1}): unit for base, unit in zip(BASES[:4], ("ms", "mV", "pA", "um"), strict=True)},
}
"""Names of base units by dimension."""


def quantities(e: Any) -> set[Any]:
    """Return the sympy quantities in `e`; none can exist before sympy.physics.units is imported."""
    module = sys.modules.get("sympy.physics.units.quantities")
    return set() if module is None or not isinstance(e, sympy.Basic) else e.atoms(module.Quantity)


@lru_cache(maxsize=256)
def in_base_units(quantity: Any) -> tuple[sympy.Expr, Dimension]:
    """Return the value of a sympy quantity in base units, and its dimension."""
    from sympy.physics.units.systems import SI

    dependencies: Mapping[Any, Any] = SI.get_dimension_system().get_dimensional_dependencies(
        SI.get_quantity_dimension(quantity)
    )
    si = {str(getattr(d, "name", d)): Fraction(int(p.p), int(p.q)) for d, p in _rational_items(dependencies)}
    mass = si.get("mass", Fraction(0))  # kg = V A s^3 / m^2
    dimension = Dimension.of(
        time=si.get("time", 0) + 3 * mass,
        voltage=mass,
        current=si.get("current", 0) + mass,
        length=si.get("length", 0) - 2 * mass,
        amount=si.get("amount_of_substance", 0),
        temperature=si.get("temperature", 0),
    )
    value = quantity.scale_factor / sympy.Integer(1000) ** sympy.Rational(mass)  # sympy counts mass in grams
    for base, exponent in zip(BASES, dimension.exponents, strict=True):
        value *= sympy.Integer(10) ** (_IN_SI[base] * sympy.Rational(exponent.numerator, exponent.denominator))
    return value if value.is_Rational else sympy.Float(value.evalf()), dimension


def _rational_items(dependencies: Mapping[Any, Any]) -> list[tuple[Any, sympy.Rational]]:
    return [(d, sympy.Rational(p)) for d, p in dependencies.items()]


def without_units(e: Any) -> Any:
    """Return `e` with every quantity, and prefix such as sympy's milli, replaced by its number in base units."""
    if not (found := quantities(e)):
        return e
    prefixes = e.atoms(sys.modules["sympy.physics.units.prefixes"].Prefix)
    return e.xreplace({q: in_base_units(q)[0] for q in found} | {p: p.scale_factor for p in prefixes})
