"""What online learning refuses, and what it says."""

import pytest
import torch

import graphc as gc

from .models.trace_models import TABLE, network

X = torch.ones(4, 2, 4)


def lif(name: str = "LIF soft, detached") -> gc.Network:
    return network(TABLE[name][0]("population"), "population")


def compiled(**options) -> gc.Model:
    return gc.compile(lif(), learn=gc.learn.BlockDiagonal(**options), target="reference")


@pytest.mark.parametrize("chunk", [0, -1, 1.5, True, "some"])
def test_a_chunk_is_a_positive_number_of_steps(chunk):
    with pytest.raises(gc.DeclarationError, match=r"chunk of gc\.learn\.BlockDiagonal must be a positive int"):
        gc.learn.BlockDiagonal(chunk=chunk)


@pytest.mark.parametrize(
    ("feedback", "message"),
    [
        ("randm", "feedback of gc.learn.BlockDiagonal is 'randm'"),
        ({"hid_ou": torch.zeros(4, 2)}, "no connection"),
        ({"w0": torch.zeros(4, 4)}, "over which no gradient goes"),
        ({"hid_out": torch.zeros(3, 3)}, r"has shape \(3, 3\), but its weight \(4, 2\)"),
    ],
    ids=["kind", "name", "place", "shape"],
)
def test_feedback_fits_a_connection(feedback, message):
    with pytest.raises(gc.DeclarationError, match=message):
        gc.compile(lif(), learn=gc.learn.BlockDiagonal(feedback=feedback), target="reference")


def test_a_rule_that_is_none_comes_with_the_known_ones():
    with pytest.raises(gc.DeclarationError, match=r"names no learning(.|\n)*gc.learn.BlockDiagonal"):
        gc.compile(lif(), learn="eprop")


@pytest.mark.parametrize("name", ["LIF hard, detached", "ALIF, reset detached", "CoBa-LIF"])
def test_ottt_names_the_state_whose_trace_differs_from_target_to_target(name):
    with pytest.raises(gc.DeclarationError, match=r"trace of 'hid\.[va]'(.|\n)*gc.learn.BlockDiagonal"):
        gc.compile(lif(name), learn=gc.learn.OTTT(), target="reference")


def test_a_parameter_that_only_the_past_reaches_is_named():
    net = gc.Network(dt=1.0)
    net.input("stim", 4)
    net.population("hid", TABLE["LIF soft, detached"][0]("population"), 4)
    net.population("late", gc.Neuron("Late", output=gc.input("x")), 2)
    net.connect("stim", "hid")
    net.connect("hid", "late", delay=1)
    net.output("late")
    with pytest.raises(gc.DeclarationError, match=r"no gradient of the rule reaches 'stim_hid.weight'"):
        gc.compile(net, learn=gc.learn.BlockDiagonal(), target="reference")


def test_a_state_that_was_advanced_without_gradients_has_no_traces():
    model = compiled()
    state = model.initial_state(2)
    with torch.no_grad():
        _, state = model.step(X[0], state)
    assert not any("~" in name for name in state)
    with pytest.raises(gc.GraphcError, match=r"lacks the trace 'w0\.weight~hid\.v': it was advanced without gradients"):
        model.step(X[1], state)


def test_a_weight_that_is_frozen_has_no_trace_and_needs_one_when_it_learns_again():
    model = compiled()
    model.w0.weight.requires_grad_(False)
    state = model.initial_state(2)
    for x in X[:3]:
        y, state = model.step(x, state)
        y.sum().backward()
    assert not any(name.startswith("w0.weight~") for name in state)
    assert model.hid_out.weight.grad.abs().sum() > 0
    model.w0.weight.requires_grad_(True)
    with pytest.raises(gc.GraphcError, match=r"lacks the trace 'w0\.weight~hid\.v'"):
        model.step(X[3], state)


def test_a_step_whose_weights_have_changed_since_is_stale():
    model = compiled()
    y, _ = model.step(X[0], model.initial_state(2))
    with torch.no_grad():
        model.hid_out.weight.mul_(2)
    with pytest.raises(gc.GraphcError, match=r"modified by an inplace operation(.|\n)*before optimiser.step"):
        y.sum().backward()


def test_a_state_that_requires_gradients_is_refused():
    model = compiled()
    state = model.initial_state(2)
    state["hid.v"] = state["hid.v"].clone().requires_grad_()
    with pytest.raises(gc.GraphcError, match="no online rule hands from call to call"):
        model.step(X[0], state)


def test_states_of_a_stream_carry_no_graph():
    model = compiled()
    y, state = model.step(X[0], model.initial_state(2))
    assert y.requires_grad and not any(s.requires_grad for s in state.values())


def learned_start(chunk) -> gc.Model:
    v, x, start = gc.state("v"), gc.input("x"), gc.param("start", 0.5, learn=True)
    neuron = gc.Neuron("S", update={v: 0.9 * v + x}, spike=gc.Spike(v > 1), reset={v: v - 1}, init={v: start})
    return gc.compile(network(neuron, "population"), learn=gc.learn.BlockDiagonal(chunk=chunk), target="reference")


def test_gradients_of_initial_states_reach_back_over_every_chunk():
    whole, cut = learned_start(None), learned_start(2)
    whole(X).sum().backward()
    assert whole.hid.start.grad.abs() > 0
    with pytest.raises(gc.TargetError, match=r"reach back over every chunk(.|\n)*chunk=.all."):
        cut(X).sum().backward()
    with pytest.raises(gc.TargetError, match="reach back over every chunk"):
        cut.run(X).output.sum().backward()


def test_a_stream_starts_where_a_learned_state_starts():
    model = learned_start(None)
    y, _ = model.step(X[0], model.initial_state(2))
    y.sum().backward()
    assert model.hid.start.grad is None or not model.hid.start.grad.any()
