"""States and inputs of several parts: declaration, values, connections, records and what a model returns."""

import pickle

import numpy as np
import pytest
import torch

import graphc as gc

v, w = gc.states("v w", shape=3)
x = gc.input("x", shape=2)
tau = gc.param("tau", 5.0, learn=True)

CHAIN = gc.Neuron(
    "Chain",
    ode={v: [-v[0] / tau, (v[0] - v[1]) / tau, (v[1] - v[2]) / tau]},
    update={w: 0.5},
    receive={v[:2]: [v[0] + x[0], v[1] - x[1]]},
    spike=gc.Spike(v[2] > 0.4, detach_reset=(v,)),
    reset={v: 0},
    refractory=gc.Refractory(2.0, hold=(v,)),
    init={v: [0.1, 0.2, 0.3], w: np.array([1.0, 2.0, 3.0])},
)


@pytest.fixture(autouse=True)
def passes_are_checked_elsewhere(monkeypatch):
    """The tests of the zoo compare the numbers of such networks after every pass."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def network(*outputs, **values):
    net = gc.Network(dt=1.0)
    net.input("s", 2)
    net.population("c", CHAIN, 4, **values)
    net.connect("s", "c", target="x[0]", weight=0.3)
    net.connect("s", "c", target="x[1]", weight=-0.2)
    if outputs:
        net.output(*outputs)
    return net


def stimulus():
    return torch.rand(12, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_a_shape_is_a_tuple_of_symbols_that_are_values():
    assert [s.name for s in v] == ["v[0]", "v[1]", "v[2]"] and gc.state("v", shape=3) == v
    assert gc.state("v", shape=4)[0] != v[0] and pickle.loads(pickle.dumps(v)) == v
    assert gc.input("x", shape=2) == x and len(gc.inputs("a b", shape=2)) == 2


def test_a_tuple_key_means_the_same_as_its_parts():
    ode = {v[0]: -v[0] / tau, v[1]: (v[0] - v[1]) / tau, v[2]: (v[1] - v[2]) / tau}
    assert CHAIN.ode == ode and CHAIN.reset == dict.fromkeys(v, 0) and CHAIN.update == dict.fromkeys(w, 0.5)
    assert CHAIN.receive == {v[0]: v[0] + x[0], v[1]: v[1] - x[1]} and CHAIN.refractory.hold == v
    assert CHAIN.spike.detached == set(v)
    assert [CHAIN.init[s] for s in (*v, *w)] == [0.1, 0.2, 0.3, 1.0, 2.0, 3.0]
    assert CHAIN.loc_of("receive", v[1]).text.startswith("receive={v[:2]")


def test_initial_values_are_one_per_part_or_one_per_neuron_and_part():
    rows = np.arange(12.0).reshape(4, 3)
    start = gc.compile(network("c", v=rows, w=[7.0, 8.0, 9.0]), learn=None).initial_state(2)
    for k in range(3):
        assert start[f"c.v[{k}]"].tolist() == [rows[:, k].tolist()] * 2
        assert (start[f"c.w[{k}]"] == 7.0 + k).all()
    assert (gc.compile(network("c", v=0.5), learn=None).initial_state(1)["c.v[2]"] == 0.5).all()


@pytest.mark.parametrize("target", ["c", "reference"])
def test_records_and_outputs_stack_the_parts_last(target):
    net = network("c.v", "c")
    model = gc.compile(net, target=target, dtype=torch.float64)
    run = model.run(stimulus(), record=["c.v@threshold", "c.x", "c.v[2]", "c.spike"])
    assert run.output["c.v"].shape == (12, 2, 4, 3) and run.output["c"].shape == (12, 2, 4)
    assert run.records["c.x"].shape == (12, 2, 4, 2) and run.records["c.spike"].sum() > 3
    torch.testing.assert_close(run.output["c.v"][..., 2], run.records["c.v[2]"], rtol=0, atol=0)
    after = torch.where(run.records["c.spike"][..., None] > 0, 0.0, run.records["c.v@threshold"])
    torch.testing.assert_close(run.output["c.v"], after, rtol=0, atol=0)
    torch.testing.assert_close(run.output["c.v"][-1].unbind(-1), tuple(run.state[f"c.v[{k}]"] for k in range(3)))
    run.output["c.v"].sum().backward()
    assert set(dict(model.named_parameters())) == {"c.tau", "s_c_x_0.weight", "s_c_x_1.weight"}
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_everything_that_shows_a_model_knows_the_names():
    net = network("c.v")
    model = gc.compile(net, dtype=torch.float64)
    text = model.explain()
    assert "c.v[1]: exact" in text and "c.v[2][t+1]" in text and "s_c_x_1: s -> c.x[1]" in text
    assert "c_v_1" in model.source("forward") and "c_v_1" in model.source("forward", "triton")
    assert model.verify(stimulus()).ok
    with pytest.raises(gc.GraphcError, match=r"no signal of population 'c'"):
        model.run(stimulus(), record=["c.v[3]"])


def test_a_rule_keeps_states_with_a_shape():
    p = gc.state("p", shape=2, on="pre")
    rule = gc.Plasticity(
        "Two",
        ode={p: [-p[0] / 5, -p[1] / 20]},
        on_pre={p: [p[0] + 1, p[1] + 1]},
        on_post={gc.weight: gc.weight + 0.01 * (p[0] - p[1])},
    )
    net = network()
    net.population("d", gc.zoo.LIF, 3, theta=0.1)
    net.connect("s", "d", plasticity=rule, weight=0.5)
    net.output("d")
    run = gc.compile(net, learn=None, target="reference", dtype=torch.float64).run(
        stimulus().round(), record=["s_d.p", "s_d.p[1]"]
    )
    assert torch.equal(run.records["s_d.p"][..., 1], run.records["s_d.p[1]"]) and run.records["s_d.p"].shape[-1] == 2


MISTAKES = {
    "no number": (lambda: gc.state("v", shape=0), "shape=0 of gc.state is no positive int"),
    "length": (lambda: gc.Neuron("N", ode={v: [0, 0]}), r"ode of neuron 'N' has 2 values for 3 states"),
    "missing": (lambda: gc.Neuron("N", ode={v[:2]: 0}), r"state 'v\[2\]' of neuron 'N' has no equation"),
    "twice": (lambda: gc.Neuron("N", ode={v: 0, v[1]: 1}), r"ode of neuron 'N' has 'v\[1\]' twice"),
    "previous": (lambda: gc.previous(v), "gc.previous takes one symbol"),
    "shape of a value": (lambda: network(v=np.zeros((3, 4))), r"'v' of population 'c' has shape \(3, 4\)"),
    "rows": (lambda: network(v=np.zeros((5, 3))), r"'v\[0\]' of population 'c' has shape \(5,\)"),
    "given twice": (lambda: network(v=0.0, **{"v[1]": 1.0}), r"'v\[1\]' of population 'c' is given twice"),
    "all inputs": (lambda: network().connect("s", "c", target="x"), "has several inputs named 'x'"),
    "two widths": (
        lambda: gc.Neuron("N", ode={v: -gc.state("v", shape=4)[0]}),
        r"neuron 'N' uses 'v\[0\]' as state and state",
    ),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_with_a_shape_is_named(make, message):
    with pytest.raises(gc.DeclarationError, match=message):
        make()


def test_a_connection_to_all_parts_names_the_choices():
    with pytest.raises(gc.DeclarationError) as caught:
        network().connect("s", "c", target="x", name="other")
    assert 'target="x[0]" or target="x[1]"' in caught.value.hint
