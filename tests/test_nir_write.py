"""Networks as NIR files: imports come back bit for bit, others by their equations; what NIR lacks is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.units import ms
from tests.oracles.nir_steps import simulate
from tests.test_nir import SYNAPTIC, around, cells, cyclic, graph, some

nir = pytest.importorskip("nir", reason="the extra [nir] is not installed")
h5py = pytest.importorskip("h5py", reason="the extra [nir] is not installed")
ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("GRAPHC_DATA") or ROOT.parent / "shared" / "data") / "nir"
shared = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}: see github.com/neuromorphs/NIR, paper")


def content(path, ignore=()):
    """Return every dataset by its path: type, shape and bytes."""
    found = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset) and not any(part in name for part in ignore):
            value = item[()]
            data = np.asarray(value).tolist() if item.dtype == object else np.asarray(value).tobytes()
            found[name] = (item.dtype.str, item.shape, data)

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


@shared
@pytest.mark.parametrize("name", ["lif_norse.nir", "braille_noDelay_bias_zero.nir"])
@pytest.mark.parametrize("compiled", [False, True], ids=["network", "model"])
def test_export_of_an_import_is_the_same_bytes(name, compiled, tmp_path):
    net = gc.nir.read(DATA / name, dt=0.1 * ms, dialect="euler")
    what = gc.compile(net, target="reference") if compiled else net  # in float32
    gc.nir.write(what, tmp_path / "plain.nir", metadata=False)
    assert content(tmp_path / "plain.nir") == content(DATA / name)
    gc.nir.write(what, tmp_path / "noted.nir")
    assert content(tmp_path / "noted.nir", ["metadata"]) == content(DATA / name)
    assert set(nir.read(tmp_path / "noted.nir", type_check=False).nodes) == set(
        nir.read(DATA / name, type_check=False).nodes
    )


def everything():
    """Return a graph of every primitive, a graph inside it among them."""
    inner = around(cells(4)["CubaLI"], (4,), (4,))
    parts = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv": nir.Conv2d((6, 6), some(2, 2, 3, 3), 1, "same", 1, 1, some(2)),
        "thin": nir.Threshold(some(2, 6, 6)),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "mean": nir.AvgPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 1, 1])}, 0, -1),
        "fc": nir.Affine(some(4, 2), some(4)),
        "lif": cells(4)["LIF"],
        "rec": nir.Linear(some(4, 4)),
        "scale": nir.Scale(some(4)),
        "late": nir.Delay(np.array([0.0, 0.001, 0.002, 0.003])),
        "layer": inner,
        "li": cells(4)["LI"],
        "i": cells(4)["I"],
        "if": cells(4)["IF"],
        "cuba": cells(4)["CubaLIF"],
        "output": nir.Output(np.array([4])),
    }
    edges = (
        "input>conv conv>thin thin>sum sum>mean mean>flat flat>fc fc>lif lif>rec rec>lif lif>scale scale>li "
        "li>late late>layer layer>i i>if if>cuba cuba>output"
    )
    return graph(edges, **parts)


def test_every_primitive_comes_back_as_it_was(tmp_path):
    nir.write(tmp_path / "one.nir", everything())
    model = gc.compile(gc.nir.read(tmp_path / "one.nir", dt=1 * ms, dialect="impulse"), target="reference")
    gc.nir.write(model, tmp_path / "two.nir", metadata=False)
    assert content(tmp_path / "two.nir") == content(tmp_path / "one.nir")


def test_notes_stand_in_metadata_and_other_readers_take_them(tmp_path):
    gc.nir.write(gc.nir.read(cyclic(), dt=1 * ms, dialect="impulse"), tmp_path / "x.nir")
    read = nir.read(tmp_path / "x.nir")
    assert b"NIR reset: v = v - (v_threshold - v_reset)" in read.metadata["graphc_card"].encode()
    assert "spike: v > v_threshold" in read.nodes["a"].metadata["graphc_equations"]
    again = gc.nir.read(tmp_path / "x.nir", dt=1 * ms, dialect="impulse")
    gc.nir.write(again, tmp_path / "y.nir")
    assert content(tmp_path / "y.nir") == content(tmp_path / "x.nir")


def test_only_what_was_learned_changes(tmp_path):
    nir.write(tmp_path / "one.nir", cyclic())
    model = gc.compile(gc.nir.read(tmp_path / "one.nir", dt=1 * ms, dialect="euler"), target="reference")
    with torch.no_grad():
        model.ab.weight[0, 2] = 7.0
        model.a.tau[1] = 25.0
    gc.nir.write(model, tmp_path / "two.nir")
    before, after = nir.read(tmp_path / "one.nir").nodes, nir.read(tmp_path / "two.nir").nodes
    changed = before["ab"].weight != after["ab"].weight
    assert np.argwhere(changed).tolist() == [[2, 0]]
    assert after["ab"].weight[2, 0] == 7.0
    assert after["a"].tau[1] == 0.025
    assert (after["a"].tau[[0, 2]] == before["a"].tau[[0, 2]]).all()


v, i = gc.states("v i")
x = gc.input("x")
tau, theta, r = gc.params(tau=10 * ms, theta=1.0, r=5.0)
LIF = gc.Neuron("LIF", ode={v: (0.1 - v + r * x) / tau}, spike=gc.Spike(v > theta), reset={v: 0.05}, integrator="euler")


def networks(connectivity=None, before=6, after=4, **options):
    net = gc.Network(dt=1 * ms)
    net.input("in_", before)
    net.population("hid", LIF, after, tau=np.linspace(5, 9, int(np.prod(after))))
    net.connect("in_", "hid", connectivity=connectivity or gc.Dense(), **options)
    net.output("hid")
    return net


DECLARED = {
    "dense": lambda: networks(weight=some(6, 4) / 9),
    "drawn": lambda: networks(),
    "sparse": lambda: networks(gc.Sparse(0.5, seed=1), weight=gc.Normal(0.5, 0.1)),
    "blocks": lambda: networks(gc.Blocks(2), weight=some(2, 3, 2)),
    "one to one": lambda: networks(gc.OneToOne(), after=6, weight=some(6)),
    "delayed": lambda: networks(weight=some(6, 4) / 9, delay=3),
    "delays": lambda: networks(gc.OneToOne(), after=6, weight=some(6), delay=[0, 1, 2, 3, 0, 1]),
    "convolution": lambda: networks(gc.Conv2d(3, padding=1), (2, 3, 3), (1, 3, 3), weight=some(1, 2, 3, 3) / 9),
    "over one axis": lambda: networks(gc.Conv1d(3, stride=2), (2, 7), (3, 3), weight=some(3, 2, 3) / 9),
    "means": lambda: networks(gc.AvgPool(2), (2, 4, 4), (2, 2, 2), weight=3.0),
    "sums": lambda: networks(gc.SumPool(2, stride=1), (2, 3, 3), (2, 2, 2)),
    "from space": lambda: networks(before=(2, 3, 1), weight=some(6, 4) / 9),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_network_is_the_same_graph(name, tmp_path):
    net = DECLARED[name]()
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    gc.nir.write(model, tmp_path / "x.nir", metadata=False)
    whole = nir.read(tmp_path / "x.nir")  # with its own check of shapes
    x = np.random.default_rng(3).uniform(size=(25, *net.inputs["in_"].shape)) * 1.2
    order, waiting = ["in_"], list(whole.nodes)
    while waiting:
        name = waiting.pop(0)
        ready = all(a in order for a, b in whole.edges if b == name)
        (order if ready else waiting).append(name) if name not in order else None
    want = simulate(whole, x, 1e-3, order).reshape(25, -1)
    assert 0 < want.sum() < want.size
    got = model(torch.as_tensor(x.reshape(25, 1, -1))).numpy()[:, 0]
    np.testing.assert_array_equal(got, want)
    again = gc.compile(
        gc.nir.read(whole, dt=1 * ms, dialect="euler"), learn=None, target="reference", dtype=torch.float64
    )
    np.testing.assert_array_equal(again(torch.as_tensor(x.reshape(25, 1, -1))).numpy()[:, 0], want)


def test_recurrence_and_longer_cycles_come_back_with_their_delays(tmp_path):
    net = networks(weight=some(6, 4))
    net.connect("hid", "hid", weight=-some(4, 4), delay=1, name="self")
    net.population("other", LIF, 4)
    net.connect("hid", "other", weight=some(4, 4), name="there")
    net.connect("other", "hid", weight=-some(4, 4), delay=2, name="back")
    gc.nir.write(net, tmp_path / "x.nir")
    again = gc.nir.read(tmp_path / "x.nir", dt=1 * ms, dialect="euler")
    x = torch.rand(30, 1, 6, dtype=torch.float64) * 2
    runs = [gc.compile(n, learn=None, target="reference", dtype=torch.float64)(x) for n in (net, again)]
    assert runs[0].sum() > 5
    torch.testing.assert_close(*runs, rtol=0, atol=0)


def test_cubalif_and_jumps_get_their_fields():
    from graphc.nir.current import Numbers
    from graphc.nir.recognise import recognise

    net = gc.Network(dt=1 * ms)
    net.input("in_", 2)
    net.population("cuba", gc.zoo.CuBaLIF, 2)
    net.population("leaky", gc.zoo.LI, 2)
    kind, fields = recognise(net.populations["cuba"], Numbers(net, None, None))
    assert kind == "CubaLIF"
    want = {
        "tau_syn": 0.005,
        "tau_mem": 0.01,
        "r": 10.0,
        "v_leak": 0.0,
        "w_in": 5.0,
        "v_threshold": 1.0,
        "v_reset": 0.0,
    }
    assert {f: float(a[0]) for f, a in fields.items()} == pytest.approx(want)
    kind, fields = recognise(net.populations["leaky"], Numbers(net, None, None))
    assert kind == "LI"
    assert {f: float(a[1]) for f, a in fields.items()} == pytest.approx({"tau": 0.02, "r": 20.0, "v_leak": 0.0})


def neuron(**changes):
    fields = {"ode": {v: (r * x - v) / tau}, "spike": gc.Spike(v > theta), "reset": {v: 0.0}} | changes
    return gc.Neuron("Mine", **{k: f for k, f in fields.items() if f is not None})


LACKING = {
    "at equality": (neuron(spike=gc.Spike(v >= theta)), "spikes at equality"),
    "refractory": (neuron(refractory=2 * ms), "refractory time"),
    "rising edge": (neuron(spike=gc.Spike(v > theta, edge="rising")), "rising edge"),
    "not linear": (neuron(ode={v: (v**2 + x) / tau}), "v' is .* not linear"),
    "growing": (neuron(ode={v: (v + x) / tau}), "does not decay"),
    "no reset": (neuron(reset=None, spike=gc.Spike(v > theta, edge="level")), "does not reset v"),
    "reset elsewhere": (neuron(ode={v: (i - v) / tau, i: (x - i) / tau}, reset={v: 0, i: 0}), "changes i"),
    "halved": (neuron(reset={v: v / 2}), "neither a value nor a difference"),
    "initial": (neuron(init={v: 0.5}), "does not start at 0"),
    "three states": (neuron(ode={v: (i - v) / tau, i: -i / tau, gc.state("y"): x / tau}), "3 states"),
    "time": (neuron(ode={v: (gc.t * x - v) / tau}), "not linear"),
    "two inputs": (neuron(ode={v: (gc.input("y") + x - v) / tau}), "2 inputs"),
    "map": (neuron(ode=None, update={v: v / 2 + x}), "map in steps"),
    "output": (neuron(output=2 * gc.spike), r"its output is 2\*spike"),
    "low": (neuron(spike=gc.Spike(v < theta)), "where v is low"),
    "zoo": (gc.zoo.AdEx, "NIR cannot carry neuron 'AdEx' of population 'p'"),
    "adaptive": (gc.zoo.ALIF, "cannot carry neuron 'ALIF'"),
}


@pytest.mark.parametrize("case", LACKING)
def test_a_neuron_that_nir_lacks_is_named(case, tmp_path):
    model, message = LACKING[case]
    net = gc.Network(dt=1 * ms)
    net.input("in_", 3)
    net.population("p", model, 3)
    target = model.inputs[0].name
    net.connect("in_", "p", weight=1.0, target=target)
    net.output("p")
    with pytest.raises(gc.DeclarationError, match=message):
        gc.nir.write(net, tmp_path / "x.nir")
    assert os.listdir(tmp_path) == []


def test_connections_that_nir_lacks_are_named(tmp_path):
    for options, message in (
        ({"plasticity": gc.zoo.PairSTDP(), "weight": 0.1}, "weights change by the rule"),
        ({"delay": gc.LearnedDelay(3)}, "delays are learned"),
        ({"delay": np.arange(24).reshape(6, 4), "weight": 1.0}, "a delay per synapse"),
        ({"transmit": gc.weight * gc.pre() ** 2, "weight": 1.0}, "it transmits"),
        ({}, "'in__hid.weight' is drawn when the network is compiled"),
    ):
        with pytest.raises(gc.DeclarationError, match=message):
            gc.nir.write(networks(**options), tmp_path / "x.nir")


def test_an_import_with_more_parts_is_written_by_its_equations(tmp_path):
    net = gc.nir.read(around(cells(3)["LIF"], (3,), (3,)), dt=1 * ms, dialect="euler")
    net.population("more", LIF, 2)
    net.connect("n", "more", weight=some(3, 2))
    gc.nir.write(net, tmp_path / "x.nir")
    read = nir.read(tmp_path / "x.nir").nodes
    np.testing.assert_allclose(read["n"].tau, cells(3)["LIF"].tau, rtol=1e-15)
    assert type(read["more"]).__name__ == "LIF"


@pytest.mark.parametrize("name", SYNAPTIC)
def test_nodes_that_multiply_come_back(name, tmp_path):
    node, before, after = SYNAPTIC[name]()
    nir.write(tmp_path / "one.nir", around(node, before, after))
    gc.nir.write(gc.nir.read(tmp_path / "one.nir", dt=1 * ms, dialect="euler"), tmp_path / "two.nir", metadata=False)
    assert content(tmp_path / "two.nir") == content(tmp_path / "one.nir")
