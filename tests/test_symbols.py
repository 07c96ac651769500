import copy
import pickle

import numpy as np
import pytest
import sympy

import graphc as gc
from graphc.units import ms, mV

MAKERS = {
    "state": lambda: gc.state("a"),
    "input": lambda: gc.input("a"),
    "parameter": lambda: gc.param("a", 10 * ms, learn=True, per="neuron", min=1 * ms, max=100 * ms),
    "array": lambda: gc.param("a", np.array([1.0, 2.0])),
    "distribution": lambda: gc.param("a", gc.Normal(-65 * mV, 5 * mV)),
    "signal": lambda: gc.pre("a"),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_symbols_are_values(make):
    a, b = make(), make()
    assert a == b and hash(a) == hash(b) and a - b == 0
    assert a == copy.deepcopy(a) == pickle.loads(pickle.dumps(a))
    assert (a**2).diff(b) == 2 * a


def test_kinds_of_one_name_differ():
    made = [make() for make in MAKERS.values()]
    assert len(set(made)) == len(made)
    assert gc.state("spike_") != sympy.Symbol("spike_", real=True)


@pytest.mark.parametrize("options", [{"learn": True}, {"per": "neuron"}, {"min": 0.5}, {"max": 3}])
def test_parameters_differ_when_an_option_does(options):
    assert gc.param("a", 1.0) == gc.param("a", 1)
    assert gc.param("a", 1.0, **options) != gc.param("a", 1.0)
    assert gc.param("a", 1.0, **options).diff(gc.param("a", 1.0)) == 0


def test_parameters_with_unequal_arrays_differ():
    assert gc.param("a", [1.0, 2.0]) != gc.param("a", [1.0, 2.5])
    assert gc.param("a", [1.0, 2.0]).per == "neuron"


def test_changing_an_array_afterwards_does_not_reach_the_parameter():
    array = np.ones(2)
    a = gc.param("a", array)
    array[0] = 5
    assert a.default.tolist() == [1.0, 1.0]


def test_symbols_are_real():
    assert all(s.is_real for s in (gc.t, gc.dt, gc.spike, gc.weight, *(make() for make in MAKERS.values())))


def test_plurals_return_one_symbol_per_name():
    assert gc.states("v u") == (gc.state("v"), gc.state("u"))
    assert gc.inputs("exc, inh") == (gc.input("exc"), gc.input("inh"))
    assert gc.params(a=1, b=2 * ms) == (gc.param("a", 1), gc.param("b", 2 * ms))


def test_defaults_are_kept_in_base_units():
    assert gc.param("a", 0.01 * 1000 * ms, min=0.002 * 1000 * ms).min == 2.0
    assert gc.param("a", gc.Normal(-0.065 * 1000 * mV, 5 * mV)).default == gc.Normal(-65.0, 5.0)
    assert gc.param("a", np.array([1, 2]) * ms).default.tolist() == [1.0, 2.0]


def test_previous_takes_steps_or_a_time():
    v = gc.state("v")
    assert gc.previous(v).args == (v, 1)
    assert gc.previous(gc.spike, np.int64(3)).args == (gc.spike, 3)
    assert gc.previous(v, 2 * ms).args == (v, 2 * ms)


@pytest.mark.parametrize(
    "name", ["lambda", "double", "_x", "2v", "v-", "", "t", "dt", "spike", "weight", "output", "exp"]
)
def test_names_that_generated_code_cannot_use_are_refused(name):
    for make in (gc.state, gc.input, lambda n: gc.param(n, 1.0)):
        with pytest.raises(gc.DeclarationError, match=r"test_symbols\.py"):
            make(name)


def test_text_is_never_parsed():
    with pytest.raises(gc.DeclarationError, match="must be a number"):
        gc.param("a", "__import__('os').getcwd()")


def test_places_are_part_of_a_symbol():
    assert gc.state("x", on="pre") == gc.states("x y", on="pre")[0] != gc.state("x", on="post")
    assert gc.state("x") != gc.state("x", on="synapse")
    assert pickle.loads(pickle.dumps(gc.input("D", on="network"))).on == "network"


def test_noise_is_equal_where_name_and_kind_are():
    assert gc.noise("xi") == gc.noise("xi") != gc.noise("xi", kind="uniform")
    assert pickle.loads(pickle.dumps(gc.noise("u", kind="uniform"))).kind == "uniform"
