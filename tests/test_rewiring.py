"""Pruning, rewiring and signs: what training may change without another build."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc


def layer(**connection):
    v = gc.state("v")
    net = gc.Network(dt=1.0)
    net.input("x", 20)
    net.population("y", gc.Neuron("Leaky", update={v: 0.8 * v + gc.input("x")}), 15)
    net.connect("x", "y", **connection)
    net.output("y")
    return net


def matrix(model):
    rows, post, weight = model.x_y.rows.long(), model.x_y.post.long(), model.x_y.weight.detach()
    pre = torch.repeat_interleave(torch.arange(20), rows.diff())
    full = torch.zeros(20, 15)
    full[pre, post[: len(pre)]] = weight[: len(pre)]
    return full, (pre * 15 + post[: len(pre)])


def drives(model, x):
    """Return the outputs that the present matrix makes, by a plain loop."""
    full, _ = matrix(model)
    v, out = torch.zeros(x.shape[1], 15), []
    for now in x:
        v = 0.8 * v + now @ full
        out.append(v)
    return torch.stack(out)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return gc.compile(layer(connectivity=gc.Sparse(0.2, seed=2)), target="c")


@settings(max_examples=15, deadline=None)
@given(actions=st.lists(st.sampled_from(["prune", "rewire", "train"]), max_size=4), seed=st.integers(0, 99))
def test_kernels_follow_every_change_of_the_list(model, actions, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 2, 20, generator=generator)
    builds = None
    for action in actions:
        before = int(model.x_y.rows[-1])
        if action == "prune" and before > 20:
            removed = model.prune("x_y", fraction=0.1)
            assert int(model.x_y.rows[-1]) == before - removed
        elif action == "rewire":
            new = model.rewire("x_y", fraction=0.2, generator=generator)
            assert len(new) == round(0.2 * before)
            assert (model.x_y.weight[new] == 0).all()
            assert int(model.x_y.rows[-1]) == before
            with torch.no_grad():
                model.x_y.weight[new] = 0.1
        else:
            model.zero_grad()
            model(x).square().sum().backward()
            assert (model.x_y.weight.grad[before:] == 0).all()
            with torch.no_grad():
                model.x_y.weight -= 1e-3 * model.x_y.weight.grad
        flat = matrix(model)[1]
        assert (flat.diff() > 0).all()
        torch.testing.assert_close(model(x), drives(model, x), rtol=1e-5, atol=1e-5)
        builds = builds or len(model._builds)
        assert len(model._builds) == builds


def test_deep_rewiring_moves_the_weights_that_crossed_zero():
    torch.manual_seed(0)
    model = gc.compile(layer(connectivity=gc.Sparse(0.2, seed=2), sign="excitatory"), target="c")
    raw = model.x_y.parametrizations.weight.original
    count = len(raw)
    with torch.no_grad():
        raw[:7] = -0.1
    before = set(matrix(model)[1][:7].tolist())
    new = model.rewire("x_y")
    assert len(new) == 7
    assert len(raw) == count == int(model.x_y.rows[-1])
    after = set(matrix(model)[1].tolist())
    assert len(after) == count
    assert len(before - after) >= 5  # a new pair may be an old one only by chance
    x = torch.rand(4, 2, 20)
    model(x).sum().backward()
    assert (raw.grad[new] > 0).all()  # a new synapse can grow


@pytest.mark.parametrize("sign", ["excitatory", "inhibitory", [1.0, -1.0] * 10])
def test_signs_survive_training(sign):
    torch.manual_seed(0)
    model = gc.compile(layer(sign=sign), target="c")
    wanted = torch.as_tensor(sign).unsqueeze(1) if isinstance(sign, list) else {"e": 1, "i": -1}[sign[0]]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x = torch.rand(4, 2, 20)
    for _ in range(5):
        optimizer.zero_grad()
        (model(x) * torch.randn(4, 2, 15)).sum().backward()
        optimizer.step()
        assert (model.x_y.weight * wanted >= 0).all()
    assert model.x_y.weight.abs().max() > 0.3


def test_pruning_everything_is_refused(model):
    with pytest.raises(gc.GraphcError, match="no synapse"):
        model.prune("x_y", threshold=1e9)
