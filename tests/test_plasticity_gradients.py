"""Gradients flow through plasticity: reverse regions equal torch autograd through the interpreter, and so does C."""

from functools import lru_cache

import pytest
import sympy
import torch

import graphc as gc
from graphc.lower import lower
from tests.models.gradients import EXACT, Experiment, difference, experiment
from tests.models.plasticity import MASK, POST, PRE, compiled, spikes, told

STEPS = 14  # gradients of more steps of a rule that feeds back on itself lose digits in any order of summation
w = gc.weight
xp = gc.state("xp", on="pre")
xq = gc.state("xq", on="post")
e = gc.state("e", on="synapse")
A, tau = gc.param("A", 0.3, learn=True), gc.param("tau", 12.0, learn=True)
q = gc.param("q", 0.7, learn=True, per="synapse")
M, R = gc.input("M", on="network"), gc.input("R", on="post")
v = gc.state("v")
SPIKING = gc.Neuron(
    "Spiking",
    update={v: 0.7 * v + gc.input("x")},
    spike=gc.Spike(v > 0.6, surrogate=gc.surrogate.SuperSpike(beta=2.0)),
    reset={v: v - 0.6},
)
HEBB = gc.Plasticity(
    "hebb",
    ode={xp: -xp / tau, xq: -xq / 15, e: -e / 9},
    on_pre={xp: xp + 1, w: w - 0.1 * xq * w, e: e + 0.2 * q},
    on_post={xq: xq + 1, w: w + A * xp * (1 - w)},
    update={w: w + 0.05 * e * (M + R) * (q - w)},
    bounds=(-1, 1.2),
)
STP = gc.Plasticity(
    "stp",
    ode={xp: (1 - xp) / tau},
    on_pre={xp: xp - A * xp},
    transmit=4 * w * A * xp * gc.pre(),
    init={xp: 2 * A},
)
OJA = gc.Plasticity(
    "oja",
    update={w: w + 0.2 * A * gc.post("v") * (gc.pre("v") - gc.post("v") * w) / (1 + gc.sum(w**2, over="pre"))},
    transmit=gc.pre("v") * sympy.tanh(w * (1 + gc.post("v"))),
)
POOLED = gc.Plasticity("pooled", on_post={w: w + A * gc.pre("v") * w}, reduction="mean", bounds=(-2, 2))
CASES = {
    "hebb": (HEBB, {}),
    "hebb in a list": (HEBB, {"connectivity": gc.Sparse(mask=MASK)}),
    "short term": (STP, {"delay": 2}),
    "oja": (OJA, {}),
    "oja in a list": (OJA, {"connectivity": gc.Sparse(mask=MASK), "delay": 1}),
    "pooled": (POOLED, {}),
}


def network(rule: gc.Plasticity, **connection) -> gc.Network:
    net = gc.Network(dt=1.0)
    net.input("inp", 4)
    net.population("src", SPIKING, PRE)
    net.population("dst", SPIKING, POST)
    draw = torch.Generator().manual_seed(8)
    net.connect("inp", "src", weight=torch.rand(4, PRE, generator=draw).double())
    weight = 0.2 + 0.5 * torch.rand(PRE, POST, generator=draw).double()
    if "connectivity" in connection:
        weight = weight * torch.as_tensor(MASK)
    handle = net.connect("src", "dst", plasticity=rule, weight=weight, name="src_dst", **connection)
    net.connect("dst", "src", weight=0.1, delay=1)
    for factor in rule.inputs:
        one = {"weight": 0.5} if factor.on == "network" else {"weight": 0.5, "connectivity": gc.OneToOne()}
        net.connect("dst", handle, target=factor.name, **one)
    net.output("dst.v")
    return net


@pytest.fixture(autouse=True)
def passes_are_compared_once(monkeypatch):
    """Let one test compare the numbers before and after every pass."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


@lru_cache(maxsize=8)
def experiment_of(name: str) -> Experiment:
    rule, connection = CASES[name]
    return experiment(lower(network(rule, **connection)), {"inp": spikes(4, 0.4, 6, steps=STEPS)})


@pytest.mark.parametrize("name", CASES)
def test_reverse_regions_equal_autograd_through_plasticity(name, monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "2" if name == "hebb" else "1")
    found, wanted = experiment_of(name).adjoint(experiment_of(name).complete()), experiment_of(name).autograd()
    for leaf, gradient in wanted.items():
        started = leaf == "src_dst.weight" and "src_dst.weight@initial" in wanted  # its gradient arrives there
        assert started or float(gradient.abs().max()) > 0, f"{leaf} is dead"
        assert difference(found[leaf], gradient) < EXACT, leaf


@pytest.mark.parametrize("name", ["hebb in a list", "oja", "pooled"])
def test_c_returns_the_gradients_of_the_reference(name):
    rule, connection = CASES[name]
    x = spikes(4, 0.4, 6, steps=STEPS)
    found = []
    for target in ("reference", "c"):
        model = compiled(network(rule, **connection), target)
        run = model.run(x)
        (
            run.output.sin().sum() + sum(s.sin().sum() for n, s in run.state.items() if n.startswith("src_dst"))
        ).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert gradient.abs().max() > 0, name
        assert difference(found[1][name], gradient) < EXACT, name


@pytest.mark.parametrize("name", ["hebb", "pooled"])
def test_real_time_recurrent_learning_equals_backpropagation(name):
    rule, x = CASES[name][0], spikes(4, 0.4, 6, steps=STEPS)
    found = []
    for learn in ("bptt", gc.learn.RTRL()):
        model = compiled(network(rule), "c", learn=learn)
        model(x).sin().sum().backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for leaf, gradient in found[0].items():
        assert gradient.abs().max() > 0, leaf
        assert difference(found[1][leaf], gradient) < EXACT, leaf


def test_online_learning_refuses_plastic_lists():
    rule, connection = CASES["hebb in a list"]
    with pytest.raises(gc.TargetError, match="an online rule cannot take"):
        compiled(network(rule, **connection), "c", learn=gc.learn.RTRL())(spikes(4, steps=STEPS))


def test_a_meta_learned_rate_learns():
    """The amplitude of the rule is trained so that plasticity alone brings the weights to where they should be."""
    rule = gc.Plasticity("rule", ode={xp: -xp / 20}, on_pre={xp: xp + 1}, on_post={w: w + A * xp})
    model = compiled(told(rule, learn=False), "c")
    given = {"pre": spikes(PRE, seed=1), "post": spikes(POST, seed=2)}
    reached = model.run(given).state["src_dst.weight"].detach()
    goal = 0.5 + (reached - 0.5) * 0.2 / 0.3  # what A = 0.2 makes
    slopes, rates = [], (0.3, 0.25)
    for rate in rates:
        model.src_dst.A.data.fill_(rate)
        model.zero_grad()
        (model.run(given).state["src_dst.weight"] - goal).square().mean().backward()
        slopes.append(float(model.src_dst.A.grad))
    step = (rates[1] - rates[0]) / (slopes[1] - slopes[0])
    model.src_dst.A.data -= slopes[1] * step  # the loss is a parabola of A
    assert float(model.src_dst.A.detach()) == pytest.approx(0.2, abs=1e-6)


def test_a_certificate_leaves_the_weights_as_they_are():
    model = gc.compile(network(POOLED), target="c")
    before = model.src_dst.weight.detach().clone()
    certificate = model.verify(spikes(4, 0.4, 6, steps=STEPS).float())
    assert certificate.ok, str(certificate)
    assert torch.equal(model.src_dst.weight, before)
    model.run(spikes(4, 0.4, 6, steps=STEPS).float())
    assert not torch.equal(model.src_dst.weight, before)
