"""What backward loads and what it computes again."""

import pytest
import sympy
import torch

import graphc as gc
from graphc.ir import Map, Project, Spike, show
from graphc.ir.interpret import interpret
from graphc.lower import lower
from graphc.passes.materialize import Materialize

from .models.gradients import Experiment, experiment, real
from .models.passes import assert_same_numbers, experiments, until

EXPERIMENTS = experiments()


def saved(program: object) -> set[str]:
    return {o.name for r in program.regions for o in r.graph.outputs if o.name.startswith("saved ")}


def one(neuron: gc.Neuron, **options: object) -> Experiment:
    """Return an experiment with one population that is driven one to one."""
    net = gc.Network(dt=1.0)
    net.input("inp", 3)
    net.population("n", neuron, 3)
    net.connect("inp", "n", connectivity=gc.OneToOne(), weight=1.0, **options)
    net.output("n")
    return experiment(lower(net), {"inp": real(12, 2, 3).abs() * 2})


v, x = gc.state("v"), gc.input("x")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_materialize_keeps_the_numbers(name):
    e = EXPERIMENTS[name]
    assert_same_numbers(e, *until("materialize", e))


def test_materialize_text(golden):
    program = until("materialize", one(gc.zoo.LIF))[1]
    golden(show(program))


def test_materialize_twice_is_the_same_object():
    program = until("materialize", EXPERIMENTS["recurrent"])[1]
    assert Materialize().run(program) is program


def test_nothing_saved_leaves_the_program_alone():
    before, after = until("materialize", EXPERIMENTS["feedforward"])
    assert saved(before) == set() and after is before
    forward, same = until("materialize", EXPERIMENTS["recurrent"], gradients=False)
    assert same is forward


def test_subtractive_reset_saves_the_condition_only():
    e = one(gc.Neuron("N", update={v: 0.5 * v + x}, spike=gc.Spike(v > 1), reset={v: v - 1}))
    before, after = until("materialize", e)
    assert saved(after) == {"saved n_condition"}
    assert_same_numbers(e, before, after)


def test_spike_recomputed_in_backward_is_that_of_forward():
    e = one(gc.Neuron("N", update={v: 0.5 * v + x}, spike=gc.Spike(v > 1), reset={v: v - 1}))
    program = until("materialize", e)[1]
    reverse = program.region("reverse").graph
    (again,) = [n for n in reverse.nodes if isinstance(n, Spike)]
    (first,) = [n for n in program.region("steps").graph.nodes if isinstance(n, Spike)]
    condition = interpret(program, e.given)["saved n_condition"]
    assert again is first and again.operands[0].name == "n_condition"
    assert 0 < float((condition > 0).double().mean()) < 1


def test_linear_neuron_saves_nothing():
    before, after = until("materialize", one(gc.Neuron("N", update={v: 0.5 * v + x})))
    assert saved(before) == saved(after) == set()


def test_polynomial_is_computed_again_from_one_state():
    e = one(gc.Neuron("N", update={v: v - v**3 / 8 + gc.exprel(v / 4) * x / 4}))
    before, after = until("materialize", e)
    assert len(saved(after)) <= 1
    assert_same_numbers(e, before, after)


def test_a_constant_of_both_halves_stands_before_what_is_computed_again():
    w, tau = gc.state("w"), gc.param("tau", 8.0, learn=True)
    neuron = gc.Neuron(
        "N",
        ode={v: -(v + w) / tau, w: -w / 20},
        receive={v: v + x},
        spike=gc.Spike(v > 1, detach_reset=False),
        reset={v: v - 1, w: w + v / 4},  # the adjoint reads w before its jump, which is a constant times w
    )
    e = one(neuron)
    before, after = until("materialize", e)
    assert_same_numbers(e, before, after)


def test_products_are_never_computed_again():
    program = until("materialize", EXPERIMENTS["recurrent"])[1]
    assert not any(isinstance(n, Project) for r in program.regions if r.backward for n in r.graph.nodes)


def test_outputs_are_read_where_they_are_stored_anyway():
    e = one(gc.Neuron("N", update={v: sympy.tanh(v) + x}))
    before, after = until("materialize", e)
    assert saved(after) <= {"saved n_v"} and torch.isfinite(interpret(after, e.given)["n.output"]).all()
    assert_same_numbers(e, before, after)


def test_note_says_what_is_saved():
    program = until("materialize", EXPERIMENTS["recurrent"])[1]
    lines = [line for about, line in program.notes if about == "saved for backward"]
    assert "saves hid_condition: real per neuron and step" in lines
    assert len(lines) == len(saved(program))
    assert any(isinstance(n, Map) for r in program.regions if r.backward for n in r.graph.nodes)
