"""Integrators: measured orders, exact blocks against scipy, gradients where time constants meet, and who picks what."""

import math

import mpmath
import numpy as np
import pytest
import sympy
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import graphc as gc
from graphc.ir.errors import GraphcWarning
from graphc.ir.evaluate import evaluate
from graphc.ir.functions import exprel, exprel_prime
from graphc.lower import lower
from graphc.passes import run_passes
from graphc.passes.discretize import Discretize

a, b, c = gc.states("a b c")
x = gc.input("x")


def network(neuron: gc.Neuron, dt: float, **values: object) -> gc.Network:
    net = gc.Network(dt=dt)
    net.population("n", neuron, 1, **values)
    net.output("n")
    for used in neuron.inputs:
        net.input("inp", 1)
        net.connect("inp", "n", target=used.name)
    return net


def simulate(neuron: gc.Neuron, dt: float, steps: int, **values: object) -> dict[str, list[float]]:
    """Return every state of one neuron without input, a list over the steps for each."""
    model = gc.compile(network(neuron, dt, **values), learn=None, target="reference", dtype=torch.float64)
    names = [f"n.{s.name}" for s in neuron.states]
    run = model.run(steps=steps, record=names)
    return {n.partition(".")[2]: run.records[n].flatten().tolist() for n in names}


def choices(neuron: gc.Neuron) -> dict[str, str]:
    """Return the integrator of every state, as the notes say."""
    program = run_passes(lower(network(neuron, 1.0)), [Discretize()])
    lines = [line.removeprefix("n.") for about, line in program.notes if about == "integrator"]
    return {line.partition(":")[0]: line.partition(": ")[2].partition(" ")[0] for line in lines}


# --- order of convergence --------------------------------------------------------------------------------------------

PENDULUM = {a: b, b: -sympy.sin(a) - a * b / 5}
GATED = {a: -(1 + b**2) * a + sympy.cos(b), b: (sympy.tanh(a) - b) / 2}  # each linear in itself


@pytest.mark.parametrize(
    ("integrator", "rates", "order"),
    [
        ("euler", PENDULUM, 1),
        ("heun", PENDULUM, 2),
        ("rk4", PENDULUM, 4),
        ("exponential_euler", GATED, 1),
        ("auto", GATED, 1),
        ("auto", PENDULUM, 1),
    ],
)
def test_error_shrinks_with_the_order_of_the_integrator(integrator, rates, order):
    neuron = gc.Neuron("N", ode=rates, integrator=integrator, init={a: 1.0, b: 0.5})
    f = sympy.lambdify((a, b), list(rates.values()), "math")
    exact = solve_ivp(lambda t, s: f(*s), (0, 2), [1.0, 0.5], rtol=1e-12, atol=1e-13, method="DOP853").y[0, -1]
    errors = [abs(simulate(neuron, 2 / n, n)["a"][-1] - exact) for n in (32, 64, 128)]
    measured = [math.log2(errors[k] / errors[k + 1]) for k in range(2)]
    assert measured[1] == pytest.approx(order, abs=0.15), measured


@pytest.mark.parametrize(("integrator", "order"), [("euler", 1), ("heun", 2), ("rk4", 4)])
def test_stages_have_their_own_time(integrator, order):
    neuron = gc.Neuron("N", ode={a: gc.t**3 - a}, integrator=integrator)
    exact = 8 - 3 * 4 + 6 * 2 - 6 + 6 * math.exp(-2.0)
    errors = [abs(simulate(neuron, 2 / n, n)["a"][-1] - exact) for n in (32, 64)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


# --- exact blocks ----------------------------------------------------------------------------------------------------

DRIVE = [0.7, -0.3, 0.2]
BLOCKS = {
    "one": [[-0.3]],
    "one without decay": [[0.0]],
    "chain": [[-0.1, 0.4], [0.0, -0.25]],
    "chain of equal taus": [[-0.2, 0.2], [0.0, -0.2]],
    "coupled": [[-0.1, 0.4], [-0.3, -0.25]],
    "oscillator": [[0.0, 1.0], [-1.0, 0.0]],
    "uncoupled": [[-0.1, 0.0], [0.0, -0.7]],
    "chain of three": [[-0.1, 0.1, 0.0], [0.0, -0.1, 0.1], [0.0, 0.0, -0.1]],
    "full three": [[-0.5, 0.2, 0.1], [0.3, -0.4, -0.2], [-0.1, 0.6, -0.3]],
}


@pytest.mark.parametrize("forced", [False, True], ids=["free", "forced"])
@pytest.mark.parametrize("block", BLOCKS)
def test_exact_block_equals_the_matrix_exponential(block, forced):
    A, h, steps = np.array(BLOCKS[block]), 0.7, 5
    K = len(A)
    u = np.array(DRIVE[:K]) * forced
    states = (a, b, c)[:K]
    rates = {s: sum(A[r, k] * states[k] for k in range(K)) + u[r] for r, s in enumerate(states)}
    start = dict(zip(states, (1.0, -0.5, 2.0), strict=False))
    found = simulate(gc.Neuron("N", ode=rates, integrator="exact", init=start), h, steps)
    P = expm(np.block([[A, u[:, None]], [np.zeros((1, K + 1))]]) * h)
    state = np.array([*start.values(), 1.0])
    for t in range(steps):
        state = P @ state
        assert [found[s.name][t] for s in states] == pytest.approx(state[:K], rel=1e-12, abs=1e-13)


def test_exact_coefficients_follow_learned_time_constants():
    tau = gc.param("tau", 4.0, learn=True)
    net = network(gc.Neuron("N", ode={a: (b - a) / tau, b: -a / 3 - b / tau}, init={a: 1.0, b: 2.0}), 1.0)
    model = gc.compile(net, target="reference", dtype=torch.float64)
    model(steps=3).sum().backward()
    h = 1e-5

    def total(value: float) -> float:
        P = expm(np.array([[-1 / value, 1 / value], [-1 / 3, -1 / value]]))
        return sum((np.linalg.matrix_power(P, k) @ [1.0, 2.0])[0] for k in (1, 2, 3))

    assert model.n.tau.grad.item() == pytest.approx((total(4 + h) - total(4 - h)) / (2 * h), rel=1e-8)


# --- time constants that meet ----------------------------------------------------------------------------------------


def tau_gradients(target: str, dtype: torch.dtype, ratio: float) -> tuple[float, float, float]:
    """Return the gradients with respect to tau_mem and tau_syn, and the last voltage, of a current-based chain."""
    tau_mem, tau_syn = gc.params(tau_mem=1.0, tau_syn=1.0)
    neuron = gc.Neuron("Chain", ode={a: (b - a) / tau_mem, b: -b / tau_syn}, receive={b: b + x}, output=a)
    net = gc.Network(dt=1.0)
    net.input("inp", 1)
    learned = {
        "tau_mem": gc.param("tau_mem", 10.0 * ratio, learn=True),
        "tau_syn": gc.param("tau_syn", 10.0, learn=True),
    }
    net.population("n", neuron, 1, **learned)
    net.connect("inp", "n", weight=1.0, connectivity=gc.OneToOne())
    net.output("n")
    model = gc.compile(net, target=target, dtype=dtype)
    inputs = torch.zeros(30, 1, 1, dtype=dtype)
    inputs[::4] = 1
    out = model(inputs)
    out.square().sum().backward()
    return float(model.n.tau_mem.grad), float(model.n.tau_syn.grad), out[-1].item()


RATIOS = (0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 0.999999, 1.0)


@pytest.mark.parametrize("target", ["reference", "c"])
def test_tau_gradient_holds_in_float32_where_time_constants_meet(target):
    for ratio in RATIOS:
        wanted = tau_gradients("reference", torch.float64, ratio)
        found = tau_gradients(target, torch.float32, ratio)
        assert min(map(abs, wanted)) > 1e-3
        assert found == pytest.approx(wanted, rel=1e-4), ratio


def test_tau_gradient_of_the_float64_reference_is_that_of_the_closed_form():
    def loss(tm: mpmath.mpf, ts: mpmath.mpf) -> mpmath.mpf:
        v, i, total = mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(0)
        em, es = mpmath.exp(-1 / tm), mpmath.exp(-1 / ts)
        for t in range(30):
            i += t % 4 == 0
            v, i = v * em + i * (es - em) * ts / (ts - tm), i * es
            total += v**2
        return total

    with mpmath.workdps(60):
        for ratio in (0.5, 0.99, 0.999999):
            point = (mpmath.mpf(10.0 * ratio), mpmath.mpf(10))
            wanted = [float(mpmath.diff(loss, point, n)) for n in ((1, 0), (0, 1))]
            assert tau_gradients("reference", torch.float64, ratio)[:2] == pytest.approx(wanted, rel=1e-10)


# --- removable singularities -----------------------------------------------------------------------------------------

POINTS = [0.0, *(s * 10.0**-k for k in range(0, 18, 2) for s in (1, -1)), 0.69, 0.71, -0.69, -0.71, 5.0, -5.0, 30.0]


def exact_exprel(z: float, derivative: int) -> float:
    with mpmath.workdps(60):
        return float(
            mpmath.nsum(lambda k: mpmath.mpf(z) ** k / mpmath.factorial(k) / (k + 1 + derivative), [0, mpmath.inf])
        )


@pytest.mark.parametrize("z", POINTS)
def test_exprel_and_its_derivative_have_no_singularity(z):
    point = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    s = sympy.Symbol("s", real=True)
    value = evaluate(exprel(s), {"s": point}, torch.float64, None)
    (slope,) = torch.autograd.grad(value, point)
    same = evaluate(exprel_prime(s), {"s": point.detach()}, torch.float64, None)
    assert value.item() == pytest.approx(exact_exprel(z, 0), rel=4e-15)
    assert slope.item() == pytest.approx(exact_exprel(z, 1), rel=1e-13) == pytest.approx(same.item(), rel=1e-15)


def test_gates_cross_their_singularity_smoothly():
    rate = 1 / gc.exprel(-(a + 40) / 10)  # the opening rate of Hodgkin and Huxley
    neuron = gc.Neuron("N", ode={a: 0, b: rate * (1 - b)}, integrator="exponential_euler", output=b)
    slopes = []
    for start in (-40 - 1e-9, -40.0, -40 + 1e-9):
        net = network(neuron, 0.1, a=start)
        slopes.append(gc.compile(net, learn=None, target="reference", dtype=torch.float64)(steps=1).item())
    assert max(slopes) - min(slopes) < 1e-10 and slopes[1] == pytest.approx(1 - math.exp(-0.1), rel=1e-14)


# --- who picks what --------------------------------------------------------------------------------------------------

tau = gc.param("tau", 10.0)
PICKS = {
    "linear": ({a: (b - a) / tau, b: -b / 5}, {"a": "exact", "b": "exact"}),
    "nonlinear feeds linear": ({a: -(a**3), b: (a - b) / tau}, {"a": "euler", "b": "exponential_euler"}),
    "linear feeds nonlinear": ({a: b - a**3, b: -b / tau}, {"a": "euler", "b": "exact"}),
    "gates": (
        {a: (b - a) * b**2, b: (sympy.tanh(a) - b) / tau},
        {"a": "exponential_euler"} | {"b": "exponential_euler"},
    ),
    "constant rate": ({a: 1 / tau}, {"a": "exact"}),
    "rate of an input": ({a: x - a / tau}, {"a": "exact"}),
    "input times state": ({a: x * a}, {"a": "exponential_euler"}),
}


@pytest.mark.parametrize("case", PICKS)
def test_auto_picks(case):
    rates, expected = PICKS[case]
    assert choices(gc.Neuron("N", ode=rates)) == expected


@pytest.mark.parametrize("integrator", ["euler", "heun", "rk4"])
def test_a_named_integrator_serves_every_state(integrator):
    assert choices(gc.Neuron("N", ode=PENDULUM, integrator=integrator)) == {"a": integrator, "b": integrator}


@pytest.mark.parametrize("rate", [-(a**2), -a * b, sympy.exp(-a), x * a], ids=str)
def test_exact_refuses_what_is_not_linear(rate):
    neuron = gc.Neuron("N", ode={a: rate, b: -b}, integrator="exact")
    message = r"test_solvers.py:\d+: da/dt of population 'n' is not linear with constant coefficients(.|\n)*hint: use"
    with pytest.raises(gc.DeclarationError, match=message):
        choices(neuron)


def test_exponential_euler_refuses_what_is_not_linear_in_itself():
    neuron = gc.Neuron("N", ode={a: -(a**2)}, integrator="exponential_euler")
    with pytest.raises(gc.DeclarationError, match=r"da/dt of population 'n' is not linear in a"):
        choices(neuron)


def test_long_euler_steps_are_warned_of():
    neuron = gc.Neuron("N", ode={a: -a / tau}, integrator="euler")
    with pytest.warns(GraphcWarning, match=r"dt = 1.0 ms is longer than the time constant 0.5 ms of 'n.a'"):
        run_passes(lower(network(neuron, 1.0, tau=0.5)), [Discretize()])
