"""The learning rules of the zoo: C equals the reference, and each does what its paper says it does."""

import numpy as np
import pytest
import torch

import graphc as gc
from tests.models.plasticity import POST, PRE, B, T, compiled, spikes, times, told
from tests.oracles import plasticity as oracle

X = {"pre": spikes(PRE, 0.3, seed=1), "post": spikes(POST, 0.3, seed=2)}
NUMBERS = {
    "CalciumRule": {"tau": 1000.0},
    "InhibitorySTDP": {"eta": 0.02},
    "VoltageSTDP": {"A_LTD": 1e-3, "A_LTP": 1e-3, "theta_minus": 0.1, "theta_plus": 4.0, "rest": 0.0},
    "BCM": {"eta": 0.05},
    "Oja": {"eta": 0.05},
    "SuperSpikeRule": {"r": 0.3},
    "TripletSTDP": {"A2_plus": 0.01},
    "TsodyksMarkram": {"tau_facil": 100.0},
}


@pytest.fixture(autouse=True)
def passes_are_compared_once(monkeypatch):
    """Leave the comparison of numbers before and after every pass to the tests of gradients."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def network(name):
    rule = gc.zoo.RULES[name](**NUMBERS.get(name, {}))
    sizes = {"network": 1, "post": POST, "pre": PRE}
    net = told(rule, factors={f.name: sizes[f.on] for f in rule.inputs})
    given = X | {f.name: spikes(sizes[f.on], 0.3, 5) - 0.3 * (f.on == "post") for f in rule.inputs}
    return net, given, rule


@pytest.mark.parametrize("name", gc.zoo.RULES)
def test_c_runs_every_rule_as_the_reference_does(name):
    net, given, rule = network(name)
    found = []
    for target in ("reference", "c"):
        model = compiled(net, target, learn=None)
        run = model.run(given)
        kept = {n: s for n, s in run.state.items() if n.startswith("src_dst")}
        found.append([run.output, *kept.values()])
        assert (model.src_dst.weight.grad is None) == (rule.apply != "gradient")
        found[-1] += [] if model.src_dst.weight.grad is None else [model.src_dst.weight.grad]
        assert all(s.std() > 0 for s in kept.values()), "a state of the rule is dead"
        if rule.carries_weight:
            assert (kept["src_dst.weight"] - 0.5).abs().max() > 1e-3
    assert found[0][0].std() > 0.01
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12)


AMPLITUDES = {
    "additive": (lambda w: 0.03, lambda w: 0.04),
    "multiplicative": (lambda w: 0.03 * (1 - w), lambda w: 0.04 * w),
    "symmetric": (lambda w: 0.03, lambda w: -0.04),
}


@pytest.mark.parametrize(("pairing", "read"), [("all", oracle.trace), ("nearest", oracle.nearest)])
@pytest.mark.parametrize("dependence", AMPLITUDES)
def test_pair_stdp_of_the_zoo_is_the_event_loop(dependence, pairing, read):
    rule = gc.zoo.PairSTDP(A_plus=0.03, A_minus=0.04, dependence=dependence, pairing=pairing)
    target = "c" if dependence == "multiplicative" else "reference"
    found = compiled(told(rule), target, learn=None).run(X).state["src_dst.weight"]
    for i, j in ((0, 0), (3, 2)):
        trains = times(X["pre"], 1, i), times(X["post"], 1, j)
        wanted = oracle.pair(0.5, *trains, *AMPLITUDES[dependence], (20, 20), (0, 1), read)
        assert float(found[1, i, j]) == pytest.approx(wanted, abs=1e-9)


def test_symmetric_pair_stdp_potentiates_in_both_orders():
    both = gc.zoo.PairSTDP(A_plus=0.01, A_minus=0.01, dependence="symmetric")
    assert (compiled(told(both), "c", learn=None).run(X).state["src_dst.weight"] > 0.5).all()


def test_eprop_of_one_layer_is_backpropagation_through_time():
    """Without recurrence e-prop leaves nothing out, so that both give one gradient."""
    alpha, kappa = 0.9, 0.8
    v, x, y = gc.state("v"), gc.input("x"), gc.state("y")
    neuron = gc.Neuron(
        "Cell",
        update={v: alpha * v + x},
        spike=gc.Spike(v > 1, surrogate=gc.surrogate.Triangle(0.3, 1.0)),
        reset={v: v - 1},
    )
    readout = gc.Neuron("Readout", update={y: kappa * y + x})

    def network(rule):
        net = gc.Network(dt=1.0)
        net.input("x", 4)
        net.input("error", 3)
        net.population("hid", neuron, 3)
        net.population("out", readout, 3)
        weight = torch.linspace(0.1, 0.9, 12, dtype=torch.float64).reshape(4, 3)
        handle = net.connect("x", "hid", weight=weight, plasticity=rule)
        net.connect("hid", "out", connectivity=gc.OneToOne(), weight=1.0, learn=False)
        if rule is not None:
            net.connect("error", handle, target="L", connectivity=gc.OneToOne(), weight=1.0, learn=False)
        net.output("out")
        return net

    given = {"x": spikes(4, 0.5, 3), "error": torch.randn(T, B, 3, dtype=torch.float64)}
    backward = compiled(network(None), "c")
    (backward(given) * given["error"]).sum().backward()
    forward = compiled(network(gc.zoo.EProp(alpha, kappa)), "c", learn=None)
    out = forward(given)
    assert out.std() > 0.1
    torch.testing.assert_close(forward.x_hid.weight.grad, backward.x_hid.weight.grad, rtol=1e-10, atol=1e-10)


def test_oja_finds_the_first_component():
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("y", gc.Neuron("Linear", output=gc.input("x")), 1)
    net.connect("x", "y", weight=0.3, plasticity=gc.zoo.Oja(eta=0.005))
    net.output("y")
    draw = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(3, 3, generator=draw).double())[0]
    x = torch.randn(6000, 1, 3, generator=draw).double() * torch.tensor([1.5, 0.5, 0.2])
    w = compiled(net, "c", learn=None).run(x @ directions.T).state["x_y.weight"][0, :, 0]
    assert abs(float(w @ directions[:, 0])) == pytest.approx(1, abs=0.05)
    assert float(w.norm()) == pytest.approx(1, abs=0.05)


def test_reward_strengthens_the_synapse_that_was_eligible():
    rule = gc.zoo.RewardSTDP(A_plus=0.1, A_minus=0.0, w_max=1.0)
    pre, post = torch.zeros(T, 1, PRE).double(), torch.zeros(T, 1, POST).double()
    pre[5, 0, 1], post[10, 0, 2] = 1, 1
    reward = torch.zeros(T, 1, 1).double()
    reward[30] = 0.5
    model = compiled(told(rule, factors={"reward": 1}, weight=0.2), "c", learn=None)
    w = model.run({"pre": pre, "post": post, "reward": reward}).state["src_dst.weight"][0]
    assert w[1, 2] > 0.25
    moved = (w != 0.2).nonzero().tolist()
    assert moved == [[1, 2]]


def test_benna_fusi_synapses_forget_by_a_power_law():
    """A weight that was set once decays as 1 / sqrt(t), where one variable alone would decay exponentially."""
    rule = gc.zoo.BennaFusi(variables=6, tau=2.0)
    net = told(rule, weight=0.0)
    state = compiled(net, "c", learn=None)
    start = state.initial_state(1)
    start["src_dst.weight"] = start["src_dst.weight"] + 1
    silent = {"pre": torch.zeros(1001, 1, PRE).double(), "post": torch.zeros(1001, 1, POST).double()}
    w = state.run(silent, state=start, record=["src_dst.weight"]).records["src_dst.weight"][:, 0, 0, 0]
    slope = np.polyfit(np.log([30, 60, 120, 240]), np.log([float(w[t]) for t in (30, 60, 120, 240)]), 1)[0]
    assert -0.65 < slope < -0.35
