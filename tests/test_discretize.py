"""Ode nodes become the step of their integrator."""

import pytest

import graphc as gc
from graphc.ir import Map, Ode, Propagator, StopGradient, show
from graphc.lower import lower
from graphc.passes import run_passes
from graphc.passes.discretize import Discretize

from .models import small

a, b = gc.states("a b")
x = gc.input("x")


def network(neuron: gc.Neuron) -> gc.Network:
    net = gc.Network(dt=0.5)
    net.input("inp", 2)
    net.population("n", neuron, 2)
    for used in neuron.inputs:
        net.connect("inp", "n", target=used.name, connectivity=gc.OneToOne(), weight=1.0)
    net.output("n")
    return net


def discretized(neuron: gc.Neuron) -> gc.ir.Program:
    return run_passes(lower(network(neuron)), [Discretize()])


RATES = {a: (b - a) / 10, b: x - b / 5}


@pytest.mark.parametrize("integrator", ["exact", "exponential_euler", "euler", "heun", "rk4"])
def test_step_text(integrator, golden):
    golden(show(discretized(gc.Neuron("N", ode=RATES, integrator=integrator)).regions[0].graph))


def test_held_states_have_a_step_of_their_own(golden):
    golden(show(run_passes(lower(small.recurrent()), [Discretize()]).regions[0].graph))


def test_discretize_twice_is_the_same_object():
    program = discretized(gc.Neuron("N", ode=RATES))
    assert Discretize().run(program) is program


def test_no_ode_is_left():
    for integrator in ("auto", "rk4"):
        graph = discretized(gc.Neuron("N", ode=RATES, integrator=integrator)).regions[0].graph
        assert not any(isinstance(n, Ode) for n in graph.nodes)


def test_updates_are_left_alone():
    before = lower(small.feedforward())
    after = run_passes(before, [Discretize()])
    assert after.regions[0].graph.nodes == before.regions[0].graph.nodes and after.notes == before.notes


def test_stopped_values_stay_stopped():
    graph = discretized(gc.Neuron("N", ode={a: gc.detach(b) - a, b: x - b})).regions[0].graph
    (stop,) = [n for n in graph.nodes if isinstance(n, StopGradient)]
    assert any(stop.result in n.operands for n in graph.nodes)


def test_stages_are_nodes_of_their_own():
    graph = discretized(gc.Neuron("N", ode={a: -(a**3)}, integrator="rk4")).regions[0].graph
    rates = [n for n in graph.nodes if isinstance(n, Map) and "_k" in n.result.name]
    assert len(rates) == 4 and max(n.expr.count_ops() for n in graph.nodes if isinstance(n, Map)) < 12


def test_only_blocks_beyond_a_chain_need_a_matrix_exponential():
    def count(rates: dict) -> int:
        graph = discretized(gc.Neuron("N", ode=rates)).regions[0].graph
        return sum(isinstance(n, Propagator) for n in graph.nodes)

    assert count({a: (b - a) / 10, b: -b / 5}) == 0
    assert count({a: (b - a) / 10, b: -a - b / 5}) == 4


def test_integrator_is_noted_for_every_state():
    program = discretized(gc.Neuron("N", ode=RATES, integrator="heun"))
    assert [line for about, line in program.notes if about == "integrator"] == [
        "n.a: heun (as declared)",
        "n.b: heun (as declared)",
    ]
