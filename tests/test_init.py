"""Initial weights make membranes fluctuate as asked: measured in simulations whose neurons never spike."""

import math

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.init.membrane import Membrane
from graphc.init.source import fans
from graphc.units import Hz, ms, mV

NEVER = 1e9  # a threshold that is not reached
RATE = 5  # spikes per second
DENSE = gc.Dense()
zoo = gc.zoo

v, w, g = gc.states("v w g")
x = gc.input("x")
AdLIF = gc.Neuron(
    "AdLIF",  # sub-threshold adaptation: a damped oscillation
    ode={v: (x - v - w) / (20 * ms), w: (2 * v - w) / (60 * ms)},
    spike=gc.Spike(v > gc.param("theta", NEVER)),
    reset={v: 0, w: w + 1},
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.delenv("GRAPHC_VERIFY", raising=False)  # large populations, no new program
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def poisson(shape, rate, seed=0, dt=1.0):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate * dt / 1000).float()


def membrane(net, inputs, name="cell", settle=150):
    """Return mean over all, and root mean square over neurons of the deviation in time, of v."""
    torch.manual_seed(0)
    model = gc.compile(net, learn=None, target="c")
    potential = model.run(inputs, record=[f"{name}.v"]).records[f"{name}.v"][settle:]
    return potential.mean().item(), potential.var((0, 1)).mean().sqrt().item()


def check(found, mean, std, rest=0.0):
    assert found[0] - rest == pytest.approx(mean - rest, rel=0.05, abs=0.01 * std)
    assert found[1] == pytest.approx(std, rel=0.05)


def driven(neuron, mean, std, dt=1.0, size=2000, connectivity=DENSE, rate=RATE, **parameters):
    net = gc.Network(dt=dt)
    net.input("x", 200)
    net.population("cell", neuron, size, **parameters)
    net.connect("x", "cell", connectivity=connectivity, init=gc.init.FluctuationDriven(mean=mean, std=std, rate=rate))
    net.output("cell.v")
    return net


LINEAR = {
    "LIF": (zoo.LIF, 0.5, 0.5, {"theta": NEVER}),
    "CuBa below rest": (zoo.CuBaLIF, -0.5, 0.5, {"theta": NEVER}),
    "ALIF": (zoo.ALIF, 0.3, 0.3, {"theta": NEVER}),
    "AdLIF": (AdLIF, 0.3, 0.5, {}),
}


@pytest.mark.parametrize("neuron, mean, std, parameters", LINEAR.values(), ids=LINEAR)
def test_membrane_fluctuates_as_asked(neuron, mean, std, parameters):
    inputs = poisson((600, 16, 200), RATE)
    check(membrane(driven(neuron, mean, std, **parameters), inputs), mean, std)


def test_units_and_a_rest_that_is_not_zero():
    net = driven(zoo.AdEx, -65 * mV, 3 * mV, size=500, V_T=NEVER)  # the exponential is off: linear but for its rest
    check(membrane(net, poisson((1200, 8, 200), RATE), settle=600), -65, 3, rest=-70.6)


def test_exponential_neuron_is_linearised_where_it_is_asked_to_be():
    net = driven(zoo.AdEx, -62.0, 2.5, size=500, rate=20)
    check(membrane(net, poisson((1200, 8, 200), 20), settle=600), -62.0, 2.5, rest=-70.6)


def test_time_constants_may_differ_between_neurons():
    generator = np.random.default_rng(0)
    net = driven(zoo.LIF, 0.5, 0.5, theta=NEVER, tau_mem=generator.uniform(5, 40, 2000))
    check(membrane(net, poisson((600, 16, 200), RATE)), 0.5, 0.5)
    net = driven(zoo.LIF, 0.5, 0.5, theta=NEVER, tau_mem=gc.Uniform(5 * ms, 40 * ms))
    check(membrane(net, poisson((600, 16, 200), RATE)), 0.5, 0.5)


@pytest.mark.parametrize("law", ["exponential", "half-normal"])
def test_conductances_are_balanced_at_the_potential_that_is_asked(law):
    net = gc.Network(dt=0.5)
    net.input("e", 300)
    net.input("i", 100)
    net.population("cell", zoo.CoBaLIF, 500, V_T=NEVER)
    net.connect("e", "cell", target="exc", sign="excitatory")
    net.connect("i", "cell", target="inh", sign="excitatory")  # a conductance; its driving force inhibits
    net.output("cell.v")
    gc.init.fluctuation_driven(net, mean=-56 * mV, std=2.5 * mV, rate={"e": 5 * Hz, "i": 10 * Hz}, distribution=law)
    inputs = {"e": poisson((2000, 6, 300), 5, 0, 0.5), "i": poisson((2000, 6, 100), 10, 1, 0.5)}
    check(membrane(net, inputs, settle=300), -56, 2.5, rest=-60)


def test_excitation_and_inhibition_of_one_source_have_their_mean_and_std():
    signs = np.where(np.arange(250) < 200, 1, -1)
    net = gc.Network(dt=1)
    net.input("x", 250)
    net.population("cell", zoo.CuBaLIF, 2000, theta=NEVER)
    net.connect("x", "cell", sign=signs, init=gc.init.FluctuationDriven(mean=0.4, std=0.5, rate=RATE))
    net.output("cell.v")
    check(membrane(net, poisson((600, 16, 250), RATE)), 0.4, 0.5)
    weight = gc.compile(net, target="reference").x_cell.weight.detach()
    assert (weight * torch.as_tensor(signs)[:, None] > 0).all()
    assert weight[:200].std() / weight[:200].mean() == pytest.approx(1, rel=0.02)  # exponential


def test_variance_is_shared_between_feed_forward_and_recurrent_synapses():
    net = gc.Network(dt=1)
    net.input("x", 200)
    net.population("cell", zoo.CuBaLIF, 1000, theta=NEVER)
    net.connect("x", "cell")
    net.connect("cell", "cell", delay=1, connectivity=gc.Sparse(0.2))
    net.output("cell.v")
    asked = {"x": 10, "cell": 5}
    made = gc.init.fluctuation_driven(net, mean=0.5, std=0.5, rate=asked, alpha=0.7)
    again = gc.Network(dt=1)  # the recurrent spikes come from outside: its own neurons are to stay silent
    again.input("x", 200)
    again.input("r", 1000)
    again.population("cell", zoo.CuBaLIF, 1000, theta=NEVER)
    again.connect("x", "cell", weight=made["x_cell"])
    again.connect("r", "cell", weight=made["cell_cell"], connectivity=gc.Sparse(0.2))
    again.output("cell.v")
    inputs = {"x": poisson((600, 16, 200), 10, 0), "r": poisson((600, 16, 1000), 5, 1)}
    check(membrane(again, inputs), 0.5, 0.5)
    _, forward = membrane(again, inputs | {"r": torch.zeros_like(inputs["r"])})
    assert forward**2 == pytest.approx(0.7 * 0.5**2, rel=0.08)


def test_dale_network_of_two_populations_is_balanced():
    net, free = gc.Network(dt=1), gc.Network(dt=1)
    for n in (net, free):
        n.input("x", 100)
        n.population("e", zoo.CuBaLIF, 1200, theta=NEVER)
    net.population("i", zoo.CuBaLIF, 300, theta=NEVER)
    net.connect("x", "e", sign="excitatory")
    net.connect("x", "i", sign="excitatory")
    for pre, sign in (("e", "excitatory"), ("i", "inhibitory")):
        for post in ("e", "i"):
            net.connect(pre, post, sign=sign, delay=1)
    net.output("e")
    made = gc.init.fluctuation_driven(net, mean=0.4, std=0.5, rate={"x": 20, "e": 5, "i": 10})
    assert len(made) == 6
    free.input("re", 1200)
    free.input("ri", 300)
    free.connect("x", "e", weight=made["x_e"], sign="excitatory")
    free.connect("re", "e", weight=made["e_e"], sign="excitatory")
    free.connect("ri", "e", weight=made["i_e"], sign="inhibitory")
    free.output("e.v")
    inputs = {
        "x": poisson((600, 16, 100), 20, 0),
        "re": poisson((600, 16, 1200), 5, 1),
        "ri": poisson((600, 16, 300), 10, 2),
    }
    check(membrane(free, inputs, "e"), 0.4, 0.5)


def test_measured_inputs_set_the_rate():
    line = torch.linspace(2, 40, 200)
    spikes = torch.poisson((line / 1000).expand(600, 16, 200), torch.Generator().manual_seed(0))
    net = gc.Network(dt=1)
    net.input("x", 200)
    net.population("cell", zoo.LIF, 1000, theta=NEVER)
    net.connect("x", "cell", weight=gc.init.FluctuationDriven(mean=0.5, std=0.5, rate="measured", inputs=spikes))
    net.output("cell.v")
    check(membrane(net, spikes), 0.5, 0.5)


def test_weights_that_are_given_count():
    net = gc.Network(dt=1)
    net.input("x", 100)
    net.input("y", 100)
    net.population("cell", zoo.CuBaLIF, 1000, theta=NEVER)
    net.connect("x", "cell")
    net.connect("y", "cell", weight=0.01, connectivity=gc.Sparse(0.3))
    net.output("cell.v")
    made = gc.init.fluctuation_driven(net, mean=0.3, std=0.3, rate=RATE)
    assert list(made) == ["x_cell"]
    inputs = {"x": poisson((600, 16, 100), RATE), "y": poisson((600, 16, 100), RATE, 1)}
    check(membrane(net, inputs), 0.3, 0.3)


@pytest.mark.parametrize("connectivity", [gc.Sparse(0.1, seed=1), gc.Blocks(4)], ids=["sparse", "blocks"])
def test_synapses_are_counted_not_pairs(connectivity):
    net = driven(zoo.LIF, 0.5, 0.5, connectivity=connectivity, theta=NEVER)
    check(membrane(net, poisson((600, 16, 200), RATE)), 0.5, 0.5)


def test_fan_in_of_a_convolution_stops_at_the_border():
    net = gc.Network(dt=1)
    net.input("image", (2, 6, 6))
    net.population("map", zoo.LIF, (4, 6, 6))
    c = net.connect("image", "map", connectivity=gc.Conv2d(3, padding=1), init=gc.init.KaimingNormal(gain=1.0))
    inside = 2 * (16 * 9 + 16 * 6 + 4 * 4) / 36  # of 6 x 6 windows: 16 inside, 16 at an edge, 4 in a corner
    assert fans(c)[0] == pytest.approx(inside)
    assert c.weight.std == pytest.approx(1 / math.sqrt(inside))


@pytest.mark.parametrize("dt, tau", [(0.01, 10.0), (0.02, 20.0)])
def test_step_sums_approach_the_integrals_of_the_potential(dt, tau):
    net = gc.Network(dt=dt)
    cell = net.population("cell", zoo.CuBaLIF, 3, tau_mem=tau, R=1.0)
    found = Membrane(cell, dt, None, net.loc).respond([0.0], [[0.0]])
    assert found.integral[0] * dt == pytest.approx(5, rel=1e-2)  # R tau_syn
    assert found.square[0] * dt == pytest.approx(25 / (2 * (tau + 5)), rel=1e-2)


@pytest.mark.parametrize(
    "scheme, std",
    [
        (gc.init.KaimingNormal(), math.sqrt(2 / 400)),
        (gc.init.KaimingUniform(gain=1.0), math.sqrt(1 / 400)),
        (gc.init.XavierNormal(), math.sqrt(2 / 700)),
        (gc.init.XavierUniform(), math.sqrt(2 / 700)),
    ],
)
def test_rate_units_have_weights_by_their_fans(scheme, std):
    net = gc.Network(dt=1)
    net.input("x", 400)
    net.population("cell", zoo.LI, 300)
    net.connect("x", "cell", init=scheme)
    net.output("cell")
    torch.manual_seed(0)
    weight = gc.compile(net, target="reference").x_cell.weight.detach()
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=0.01 * std)


def test_exponential_weights_are_drawn():
    net = gc.Network(dt=1)
    net.input("x", 400)
    net.population("cell", zoo.LI, 300)
    net.connect("x", "cell", weight=gc.Exponential(0.2), sign="inhibitory")
    net.output("cell")
    torch.manual_seed(0)
    weight = gc.compile(net, target="reference").x_cell.weight.detach()
    assert weight.mean().item() == pytest.approx(-0.2, rel=0.02)
    assert weight.std().item() == pytest.approx(0.2, rel=0.02)


def test_a_refused_request_changes_nothing():
    net = driven(zoo.LIF, 0.1, 0.5, size=10)
    net.check()
    before = net.connections["x_cell"].weight
    with pytest.raises(gc.DeclarationError):
        gc.init.fluctuation_driven(net, mean=5.0, std=0.01, rate=RATE)
    assert net.connections["x_cell"].weight == before


def small(sign=None, neuron=zoo.LIF, **asked):
    net = gc.Network(dt=1)
    net.input("x", 50)
    net.population("hid", neuron, 5)
    net.connect("x", "hid", sign=sign)
    net.output("hid.v")
    return gc.init.fluctuation_driven(net, **({"mean": 0.1, "std": 0.5, "rate": 10} | asked))


v_only = gc.state("v")
Perfect = gc.Neuron("Perfect", ode={v_only: x}, spike=gc.Spike(v_only > 1), reset={v_only: 0})
Deaf = gc.Neuron("Deaf", ode={v_only: -v_only, w: x - w}, spike=gc.Spike(w > 1), reset={w: 0})
ERRORS = {
    "silent": (lambda: small(rate=0), "rate of gc.init is 0", "silent"),
    "name": (lambda: small(rate={"y": 10}), "given for 'y', which does not exist", "there are x, hid"),
    "lacks": (lambda: small(rate={"hid": 10}), "lacks 'x'", "rate="),
    "fast": (lambda: small(rate=2000), "2 spikes in a step", "smaller dt"),
    "std": (lambda: small(std=0), "std of gc.init is 0", "above 0"),
    "alpha": (lambda: small(alpha=1.5), "alpha of gc.init is 1.5", "between 0 and 1"),
    "law": (lambda: small(distribution="exponentail"), "'exponentail'", "did you mean 'exponential'"),
    "state": (lambda: small(state="u"), "has no state 'u'", "states are v"),
    "measured": (lambda: small(rate="measured"), "of nothing", "inputs="),
    "shape": (lambda: small(rate="measured", inputs=np.ones((5, 2, 3))), r"not \(T, B, 50\)", None),
    "constant": (lambda: small(rate="measured", inputs=np.ones((5, 2, 50))), "never change", "inputs that change"),
    "excitation": (lambda: small("excitatory"), "excitation alone cannot", "add an inhibitory connection"),
    "upwards": (lambda: small("inhibitory"), "inhibition alone cannot", "add an excitatory connection"),
    "far": (lambda: small(mean=5, std=0.01), "cannot move the potential of 'hid' by 5", "larger std"),
    "leakless": (lambda: small(neuron=Perfect), "forgets no input", "no leak"),
    "unreached": (lambda: small(neuron=Deaf), "does not reach the membrane potential", "state="),
    "units": (lambda: small(neuron=zoo.AdEx, mean=-65 * ms), "mean of gc.init is time", None),
    "populations": (lambda: small(populations=["hidden"]), "'hidden', which is no population", "did you mean 'hid'"),
}


@pytest.mark.parametrize("make, message, hint", ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_is_refused_with_a_way_out(make, message, hint):
    with pytest.raises(gc.DeclarationError, match=message) as caught:
        make()
    assert hint is None or hint in caught.value.hint
    assert caught.value.loc.file == __file__


def test_membranes_of_one_population_cannot_differ():
    net = driven(zoo.LIF, 0.1, 0.5, size=10)
    net.input("y", 10)
    net.connect("y", "cell", init=gc.init.FluctuationDriven(mean=0.2, std=0.5, rate=RATE))
    with pytest.raises(gc.DeclarationError, match="ask for different membranes of 'cell'"):
        gc.compile(net)


def test_weight_and_init_exclude_each_other():
    net = gc.Network(dt=1)
    net.input("x", 4)
    net.population("cell", zoo.LIF, 4)
    with pytest.raises(gc.DeclarationError, match="both a weight and init"):
        net.connect("x", "cell", weight=1.0, init=gc.init.KaimingNormal())
    with pytest.raises(gc.DeclarationError, match="no scheme of"):
        net.connect("x", "cell", init=gc.Normal(0, 1))
    with pytest.raises(AttributeError, match="did you mean 'KaimingNormal'"):
        _ = gc.init.kaiming_normal


def test_synapses_that_deliver_something_else_are_refused():
    net = gc.Network(dt=1)
    net.input("x", 4)
    net.population("b", zoo.LIF, 4)
    net.connect("x", "b", transmit=gc.weight**2 * gc.pre(), init=gc.init.FluctuationDriven(mean=0, std=1, rate=5))
    net.output("b")
    with pytest.raises(gc.DeclarationError, match="beside transmit= of 'x_b' is not supported"):
        gc.compile(net)


def test_sources_without_spikes_are_refused():
    net = gc.Network(dt=1)
    net.population("a", zoo.LI, 4)
    net.population("b", zoo.LIF, 4)
    net.connect("a", "b")
    with pytest.raises(gc.DeclarationError, match="population 'a' sends 'v', no spikes"):
        gc.init.fluctuation_driven(net, mean=0.0, std=0.5, rate=5)
