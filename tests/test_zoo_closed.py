"""Neurons of the zoo against closed forms, and against SciPy where what counts is no spike time but a course."""

import cmath
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy import exp
from scipy.integrate import solve_ivp

import graphc as gc
from graphc.runtime import Run


def run(name: str, drive: np.ndarray | float, steps: int, dt: float, target: str = "", **values: float) -> Run:
    """Return the run of one neuron, (T, 1, 1) everywhere, under a drive (T,) of its first input or of `target`."""
    neuron, net = gc.zoo.ALL[name], gc.Network(dt=dt)
    net.input("drive", 1)
    net.population("unit", neuron, 1, **values)
    net.connect("drive", "unit", target=target or neuron.inputs[0].name, weight=1.0, learn=False)
    net.output("unit")
    model = gc.compile(net, learn=None, target="c", dtype=torch.float64)
    given = torch.as_tensor(np.broadcast_to(drive, steps).copy()).double()[:, None, None]
    return model.run(given, record=[f"unit.{s.name}" for s in neuron.states])


def course(name: str, state: str, *arguments, **options) -> np.ndarray:
    return run(name, *arguments, **options).records[f"unit.{state}"][:, 0, 0].numpy()


def li_rinzel(t: float, y: np.ndarray, p: float) -> list[float]:
    C, h = y
    m, n, q = p / (p + 0.13), C / (C + 0.08234), 1.049 * (p + 0.13) / (p + 0.9434)
    store = (2.0 - C) / 0.185
    flow = 0.185 * 6 * (m * n * h) ** 3 * (store - C) + 0.185 * 0.11 * (store - C) - 0.9 * C**2 / (C**2 + 0.01)
    return [flow, 0.2 * (q - (q + C) * h)]  # in s


def wilson_cowan(t: float, y: np.ndarray, P: float) -> list[float]:
    def S(x: float, a: float, theta: float) -> float:
        return 1 / (1 + exp(-a * (x - theta))) - 1 / (1 + exp(a * theta))

    E, I = y  # noqa: E741
    k_e, k_i = S(1e3, 1.3, 4), S(1e3, 2, 3.7)
    return [
        (-E + (k_e - E) * S(16 * E - 12 * I + P, 1.3, 4)) / 8,
        (-I + (k_i - I) * S(15 * E - 3 * I, 2, 3.7)) / 8,
    ]


COURSES: dict[str, tuple[Callable, tuple[float, float], str, float, float, float]] = {
    "LiRinzel": (lambda t, y, x: np.array(li_rinzel(t, y, 0.4 + x)) / 1000, (0.1, 0.8), "C", 0.1, 20000.0, 20.0),
    "WilsonCowan": (wilson_cowan, (0.0, 0.0), "E", 1.25, 100.0, 0.05),
}


@pytest.mark.parametrize("name", COURSES)
def test_course_is_that_of_the_literature(name):
    """Extrapolated from two steps; both oscillate within the time that is compared."""
    equations, start, state, drive, duration, dt = COURSES[name]
    times = np.arange(1, round(duration / dt) + 1) * dt
    wanted = solve_ivp(equations, (0, duration), start, "DOP853", times, args=(drive,), rtol=1e-10, atol=1e-12).y[0]
    coarse = course(name, state, drive, len(times), dt)
    fine = course(name, state, drive, 2 * len(times), dt / 2)[1::2]
    assert np.ptp(wanted) > 0.2
    error, first = np.abs(2 * fine - coarse - wanted).max(), np.abs(coarse - wanted).max()
    assert error < 3e-3 and error < first / 5


def test_resonate_and_fire_rings_at_its_frequency():
    """One pulse of 1/2 leaves ``z = exp((b + j omega) t) / 2``, whose imaginary part is v."""
    pulse = np.zeros(300)
    pulse[0] = 0.5
    v = course("ResonateAndFire", "v", pulse, 300, 0.1)
    wanted = [0.5 * cmath.exp((-0.1 + 1j) * 0.1 * (t + 1)).imag for t in range(300)]
    np.testing.assert_allclose(v, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("gap", "spikes"), [(2 * math.pi, True), (math.pi, False)])
def test_pulses_a_period_apart_add_up_and_those_half_a_period_apart_cancel(gap, spikes):
    dt = math.pi / 100
    pulses = np.zeros(1500)
    pulses[:: round(gap / dt)] = 0.6
    assert (run("ResonateAndFire", pulses, 1500, dt).output.any()) == spikes


@pytest.mark.parametrize("omega", [0.1, 0.5])
def test_balanced_resonator_stays_on_its_circle_without_damping_of_its_own(omega):
    pulse = np.zeros(500)
    pulse[0] = 0.5
    found = run("BalancedRF", pulse, 500, 1.0, omega=omega, b=0.0).records
    np.testing.assert_allclose(np.hypot(found["unit.v"].numpy(), found["unit.u"].numpy()), 0.5, rtol=1e-12)
    damped = course("BalancedRF", "v", pulse, 500, 1.0, omega=omega)
    assert np.abs(damped[-100:]).max() < 0.02


@pytest.mark.parametrize("omega", [0.1, 0.5])
def test_harmonic_resonator_is_a_power_of_its_matrix(omega):
    pulse = np.zeros(300)
    pulse[0] = 0.5
    b = omega**2 / 2 + 0.01
    step = np.array([[1 - 2 * b - omega**2, -(omega**2)], [1, 1]])  # of (v, u)
    wanted = [np.linalg.matrix_power(step, t) @ [0.5, 0.0] for t in range(300)]
    found = run("BalancedHarmonicRF", pulse, 300, 1.0, omega=omega).records
    np.testing.assert_allclose(found["unit.v"][:, 0, 0], [w[0] for w in wanted], rtol=0, atol=1e-12)
    assert np.abs(np.linalg.eigvals(step)) == pytest.approx(math.sqrt(1 - 2 * b))


def test_prospective_neuron_follows_a_sine_by_its_transfer_function():
    dt, omega, tau, tau_a = 0.01, 2 * math.pi / 20, 10.0, 1.0
    t = np.arange(10000) * dt
    v = course("Prospective", "v", np.sin(omega * (t + dt / 2)), 10000, dt)
    s = 1j * omega
    gain = (1 + s * (tau + tau_a)) / ((1 + s * tau) * (1 + s * tau_a))
    wanted = (gain * np.exp(s * (t + dt))).imag
    np.testing.assert_allclose(v[-4000:], wanted[-4000:], rtol=0, atol=1e-3)
    assert abs(cmath.phase(gain)) < 0.3 < 1 < abs(cmath.phase(1 / (1 + s * tau)))


def test_linear_recurrent_unit_is_a_power_of_its_eigenvalue():
    pulse = np.zeros(20)
    pulse[0] = 1.0
    found = run("LRU", pulse, 20, 1.0, target="x_re").records
    eigenvalue = cmath.exp(-math.exp(-3) + 1j * math.exp(-1))
    wanted = math.sqrt(1 - abs(eigenvalue) ** 2) * eigenvalue ** np.arange(20)
    np.testing.assert_allclose(found["unit.a"][:, 0, 0], wanted.real, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["unit.b"][:, 0, 0], wanted.imag, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "state", "drive", "end"),
    [
        ("SSN", "r", 10.0, 0.04 * 10.0**2),
        ("SSN", "r", -10.0, 0.0),
        ("LTC", "v", 1.0, 1 / (1 + 0.1 * (1 + math.exp(-1)))),
        ("AstrocyteModulated", "a", 0.0, 0.0),
    ],
)
def test_unit_settles_where_its_equations_are_zero(name, state, drive, end):
    assert course(name, state, drive, 4000, 1.0)[-1] == pytest.approx(end, abs=1e-9)


@pytest.mark.parametrize("x", [300.0, 600.0])
def test_glif_of_level_1_fires_at_the_closed_form_rate(x):
    dt, tau, far = 0.05, 58.72 / 9.43, x / 9.43
    spikes = np.flatnonzero(run("GLIF1", x, 8000, dt).output[:, 0, 0].numpy())
    passage = tau * math.log(far / (far - (78.85 - 51.68)))
    assert len(spikes) > 4 and set(np.diff(spikes)) == {math.ceil(passage / dt) + 75}


def test_multi_timescale_threshold_adapts_and_does_not_reset():
    found = run("MAT2", 600.0, 5000, 0.1)
    intervals = np.diff(np.flatnonzero(found.output[:, 0, 0].numpy())) * 0.1
    assert len(intervals) > 8 and intervals[-1] > 2 * intervals[0]
    v = found.records["unit.v"][:, 0, 0].numpy()
    np.testing.assert_allclose(v, -35 - 30 * exp(-0.02 * (np.arange(5000) + 1)), atol=1e-9)


def test_hindmarsh_rose_bursts():
    spikes = np.flatnonzero(run("HindmarshRose", 2.0, 20000, 0.05).output[:, 0, 0].numpy()) * 0.05
    intervals = np.diff(spikes[spikes > 400])
    assert len(intervals) > 6 and intervals.max() > 4 * intervals.min()


def test_rulkov_map_rests_spikes_and_bursts():
    def intervals(alpha: float, sigma: float) -> np.ndarray:
        return np.diff(np.flatnonzero(run("Rulkov", 0.0, 20000, 1.0, alpha=alpha, sigma=sigma).output[10000:, 0, 0]))

    resting, spiking, bursting = intervals(4.0, -0.01), intervals(4.0, 0.01), intervals(6.0, -0.1)
    assert len(resting) == 0
    assert len(spiking) > 5 and spiking.max() < 1.1 * spiking.min()
    assert len(bursting) > 50 and bursting.max() > 10 * bursting.min()
