"""The prologue: coefficients once a call, the loop reads them."""

import pytest

from graphc.ir import Map, Propagator, show
from graphc.lower import lower
from graphc.passes import run_passes
from graphc.passes.discretize import Discretize
from graphc.passes.prologue import SplitPrologue

from .models import small
from .models.passes import assert_same_numbers, experiments, until

EXPERIMENTS = experiments()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_prologue_keeps_values_and_gradients(name):
    e = EXPERIMENTS[name]
    assert_same_numbers(e, *until("prologue", e))


def test_prologue_text(golden):
    golden(show(until("prologue", EXPERIMENTS["recurrent"])[1]))


def test_prologue_twice_is_the_same_object():
    program = until("prologue", EXPERIMENTS["recurrent"])[1]
    assert SplitPrologue().run(program) is program


def test_loop_computes_no_coefficient():
    once, steps = until("prologue", EXPERIMENTS["recurrent"])[1].regions
    assert {"hid_v_keep", "hid_i_2_keep", "hid_v_from_i"} <= {o.name for o in once.graph.outputs}
    assert not any(isinstance(n, Propagator) for n in steps.graph.nodes)
    read = {i.source for i in steps.graph.inputs}
    assert not read & {"hid.tau_mem", "hid.tau_syn"}


def test_prologue_leaves_a_loop_without_coefficients_alone():
    before = run_passes(lower(small.feedforward()), [Discretize()])
    once, steps = SplitPrologue().run(before).regions
    assert once.graph.nodes == ()
    assert steps.graph.nodes == before.regions[0].graph.nodes


def test_parameter_that_enters_as_it_is_stays_in_the_loop():
    steps = until("prologue", EXPERIMENTS["recurrent"])[1].region("steps")
    (condition,) = [n for n in steps.graph.nodes if isinstance(n, Map) and n.result.name == "hid_condition"]
    assert "hid_theta" in {v.name for v in condition.operands}
