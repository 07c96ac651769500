"""Random spikes: their probability, their gradient, the likelihood of a recording, and the stochastic zoo."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import sympy
import torch

import graphc as gc
from graphc.units import ms, mV

from .oracles import philox

v = gc.state("v")
x = gc.input("x")
tau, beta = gc.param("tau", 10.0, learn=True), gc.param("beta", 3.0, learn=True)
RATE = 0.2 * sympy.exp(beta * (v - 1))
LEAK = {"ode": {v: -v / tau}, "receive": {v: v + x}, "reset": {v: 0}}


def cell(**options):
    return gc.Neuron("Cell", **LEAK, refractory=3, spike=gc.Spike(escape=RATE, **options))


def driven(neuron, size=4, **options):
    net = gc.Network(dt=1.0)
    net.input("x", size)
    net.population("h", neuron, size)
    net.connect("x", "h", target="x", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    if "observed" in {i.name for i in neuron.inputs}:
        net.input("y", size)
        net.connect("y", "h", target="observed", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.output("h")
    return gc.compile(net, dtype=torch.float64, **options)


def drive(steps=60, size=4):
    return 0.5 * torch.rand(steps, 3, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def walk(z, xs, loss):
    """Follow given spikes in plain torch; return the sum of `loss` of the rate, the spike and the refractory flag."""
    t, b = (torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in (10.0, 3.0))
    u, left, total = torch.zeros(xs.shape[1:]).double(), torch.zeros(xs.shape[1:]), 0.0
    for k, xk in enumerate(xs):
        held = left > 0
        u = torch.where(held, u, (u + xk) * torch.exp(-1 / t))
        total = total + loss(0.2 * torch.exp(b * (u - 1)), z[k], held).sum()
        u = torch.where(z[k] > 0, 0.0, u)
        left = torch.where(z[k] > 0, 3.0, torch.clamp(left - 1, min=0))
    return total, torch.autograd.grad(total, (t, b))


@pytest.mark.parametrize("target", ["c", "reference"])
def test_a_spike_is_a_draw_below_its_probability(target):
    run = driven(cell(), target=target).run(drive(), seed=9, record=["h.v@threshold", "h.refractory"])
    p = 1 - np.exp(-0.2 * np.exp(3 * (run.records["h.v@threshold"].detach().numpy() - 1)))
    draws = philox.uniforms(philox.words(9, 60, 3, 4, 0))
    expected = (draws < p) & (run.records["h.refractory"].detach().numpy() == 0)
    assert (run.output.detach().numpy() == expected).all() and 0.02 < expected.mean() < 0.5


@pytest.mark.parametrize("target", ["c", "reference"])
def test_the_gradient_of_a_spike_is_that_of_its_probability(target):
    model = driven(cell(), target=target)
    y = model.run(drive(), seed=9).output
    y.sum().backward()
    z = y.detach()
    _, want = walk(z, drive(), lambda rate, z, held: torch.where(held, 0.0, 1 - torch.exp(-rate)))
    found = (model.h.tau.grad, model.h.beta.grad)
    torch.testing.assert_close(found, want, rtol=1e-10, atol=0)
    assert all(g.abs() > 1e-3 for g in found)


def test_a_condition_beside_the_rate_supplies_the_surrogate():
    neurons = {
        "random": gc.Neuron("A", **LEAK, spike=gc.Spike(v > 0.9, escape=RATE)),
        "probable": gc.Neuron("B", **LEAK, spike=gc.Spike(escape=RATE)),
    }
    found = {}
    for name, neuron in neurons.items():
        model = driven(neuron, target="c")
        y = model.run(drive(), seed=9).output
        y.sum().backward()
        found[name] = (y.detach(), float(model.h.tau.grad), float(model.h.beta.grad))
    assert (found["random"][0] == found["probable"][0]).all()  # the rate alone decides
    t = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
    u, total = torch.zeros(3, 4).double(), 0.0
    for k, xk in enumerate(drive()):
        u = (u + xk) * torch.exp(-1 / t)
        smooth = 1 / (1 + 10 * (u - 0.9).abs().detach()) ** 2  # SuperSpike
        total = total + (smooth * u).sum()
        u = torch.where(found["random"][0][k] > 0, 0.0, u)
    (want,) = torch.autograd.grad(total, t)
    assert found["random"][1] == pytest.approx(float(want), rel=1e-10) and found["random"][2] == 0.0


def test_an_infinite_rate_is_certain():
    wild = gc.Neuron("W", **LEAK, spike=gc.Spike(escape=sympy.exp(1000 * v)))
    assert driven(wild, target="c").run(drive() + 1, seed=1).output.all()


def test_small_probabilities_are_not_rounded_to_steps_of_single_precision():
    from graphc.ir.interpret_noise import uniform

    words = torch.tensor([0, 1, 200, 2**32 - 1])
    assert uniform([words]).tolist() == [0.0, 2.0**-32, 200 * 2.0**-32, 1 - 2.0**-24]


@pytest.mark.parametrize("target", ["c", "reference"])
def test_the_likelihood_of_a_recording_is_exact(target):
    z = driven(cell(), target="reference").run(drive(), seed=9).output.detach()
    model = driven(gc.log_likelihood(cell()), target=target)
    total = model({"x": drive(), "y": z}).sum()
    total.backward()

    def steps(rate, z, held):
        return torch.where(held, 0.0, torch.where(z > 0, torch.log(-torch.expm1(-rate)), -rate))

    want, gradients = walk(z, drive(), steps)
    torch.testing.assert_close(total, want, rtol=1e-12, atol=0)
    torch.testing.assert_close((model.h.tau.grad, model.h.beta.grad), gradients, rtol=1e-10, atol=0)
    late = z.clone()
    late[int((z[:, 0, 0] > 0).nonzero()[0]) + 1, 0, 0] = 1  # within the refractory time
    assert model({"x": drive(), "y": late}).sum() == -math.inf


@pytest.mark.parametrize("target", ["c", "reference"])
def test_an_infinite_rate_makes_a_spike_sure_and_silence_impossible(target):
    wild = gc.Neuron("W", **LEAK, refractory=3, spike=gc.Spike(escape=sympy.exp(2000 * v)))
    z = (torch.arange(60) % 4 == 0).double()[:, None, None].expand(60, 3, 4).contiguous()
    model = driven(gc.log_likelihood(wild), target=target)
    assert (model({"x": drive() + 1, "y": z}) == 0).all()
    z[8] = 0
    late = model({"x": drive() + 1, "y": z})
    assert (late[:8] == 0).all() and (late[8] == -math.inf).all()


def test_spikes_of_the_model_are_likelier_than_others():
    z = driven(cell(), target="c").run(drive(400), seed=9).output.detach()
    model = driven(gc.log_likelihood(cell()), target="c")
    own = model({"x": drive(400), "y": z}).sum()
    assert own > model({"x": drive(400), "y": z.roll(7, 0) * (drive(400) > -1)}).nan_to_num(neginf=-1e3).sum()


# The stochastic zoo.


def population(neuron, drive, dt, steps, size=1000, record=(), **values):
    net = gc.Network(dt=dt)
    net.input("x", 1)
    net.population("a", neuron, size, **values)
    net.connect("x", "a", weight=1.0, learn=False)
    net.output("a")
    given = torch.full((steps, 1, 1), drive)
    return gc.compile(net, target="c", learn=None).run(given, seed=3, record=record)


def siegert(mu, theta, reset, sigma, tau, refractory):
    """Return the rate in 1/ms; Brunel (2000), equation 21."""
    low, high = (reset - mu) / sigma, (theta - mu) / sigma
    area, _ = scipy.integrate.quad(lambda y: scipy.special.erfcx(-y), low, high)
    return 1 / (refractory + tau * math.sqrt(math.pi) * area)


@pytest.mark.parametrize("mean", [10.0, 20.0])
def test_noisy_lif_fires_at_the_rate_of_siegert(mean):
    dt, steps, start = 0.1, 6000, 1000
    z = population(gc.zoo.NoisyLIF, mean, dt, steps).output[start:, 0].numpy()
    # A threshold that is looked at once a step acts like a higher one: 0.5826 = -zeta(1/2)/sqrt(2 pi).
    high = -50 + 0.5826 * 5 * math.sqrt(dt / 20)
    expected = siegert(-65 + mean, high, -60, 5.0, 20.0, 2.0) * dt
    counts = z.sum(0)
    assert abs(counts.mean() / z.shape[0] - expected) < 4 * counts.std() / z.shape[0] / len(counts) ** 0.5


def test_ornstein_uhlenbeck_input_has_the_moments_that_it_names():
    run = population(gc.zoo.OrnsteinUhlenbeck, 50.0, 2.0, 600)
    s = run.output[300:, 0].double().numpy()
    independent = s.size / (2 * 5 / 2.0)
    assert abs(s.mean() - 50) < 4 * 100 / independent**0.5
    assert abs(s.var() / 100**2 - 1) < 4 * (2 / independent) ** 0.5
    lag = np.mean((s[5:] - 50) * (s[:-5] - 50)) / 100**2
    assert abs(lag - math.exp(-10 / 5)) < 4 / independent**0.5


def test_srm0_has_the_intervals_of_a_renewal_process():
    dt, steps = 1.0, 2000
    net = gc.Network(dt=dt)
    net.population("a", gc.zoo.SRM0, 500, u=14 * mV, tau_m=1e12 * ms)
    net.output("a")
    z = gc.compile(net, target="c", learn=None).run(steps=steps, seed=4).output[:, 0].numpy()
    intervals = np.concatenate([np.diff(np.flatnonzero(n)) for n in z.T])
    age = np.arange(1, 400)
    rate = np.exp(np.minimum(0.5 * (14.0 - 15 * np.exp(-age * dt / 20) - 15), 15))
    p = 1 - np.exp(-rate * dt)
    density = p * np.concatenate([[1.0], np.cumprod(1 - p)[:-1]])
    mean, square = (density * age).sum(), (density * age**2).sum()
    error = (square - mean**2) ** 0.5 / len(intervals) ** 0.5
    assert len(intervals) > 5000 and abs(intervals.mean() - mean) < 4 * error + mean**2 / steps
    for edge in (5, 15, 30, 60):
        share = density[:edge].sum()
        assert abs((intervals <= edge).mean() - share) < 4 * (share * (1 - share) / len(intervals)) ** 0.5 + 0.005


def test_gif_equals_its_numpy_loop():
    dt, steps, size = 0.5, 400, 20
    net = gc.Network(dt=dt)
    net.input("x", 1)
    net.population("a", gc.zoo.GIF, size)
    net.connect("x", "a", weight=1.0, learn=False)
    net.output("a")
    given = torch.full((steps, 2, 1), 150.0, dtype=torch.float64)
    for target in ("c", "reference"):
        model = gc.compile(net, target=target, dtype=torch.float64)
        run = model.run(given, seed=6, record=["a.v", "a.gamma_2"])
        draws = philox.uniforms(philox.words(6, steps, 2, size, 0))
        state, left = {n: np.zeros((2, size)) for n in ("e1", "e2", "g1", "g2")}, np.zeros((2, size))
        u, keep, found = np.full((2, size), -65.0), math.exp(-5 / 100 * dt), []
        taus = {"e1": 10, "e2": 100, "g1": 10, "g2": 100}
        for k in range(steps):
            forced = -65 + 150 / 5 + (u + 65 - 150 / 5) * keep
            for n in ("e1", "e2"):  # the exact response of v to a decaying current
                a, b = 5 / 100, 1 / taus[n]
                part = dt * math.exp(-a * dt) if a == b else (math.exp(-b * dt) - math.exp(-a * dt)) / (a - b)
                forced = forced - state[n] / 100 * part
            u = np.where(left > 0, u, forced)
            state = {n: s * math.exp(-dt / taus[n]) for n, s in state.items()}
            rate = np.exp(np.minimum((u + 50 - state["g1"] - state["g2"]) / 1.5, 15))
            z = (draws[k] < 1 - np.exp(-rate * dt)) & (left == 0)
            u = np.where(z, -62.0, u)
            jumps = {"e1": 40, "e2": 8, "g1": 6, "g2": 1.5}
            state = {n: s + jumps[n] * z for n, s in state.items()}
            left = np.where(z, 8, np.maximum(left - 1, 0))
            found.append((z, u, state["g2"]))
        z, u_all, g2 = (np.stack(f) for f in zip(*found, strict=True))
        assert (run.output.detach().numpy() == z).all() and z.mean() > 0.005
        np.testing.assert_allclose(run.records["a.v"].detach(), u_all, rtol=1e-10)
        np.testing.assert_allclose(run.records["a.gamma_2"].detach(), g2, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["NoisyLIF", "OrnsteinUhlenbeck", "GIF", "SRM0"])
def test_gradients_of_the_stochastic_zoo_are_those_of_the_interpreter(name):
    from graphc.zoo.drives import network

    found = []
    for target in ("c", "reference"):
        torch.manual_seed(0)
        model = gc.compile(network(name), target=target, dtype=torch.float64)
        spikes = (
            torch.rand(120, 2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) < 0.2
        ).double()
        y = model.run(spikes, seed=2).output
        (y * torch.linspace(-1, 2, 64)).sum().backward()
        found.append((y.detach(), model.x_hid.weight.grad))
    assert (found[0][0] == found[1][0]).all() or name == "OrnsteinUhlenbeck"
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-9, atol=1e-12 * float(found[1][1].abs().max()))
    assert found[1][1].abs().max() > 0


# What is refused, and what is shown.


def nothing():
    return gc.Spike()


def rising():
    return gc.Spike(v > 1, escape=RATE, edge="rising")


def plain_likelihood():
    return gc.log_likelihood(gc.zoo.LIF)


def taken():
    return gc.log_likelihood(cell(), observed="v")


def wrong_unit():
    from graphc.units import ms, mV

    return gc.Neuron("N", ode={v: (1 * mV - v) / (2 * ms)}, spike=gc.Spike(escape=3 * mV), reset={v: 0})


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (nothing, "a condition or an escape rate"),
        (rising, 'edge="rising"'),
        (plain_likelihood, "does not spike at random"),
        (taken, "has a symbol named 'v'"),
        (wrong_unit, "must be 1 / time"),
    ],
)
def test_wrong_escape_rates_are_refused(declare, message):
    with pytest.raises(gc.DeclarationError, match=message):
        declare()


def test_the_card_says_that_spikes_are_random():
    text = driven(cell(), target="c").explain()
    assert "a spike with probability 1 - exp(-rate dt)" in text and "derivative of the probability" in text
