"""NIR graphs as networks: the published spikes, every primitive in every dialect, cycles, and graphs inside graphs."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.units import ms
from tests.oracles.nir_steps import simulate

nir = pytest.importorskip("nir", reason="the extra [nir] is not installed")
ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("GRAPHC_DATA") or ROOT.parent / "shared" / "data") / "nir"
shared = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}: see github.com/neuromorphs/NIR, paper")
DT = 1e-3

DIALECTS = {
    "euler": ({}, {}),
    "euler, old current": ({"current": "old"}, {"new": False}),
    "euler, subtracting": ({"reset": "subtract"}, {"reset": "subtract"}),
    "exponential": ({"method": "exponential"}, {"method": "exponential"}),
    "exponential, old": ({"method": "exponential", "current": "old"}, {"method": "exponential", "new": False}),
    "impulses": (
        {"method": "exponential", "input": "impulse", "reset": "subtract"},
        {"method": "exponential", "impulse": True, "reset": "subtract"},
    ),
    "exact": ({"method": "exact"}, {"method": "exact"}),
    "exact, impulses": ({"method": "exact", "input": "impulse"}, {"method": "exact", "impulse": True}),
}


def some(*shape, low=0.5, high=1.5, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


def cells(n):
    tau, r, leak, theta, reset = (some(n, seed=k) for k in range(5))
    return {
        "I": nir.I(r=100 * r),
        "LI": nir.LI(tau=0.01 * tau, r=r, v_leak=leak),
        "IF": nir.IF(r=100 * r, v_threshold=theta, v_reset=0.1 * reset),
        "LIF": nir.LIF(tau=0.01 * tau, r=2 * r, v_leak=0.3 * leak, v_threshold=theta, v_reset=0.1 * reset),
        "CubaLI": nir.CubaLI(tau_syn=0.004 * theta, tau_mem=0.01 * tau, r=r, v_leak=leak, w_in=reset),
        "CubaLIF": nir.CubaLIF(
            tau_syn=0.004 * theta, tau_mem=0.01 * tau, r=3 * r, v_leak=0.3 * leak, v_threshold=theta, w_in=reset
        ),
        "Threshold": nir.Threshold(threshold=theta),
    }


def graph(edges, **nodes):
    return nir.NIRGraph(nodes=nodes, edges=[tuple(edge.split(">")) for edge in edges.split()], type_check=False)


def around(node, before, after):
    ends = {"input": nir.Input(np.array(before)), "output": nir.Output(np.array(after))}
    return graph("input>n n>output", n=node, **ends)


def run(network, x):
    model = gc.compile(network, learn=None, target="reference", dtype=torch.float64)
    out = model(torch.as_tensor(x.reshape(len(x), 1, -1)))
    return out.numpy()[:, 0]


def spikes_in(*shape, seed=1):
    return np.random.default_rng(seed).uniform(0, 1.5, shape)


@shared
@pytest.mark.parametrize(("dialect", "published"), [("euler", [460, 510, 710, 760]), ("impulse", [450, 500, 710, 760])])
def test_published_spikes_come_out_in_both_dialects(dialect, published):
    given, membrane, spikes = np.loadtxt(DATA / "lif_norse.csv", delimiter=",").T
    net = gc.nir.read(DATA / "lif_norse.nir", dt=0.1 * ms, dialect=dialect)
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    done = model.run(torch.as_tensor(given)[:, None, None], record=["lif_1.v"])
    assert np.flatnonzero(done.output.numpy()).tolist() == published
    if dialect == "euler":
        assert np.flatnonzero(spikes).tolist() == published
        np.testing.assert_allclose(done.records["lif_1.v"].numpy()[:, 0, 0], membrane, atol=1e-6)  # written in float32


@shared
@pytest.mark.parametrize("name", ["euler", "euler, old current", "impulses"])
def test_braille_network_equals_the_oracle(name):
    choices, oracle = DIALECTS[name]
    path = DATA / "braille_noDelay_bias_zero.nir"
    net = gc.nir.read(path, dt=0.1 * ms, dialect=gc.nir.Dialect(**choices))
    x = (np.random.default_rng(0).uniform(size=(60, 12)) < 0.3).astype(float)
    order = ["input", "fc1", "lif1.w_rec", "lif1.lif", "fc2", "lif2", "output"]
    want = simulate(nir.read(path, type_check=False), x, 1e-4, order, **oracle)
    assert list(net.populations) == ["lif1_lif", "lif2"]
    assert set(net.connections) == {"fc1", "lif1_w_rec", "fc2"}
    assert net.connections["lif1_w_rec"].delay == 1
    assert {"bias_fc1", "bias_lif1_w_rec"} <= set(net.populations["lif1_lif"].parameters)
    assert want.sum() > 10
    np.testing.assert_array_equal(run(net, x), want)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_neuron_equals_the_oracle_in_every_dialect(name):
    choices, oracle = DIALECTS[name]
    parts, x = cells(3), spikes_in(40, 3)
    nodes, edges = {"input": nir.Input(np.array([3]))}, []
    for kind, node in parts.items():
        nodes |= {kind: node, f"out_{kind}": nir.Output(np.array([3]))}
        edges += [("input", kind), (kind, f"out_{kind}")]
    whole = nir.NIRGraph(nodes=nodes, edges=edges, type_check=False)
    model = gc.compile(
        gc.nir.read(whole, dt=1 * ms, dialect=gc.nir.Dialect(**choices)),
        learn=None,
        target="reference",
        dtype=torch.float64,
    )
    got = model(torch.as_tensor(x)[:, None])
    for kind, node in parts.items():
        want = simulate(around(node, (3,), (3,)), x, DT, ["input", "n", "output"], **oracle)
        np.testing.assert_allclose(got[kind].numpy()[:, 0], want, atol=1e-9, err_msg=kind)


SYNAPTIC = {
    "Affine": lambda: (nir.Affine(some(4, 3), some(4)), (3,), (4,)),
    "Linear": lambda: (nir.Linear(some(4, 3)), (3,), (4,)),
    "Linear, batched": lambda: (nir.Linear(some(2, 4, 3)), (2, 3), (2, 4)),
    "Scale": lambda: (nir.Scale(some(2, 3)), (2, 3), (2, 3)),
    "Delay": lambda: (nir.Delay(np.array([0.0, 0.001, 0.003])), (3,), (3,)),
    "Conv1d": lambda: (nir.Conv1d(7, some(4, 2, 3), 2, 1, 1, 1, some(4)), (2, 7), (4, 4)),
    "Conv1d, dilated, in groups": lambda: (nir.Conv1d(9, some(4, 1, 3), 1, "same", 2, 2, some(4)), (2, 9), (4, 9)),
    "Conv2d": lambda: (nir.Conv2d((5, 6), some(3, 2, 3, 2), (2, 1), (1, 0), 1, 1, some(3)), (2, 5, 6), (3, 3, 5)),
    "Conv2d, dilated": lambda: (nir.Conv2d((6, 6), some(4, 1, 2, 3), 1, 0, (2, 1), 2, some(4)), (2, 6, 6), (4, 4, 4)),
    "SumPool2d": lambda: (nir.SumPool2d(np.array([3, 3]), np.array([2, 2]), np.array([1, 1])), (2, 5, 5), (2, 3, 3)),
    "AvgPool2d": lambda: (nir.AvgPool2d(np.array([2, 3]), np.array([2, 1]), np.array([0, 0])), (2, 4, 5), (2, 2, 3)),
}


@pytest.mark.parametrize("name", SYNAPTIC)
def test_what_multiplies_equals_the_oracle(name):
    node, before, after = SYNAPTIC[name]()
    leaky = nir.LI(tau=np.full(after, 0.01), r=some(*after), v_leak=np.zeros(after))
    ends = {"input": nir.Input(np.array(before)), "output": nir.Output(np.array(after))}
    whole = graph("input>n n>li li>output", n=node, li=leaky, **ends)
    x = spikes_in(6, *before)
    want = simulate(whole, x, DT, ["input", "n", "li", "output"])
    net = gc.nir.read(whole, dt=1 * ms, dialect="euler")
    assert list(net.populations) == ["li"]  # the node is a connection
    np.testing.assert_allclose(run(net, x), want.reshape(6, -1), atol=1e-12)
    alone = around(node, before, after)
    want = simulate(alone, x, DT, ["input", "n", "output"])
    np.testing.assert_allclose(run(gc.nir.read(alone, dt=1 * ms, dialect="euler"), x), want.reshape(6, -1), atol=1e-12)


def test_chains_sums_and_flatten_equal_the_oracle():
    flat = nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1)
    whole = graph(
        "input>conv conv>pool input>pool pool>flat flat>fc fc>scale scale>li fc>li li>output",
        input=nir.Input(np.array([2, 6, 6])),
        conv=nir.Conv2d((6, 6), some(2, 2, 3, 3), 1, 1, 1, 1, some(2)),
        pool=nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        flat=flat,
        fc=nir.Affine(some(4, 18), some(4)),
        scale=nir.Scale(some(4)),
        li=cells(4)["LI"],
        output=nir.Output(np.array([4])),
    )
    x = spikes_in(5, 2, 6, 6)
    want = simulate(whole, x, DT, ["input", "conv", "pool", "flat", "fc", "scale", "li", "output"])
    np.testing.assert_allclose(run(gc.nir.read(whole, dt=1 * ms, dialect="euler"), x), want, atol=1e-12)


def test_a_node_with_two_sources_is_one_weight_for_both():
    whole = graph(
        "left>w right>w w>li w>other li>output",
        left=nir.Input(np.array([3])),
        right=nir.Input(np.array([3])),
        w=nir.Affine(some(4, 3), some(4)),
        li=cells(4)["LI"],
        other=cells(4)["LIF"],
        output=nir.Output(np.array([4])),
    )
    net, x = gc.nir.read(whole, dt=1 * ms, dialect="euler"), spikes_in(6, 2, 3)
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    got = model({"left": torch.as_tensor(x[:, None, 0]), "right": torch.as_tensor(x[:, None, 1])})
    one = around(whole.nodes["w"], (3,), (4,))
    both = graph("input>w w>li li>output", **{**one.nodes, "w": one.nodes["n"], "li": whole.nodes["li"]})
    want = simulate(both, x.sum(axis=1), DT, ["input", "w", "li", "output"])
    np.testing.assert_allclose(got.numpy()[:, 0], want, atol=1e-12)


def test_an_input_may_leave_and_a_neuron_twice():
    whole = graph(
        "input>li li>first li>second input>third",
        input=nir.Input(np.array([3])),
        li=cells(3)["LI"],
        **{name: nir.Output(np.array([3])) for name in ("first", "second", "third")},
    )
    net, x = gc.nir.read(whole, dt=1 * ms, dialect="euler"), spikes_in(5, 3)
    got = gc.compile(net, learn=None, target="reference", dtype=torch.float64)(torch.as_tensor(x)[:, None])
    assert [net.names[name] for name in ("first", "second", "third")] == ["li", "second", "third"]
    torch.testing.assert_close(got["second"], got["li"], rtol=0, atol=0)
    np.testing.assert_array_equal(got["third"].numpy()[:, 0], x)


def test_equal_time_constants_are_exact_too():
    node = nir.CubaLI(tau_syn=np.full(2, 0.01), tau_mem=np.full(2, 0.01), r=np.ones(2), v_leak=np.zeros(2))
    whole, x = around(node, (2,), (2,)), spikes_in(20, 2)
    want = simulate(whole, x, DT, ["input", "n", "output"], method="exact")
    np.testing.assert_allclose(run(gc.nir.read(whole, dt=1 * ms, dialect="exact"), x), want, atol=1e-9)


def cyclic():
    return graph(
        "input>a a>ab ab>b b>ba ba>a b>output",
        input=nir.Input(np.array([3])),
        a=cells(3)["LIF"],
        ab=nir.Linear(some(3, 3, low=0.5)),
        b=cells(3)["CubaLIF"],
        ba=nir.Linear(some(3, 3, low=-1, high=0)),
        output=nir.Output(np.array([3])),
    )


def test_the_step_of_a_cycle_sits_where_the_dialect_says():
    whole, x = cyclic(), 4 * spikes_in(40, 3)
    back = gc.nir.read(whole, dt=1 * ms, dialect="euler")
    assert (back.connections["ab"].delay, back.connections["ba"].delay) == (0, 1)
    want = simulate(whole, x, DT, ["input", "ba", "a", "ab", "b", "output"])
    assert 3 < want.sum() < 110
    np.testing.assert_array_equal(run(back, x), want)
    every = gc.nir.read(whole, dt=1 * ms, dialect=gc.nir.Dialect(cycle="all"))
    assert [every.connections[c].delay for c in ("ab", "ba")] == [1, 1]
    np.testing.assert_array_equal(run(every, x), simulate(whole, x, DT, ["input", "ba", "ab", "a", "b", "output"]))
    chosen = gc.nir.read(whole, dt=1 * ms, dialect=gc.nir.Dialect(cycle=[("a", "ab")]))
    assert [chosen.connections[c].delay for c in ("ab", "ba")] == [1, 0]
    with pytest.raises(gc.DeclarationError, match=r"no delay: (b -> ba -> a|a -> ab -> b)"):
        gc.nir.read(whole, dt=1 * ms, dialect=gc.nir.Dialect(cycle=[("input", "a")]))


def test_a_delay_in_a_cycle_is_no_step_more():
    whole = graph(
        "input>a a>d d>w w>a a>output",
        input=nir.Input(np.array([3])),
        a=cells(3)["LIF"],
        d=nir.Delay(np.full(3, 0.002)),
        w=nir.Linear(some(3, 3, low=-1, high=0)),
        output=nir.Output(np.array([3])),
    )
    net, x = gc.nir.read(whole, dt=1 * ms, dialect="euler"), spikes_in(30, 3)
    assert sorted(c.shortest for c in net.connections.values()) == [0, 0, 2]
    np.testing.assert_array_equal(run(net, x), by_hand(whole, x))


def by_hand(whole, x):
    """Return the spikes of a neuron that inhibits itself after two steps."""
    a, w = whole.nodes["a"], whole.nodes["w"].weight
    v, sent, tau = np.zeros(3), [np.zeros(3), np.zeros(3)], a.tau
    for u in x:
        v = v + DT / tau * (a.v_leak - v + a.r * (u + w @ sent[-2]))
        sent.append((v > a.v_threshold) * 1.0)
        v = np.where(sent[-1] > 0, a.v_reset, v)
    return np.array(sent[2:])


def test_graphs_inside_graphs_are_unfolded():
    inner = graph(
        "input>lif lif>rec rec>lif lif>output",
        input=nir.Input(np.array([3])),
        lif=cells(3)["LIF"],
        rec=nir.Linear(some(3, 3, low=-1, high=0)),
        output=nir.Output(np.array([3])),
    )
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([3]))}
    net = gc.nir.read(graph("input>layer layer>output", layer=inner, **ends), dt=1 * ms, dialect="euler")
    assert list(net.populations) == ["layer_lif"]
    assert list(net.connections) == ["input_layer_lif", "layer_rec"]
    x = spikes_in(30, 3)
    np.testing.assert_array_equal(run(net, x), simulate(inner, x, DT, ["input", "rec", "lif", "output"]))


def test_the_card_tells_the_dialect():
    card = gc.compile(gc.nir.read(cyclic(), dt=1 * ms, dialect="impulse"), target="reference").explain()
    assert "NIR reset: v = v - (v_threshold - v_reset)" in card
    assert "NIR input: an impulse after the decay of the step" in card
    assert "NIR delay of one step: b -> ba -> a" in card


def test_the_bias_of_a_convolution_learns_per_channel(tmp_path):
    conv = nir.Conv2d((4, 4), some(3, 2, 3, 3), 1, 1, 1, 1, some(3))
    net = gc.nir.read(around(conv, (2, 4, 4), (3, 4, 4)), dt=1 * ms, dialect="euler")
    model = gc.compile(net, target="reference")
    model(torch.rand(3, 1, 32)).sum().backward()
    (bias,) = (p for name, p in model.named_parameters() if name.endswith(".bias"))
    assert bias.shape == (3,) and bias.grad.tolist() == [48.0] * 3
    with torch.no_grad():
        bias.add_(1)
    gc.nir.write(model, tmp_path / "conv.nir")
    after = nir.read(str(tmp_path / "conv.nir")).nodes["n"].bias
    np.testing.assert_allclose(after, conv.bias + 1, rtol=1e-6)


def test_an_import_learns():
    model = gc.compile(gc.nir.read(cyclic(), dt=1 * ms, dialect="euler"), target="reference")
    model(torch.as_tensor(spikes_in(10, 3), dtype=torch.float32)[:, None]).sum().backward()
    assert model.ab.weight.grad.abs().sum() > 0


def test_a_dialect_must_be_given_and_known():
    with pytest.raises(gc.DeclarationError, match="does not say how it is run in steps"):
        gc.nir.read(cyclic(), dt=1 * ms)
    with pytest.raises(gc.DeclarationError, match="did you mean 'euler'"):
        gc.nir.read(cyclic(), dt=1 * ms, dialect="eular")
    with pytest.raises(gc.DeclarationError, match=r"reset of graphc\.nir\.Dialect is 'zero'"):
        gc.nir.Dialect(reset="zero")
