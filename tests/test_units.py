import numpy as np
import pytest
import sympy
from scipy import constants
from sympy.physics.units import milli, volt

import graphc as gc
from graphc import units
from graphc.dimensions import Dimension, in_base_units, without_units
from graphc.units import cm, mS, ms, mV, nS, pA, pF, s

# value in SI units, then the base unit in SI
SI = {
    "s": (1, 1e-3), "us": (1e-6, 1e-3), "V": (1, 1e-3), "uV": (1e-6, 1e-3), "S": (1, 1e-9), "uS": (1e-6, 1e-9),
    "pS": (1e-12, 1e-9), "nA": (1e-9, 1e-12), "uA": (1e-6, 1e-12), "nF": (1e-9, 1e-12), "fF": (1e-15, 1e-12),
    "MOhm": (1e6, 1e9), "Ohm": (1, 1e9), "Hz": (1, 1e3), "pC": (1e-12, 1e-15), "cm": (1e-2, 1e-6),
    "uM": (1e-3, 1), "M": (1e3, 1), "nM": (1e-6, 1), "K": (1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SI)
def test_unit_has_its_value_in_base_units(name):
    value, base = SI[name]
    assert float(in_base_units(getattr(units, name))[0]) == pytest.approx(value / base, rel=1e-15)


@pytest.mark.parametrize("name", ["ms", "mV", "nS", "pA", "pF", "GOhm", "kHz", "um", "mM"])
def test_base_units_are_one(name):
    assert in_base_units(getattr(units, name))[0] == 1


def test_every_unit_is_exported_and_has_a_dimension_in_words():
    assert all("^" not in str(in_base_units(getattr(units, name))[1]) for name in units.__all__)


def test_derived_units_follow_from_the_base():
    assert without_units(pF / nS - ms) == 0
    assert without_units(nS * mV - pA) == 0
    assert float(without_units(1 * mS / cm**2)) == pytest.approx(1e6 / 1e8)


def test_units_of_sympy_work_too():
    assert without_units(65 * milli * volt) == 65


def test_dimensions_are_named():
    voltage, time = Dimension.of(voltage=1), Dimension.of(time=1)
    assert [str(d) for d in (voltage, voltage / time, time**-1, voltage * voltage, time / time)] == [
        "voltage",
        "voltage / time",
        "1 / time",
        "voltage^2",
        "dimensionless",
    ]


def membrane(**changes):
    v, w = gc.states("v w")
    x = gc.input("x")
    parts = {"C": 200 * pF, "g": 10 * nS, "E": -70 * mV, "tau": 100 * ms, "a": 2 * nS}
    C, g, E, tau, a = gc.params(**{**parts, **changes})
    return gc.Neuron(
        "M",
        ode={v: (g * (E - v) + x - w) / C, w: (a * (v - E) - w) / tau},
        spike=gc.Spike(v > -50 * mV),
        reset={v: E},
        init={v: E},
    )


def test_dimensions_of_all_symbols_follow_from_the_equations():
    found = {name: str(d) for name, d in membrane().dimensions.items()}
    assert found["v"] == "voltage" and found["w"] == "current" and found["x"] == "current"


def test_expressions_are_left_in_base_units():
    neuron = membrane(tau=0.1 * s)
    assert neuron.uses_units
    assert neuron.spike.margin == gc.state("v") + 50
    assert not any(e.has(sympy.physics.units.Quantity) for e in (*neuron.ode.values(), neuron.spike.condition))
    assert {p.name: p.default for p in neuron.parameters}["tau"] == 100.0


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        ({"g": 10 * pF}, "ode={v:", ("is voltage,", "must be voltage / time")),
        ({"E": 5 * ms}, "", ("time", "voltage")),
        ({"tau": 100}, "ode={v:", ("current", "current / time")),
    ],
)
def test_mismatch_names_both_dimensions(change, line, words):
    with pytest.raises(gc.DeclarationError) as caught:
        membrane(**change)
    assert line in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_a_neuron_without_units_is_not_checked():
    v, tau = gc.state("v"), gc.param("tau", 10.0)
    neuron = gc.Neuron("N", ode={v: 1 - v / tau + sympy.exp(v)})
    assert not neuron.uses_units and neuron.dimensions == {}


def test_zero_and_infinity_fit_any_dimension():
    v, g, tau = gc.state("v"), gc.param("g", 0.0), gc.param("tau", 10 * ms)
    neuron = gc.Neuron(
        "N",
        ode={v: (sympy.Max(v, 0) - v) / tau + g},
        spike=gc.Spike(v > 20 * mV),
        reset={v: 0},
        refractory=sympy.oo,
    )
    assert str(neuron.dimensions["g"]) == "voltage / time"


BAD = {
    "exponent": (lambda v, tau: {"ode": {v: -v / tau * sympy.exp(v)}}, "exp"),
    "power": (lambda v, tau: {"ode": {v: -v * 2**v / tau}}, "power"),
    "comparison": (lambda v, tau: {"ode": {v: gc.where(v > 3, -v, v) / tau}}, "mixes voltage and dimensionless"),
    "branches": (lambda v, tau: {"ode": {v: gc.where(v > 0, -v / tau, v)}}, "mixes"),
    "minimum": (lambda v, tau: {"ode": {v: sympy.Min(v, tau) / tau}}, "mixes"),
    "refractory": (lambda v, tau: {"ode": {v: -v / tau}, "refractory": 2}, "is dimensionless, but must be time"),
    "look back": (lambda v, tau: {"ode": {v: -gc.previous(v, 2 * mV) / tau}}, "looks back by voltage"),
    "initial": (lambda v, tau: {"ode": {v: -v / tau}, "init": {v: gc.Uniform(0 * ms, 1 * ms)}}, "time"),
}


@pytest.mark.parametrize(("parts", "message"), BAD.values(), ids=BAD)
def test_each_rule_of_dimensions_is_checked(parts, message):
    v, tau = gc.state("v"), gc.param("tau", 10 * ms)
    with pytest.raises(gc.DeclarationError, match=message):
        gc.Neuron("N", spike=gc.Spike(v > 20 * mV), reset={v: 0 * mV}, **parts(v, tau))


def test_overrides_are_converted_and_checked():
    net = gc.Network(dt=0.0001 * s)
    population = net.population("p", membrane(), 2, tau=0.03 * s, E=np.array([-70.0, -60.0]) * mV, v=-0.06 * volt)
    assert population.parameters["tau"].value == 30.0 and population.init[gc.state("v")] == -60.0
    assert population.parameters["E"].value.tolist() == [-70.0, -60.0]
    with pytest.raises(gc.DeclarationError, match="is voltage, but must be time"):
        net.population("q", membrane(), 2, tau=3 * mV)


def test_boltzmann_exponent_is_dimensionless():
    kT = constants.k * 300 / constants.e * 1000 * mV
    v, tau = gc.state("v"), gc.param("tau", 10 * ms)
    neuron = gc.Neuron("N", ode={v: (-v + 1 * mV * sympy.exp(v / kT)) / tau})
    assert str(neuron.dimensions["v"]) == "voltage"
