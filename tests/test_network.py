import warnings

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.names import MODEL_ATTRIBUTES, MODULE_ATTRIBUTES
from graphc.units import ms

v = gc.state("v")
x = gc.input("x")
exc, inh = gc.inputs("exc inh")
tau = gc.param("tau", 10.0, learn=True, min=1.0)
theta = gc.param("theta", 1.0)

LIF = gc.Neuron(
    "LIF",
    ode={v: (x - v) / tau},
    spike=gc.Spike(v > theta),
    reset={v: 0},
    refractory=2.0,
    let={"drive": x / tau, "out": gc.spike * 2},
)
LI = gc.Neuron("LI", ode={v: x - v}, init={v: tau})
TWO = gc.Neuron("Two", ode={v: exc - inh - v})
SILENT = gc.Neuron("Silent", ode={v: -v})


def network(dt=1 * ms):
    net = gc.Network(dt=dt)
    net.input("x", 3)
    net.population("hid", LIF, 4)
    net.population("out", LI, 2)
    net.connect("x", "hid")
    net.connect("hid", "hid", delay=1)
    net.connect("hid", "out")
    net.output("out")
    return net


def test_the_example_of_the_documentation_is_accepted():
    net = network()
    net.check()
    assert net.dt == 1.0 and net.outputs == ("out.output",)
    assert list(net.connections) == ["x_hid", "hid_hid", "hid_out"]
    assert [c.delay for c in net.connections.values()] == [0, 1, 0]
    assert net.connections["hid_out"].target == "x" and net.connections["x_hid"].weight is None


def test_handles_and_names_are_the_same():
    net = gc.Network(dt=0.5)
    a, b = net.input("a", 2), net.population("b", LIF, 2)
    c = net.connect(a, b)
    net.output(b)
    assert (net.inputs["a"], net.populations["b"], net.connections["a_b"]) == (a, b, c)


def test_shapes_are_flattened():
    net = gc.Network(dt=1)
    assert net.input("x", (2, 3, 4)).size == 24
    assert net.population("p", LIF, (2, 5)).shape == (2, 5)


OVERRIDES = {
    "nothing": ({}, 10.0, "population", True),
    "number": ({"tau": 20}, 20.0, "population", True),
    "quantity": ({"tau": 20 * ms}, 20.0, "population", True),
    "array": ({"tau": [20, 21, 22, 23]}, [20, 21, 22, 23], "neuron", True),
    "distribution": ({"tau": gc.Uniform(5, 9)}, gc.Uniform(5.0, 9.0), "neuron", True),
    "parameter": ({"tau": gc.param("tau", 3, per="neuron")}, 3.0, "neuron", False),
}


@pytest.mark.parametrize(("values", "value", "per", "learn"), OVERRIDES.values(), ids=OVERRIDES)
def test_parameters_are_overridden(values, value, per, learn):
    p = gc.Network(dt=1).population("p", LIF, 4, **values).parameters["tau"]
    assert np.all(p.value == value) and (p.per, p.learn) == (per, learn)
    assert p.min == (None if values and p.learn is False else 1.0)


def test_initial_values_are_overridden_by_name():
    net = gc.Network(dt=1)
    assert net.population("a", LI, 2).init == {v: tau}
    assert net.population("b", LI, 2, v=0.5).init == {v: 0.5}
    assert net.population("c", LI, 2, v=gc.Normal(0, 1)).init == {v: gc.Normal(0.0, 1.0)}
    assert net.population("d", LI, 2, v=2 * tau).init == {v: 2 * tau}


WEIGHTS = {
    "number": (0.5, 0.5),
    "distribution": (gc.Normal(0, 0.1), gc.Normal(0.0, 0.1)),
    "array": (np.ones((3, 4)), np.ones((3, 4))),
    "list": ([[1] * 4] * 3, np.ones((3, 4))),
}


@pytest.mark.parametrize(("given", "kept"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_are_kept(given, kept):
    c = network().connect("x", "hid", name="again", weight=given, learn=False)
    assert np.all(c.weight == kept) and c.learn is False and c.shared is None


def test_torch_tensors_are_weights():
    torch = pytest.importorskip("torch")
    c = network().connect("x", "hid", name="again", weight=torch.ones(3, 4, requires_grad=True))
    assert c.weight.dtype == np.float64 and c.weight.shape == (3, 4)


def test_a_shared_weight_names_the_owner():
    net = network()
    first = net.connect("x", "hid", name="second", weight=net.connections["x_hid"])
    assert first.shared == "x_hid"
    assert net.connect("x", "hid", name="third", weight=first).shared == "x_hid"


def test_one_to_one_weights_have_one_axis():
    net = gc.Network(dt=1)
    net.input("a", 4)
    net.population("p", LIF, 4)
    assert net.connect("a", "p", connectivity=gc.OneToOne(), weight=np.ones(4)).weight.shape == (4,)


@pytest.mark.parametrize(
    ("delay", "steps"), [(None, 0), (0, 0), (3, 3), (np.int64(2), 2), (1.5 * ms, 3), (0.5 * ms, 1)]
)
def test_delays_count_steps(delay, steps):
    assert network(dt=0.5).connect("hid", "hid", name="again", delay=delay).delay == steps


def test_several_inputs_need_a_target_that_enters_the_name():
    net = network()
    net.population("two", TWO, 2)
    assert net.connect("hid", "two", target="inh").name == "hid_two_inh"
    assert net.connect("hid", "two", target="exc").name == "hid_two_exc"


def test_default_transmit_is_accepted():
    assert network().connect("x", "hid", name="again", transmit=gc.weight * gc.pre()).name == "again"


RECORDS = ["hid.output", "hid.spike", "hid.refractory", "hid.v", "hid.v@threshold", "hid.x", "hid.drive", "hid.out",
           "hid.drive@threshold", "x_hid.weight", "out.v"]  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_records_resolve_to_their_own_name(name):
    assert network().resolve_record(name).name == name


def test_a_population_alone_is_its_output():
    assert network().resolve_record("hid") == network().resolve_record("hid.output")


UNKNOWN = {
    "hdi.v": "did you mean 'hid'",
    "hid.drve": "did you mean 'drive'",
    "hid.tau": "read model.hid.tau",
    "out.spike": "has no spike",
    "hid.v@reset": "@threshold",
    "hid.out@threshold": "before the reset",
    "hid.spike@threshold": "before the reset",
    "x_hid.v": "'x_hid.weight'",
    "x": "is an input",
}


@pytest.mark.parametrize(("name", "hint"), UNKNOWN.items())
def test_unknown_records_are_explained(name, hint):
    with pytest.raises(gc.DeclarationError) as caught:
        network().resolve_record(name)
    assert hint in str(caught.value) and repr(name) in str(caught.value)


def test_uneven_refractory_times_per_neuron_warn():
    t_ref = gc.param("t_ref", 2.0)
    neuron = gc.Neuron("N", ode={v: x - v}, spike=gc.Spike(v > 1), reset={v: 0}, refractory=t_ref)
    net = gc.Network(dt=1)
    with pytest.warns(gc.GraphcWarning, match="rounded to whole steps"):
        net.population("a", neuron, 2, t_ref=[1.0, 1.4])
    with pytest.warns(gc.GraphcWarning, match="rounded to whole steps"):
        net.population("b", neuron, 2, t_ref=gc.Uniform(1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.population("c", neuron, 2, t_ref=[1.0, 3.0])


def test_a_cycle_with_one_delay_is_legal():
    net = network()
    net.connect("out", "hid", delay=1)
    net.check()


def test_names_of_torch_modules_are_all_known():
    torch = pytest.importorskip("torch")
    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert public <= MODULE_ATTRIBUTES


def test_names_of_the_model_are_all_known():
    torch = pytest.importorskip("torch")
    public = {name for name in dir(gc.Model) if not name.startswith("_")} - set(dir(torch.nn.Module))
    assert public <= MODEL_ATTRIBUTES


@pytest.mark.parametrize("target", ["c", "reference"])
def test_a_weight_that_no_rule_changes_is_recorded_as_it_is(target):
    net = gc.Network(dt=1.0)
    net.input("x", 4)
    net.population("hid", gc.zoo.LIF, 3)
    net.connect("x", "hid")
    net.output("hid")
    model = gc.compile(net, target=target)
    weights = model.run(torch.ones(5, 2, 4), record=["x_hid.weight"]).records["x_hid.weight"]
    assert weights.shape == (5, 2, 4, 3) and torch.equal(weights[3, 1], model.x_hid.weight)
    weights[2].sum().backward()
    assert (model.x_hid.weight.grad == 2).all()
