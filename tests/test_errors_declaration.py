"""Every declaration error names the user's line, what is wrong there and a way out."""

import pickle

import numpy as np
import pytest
import sympy

import graphc as gc
from graphc.ir.errors import DeclarationErrors, raise_all
from graphc.ir.loc import Loc, is_library
from graphc.units import ms, mV

v, w, i = gc.states("v w i")
x = gc.input("x")
tau_mem, theta = gc.params(tau_mem=10.0, theta=1.0)
E_L, tau = gc.params(E_L=-65 * mV, tau=10 * ms)
unknown, m_inf, a, b = sympy.symbols("tau_men m_inf a b")
LIF = gc.Neuron("LIF", ode={v: (x - v) / tau_mem}, spike=gc.Spike(v > theta), reset={v: 0})
TWO = gc.Neuron("Two", ode={v: gc.input("exc") - gc.input("inh") - v})


def error_of(declare):
    with pytest.raises(gc.DeclarationError) as caught:
        declare()
    return caught.value


def neuron(**parts):
    """Declare a neuron whose line of interest is in the caller's lambda."""
    return gc.Neuron("N", **parts)


def test_text_is_line_message_source_hint():
    # fmt: off
    error = error_of(lambda: gc.Neuron(
        "LIF",
        ode={
            w: -w,
            v: (i - v) / unknown,
            i: -i},
    ))
    # fmt: on
    line = error.loc.line
    assert str(error) == (
        f"test_errors_declaration.py:{line}: dv/dt of neuron 'LIF' uses 'tau_men', "
        "which is no state, parameter or input of it\n"
        "    v: (i - v) / unknown,\n"
        '  hint: declare it with gc.param("tau_men", ...)'
    )


def test_a_near_name_is_suggested():
    error = error_of(lambda: gc.Neuron("LIF", ode={v: -v / unknown, w: -w / tau_mem}))
    assert error.hint == "declare it with gc.param(\"tau_men\", ...); did you mean 'tau_mem'?"


def test_all_errors_of_a_declaration_come_together():
    # fmt: off
    error = error_of(lambda: gc.Neuron(
        "N",
        ode={v: -v / unknown},
        update={v: 1},
        receive={w: x},
        spike=gc.Spike(v > gc.spike),
        output=gc.at_threshold(a),
        integrator="exat",
    ))
    # fmt: on
    assert isinstance(error, DeclarationErrors)
    found = [e.loc.text for e in error.errors]
    assert found == [
        "update={v: 1},",
        "receive={w: x},",
        "ode={v: -v / unknown},",
        "output=gc.at_threshold(a),",
        "spike=gc.Spike(v > gc.spike),",
        'integrator="exat",',
    ]
    assert str(error).count("test_errors_declaration.py:") == 6 and "did you mean 'exact'" in str(error)


def mixed_units():
    # fmt: off
    return gc.Neuron(
        "N",
        ode={v: (E_L - v) / tau,
             w: -w / tau},
        spike=gc.Spike(v > 1.0),
        reset={v: E_L},
    )
    # fmt: on


def test_a_threshold_without_unit_is_blamed_not_the_equation():
    error = error_of(mixed_units)
    assert error.loc.text == "spike=gc.Spike(v > 1.0),"
    assert "the spike condition of neuron 'N' mixes voltage and dimensionless" in error.message


def test_an_equation_is_blamed_when_threshold_and_reset_agree():
    # fmt: off
    error = error_of(lambda: gc.Neuron(
        "N",
        ode={w: -w / tau,
             v: (x - v) / tau + 5 * mV},
        spike=gc.Spike(v > 20 * mV),
        reset={v: 0 * mV},
    ))
    # fmt: on
    assert error.loc.text == "v: (x - v) / tau + 5 * mV},"
    assert "voltage" in error.message and "voltage / time" in error.message


def test_an_equation_is_blamed_when_it_would_give_the_state_an_odd_dimension():
    spike = gc.Spike(v > 1.0)
    error = error_of(lambda: gc.Neuron("N", ode={v: (x - v) / tau + 5 * mV}, spike=spike, reset={v: 0}))
    assert "dv/dt of neuron 'N' mixes voltage and 1 / time" in error.message


def test_the_unit_error_comes_with_a_way_out():
    assert "without a unit is dimensionless" in error_of(mixed_units).hint


NEURONS = {
    "state without equation": (lambda: neuron(ode={v: w - v}), "state 'w' of neuron 'N' has no equation"),
    "two equations": (lambda: neuron(ode={v: -v}, update={v: 0}), "equation in ode and one in update"),
    "receive without equation": (
        lambda: neuron(ode={v: -v}, receive={w: x}),
        "state 'w' of neuron 'N' has no equation",
    ),
    "initial without equation": (lambda: neuron(ode={v: -v}, init={w: 1}), "state 'w' of neuron 'N' has no equation"),
    "key is no state": (lambda: neuron(ode={sympy.Symbol("v"): 1}), "has the key v, which is no state"),
    "key is a text": (lambda: neuron(ode={"v": 1}), "has the key 'v', which is no state"),
    "no dict": (lambda: neuron(ode=-v), "ode of neuron 'N' is no dict"),
    "text": (lambda: neuron(ode={v: "-v"}), "must be a number or a sympy expression, not '-v'"),
    "comparison as value": (lambda: neuron(ode={v: v > 1}), "is 'v > 1', no number"),
    "imaginary": (lambda: neuron(ode={v: sympy.I * v}), "is not a real number"),
    "not a number": (lambda: neuron(ode={v: sympy.nan}), "is not a real number"),
    "undefined function": (lambda: neuron(ode={v: sympy.Function("f")(v)}), "uses 'f(v)', which is no function"),
    "derivative": (lambda: neuron(ode={v: sympy.Derivative(sympy.exp(v), v)}), "which is no function that graphc"),
    "spike in ode": (
        lambda: neuron(ode={v: gc.spike - v}, spike=gc.Spike(v > 1)),
        "reads gc.spike, which is not known",
    ),
    "spike in receive": (
        lambda: neuron(ode={v: -v}, receive={v: v + gc.spike}, spike=gc.Spike(v > 1)),
        "reads gc.spike, which is not known yet",
    ),
    "spike of none": (lambda: neuron(ode={v: -v}, output=gc.spike), "this neuron has no spike"),
    "previous spike of none": (lambda: neuron(update={v: gc.previous(gc.spike)}), "this neuron has no spike"),
    "at_threshold in ode": (
        lambda: neuron(ode={v: -gc.at_threshold(v)}),
        "uses gc.at_threshold, which belongs in output",
    ),
    "weight": (lambda: neuron(ode={v: gc.weight * x}), "reads gc.weight, which belongs to a connection"),
    "signal": (lambda: neuron(ode={v: gc.pre("v")}), 'reads gc.pre("v"), which belongs to a connection'),
    "plain symbol of a state's name": (
        lambda: neuron(ode={v: -sympy.Symbol("v")}),
        "which is no state, parameter or input",
    ),
    "two parameters of one name": (
        lambda: neuron(ode={v: gc.param("p", 1) - v * gc.param("p", 2)}),
        "two parameters named 'p' with different options",
    ),
    "state and input of one name": (lambda: neuron(ode={v: gc.input("v") - v}), "uses 'v' as state and input"),
    "let of a state's name": (
        lambda: neuron(ode={v: -v}, let={"v": x}),
        "let 'v' of neuron 'N' has the name of a state",
    ),
    "let in a circle": (lambda: neuron(ode={v: a}, let={"a": b + 1, "b": a - 1}), "defined by itself: "),
    "let with a bad name": (lambda: neuron(ode={v: -v}, let={"_x": x}), "'_x' is no valid name for let"),
    "reset without spike": (lambda: neuron(ode={v: -v}, reset={v: 0}), "has reset but no spike"),
    "refractory without spike": (lambda: neuron(ode={v: -v}, refractory=2), "has refractory but no spike"),
    "refractory of a state": (
        lambda: neuron(ode={v: -v}, spike=gc.Spike(v > 1), refractory=v),
        "the refractory time of neuron 'N' reads 'v'",
    ),
    "hold of a stranger": (
        lambda: neuron(ode={v: -v}, spike=gc.Spike(v > 1), refractory=gc.Refractory(1, hold=w)),
        "hold=w of neuron 'N' is none of its states",
    ),
    "detach of no reset": (
        lambda: neuron(ode={v: -v}, spike=gc.Spike(v > 1, detach_reset=w), reset={v: 0}),
        "names no resets",
    ),
    "edge left open": (lambda: neuron(ode={v: -v}, spike=gc.Spike(v > 1)), "neither reset nor refractory"),
    "unknown edge": (lambda: neuron(ode={v: -v}, spike=gc.Spike(v > 1, edge="up")), "edge='up' of gc.Spike is unknown"),
    "unknown integrator": (
        lambda: neuron(ode={v: -v}, integrator="rk45"),
        "integrator 'rk45' of neuron 'N' is unknown",
    ),
    "spike is a comparison": (lambda: neuron(ode={v: -v}, spike=v > 1), "no gc.Spike"),
    "condition is equality": (lambda: gc.Spike(sympy.Eq(v, 1)), "is no spike condition"),
    "condition is and": (lambda: gc.Spike(sympy.And(v > 1, w > 1)), "is no spike condition"),
    "condition is constant": (lambda: gc.Spike(v > v), "the spike condition is always False"),
    "no condition": (lambda: gc.Spike(), "needs a condition"),
    "surrogate is none": (lambda: gc.Spike(v > 1, surrogate="atan"), "which is none"),
    "initial value of an input": (
        lambda: neuron(ode={v: -v}, init={v: x}),
        "can depend on parameters and other initial",
    ),
    "initial value of the past": (lambda: neuron(ode={v: -v}, init={v: gc.previous(v)}), "has no meaning there"),
    "neither state nor spike": (lambda: neuron(), "has neither states nor a spike"),
    "previous of an expression": (lambda: gc.previous(v + 1), "takes one symbol, not v + 1"),
    "previous of the future": (lambda: gc.previous(v, -1), "the delay of gc.previous(v) is -1"),
    "previous of half a step": (lambda: gc.previous(v, 0.5), "the delay of gc.previous(v) is 0.5"),
    "name of a neuron": (lambda: gc.Neuron("my neuron", ode={v: -v}), "no valid name for a neuron"),
    "parameter below its bound": (lambda: gc.param("p", 0.05, min=0.1), "'p' is 0.05, below its min=0.1"),
    "parameter above its bound": (lambda: gc.param("p", [1, 3], max=2), "'p' is 3.0, above its max=2.0"),
    "learned parameter on its bound": (lambda: gc.param("p", 1, min=1, learn=True), "equal to min=1.0"),
    "empty bounds": (lambda: gc.param("p", 1, min=1, max=1), "min=1.0 of parameter 'p' is not below its max=1.0"),
    "bound of another unit": (lambda: gc.param("p", 1 * ms, min=1 * mV), "min of parameter 'p' is voltage"),
    "parameter hides an attribute": (lambda: gc.param("training", 1), "would hide the attribute 'training'"),
    "parameter that is NaN": (lambda: gc.param("p", float("nan")), "must be a real number"),
    "parameter of symbols": (lambda: gc.param("p", 2 * tau_mem), "must be a number, but depends on 'tau_mem'"),
    "unknown per": (lambda: gc.param("p", 1, per="cell"), "per='cell' of parameter 'p' is unknown"),
    "negative width": (lambda: gc.param("p", gc.Normal(0, -1)), "has a negative width"),
    "mixed units in a distribution": (lambda: gc.param("p", gc.Normal(1 * mV, 1)), "differ in their units"),
}


@pytest.mark.parametrize(("declare", "message"), NEURONS.values(), ids=NEURONS)
def test_wrong_neurons_are_explained(declare, message):
    error = error_of(declare)
    assert message in str(error) and str(error).startswith("test_errors_declaration.py:")


def build(**parts):
    net = gc.Network(dt=1 * ms)
    net.input("x", 3)
    net.population("hid", LIF, 4, **parts)
    net.population("out", LIF, 2)
    net.output("out")
    return net


def recurrent_without_delay():
    net = build()
    net.connect("hid", "hid")
    net.check()


def cycle_without_delay():
    net = build()
    net.connect("hid", "out")
    net.connect("out", "hid")  # closes it
    net.check()


def refractory(t_ref):
    neuron = gc.Neuron("R", ode={v: x - v}, spike=gc.Spike(v > 1), reset={v: 0}, refractory=t_ref)
    gc.Network(dt=1).population("p", neuron, 2)


OTHER = build()
OTHER_HID = OTHER.populations["hid"]
NETWORKS = {
    "recurrent without delay": (recurrent_without_delay, "recurrent connection 'hid_hid' has no delay"),
    "cycle without delay": (cycle_without_delay, "connection 'out_hid' closes the cycle hid -> out -> hid"),
    "no population": (lambda: gc.Network(dt=1).check(), "the network has no population"),
    "no output": (
        lambda: [net := gc.Network(dt=1), net.population("p", LIF, 2), net.check()],
        "the network has no output",
    ),
    "step length": (lambda: gc.Network(dt=0), "dt of gc.Network is 0.0 ms"),
    "step length of another unit": (lambda: gc.Network(dt=1 * mV), "must be a time"),
    "size": (lambda: build().population("p", LIF, 0), "the size of population 'p' is 0"),
    "no neuron": (lambda: build().population("p", "LIF", 2), "is no gc.Neuron"),
    "unknown parameter": (lambda: build(tau_me=3), "has no parameter or state 'tau_me'"),
    "array of another length": (lambda: build(theta=[1, 2, 3]), "has shape (3,), but the population 4 neurons"),
    "value outside its bounds": (
        lambda: gc.Network(dt=1).population(
            "p", gc.Neuron("B", ode={v: -v * gc.param("p", 2, min=1)}), 2, p=np.array([0.5, 3])
        ),
        "parameter 'p' is 0.5, below its min=1.0",
    ),
    "population hides an attribute": (
        lambda: build().population("forward", LIF, 2),
        "would hide the attribute 'forward'",
    ),
    "population hides the model's": (lambda: build().population("explain", LIF, 2), "'explain' of graphc.Model"),
    "connection hides an attribute": (
        lambda: build().connect("x", "hid", name="cuda"),
        "would hide the attribute 'cuda'",
    ),
    "name taken": (lambda: build().input("hid", 3), "is named 'hid', as a population is"),
    "joined names collide": (
        lambda: [net := build(), net.connect("x", "hid"), net.connect("x", "hid")],
        "would be named 'x_hid', as a connection is",
    ),
    "joined name of a population": (
        lambda: [net := build(), net.population("x_hid", LIF, 2), net.connect("x", "hid")],
        "would be named 'x_hid', as a population is",
    ),
    "unknown source": (lambda: build().connect("hdi", "out"), "the source 'hdi' does not exist"),
    "foreign handle": (lambda: build().connect(OTHER_HID, "out"), "'hid' belongs to another network"),
    "target is an input": (lambda: build().connect("hid", "x"), "the target 'x' is an input"),
    "several inputs": (
        lambda: [net := build(), net.population("two", TWO, 2), net.connect("x", "two")],
        "has several inputs",
    ),
    "unknown input": (lambda: build().connect("x", "hid", target="y"), "has no input 'y'"),
    "no input": (
        lambda: [net := build(), net.population("s", gc.Neuron("S", ode={v: -v}), 2), net.connect("x", "s")],
        "has no input",
    ),
    "one to one": (lambda: build().connect("x", "hid", connectivity=gc.OneToOne()), "'x' has 3 and 'hid' 4 neurons"),
    "no connectivity": (lambda: build().connect("x", "hid", connectivity="dense"), "is 'dense'"),
    "weight shape": (lambda: build().connect("x", "hid", weight=np.ones((4, 3))), "has shape (4, 3), but (3, 4)"),
    "weight of a stranger": (lambda: build().connect("x", "hid", weight="hid_out"), "does not exist"),
    "negative delay": (lambda: build().connect("x", "hid", delay=-1), "is -1 steps"),
    "fractional delay": (lambda: build().connect("x", "hid", delay=1.5), "is 1.5"),
    "delay between steps": (lambda: build().connect("x", "hid", delay=1.5 * ms), "no multiple of dt"),
    "plasticity": (lambda: build().connect("x", "out", plasticity="stdp"), "of connection 'x_out' is 'stdp'"),
    "third factor": (
        lambda: [net := build(), net.connect("x", net.connect("hid", "out"))],
        "is a connection without a third factor",
    ),
    "refractory between steps": (lambda: refractory(1.5), "is 1.5 ms, no multiple of dt = 1.0 ms"),
    "negative refractory": (lambda: refractory(-1), "is -1.0 ms"),
    "output twice": (lambda: build().output("out"), "is an output already"),
    "unknown output": (lambda: build().output("out.w"), "names no signal of population 'out'"),
    "bad option": (lambda: gc.learn.BPTT(checkpoint=0), "must be a positive int"),
}


@pytest.mark.parametrize(("declare", "message"), NETWORKS.values(), ids=NETWORKS)
def test_wrong_networks_are_explained(declare, message):
    error = error_of(declare)
    assert message in str(error) and str(error).startswith("test_errors_declaration.py:")


def test_a_cycle_is_reported_on_the_connection_that_closes_it():
    error = error_of(cycle_without_delay)
    assert error.loc.text.endswith("# closes it") and "delay=1" in error.hint


def test_a_wrong_value_is_reported_on_its_own_line():
    # fmt: off
    error = error_of(lambda: gc.Network(dt=1).population(
        "p",
        LIF, 2,
        tau_mem=[1, 2, 3],
    ))
    # fmt: on
    assert error.loc.text == "tau_mem=[1, 2, 3],"


def test_errors_survive_pickle():
    errors = [gc.DeclarationError("a", Loc(__file__, 1), "b"), gc.DeclarationError("c")]
    copied = pickle.loads(pickle.dumps(DeclarationErrors(errors)))
    assert [str(e) for e in copied.errors] == [str(e) for e in errors]


def test_nothing_collected_raises_nothing_and_one_is_raised_itself():
    raise_all([])
    one = gc.DeclarationError("a")
    with pytest.raises(gc.DeclarationError) as caught:
        raise_all([one])
    assert caught.value is one


def test_every_error_is_a_graphc_error():
    kinds = (gc.DeclarationError, gc.VerifyError, gc.TargetError, gc.NonFiniteError)
    assert all(issubclass(kind, gc.GraphcError) for kind in kinds)


def test_notes_can_be_added_on_every_python():
    error = gc.GraphcError("a")
    error.add_note("in pass 3")
    assert error.__notes__ == ["in pass 3"]


def test_frames_of_the_library_are_told_by_module_name():
    assert is_library("graphc") and is_library("graphc.neuron")
    assert not is_library("graphc_models") and not is_library("graphc.zoo.leaky") and not is_library("__main__")
    assert gc.zoo.LIF.loc.file.endswith("leaky.py")


def test_a_place_that_cannot_be_read_gives_no_source_line():
    loc = Loc("<string>", 7)
    assert loc.text == "" and loc.entry("ode", 0) == loc
    assert str(gc.DeclarationError("a", loc)) == "<string>:7: a"
