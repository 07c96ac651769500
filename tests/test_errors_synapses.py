"""Wrong connections say what is wrong on the user's line, and what to do."""

import numpy as np
import pytest
import sympy
import torch

import graphc as gc
from graphc.units import ms

v = gc.state("v")
Leaky = gc.Neuron(
    "Leaky",
    ode={v: -v / gc.param("tau", 10 * ms)},
    receive={v: v + gc.input("x")},
    spike=gc.Spike(v > 1),
    reset={v: 0},
)
w = gc.weight


def join(pre="x", post="hid", **connection):
    """Connect 3 inputs, or 4 neurons, or the image (1, 4, 4), to 4 neurons, or to the map (2, 2, 2)."""
    net = gc.Network(dt=1 * ms)
    net.input("x", 3)
    net.input("image", (1, 4, 4))
    net.population("hid", Leaky, 4)
    net.population("map", Leaky, (2, 2, 2))
    net.connect(pre, post, **connection)
    return net


WRONG = {
    "negative delay in an array": (lambda: join(delay=-np.ones((3, 4), int)), "is -1 steps", "0 or more"),
    "fractional delay in an array": (lambda: join(delay=np.full((3, 4), 1.5)), "is 1.5 steps", "whole numbers"),
    "delays of the wrong shape": (lambda: join(delay=np.ones((4, 3), int)), "have shape (4, 3)", "(3, 4)"),
    "delay beyond history": (lambda: join(delay=1 << 20), "is 1048576 steps", "up to 65536"),
    "a delay beyond history": (lambda: join(delay=np.full((3, 4), 1 << 20)), "1048576 steps", "65536 are kept"),
    "time between steps": (lambda: join(delay=1.4 * ms), "no multiple of dt", "round=True"),
    "times between steps": (lambda: join(delay=[[1.4 * ms] * 4] * 3), "no multiple of dt", "round=True"),
    "mask of the wrong shape": (
        lambda: join(connectivity=gc.Sparse(mask=np.ones((4, 3)))),
        "the mask of connection 'x_hid' has shape (4, 3)",
        "(3, 4)",
    ),
    "no mask": (lambda: gc.Sparse(mask=np.full((3, 4), 0.5)), "true and false", None),
    "empty mask": (lambda: join(connectivity=gc.Sparse(mask=np.zeros((3, 4)))), "has no synapse", "give a pair"),
    "no pair": (lambda: join(connectivity=gc.Sparse(indices=([], []))), "has no synapse", "give a pair"),
    "a pair twice": (
        lambda: join(connectivity=gc.Sparse(indices=([0, 1, 0], [2, 2, 2]))),
        "names the pair (0, 2) twice",
        "add the weights",
    ),
    "pair outside": (lambda: join(connectivity=gc.Sparse(indices=([3], [0]))), "a pre index", None),
    "negative index": (lambda: join(connectivity=gc.Sparse(indices=([0], [-1]))), "a post index", None),
    "indices of floats": (lambda: gc.Sparse(indices=([0.5], [1.0])), "not whole numbers", None),
    "indices of three columns": (lambda: gc.Sparse(indices=np.ones((2, 3), int)), "have shape (2, 3)", "tuple"),
    "two ways": (lambda: gc.Sparse(0.1, mask=np.ones((3, 4))), "takes one of", None),
    "probability": (lambda: gc.Sparse(1.5), "is 1.5", "up to 1"),
    "layout": (lambda: gc.Sparse(0.5, layout="csr"), "is 'csr'", '"list"'),
    "blocks": (lambda: join(connectivity=gc.Blocks(2)), "do not divide", "divisor"),
    "self of two populations": (lambda: join(connectivity=gc.AllButSelf()), "joins 3 to 4", "one size"),
    "convolution without space": (
        lambda: join(connectivity=gc.Conv2d(3)),
        "needs space, but 'x' has shape (3,)",
        "(channels, height, width)",
    ),
    "convolution of the wrong size": (
        lambda: join("image", "map", connectivity=gc.Conv2d(2)),
        "makes (3, 3) of (4, 4), but 'map' is (2, 2)",
        "(2, 3, 3)",
    ),
    "kernel": (lambda: join("image", "map", connectivity=gc.Conv2d((1, 2, 3))), "kernel of gc.Conv2d", None),
    "pool of other channels": (lambda: join("image", "map", connectivity=gc.AvgPool(2)), "keeps channels", "give"),
    "sign": (lambda: join(sign="exitatory"), "is 'exitatory'", "did you mean 'excitatory'?"),
    "sign violated": (lambda: join(sign="excitatory", weight=-0.5), "is -0.5, against its sign", "sign="),
    "sign of a source violated": (
        lambda: join(sign=[1, -1, 1], weight=np.ones((3, 4))),
        "is 1.0, against its sign",
        "sign=",
    ),
    "signs of the wrong size": (lambda: join(sign=[1, -1]), "one per neuron of 'x'", "excitatory"),
    "weight where no synapse is": (
        lambda: join(connectivity=gc.Sparse(mask=np.eye(3, 4)), weight=np.ones((3, 4))),
        "is 1.0 at (0, 1), where it has no synapse",
        None,
    ),
    "learned delay without room": (lambda: join(delay=gc.LearnedDelay(max=2, min=2)), "min 2 and max 2", "above"),
    "learned delay outside": (lambda: join(delay=gc.LearnedDelay(max=2, init=3)), "leaves [0, 2]", None),
    "kernel of a delay": (lambda: gc.LearnedDelay(max=2, kernel="box"), "is 'box'", '"gaussian"'),
    "unknown signal": (lambda: join("hid", transmit=w * gc.pre("u"), delay=1), "no signal 'u'", None),
    "signal of an input": (lambda: join(transmit=w * gc.pre("v")), "the source 'x'", "output"),
    "state in transmit": (lambda: join(transmit=w * v), "reads 'v'", "gc.pre"),
    "parameter of a population": (
        lambda: join(transmit=w * gc.param("q", 1.0)),
        "'q' in transmit of connection 'x_hid' is per population",
        'per="synapse"',
    ),
    "parameter of synapses in a neuron": (
        lambda: gc.Neuron("N", update={v: v * gc.param("q", 1.0, per="synapse")}),
        "is per synapse",
        "transmit=",
    ),
    "unknown input": (lambda: join(transmit={"y": w}), "has no input 'y'", "x"),
    "target twice": (lambda: join(transmit={"x": w}, target="x"), "so does target", None),
}


@pytest.mark.parametrize(("declare", "message", "hint"), WRONG.values(), ids=WRONG)
def test_wrong_connections_are_explained(declare, message, hint):
    with pytest.raises(gc.DeclarationError) as caught:
        declare()
    text = str(caught.value)
    assert message in text
    assert text.startswith("test_errors_synapses.py:")
    assert hint is None or hint in (caught.value.hint or "")


def test_a_learned_delay_that_may_be_zero_closes_no_cycle():
    net = join("hid", delay=gc.LearnedDelay(max=3))
    net.output("hid")
    with pytest.raises(gc.DeclarationError, match="has no delay"):
        net.check()


def test_delays_round_when_asked():
    assert join(delay=1.4 * ms, round=True).connections["x_hid"].delay == 1
    assert join(delay=np.full((3, 4), 2.6), round=True).connections["x_hid"].delay == 3


def test_a_list_is_refused_by_a_target_without_lists():
    net = join(connectivity=gc.Sparse(0.5, layout="list"))
    net.output("hid")
    with pytest.raises(gc.TargetError, match="list"):
        gc.compile(net, target="triton")


@pytest.mark.parametrize("strategy", ["resident", "cooperative"])
def test_a_sum_per_synapse_is_refused_by_strategies_that_have_none(strategy):
    net = join(transmit=sympy.tanh(w * gc.pre() * gc.post("v")))
    net.output("hid")
    with pytest.raises(gc.TargetError, match="a sum per synapse") as caught:
        gc.compile(net, target="triton", learn=None, schedule={"strategy": strategy}).source("forward")
    assert "stepwise" in (caught.value.hint or "")
    assert "sum per synapse" in gc.compile(net, target="triton", learn=None).explain()


def test_pruning_of_a_dense_connection_names_the_way_out():
    net = join()
    net.output("hid")
    model = gc.compile(net)
    with pytest.raises(gc.GraphcError, match=r"gc\.Sparse"):
        model.prune("x_hid", fraction=0.1)
    with pytest.raises(gc.GraphcError, match="there is no connection"):
        model.rewire("hid_x")


def test_setting_a_weight_against_its_sign_is_refused():
    net = join(sign="inhibitory")
    net.output("hid")
    model = gc.compile(net)
    assert (model.x_hid.weight <= 0).all()
    with pytest.raises(gc.GraphcError, match="against its sign"):
        model.x_hid.weight = torch.ones(3, 4)
