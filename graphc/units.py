"""Units for declarations: sympy quantities, by the short names of the field.

Everything is checked by dimension and converted to the base units ms, mV, nS, pA, pF (GOhm, 1/ms, um, mM).
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy.physics import units as _si
from sympy.physics.units.quantities import Quantity

__all__ = [  # noqa: RUF022 (by dimension, large to small)
    "s", "ms", "us", "V", "mV", "uV", "S", "mS", "uS", "nS", "pS", "A", "mA", "uA", "nA", "pA",
    "F", "uF", "nF", "pF", "fF", "Ohm", "kOhm", "MOhm", "GOhm", "Hz", "kHz", "C", "pC",
    "m", "cm", "mm", "um", "M", "mM", "uM", "nM", "K",
]  # fmt: skip


def _unit(name: str, power: int, of: Any) -> Any:
    """Return a new unit, ``10**power`` of another."""
    unit = Quantity(name, abbrev=name)
    unit.set_global_relative_scale_factor(sympy.Integer(10) ** power, of)
    return unit


s, ms, us = _si.second, _si.millisecond, _si.microsecond
V, mV, uV = _si.volt, _unit("mV", -3, _si.volt), _unit("uV", -6, _si.volt)
S, mS, uS = _si.siemens, _unit("mS", -3, _si.siemens), _unit("uS", -6, _si.siemens)
nS, pS = _unit("nS", -9, _si.siemens), _unit("pS", -12, _si.siemens)
A, mA, uA = _si.ampere, _unit("mA", -3, _si.ampere), _unit("uA", -6, _si.ampere)
nA, pA = _unit("nA", -9, _si.ampere), _unit("pA", -12, _si.ampere)
F, uF, nF = _si.farad, _unit("uF", -6, _si.farad), _unit("nF", -9, _si.farad)
pF, fF = _unit("pF", -12, _si.farad), _unit("fF", -15, _si.farad)
Ohm, kOhm = _si.ohm, _unit("kOhm", 3, _si.ohm)
MOhm, GOhm = _unit("MOhm", 6, _si.ohm), _unit("GOhm", 9, _si.ohm)
Hz, kHz = _si.hertz, _unit("kHz", 3, _si.hertz)
C, pC = _si.coulomb, _unit("pC", -12, _si.coulomb)
m, cm, mm, um = _si.meter, _si.centimeter, _si.millimeter, _si.micrometer
mM = _unit("mM", 0, _si.mole / _si.meter**3)
M, uM, nM = _unit("M", 3, mM), _unit("uM", -3, mM), _unit("nM", -6, mM)
K = _si.kelvin
