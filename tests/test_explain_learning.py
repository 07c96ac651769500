"""What `explain()` says of an online rule."""

import pytest
import torch

import graphc as gc

from .models.online import network
from .models.trace_models import TABLE
from .models.trace_models import network as readable


def section(net: gc.Network, learn, **options) -> str:
    model = gc.compile(net, learn=learn, target="c")
    text = model.explain(**options)
    return text.partition("learning rule")[2].partition("\n\n")[0]


def test_traces_are_equations_with_their_class_and_cost():
    net = readable(TABLE["ALIF, reset detached"][0]("population"), "population")
    text = section(net, gc.learn.BlockDiagonal())
    assert "w0.weight~hid.v <- " in text and "(shared by all targets: (B, stim), 16 bytes and " in text
    assert "w0.weight~hid.a <- " in text and "(one per synapse: (B, stim, hid), 64 bytes and " in text
    assert "z'(hid_condition)" in text


def test_traces_are_equations_in_latex():
    net = readable(TABLE["LIF soft, detached"][0]("population"), "population")
    text = section(net, gc.learn.BlockDiagonal(), latex=True)
    assert r"\mathit{w0.weight\sim hid.v} \leftarrow " in text


@pytest.mark.parametrize(
    ("learn", "says"),
    [
        (gc.learn.BlockDiagonal(), "dropped: from back_hid_drive back to hid_spike_1, of another neuron's past"),
        (gc.learn.SnAp1(), "but for each neuron's weight to itself"),
        (gc.learn.SLTT(), "nothing goes back in time"),
        (gc.learn.RTRL(), "one per synapse and state of every neuron"),
        (gc.learn.BlockDiagonal(feedback="random"), "gradients go back through w_out.feedback, random"),
        (gc.learn.BlockDiagonal(chunk=7), "cut into chunks of 7, as asked"),
    ],
    ids=["diagonal", "snap1", "sltt", "rtrl", "feedback", "chunk"],
)
def test_a_rule_says_what_it_drops_and_how_it_runs(learn, says):
    assert says in section(network("ALIF, reset detached"), learn)


def test_a_hidden_population_below_another_hears_that_its_past_stays():
    text = section(network("ALIF, reset detached", layers=2), gc.learn.BlockDiagonal())
    assert "back in time through its target to hid_spike, which sends to others" in text


def test_the_length_from_which_a_call_is_cut_is_where_traces_take_less_memory():
    model = gc.compile(network("LIF hard, attached"), learn=gc.learn.BlockDiagonal(), target="c")
    model(torch.rand(4, 2, 5)).sum().backward()
    build = model.last_build()
    limit = build.crossover()
    assert f"calls of up to {limit} steps are one local reverse pass" in model.explain()
    assert build.every(limit, 1) == limit
    assert build.every(limit + 1, 1) == 32


def test_the_kernel_of_traces_can_be_read():
    model = gc.compile(network("ALIF, reset detached"), learn=gc.learn.BlockDiagonal())
    assert "void chunk(" in model.source("traces")
    assert "def chunk(z, e0, e1, e2, " in model.source("traces", "triton")
    with pytest.raises(gc.GraphcError, match="no traces of synapses"):
        gc.compile(network("ALIF, reset detached")).source("traces")
