"""The step semantics, one rule a test, against tables written by hand."""

import math

import pytest
import sympy
import torch

import graphc as gc
from graphc.ir import Ode, Project, Reset, Spike, StopGradient, show
from graphc.lower import lower

from .models import small
from .models.lockstep import table

v, w, u = gc.states("v w u")
x, y = gc.inputs("x y")


def integrator(**options: object) -> gc.Neuron:
    """Return a neuron that sums its input and fires above 1."""
    options = {"update": {v: v + x}, "spike": gc.Spike(v > 1), "reset": {v: 0}} | options
    return gc.Neuron("N", **options)


# --- order of one step -----------------------------------------------------------------------------------------------


def test_input_counts_for_the_spike_of_its_own_step_and_the_reset_removes_it():
    at, after, z = table(integrator(), [0.75, 0.75, 0.5], "v@threshold", "v", "spike")
    assert at == [0.75, 1.5, 0.5]
    assert after == [0.75, 0, 0.5]
    assert z == [0, 1, 0]


def test_receive_acts_before_ode_and_ode_before_threshold():
    neuron = gc.Neuron("N", ode={v: 2}, receive={v: v * 3 + x}, spike=gc.Spike(v > 8), reset={v: v - 8})
    at, after = table(neuron, [0, 0, 0], "v@threshold", "v", v=1)
    assert at == [5, 17, 29]
    assert after == [5, 9, 21]


def test_receive_runs_once_a_step_also_without_input():
    (after,) = table(gc.Neuron("N", ode={v: 0}, receive={v: v / 2 + x}), [0, 4, 0], "v", v=8)
    assert after == [4, 6, 3]


def test_input_is_a_jump_in_receive_and_a_held_current_in_ode():
    neuron = gc.Neuron("N", ode={v: x}, receive={v: v + 10 * x})
    assert table(neuron, [1, 0, 2], "v", dt=0.5) == [[10.5, 10.5, 31.5]]


def test_right_hand_sides_read_the_state_before_their_group():
    swap = gc.Neuron("N", update={v: w, w: v}, receive={v: w + x, w: v})
    assert table(swap, [0, 0], "v", "w", v=1, w=2) == [[1, 1], [2, 2]]  # swapped twice a step


def test_reset_reads_the_values_before_any_reset():
    neuron = integrator(update={v: v + x, w: w}, reset={v: w, w: v}, init={w: 0.25}, output=v)
    assert table(neuron, [1.5, 0], "v", "w") == [[0.25, 0.25], [1.5, 1.5]]


def test_reset_is_exact_where_the_state_is_infinite():
    neuron = gc.Neuron("N", update={v: x}, spike=gc.Spike(v > 1), reset={v: -0.1})
    net_v, z = table(neuron, [1e308, 0.5], "v", "spike")
    assert net_v == [-0.1, 0.5] and z == [1, 0]


def test_update_and_ode_read_the_same_moment():
    neuron = gc.Neuron("N", ode={v: w}, update={w: v + x}, integrator="euler")
    assert table(neuron, [0, 0, 0], "v", "w", v=1, w=2) == [[3, 4, 7], [1, 3, 4]]


# --- threshold -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "spikes"),
    [(v > 1, [0, 0, 1]), (v >= 1, [0, 1, 1]), (v < 1, [1, 0, 0]), (v <= 1, [1, 1, 0]), (v - 1, [0, 0, 1])],
    ids=[">", ">=", "<", "<=", "expression"],
)
def test_condition_is_compared_as_written(condition, spikes):
    neuron = gc.Neuron("N", update={v: x}, spike=gc.Spike(condition))
    assert table(neuron, [0.5, 1, 1.5], "spike") == [spikes]


def test_nan_is_no_spike():
    neuron = gc.Neuron("N", update={v: 0}, output=gc.spike, spike=gc.Spike(sympy.log(x) >= -10))
    assert table(neuron, [-1, 1, -1], "spike") == [[0, 1, 0]]


def test_min_is_and_max_is_or():
    both = gc.Neuron("N", update={v: 0}, spike=gc.Spike(sympy.Min(x - 1, 3 - x)))
    either = gc.Neuron("N", update={v: 0}, spike=gc.Spike(sympy.Max(1 - x, x - 3)))
    assert table(both, [0, 2, 4], "spike") == [[0, 1, 0]]
    assert table(either, [0, 2, 4], "spike") == [[1, 0, 1]]


def test_rising_edge_fires_at_the_first_step_of_a_run():
    neuron = gc.Neuron("N", update={v: x}, spike=gc.Spike(v > 1, edge="rising"))
    assert table(neuron, [2, 2, 0, 2, 2, 2, 0], "spike") == [[1, 0, 0, 1, 0, 0, 0]]


def test_rising_edge_counts_the_initial_state_as_step_minus_one():
    neuron = gc.Neuron("N", update={v: x}, spike=gc.Spike(v > 1, edge="rising"))
    assert table(neuron, [2, 0, 2], "spike", v=5) == [[0, 0, 1]]


# --- refractoriness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 3])
def test_refractory_of_n_steps_silences_the_next_n(n):
    (z,) = table(integrator(refractory=float(n)), [2.0] * 12, "spike")
    assert z == [float(t % (n + 1) == 0) for t in range(12)]


def test_refractory_signal_marks_the_silent_steps():
    (held,) = table(integrator(refractory=2.0), [2.0, 0, 0, 0, 0], "refractory")
    assert held == [0, 1, 1, 0, 0]


def test_infinite_refractoriness_allows_one_spike():
    (z,) = table(integrator(refractory=sympy.oo), [2.0] * 20, "spike")
    assert z == [1] + [0] * 19


def test_input_of_a_held_state_is_lost():
    (after,) = table(integrator(refractory=2.0), [2, 0.5, 0.5, 0.5, 0.25], "v")
    assert after == [0, 0, 0, 0.5, 0.75]


def test_receive_of_a_held_state_is_ignored():
    neuron = gc.Neuron(
        "N", ode={v: 0}, receive={v: v + x}, spike=gc.Spike(v > 1), reset={v: 0}, refractory=gc.Refractory(1, hold=(v,))
    )
    assert table(neuron, [2, 0.5, 0.5], "v") == [[0, 0, 0.5]]


def test_default_holds_what_the_condition_reads_and_the_reset_does_not():
    subtractive = integrator(reset={v: v - 1}, refractory=2.0)
    at, z = table(subtractive, [2, 1, 1, 1], "v", "spike")
    assert at == [1, 2, 3, 3] and z == [1, 0, 0, 1]  # v goes on


def test_named_states_are_held_and_others_go_on():
    neuron = integrator(update={v: v + x, w: w + x}, refractory=gc.Refractory(2, hold=(w,)))
    after_v, after_w = table(neuron, [2, 1, 1, 1], "v", "w")
    assert after_v == [0, 1, 2, 0] and after_w == [2, 2, 2, 3]


def test_exact_follower_sees_the_held_value():
    neuron = gc.Neuron(
        "N",
        ode={v: -v / 10, w: (v - w) / 5},
        receive={v: v + x},
        spike=gc.Spike(v > 1),
        reset={v: 2},
        refractory=gc.Refractory(3, hold=(v,)),
        integrator="exact",
    )
    after_v, after_w = table(neuron, [5, 0, 0], "v", "w", dt=1.0)
    assert after_v == [2, 2, 2]
    expected = 2 + (after_w[0] - 2) * math.exp(-1 / 5)  # relaxes towards the held 2, not towards a decaying v
    assert after_w[1] == pytest.approx(expected, rel=1e-14)


def test_gradient_of_a_refractory_spike_is_zero():
    net = gc.Network(dt=1.0)
    net.input("x", 1)
    net.population("n", integrator(refractory=1.0), 1)
    net.connect("x", "n", weight=1.0)
    net.output("n")
    inputs = torch.tensor([2.0, 0.9, 0.9], dtype=torch.float64).reshape(3, 1, 1).requires_grad_()
    gc.compile(net, target="reference", dtype=torch.float64)(inputs)[1].sum().backward()
    assert inputs.grad.abs().max() == 0


# --- what expressions may read ---------------------------------------------------------------------------------------


def test_previous_spike_is_that_of_the_step_before():
    neuron = gc.Neuron("N", update={v: x, w: gc.previous(gc.spike)}, spike=gc.Spike(v > 1))
    assert table(neuron, [2, 0, 2, 2], "w") == [[0, 1, 0, 1]]


def test_previous_state_in_update_is_two_steps_old():
    neuron = gc.Neuron("N", update={v: v + x, w: gc.previous(v)})
    assert table(neuron, [1, 2, 4, 8], "v", "w", v=16) == [[17, 19, 23, 31], [16, 16, 17, 19]]


@pytest.mark.parametrize("delay", [1, 2, 3, 2.0 * gc.units.ms])
def test_previous_input_is_zero_before_the_run(delay):
    steps = 4 if not isinstance(delay, int) else delay  # 2 ms of 0.5 ms
    neuron = gc.Neuron("N", update={v: gc.previous(x, delay)})
    assert table(neuron, [1, 2, 3, 4, 5, 6], "v", dt=0.5) == [[0.0] * steps + [1, 2, 3, 4, 5, 6][: 6 - steps]]


def test_at_threshold_reads_before_the_reset_in_an_output():
    neuron = integrator(output=gc.at_threshold(v) - v)
    assert table(neuron, [0.75, 0.75, 0.5], "output") == [[0, 1.5, 0]]


def test_let_is_read_at_its_place():
    twice = sympy.Symbol("twice", real=True)
    neuron = integrator(let={"twice": 2 * v}, output=twice)
    after, before = table(neuron, [0.75, 0.75, 0.5], "twice", "twice@threshold")
    assert after == [1.5, 0, 1] and before == [1.5, 3, 1]


def test_time_is_that_of_the_step():
    assert table(gc.Neuron("N", update={v: gc.t + 0 * v + x}), [0, 0, 0], "v", dt=0.5) == [[0, 0.5, 1]]


def test_step_length_is_readable():
    assert table(gc.Neuron("N", update={v: v + gc.dt * x}), [1, 1], "v", dt=0.25) == [[0.25, 0.5]]


def test_output_may_read_state_spike_and_input():
    neuron = integrator(output=v + 10 * gc.spike + 100 * x)
    assert table(neuron, [0.75, 0.75], "output") == [[75.75, 85]]


def test_default_output_is_the_first_state_without_spike():
    net = gc.Network(dt=1.0)
    net.input("x", 1)
    net.population("n", gc.Neuron("N", update={w: 2 * x}, ode={v: x}), 1)
    net.connect("x", "n", weight=1.0)
    net.output("n")
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    assert model(torch.ones(2, 1, 1, dtype=torch.float64)).flatten().tolist() == [1, 2]  # v of `ode`, not w


def test_memoryless_unit_has_no_state():
    neuron = gc.Neuron("N", output=x**2)
    assert table(neuron, [1, 2, 3], "output") == [[1, 4, 9]]


# --- initial values --------------------------------------------------------------------------------------------------


def test_initial_value_may_be_an_expression_of_parameters_and_states():
    theta = gc.param("theta", 3.0)
    neuron = gc.Neuron("N", update={v: v + x, w: w}, init={v: theta / 2, w: v + 1})
    assert table(neuron, [0], "v", "w") == [[1.5], [2.5]]
    assert table(neuron, [0], "v", "w", theta=5.0) == [[2.5], [3.5]]
    assert table(neuron, [0], "v", "w", v=7) == [[7], [8]]


def test_learned_parameter_makes_a_learned_initial_state():
    theta = gc.param("theta", 3.0, learn=True)
    net = gc.Network(dt=1.0)
    net.population("n", gc.Neuron("N", update={v: v / 2}, init={v: theta**2}), 1)
    net.output("n")
    model = gc.compile(net, target="reference", dtype=torch.float64)
    model(steps=2).sum().backward()
    assert model.n.theta.grad.item() == pytest.approx(0.75 * 2 * 3.0, rel=1e-15)


# --- connections -----------------------------------------------------------------------------------------------------


def test_several_inputs_stay_apart():
    neuron = gc.Neuron("N", update={v: v + x - 3 * y})
    assert table(neuron, {"x": [1, 0, 1], "y": [0, 1, 1]}, "v") == [[1, -2, -4]]


def test_drives_of_one_input_add_and_an_unconnected_one_is_zero():
    net = gc.Network(dt=1.0)
    net.input("a", 2)
    net.population("n", gc.Neuron("N", update={v: x + 5 * y}), 2)
    net.connect("a", "n", target="x", weight=[[1.0, 2.0], [4.0, 8.0]])
    net.connect("a", "n", target="x", weight=[16.0, 32.0], connectivity=gc.OneToOne(), name="direct")
    net.output("n")
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    inputs = torch.eye(2, dtype=torch.float64).reshape(2, 1, 2)
    assert model(inputs).squeeze(1).tolist() == [[1 + 16, 2], [4, 8 + 32]]


def test_zero_delay_chain_crosses_in_one_step():
    net = gc.Network(dt=1.0)
    net.input("a", 1)
    for name in ("last", "first"):  # declared against the flow
        net.population(name, gc.Neuron("N", update={v: x}), 1)
    net.connect("first", "last", weight=2.0)
    net.connect("a", "first", weight=1.0)
    net.output("last")
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    assert model(torch.tensor([1.0, 3.0], dtype=torch.float64).reshape(2, 1, 1)).flatten().tolist() == [2, 6]


def test_shared_weight_is_one_parameter_for_both_connections():
    net = gc.Network(dt=1.0)
    net.input("a", 2)
    for name in ("first", "second"):
        net.population(name, gc.Neuron("N", update={v: x}), 2)
    owner = net.connect("a", "first", weight=[[1.0, 2.0], [4.0, 8.0]])
    net.connect("first", "second", weight=owner)
    net.output("second")
    model = gc.compile(net, target="reference", dtype=torch.float64)
    inputs = torch.eye(2, dtype=torch.float64).reshape(2, 1, 2)
    assert model(inputs).squeeze(1).tolist() == [[1 + 8, 2 + 16], [4 + 32, 8 + 64]]
    assert [n for n, _ in model.named_parameters()] == ["a_first.weight"]


# --- gradients of the copies of the spike ----------------------------------------------------------------------------


def stops(neuron: gc.Neuron) -> int:
    net = gc.Network(dt=1.0)
    net.population("n", neuron, 1)
    net.output("n")
    return sum(isinstance(n, StopGradient) for n in lower(net).regions[0].graph.nodes)


def test_detach_reset_stops_the_named_entries_only():
    def adaptive(detach: object) -> gc.Neuron:
        spike = gc.Spike(v > 1, detach_reset=detach)
        return gc.Neuron("N", update={v: v + x, w: w}, spike=spike, reset={v: 0, w: w + 1})

    for detach, expected in ((True, {"v", "w"}), (False, set()), ((v,), {"v"})):
        net = gc.Network(dt=1.0)
        net.population("n", adaptive(detach), 1)
        net.output("n")
        graph = lower(net).regions[0].graph
        stopped = {n.result for n in graph.nodes if isinstance(n, StopGradient)}
        resets = {n.operands[0].name[2]: n for n in graph.nodes if isinstance(n, Reset)}
        assert {s for s, n in resets.items() if n.operands[1] in stopped} == expected


def test_detach_is_a_stop_gradient():
    assert stops(gc.Neuron("N", update={v: gc.detach(v) + x})) == 1
    assert stops(gc.Neuron("N", update={v: v + x})) == 0


def test_straight_through_has_the_value_of_one_and_the_slope_of_the_other():
    neuron = gc.Neuron("N", update={v: x + gc.detach(sympy.floor(x) - x)})
    net = gc.Network(dt=1.0)
    net.input("x", 1)
    net.population("n", neuron, 1)
    net.connect("x", "n", weight=1.0, learn=False)
    net.output("n")
    inputs = torch.tensor([[[1.75]]], dtype=torch.float64, requires_grad=True)
    out = gc.compile(net, target="reference", dtype=torch.float64)(inputs)
    out.sum().backward()
    assert out.item() == pytest.approx(1, abs=1e-15) and inputs.grad.item() == 1


# --- the program -----------------------------------------------------------------------------------------------------


def test_lowered_program_is_one_loop_in_the_order_of_the_step(golden):
    golden(show(lower(small.recurrent())))


def test_every_declared_thing_is_lowered_once():
    program = lower(small.recurrent())
    (region,) = program.regions
    kinds = [type(n) for n in region.graph.nodes]
    assert [kinds.count(k) for k in (Ode, Spike, Reset, StopGradient, Project)] == [2, 1, 1, 1, 3]
    assert {t.name for t in program.states} == {
        "hid.v", "hid.i", "hid.refractory", "hid.spike@history", "out.v"
    }  # fmt: skip


def test_record_of_nothing_is_refused():
    with pytest.raises(gc.DeclarationError, match="names no signal of population 'hid'"):
        lower(small.recurrent(), ["hid.volts"])
