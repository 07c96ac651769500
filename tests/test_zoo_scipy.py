"""Zoo neurons against the literature: SciPy at rtol 1e-10 with event detection, and closed forms.

The equations are written out here once more, and both are held against them: the NumPy loops that other tests take as
their oracle, and the compiled model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import sympy
import torch
from numpy import cosh, exp, tanh
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

import graphc as gc

from .oracles.loops import LOOPS, Population, simulate

State = Sequence[float]


def hodgkin_huxley(t: float, y: State, current: float) -> list[float]:
    v, m, h, n = y
    return [
        current - 120 * m**3 * h * (v - 50) - 36 * n**4 * (v + 77) - 0.3 * (v + 54.387),
        0.1 * (v + 40) / (1 - exp(-(v + 40) / 10)) * (1 - m) - 4 * exp(-(v + 65) / 18) * m,
        0.07 * exp(-(v + 65) / 20) * (1 - h) - 1 / (1 + exp(-(v + 35) / 10)) * h,
        0.01 * (v + 55) / (1 - exp(-(v + 55) / 10)) * (1 - n) - 0.125 * exp(-(v + 65) / 80) * n,
    ]


def morris_lecar(t: float, y: State, current: float) -> list[float]:
    v, w = y
    m_inf, w_inf = 0.5 * (1 + tanh((v + 1.2) / 18)), 0.5 * (1 + tanh((v - 2) / 30))
    return [
        (current - 4.4 * m_inf * (v - 120) - 8 * w * (v + 84) - 2 * (v + 60)) / 20,
        0.04 * cosh((v - 2) / 60) * (w_inf - w),
    ]


def fitzhugh_nagumo(t: float, y: State, current: float) -> list[float]:
    v, w = y
    return [v - v**3 / 3 - w + current, (v + 0.7 - 0.8 * w) / 12.5]


def adex(t: float, y: State, current: float) -> list[float]:
    v, w = y
    upstroke = exp(min((v + 50.4) / 2, 20))  # the solver tries steps far beyond the event
    return [(-30 * (v + 70.6) + 30 * 2 * upstroke - w + current) / 281, (4 * (v + 70.6) - w) / 144]


def izhikevich(t: float, y: State, current: float) -> list[float]:
    v, u = y
    return [0.04 * v**2 + 5 * v + 140 - u + current, 0.02 * (0.2 * v - u)]


def traub_miles(t: float, y: State, current: float) -> list[float]:
    v, m, h, n = y
    u = v + 63
    return [
        (current - 20000 * m**3 * h * (v - 50) - 6000 * n**4 * (v + 90) - 10 * (v + 65)) / 200,
        0.32 * (13 - u) / (exp((13 - u) / 4) - 1) * (1 - m) - 0.28 * (u - 40) / (exp((u - 40) / 5) - 1) * m,
        0.128 * exp((17 - u) / 18) * (1 - h) - 4 / (1 + exp((40 - u) / 5)) * h,
        0.032 * (15 - u) / (exp((15 - u) / 5) - 1) * (1 - n) - 0.5 * exp((10 - u) / 40) * n,
    ]


def wang_buzsaki(t: float, y: State, current: float) -> list[float]:
    v, h, n = y
    alpha, beta = -0.1 * (v + 35) / (exp(-0.1 * (v + 35)) - 1), 4 * exp(-(v + 60) / 18)
    sodium = 35 * (alpha / (alpha + beta)) ** 3 * h
    opening = -0.01 * (v + 34) / (exp(-0.1 * (v + 34)) - 1)
    return [
        current - sodium * (v - 55) - 9 * n**4 * (v + 90) - 0.1 * (v + 65),
        5 * (0.07 * exp(-(v + 58) / 20) * (1 - h) - h / (exp(-0.1 * (v + 28)) + 1)),
        5 * (opening * (1 - n) - 0.125 * exp(-(v + 44) / 80) * n),
    ]


def hindmarsh_rose(t: float, y: State, current: float) -> list[float]:
    v, w, z = y
    return [w - v**3 + 3 * v**2 - z + current, 1 - 5 * v**2 - w, 0.006 * (4 * (v + 1.6) - z)]


def settled(equations: Callable, v: float) -> tuple[float, ...]:
    """Return the steady gates at a potential: every one changes linearly with itself."""
    count = 3 if equations is traub_miles else 2
    still, open_ = equations(0, [v, *[0.0] * count], 0)[1:], equations(0, [v, *[1.0] * count], 0)[1:]
    return (v, *(a / (a - b) for a, b in zip(still, open_, strict=True)))


@dataclass(frozen=True)
class Reference:
    """One neuron of the literature under a constant current; a spike is an upward crossing of `level` by v."""

    equations: Callable[[float, State, float], list[float]]
    start: tuple[float, ...]
    current: float
    level: float
    spikes: int
    dt: float
    jump: Callable[[np.ndarray], Sequence[float]] | None = None


REFERENCES = {
    "HodgkinHuxley": Reference(hodgkin_huxley, (-65, 0.0529324853, 0.596120754, 0.317676914), 10.0, 0.0, 3, 0.01),
    "MorrisLecar": Reference(morris_lecar, (-60, (1 + tanh(-62 / 30)) / 2), 120.0, 0.0, 3, 0.02),
    "FitzHughNagumo": Reference(fitzhugh_nagumo, (-1.1994, -0.6243), 0.5, 1.0, 4, 0.02),
    # At -20 mV AdEx is 3e-6 ms from infinity; the resolution of t in double precision ends long before 20 mV.
    "AdEx": Reference(adex, (-70.6, 0.0), 1000.0, -20.0, 4, 0.01, lambda y: (-70.6, y[1] + 80.5)),
    "TraubMiles": Reference(traub_miles, settled(traub_miles, -65.0), 500.0, -20.0, 2, 0.02),
    "WangBuzsaki": Reference(wang_buzsaki, settled(wang_buzsaki, -64.0), 2.0, 0.0, 2, 0.02),
    "HindmarshRose": Reference(hindmarsh_rose, (-1.6, -11.8, 0.0), 2.0, 1.0, 5, 0.02),
    "Izhikevich": Reference(izhikevich, (-65.0, -13.0), 10.0, 30.0, 5, 0.02, lambda y: (-65.0, y[1] + 8)),
}


@cache
def reference_times(name: str) -> np.ndarray:
    """Return the first spike times in ms."""
    reference = REFERENCES[name]

    def crossing(t: float, y: State, current: float) -> float:
        return y[0] - reference.level

    crossing.direction, crossing.terminal = 1, True
    times: list[float] = []
    t, y = 0.0, np.array(reference.start, float)
    while len(times) < reference.spikes:
        current, tolerance = (reference.current,), {"rtol": 1e-10, "atol": 1e-10}
        run = solve_ivp(reference.equations, (t, 1000.0), y, "DOP853", events=crossing, args=current, **tolerance)
        assert run.status == 1, "no spike"
        t, y = run.t[-1], run.y[:, -1]
        times.append(t)
        if reference.jump is None:  # step over the event, which would be found again
            run = solve_ivp(reference.equations, (t, t + 0.5), y, "DOP853", args=current, **tolerance)
            t, y = run.t[-1], run.y[:, -1]
        else:
            y = np.array(reference.jump(y))
    return np.array(times)


def spike_times(spikes: np.ndarray, dt: float) -> np.ndarray:
    """Return the middles of the steps with a spike."""
    return (np.flatnonzero(spikes) + 0.5) * dt


def loop_run(name: str, current: float, steps: int, dt: float) -> dict[str, np.ndarray]:
    wire = ("stim", "hid", "x", np.ones((1, 1)), 0)
    records = simulate({"hid": Population(name, 1, {})}, [wire], {"stim": np.full((steps, 1, 1), current)}, dt)["hid"]
    return {signal: values[:, 0, 0] for signal, values in records.items()}


def model_run(neuron: gc.Neuron, current: float, steps: int, dt: float, **values: float) -> dict[str, np.ndarray]:
    network = gc.Network(dt=dt)
    network.input("stim", 1)
    network.population("hid", neuron, 1, **values)
    network.connect("stim", "hid", weight=1.0)
    network.output("hid")
    model = gc.compile(network, learn=None, target="c", dtype=torch.float64)
    names = ["spike", *(state.name for state in neuron.states)]
    inputs = torch.full((steps, 1, 1), current, dtype=torch.float64)
    run = model.run(inputs, record=[f"hid.{name}" for name in names])
    return {name: run.records[f"hid.{name}"][:, 0, 0].detach().numpy() for name in names}


def with_integrator(name: str, integrator: str) -> gc.Neuron:
    """Return a zoo neuron at its default parameters with another integrator."""
    neuron = gc.zoo.ALL[name]
    values = {p: sympy.Float(LOOPS[name].parameters[p.name]) for p in neuron.parameters}

    def fixed(group: dict) -> dict:
        return {state: sympy.sympify(e).xreplace(values) for state, e in group.items()}

    spike = replace(neuron.spike, condition=neuron.spike.condition.xreplace(values), detached=frozenset())
    return gc.Neuron(
        name,
        ode=fixed(neuron.ode),
        spike=spike,
        reset=fixed(neuron.reset),
        init=fixed(neuron.init),
        integrator=integrator,
    )


def check_extrapolated(name: str, run: Callable[[int, float], np.ndarray]) -> None:
    """Check spike times extrapolated from two step lengths; each spike adds at most a step of rounding to the grid."""
    reference, want = REFERENCES[name], reference_times(name)
    coarse, fine = (
        spike_times(run(round((want[-1] + 2) / dt), dt), dt)[: len(want)] for dt in (reference.dt, reference.dt / 2)
    )
    np.testing.assert_array_less(np.abs(2 * fine - coarse - want), reference.dt * np.arange(1, len(want) + 1))


@pytest.mark.parametrize("name", REFERENCES)
def test_numpy_loop_spikes_when_the_literature_does(name):
    check_extrapolated(name, lambda steps, dt: loop_run(name, REFERENCES[name].current, steps, dt)["spike"])


@pytest.mark.parametrize("name", REFERENCES)
def test_compiled_neuron_spikes_when_the_literature_does(name):
    neuron = gc.zoo.ALL[name]
    check_extrapolated(name, lambda steps, dt: model_run(neuron, REFERENCES[name].current, steps, dt)["spike"])


@pytest.mark.parametrize(("name", "dt", "tolerance"), [("HodgkinHuxley", 0.01, 2e-6), ("MorrisLecar", 0.05, 2e-5)])
def test_rk4_crosses_threshold_within_fourth_order_of_the_literature(name, dt, tolerance):
    want = reference_times(name)
    v = model_run(with_integrator(name, "rk4"), REFERENCES[name].current, round((want[-1] + 5) / dt), dt)["v"]
    roots = CubicSpline((np.arange(len(v)) + 1) * dt, v).solve(REFERENCES[name].level, extrapolate=False)
    np.testing.assert_allclose(roots[::2][: len(want)], want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("t_ref", [0.0, 2.0])
@pytest.mark.parametrize("x", [0.11, 0.15, 0.4])
def test_lif_fires_at_the_closed_form_rate(x, t_ref):
    dt = 0.1
    passage = 10 * np.log(10 * x / (10 * x - 1))
    times = spike_times(model_run(gc.zoo.LIF, x, 2000, dt, t_ref=t_ref)["spike"], dt)
    period = (np.ceil(passage / dt) + round(t_ref / dt)) * dt  # a spike waits for the end of its step
    assert len(times) > 4
    np.testing.assert_allclose(np.diff(times), period, rtol=1e-12)


@pytest.mark.parametrize("x", [0.5, 2.0])
@pytest.mark.parametrize("name", ["QIF", "Theta"])
def test_quadratic_neurons_fire_at_the_closed_form_rate(name, x):
    root, dt = np.sqrt(x), 0.01
    angle = 2 * np.arctan(10 / root) if name == "QIF" else np.pi
    periods = []
    for step in (dt, dt / 2):
        times = spike_times(model_run(gc.zoo.ALL[name], x, round(200 / step), step)["spike"], step)
        periods.append((times[-1] - times[0]) / (len(times) - 1))
    assert 2 * periods[1] - periods[0] == pytest.approx(10 * angle / root, abs=2 * dt)


def test_izhikevich_schemes_spike_differently():
    """The published scheme at 1 ms is a model of its own."""
    published = model_run(gc.zoo.IzhikevichPublished, 10.0, 1000, 1.0)["spike"]
    accurate = model_run(gc.zoo.Izhikevich, 10.0, 50000, 0.02)["spike"]
    assert (published.sum(), accurate.sum()) == (20, 23)


@pytest.mark.parametrize("name", gc.zoo.IZHIKEVICH_CLASSES)
def test_published_scheme_equals_the_published_program(name):
    values = gc.zoo.IZHIKEVICH_CLASSES[name]
    a, b, c, d = values.values()
    v, fired = -65.0, []
    u = b * v
    for t in range(1, 1001):  # the MATLAB program: spikes are looked for before the step
        if v >= 30:
            fired.append(t)
            v, u = c, u + d
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + 10)
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + 10)
        u = u + a * (b * v - u)
    steps = np.flatnonzero(model_run(gc.zoo.IzhikevichPublished, 10.0, 1000, 1.0, **values)["spike"])
    assert len(fired) > 10
    assert (steps[:10] + 2).tolist() == fired[:10]  # steps count from 0, and the spike ends its step
