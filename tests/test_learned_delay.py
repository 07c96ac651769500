"""Delays that are learned: their kernels, their gradients, and what annealing and rounding leave."""

import numpy as np
import pytest
import torch

import graphc as gc

T, B, PRE, POST = 12, 2, 4, 3


@pytest.fixture(autouse=True)
def passes_are_compared_elsewhere(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def detector(delay, **connection):
    v = gc.state("v")
    neuron = gc.Neuron("Leaky", update={v: 0.7 * v + gc.input("x")})
    net = gc.Network(dt=1.0)
    net.input("x", PRE)
    net.population("y", neuron, POST)
    net.connect("x", "y", delay=delay, weight=gc.Normal(0.5, 0.2), **connection)
    net.output("y")
    return net


def weights_of(position, kernel, sigma, last):
    d = torch.arange(last + 1, dtype=position.dtype)
    u = d - position.unsqueeze(-1)
    if kernel == "triangle":
        return (1 - u.abs()).clamp(min=0)
    bell = torch.exp(-((u / sigma) ** 2) / 2)
    return bell / bell.sum(-1, keepdim=True)


@pytest.mark.parametrize("target", ["c", "reference"])
@pytest.mark.parametrize("kernel", ["triangle", "gaussian"])
def test_a_learned_delay_is_a_dilated_convolution_over_time(kernel, target):
    options = {"sigma": 1.5} if kernel == "gaussian" else {}
    delay = gc.LearnedDelay(max=6, kernel=kernel, **options)
    model = gc.compile(detector(delay), target=target, dtype=torch.float64)
    x = torch.rand(T, B, PRE, dtype=torch.float64)
    w, p = (t.detach().clone().requires_grad_() for t in (model.x_y.weight, model.x_y.delay))
    taps = w.unsqueeze(-1) * weights_of(p, kernel, 1.5, 6)
    v, out = torch.zeros(B, POST, dtype=torch.float64), []
    for t in range(T):
        drive = sum(x[t - d] @ taps[..., d] for d in range(min(t, 6) + 1))
        v = 0.7 * v + drive
        out.append(v)
    want = torch.stack(out)
    y = model(x)
    torch.testing.assert_close(y, want, rtol=1e-12, atol=1e-12)
    loss = torch.randn_like(y)
    found = torch.autograd.grad((y * loss).sum(), [model.x_y.weight, model.x_y.delay])
    for a, b in zip(found, torch.autograd.grad((want * loss).sum(), [w, p]), strict=True):
        assert b.abs().max() > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_the_gradient_of_a_delay_is_a_finite_difference_of_the_relaxed_model():
    v = gc.state("v")
    relaxed = gc.Neuron("Relaxed", update={v: 0.7 * v + gc.input("x")}, output=gc.sigmoid(4 * (v - 0.5)))
    net = gc.Network(dt=1.0)
    net.input("x", PRE)
    net.population("h", relaxed, POST)
    net.connect("x", "h", delay=gc.LearnedDelay(max=5), weight=0.5)
    net.connect("h", "h", delay=gc.LearnedDelay(max=5, min=1, kernel="gaussian", sigma=1.0), weight=0.3)
    net.output("h")
    model = gc.compile(net, target="c", dtype=torch.float64)
    x, loss = torch.rand(T, B, PRE, dtype=torch.float64), torch.randn(T, B, POST, dtype=torch.float64)
    (model(x) * loss).sum().backward()
    for position in (model.x_h.delay, model.h_h.delay):
        for at in ((0, 0), (2, 1)):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    position[at] += step
                    values.append(float((model(x) * loss).sum()))
                    position[at] -= step
            assert float(position.grad[at]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-7)


def test_rounded_delays_are_whole_delays():
    torch.manual_seed(1)
    model = gc.compile(detector(gc.LearnedDelay(max=6, kernel="gaussian")), target="c", dtype=torch.float64)
    assert float(model.x_y.sigma) == 3.0
    model.anneal_delays(0.5)
    assert float(model.x_y.sigma) == pytest.approx((3 * 0.5) ** 0.5)
    model.anneal_delays(1)
    assert float(model.x_y.sigma) == 0.5
    model.round_delays()
    steps = model.x_y.delay.detach().numpy().astype(int)
    whole = gc.compile(detector(steps), target="c", dtype=torch.float64)
    with torch.no_grad():
        whole.x_y.weight.copy_(model.x_y.weight)
    x = torch.rand(T, B, PRE, dtype=torch.float64)
    torch.testing.assert_close(model(x), whole(x), rtol=1e-12, atol=1e-12)


def test_positions_outside_count_as_the_bound_and_keep_their_gradient():
    model = gc.compile(detector(gc.LearnedDelay(max=4)), target="c", dtype=torch.float64)
    x, loss = torch.rand(T, B, PRE, dtype=torch.float64), torch.randn(T, B, POST, dtype=torch.float64)
    found = []
    for position in (3.9999, 4.3):
        with torch.no_grad():
            model.x_y.delay.fill_(position)
        model.zero_grad()
        (model(x) * loss).sum().backward()
        found.append((float((model(x) * loss).sum()), model.x_y.delay.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    assert found[1][1].abs().max() > 0


def test_learned_delays_of_a_list_have_one_position_per_synapse():
    mask = np.random.default_rng(0).random((PRE, POST)) < 0.5
    model = gc.compile(detector(gc.LearnedDelay(max=3, init=1.5), connectivity=gc.Sparse(mask=mask)), target="c")
    assert model.x_y.delay.shape == (mask.sum(),)
    assert (model.x_y.delay == 1.5).all()
