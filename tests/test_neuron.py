import pickle

import numpy as np
import pytest
import sympy

import graphc as gc
from graphc.units import ms, mV

v, i, w = gc.states("v i w")
x = gc.input("x")
exc, inh = gc.inputs("exc inh")
tau, theta = gc.params(tau=10.0, theta=1.0)


def lif(**changes):
    parts = {"ode": {v: (x - v) / tau}, "spike": gc.Spike(v > theta), "reset": {v: 0}}
    return gc.Neuron("N", **{**parts, **changes})


def test_the_example_of_the_documentation_is_resolved():
    tau_mem, tau_syn = gc.params(tau_mem=10 * ms, tau_syn=5 * ms)
    level = gc.param("theta", 1.0, learn=True, per="neuron", min=0.1)
    neuron = gc.Neuron(
        "LIF",
        ode={v: (i - v) / tau_mem, i: -i / tau_syn},
        receive={i: i + x},
        spike=gc.Spike(v > level),
        reset={v: 0},
        refractory=2 * ms,
    )
    assert neuron.states == (v, i) and neuron.inputs == (x,)
    assert set(neuron.parameters) == {tau_mem, tau_syn, level}
    assert neuron.refractory.duration == 2 and neuron.refractory.hold == (v,)
    assert neuron.output == gc.spike and neuron.init == {v: 0.0, i: 0.0}
    assert neuron.spike.margin == v - level and neuron.spike.edge == "level"


@pytest.mark.parametrize(
    ("condition", "margin", "strict"),
    [
        (v > theta, v - theta, True),
        (v >= theta, v - theta, False),
        (v < theta, theta - v, True),
        (v <= theta, theta - v, False),
        (v - theta, v - theta, True),
        (sympy.Min(v, w) > theta, sympy.Min(v, w) - theta, True),
    ],
)
def test_condition_becomes_margin_and_strictness(condition, margin, strict):
    spike = gc.Neuron("N", update={v: x, w: x}, spike=gc.Spike(condition)).spike
    assert spike.margin == margin and spike.strict is strict


def test_let_is_written_out_everywhere_and_through_other_lets():
    a, b = sympy.symbols("a b")
    neuron = lif(ode={v: (b - v) / tau}, let={"b": 2 * a + 1, "a": x**2}, output=b)
    assert neuron.ode[v] == (2 * x**2 + 1 - v) / tau
    assert neuron.output == neuron.let["b"] == 2 * x**2 + 1


def test_output_defaults_to_spike_then_first_of_ode_then_first_of_update():
    assert lif().output == gc.spike
    assert gc.Neuron("N", ode={w: -w, v: -v}).output == w
    assert gc.Neuron("N", update={i: x}, ode={v: -v}).output == v
    assert gc.Neuron("N", update={i: x}).output == i
    assert gc.Neuron("N", output=sympy.tanh(x)).states == ()


def test_inputs_and_parameters_are_numbered_by_first_use():
    b, a = gc.params(b=1, a=2)
    neuron = gc.Neuron("N", ode={v: inh * b - v / tau}, receive={v: v + exc * a}, init={v: theta})
    assert neuron.inputs == (inh, exc)
    assert neuron.parameters == (b, tau, a, theta)


@pytest.mark.parametrize(
    ("reset", "hold"), [({v: 0}, (v,)), ({v: v - theta}, ()), ({}, ()), ({v: 0, w: w + 1}, (v,)), ({w: 0}, ())]
)
def test_refractory_holds_what_the_condition_reads_and_the_reset_overwrites(reset, hold):
    neuron = lif(ode={v: -v, w: -w}, reset=reset, refractory=2)
    assert neuron.refractory.hold == hold


def test_refractory_takes_a_parameter_infinity_and_states_to_hold():
    t_ref = gc.param("t_ref", 2.0)
    assert lif(refractory=t_ref).refractory.duration == t_ref and t_ref in lif(refractory=t_ref).parameters
    assert lif(refractory=sympy.oo).refractory.duration is sympy.oo
    both = lif(ode={v: -v, w: v}, refractory=gc.Refractory(1.5, hold=(w, v)))
    assert both.refractory.hold == (v, w)


@pytest.mark.parametrize(("option", "detached"), [(True, {v, w}), (False, set()), (v, {v}), ((w,), {w}), ({v}, {v})])
def test_detach_reset_is_resolved_to_states(option, detached):
    spike = gc.Spike(v > theta, detach_reset=option)
    neuron = lif(ode={v: -v, w: -w}, spike=spike, reset={v: 0, w: w + 1})
    assert neuron.spike.detached == detached


def test_initial_values_may_be_of_every_kind():
    array = np.array([1.0, 2.0])
    neuron = gc.Neuron("N", ode={v: -v, w: -w, i: -i}, init={v: theta * 2, w: gc.Normal(0, 1)})
    assert neuron.init == {v: 2 * theta, w: gc.Normal(0.0, 1.0), i: 0.0}
    assert gc.Neuron("N", ode={v: -v}, init={v: array}).init[v].tolist() == [1.0, 2.0]
    assert gc.Neuron("N", ode={v: -v / ms}, init={v: -65 * mV}).init[v] == -65.0


def test_a_time_to_look_back_becomes_a_float_and_steps_stay_an_integer():
    neuron = gc.Neuron("N", update={v: gc.previous(v, 2 * ms) + gc.previous(v, 2)})
    delays = {marker.args[1] for marker in neuron.update[v].args}
    assert sympy.Integer(2) in delays and any(isinstance(d, sympy.Float) for d in delays)


def test_spike_of_the_step_before_may_be_read_everywhere():
    z = gc.previous(gc.spike)
    neuron = lif(ode={v: x - v - z}, receive={v: v + x * (1 - z)}, spike=gc.Spike(v - z > 0), reset={v: v * gc.spike})
    assert all(e.has(gc.spike) for e in (neuron.ode[v], neuron.receive[v], neuron.spike.margin))


def test_a_cancelled_input_is_none():
    assert gc.Neuron("N", ode={v: -v + x - x}).inputs == ()


def test_lines_of_entries_are_found():
    # fmt: off
    neuron = gc.Neuron(
        "N",
        ode={
            v: (i - v) / tau,
            i: -i,
        }, update={w: x},
        spike=gc.Spike(v > theta),
        reset={v: 0,
               w: 1},
    )
    # fmt: on
    lines = [neuron.loc_of_state(i), neuron.loc_of("reset", w), neuron.loc_of("spike"), neuron.loc_of("update", w)]
    assert [line.text for line in lines] == ["i: -i,", "w: 1},", "spike=gc.Spike(v > theta),", "}, update={w: x},"]


def test_lines_fall_back_to_the_declaration():
    equations = {v: -v}
    neuron = gc.Neuron("N", ode=equations)
    assert neuron.loc_of("ode", v) == neuron.loc and neuron.loc.text.startswith("neuron = gc.Neuron(")


def test_neurons_are_immutable_and_survive_pickle():
    neuron = lif(refractory=2.0)
    with pytest.raises(AttributeError, match="immutable"):
        neuron.ode = {}
    copied = pickle.loads(pickle.dumps(neuron))
    assert copied.ode == neuron.ode and copied.spike == neuron.spike and copied.parameters == neuron.parameters


def test_changing_the_given_dict_does_not_change_the_neuron():
    equations = {v: -v}
    neuron = gc.Neuron("N", ode=equations)
    equations[v] = v
    assert neuron.ode == {v: -v}


def test_numbers_become_sympy_and_python_numbers_are_kept_exact():
    neuron = lif(reset={v: np.float64(0.25)})
    assert neuron.reset[v] == sympy.Float(0.25)
