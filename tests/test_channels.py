"""Parameters with one value per channel, the first axis of a population's shape."""

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.certificate.declared import check_declared
from graphc.certificate.recorded import record
from graphc.certificate.reference import Call

SHAPE, SIZE = (3, 2, 2), 12
v, x = gc.state("v"), gc.input("x")


@pytest.fixture(autouse=True)
def passes_are_checked_elsewhere(monkeypatch):
    """The tests of the zoo compare the numbers of such networks after every pass."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def leaky(**options):
    tau = gc.param("tau", 5.0, per="channel", **options)
    return gc.Neuron("Leaky", ode={v: (x - v) / tau}, receive={})


def model_of(neuron, target="reference", learn="bptt", **values):
    net = gc.Network(dt=1.0)
    net.input("s", SIZE)
    net.population("c", neuron, SHAPE, **values)
    net.connect("s", "c", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.output("c")
    return gc.compile(net, target=target, dtype=torch.float64, learn=learn)


def stimulus():
    return torch.rand(6, 2, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("target", ["c", "reference"])
def test_a_channel_gives_its_value_to_its_positions_and_takes_their_gradients(target):
    taus = np.array([2.0, 5.0, 9.0])
    shared = model_of(leaky(learn=True), target, tau=taus)
    each = gc.param("tau", np.repeat(taus, 4), learn=True, per="neuron")
    own = model_of(leaky(), target, tau=each)
    assert shared.c.tau.shape == (3,) and own.c.tau.shape == (12,)
    weights = torch.arange(float(SIZE), dtype=torch.float64)
    for model in (shared, own):
        (model(stimulus()) * weights).sum().backward()
    torch.testing.assert_close(shared(stimulus()), own(stimulus()), rtol=0, atol=0)
    torch.testing.assert_close(shared.c.tau.grad, own.c.tau.grad.reshape(3, 4).sum(1))


def test_a_number_and_a_distribution_make_one_value_per_channel():
    assert model_of(leaky(), learn=None, tau=3.0).c.tau.tolist() == [3.0] * 3
    assert len(set(model_of(leaky(), learn=None, tau=gc.Uniform(2.0, 9.0)).c.tau.tolist())) == 3


def test_an_initial_value_can_be_one_per_channel_and_learn():
    E = gc.param("E", np.array([1.0, 2.0, 3.0]), learn=True, per="channel")
    model = model_of(gc.Neuron("N", ode={v: x - v}, init={v: E}))
    assert model.initial_state(1)["c.v"][0, ::4].tolist() == [1.0, 2.0, 3.0]
    model(torch.zeros(1, 1, SIZE, dtype=torch.float64)).sum().backward()
    assert model.c.E.grad.tolist() == pytest.approx([4 * np.exp(-1)] * 3)


def test_bounds_hold_per_channel_and_the_certificate_knows_channels():
    model = model_of(leaky(learn=True, min=1.0), tau=np.array([2.0, 5.0, 9.0]))
    assert model.c.parametrizations.tau.original.shape == (3,)
    assert "c.tau: (3) learned, > 1.0" in model.explain()
    assert check_declared(record(model, Call(stimulus(), None, None, None), 6, 2)).ok


def test_a_refractory_time_can_be_one_per_channel():
    t_ref = gc.param("t_ref", np.array([1.0, 2.0, 4.0]), per="channel")
    neuron = gc.Neuron("R", ode={v: -v}, receive={v: v + x}, spike=gc.Spike(v > 0), reset={v: 0}, refractory=t_ref)
    z = model_of(neuron, learn=None)(torch.ones(20, 1, SIZE, dtype=torch.float64))
    assert z.sum(0)[0].reshape(3, 4).tolist() == [[10.0] * 4, [7.0] * 4, [4.0] * 4]


def test_an_array_of_another_length_is_refused():
    with pytest.raises(gc.DeclarationError, match=r"'tau' .* has shape \(12,\), but there are 3 channels"):
        model_of(leaky(), tau=np.ones(12))


def test_eligibility_traces_reach_a_channel():
    net = gc.Network(dt=1.0)
    net.input("s", 4)
    net.population("c", leaky(learn=True), (2, 2), tau=np.array([3.0, 8.0]))
    net.connect("s", "c", weight=0.5)
    net.output("c")
    xs = torch.rand(5, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grads = []
    for learn in ("bptt", gc.learn.BlockDiagonal()):
        model = gc.compile(net, learn=learn, target="reference", dtype=torch.float64)
        model(xs).pow(2).sum().backward()
        grads.append(model.c.tau.grad)
    torch.testing.assert_close(*grads)
