"""What is wrong with a learning rule is said with the user's line, the term and a way out."""

import numpy as np
import pytest
import torch

import graphc as gc
from tests.models.plasticity import PRE, compiled, spikes, told

xp, xq, e = gc.state("xp", on="pre"), gc.state("xq", on="post"), gc.state("e", on="synapse")
v, w, D = gc.state("v"), gc.weight, gc.input("D", on="network")
A = gc.param("A", 0.1)


def rule(**groups):
    return gc.Plasticity("r", **(groups or {"on_post": {w: w + 1}}))


def reversed_network():
    net = told(rule())
    net.connect("src", "dst", name="two", target="x", weight=net.connections["src_dst"])


DECLARATIONS = {
    "pre state reads the target": (
        lambda: rule(ode={xp: -xp / 20 + A * gc.post("v")}),
        ["its term 'A*post.v' reads gc.post(\"v\")", "'xp' is kept on the source neuron", 'gc.sum(..., over="post")'],
    ),
    "post state reads a weight": (
        lambda: rule(update={xq: xq + w * 0.1}),
        ["not local", "reads gc.weight", 'gc.sum(..., over="pre")'],
    ),
    "post state reads a pre trace": (lambda: rule(ode={xq: xp - xq, xp: -xp}), ["not local", "reads 'xp'"]),
    "sum over the wrong side": (lambda: rule(ode={xp: gc.sum(w, over="pre")}), ["not local", "the target neuron"]),
    "post state jumps at arrivals": (lambda: rule(on_pre={xq: xq + 1}), ["on_pre of 'xq'", "an event of one synapse"]),
    "pre state jumps at spikes": (lambda: rule(on_post={xp: xp + 1}), ["on_post of 'xp'", "let it jump in on_pre"]),
    "gc.spike": (lambda: rule(on_post={w: w + gc.spike}), ["reserved symbol", 'gc.post("spike")']),
    "weight twice": (lambda: rule(ode={w: -w}, update={w: w}), ["in ode and one in update"]),
    "initial weight": (lambda: rule(on_post={w: w}, init={w: 1}), ["sets gc.weight", "weight= of connect"]),
    "a state named weight": (lambda: gc.state("weight", on="synapse"), ["the name is reserved"]),
    "unknown place": (lambda: gc.state("x", on="dendrite"), ["on='dendrite'", "'synapse'"]),
    "no equation": (lambda: rule(on_post={w: w + e}), ["state 'e' of rule 'r' has no equation and no jump"]),
    "neuron's input": (
        lambda: rule(on_post={w: w + gc.input("D")}),
        ["third factor 'D'", 'gc.input("D", on="network")'],
    ),
    "third factor at arrival": (lambda: rule(on_pre={w: w + D}), ["not known yet there"]),
    "state of two places": (
        lambda: rule(on_pre={xp: xp + 1}, on_post={w: gc.state("xp", on="post")}),
        ['state on="pre" and state on="post"'],
    ),
    "parameter twice": (lambda: rule(on_pre={w: w + A}, on_post={w: w + gc.param("A", 2)}), ["'A' as parameter"]),
    "parameter per neuron": (
        lambda: rule(on_post={w: w + gc.param("b", 1.0, per="neuron")}),
        ["per neuron", 'per="synapse"'],
    ),
    "learned parameter outside": (
        lambda: rule(on_post={w: w + gc.param("b", 2.0, learn=True, max=1.0)}),
        ["'b' is 2.0, above its max=1.0"],
    ),
    "unknown symbol": (lambda: rule(on_post={w: w + __import__("sympy").Symbol("k")}), ["uses 'k'"]),
    "bounds without change": (lambda: rule(on_pre={xp: xp + 1}, bounds=(0, 1)), ["does not change gc.weight"]),
    "bounds the wrong way": (lambda: rule(on_post={w: w}, bounds=(1, 0)), ["bounds of rule 'r' are 1 and 0"]),
    "bounds": (lambda: rule(on_post={w: w}, bounds=1), ["bounds=(low, high)"]),
    "reduction": (lambda: rule(on_post={w: w}, reduction="max"), ["reduction='max'", "'mean'"]),
    "apply": (lambda: rule(on_pre={xp: xp + 1}, apply="gradient"), ["applies a change of gc.weight but has none"]),
    "integrator": (lambda: rule(ode={w: -w}, integrator="simpson"), ["integrator='simpson'"]),
    "nothing": (lambda: gc.Plasticity("r"), ["neither an equation nor a jump"]),
    "previous state": (lambda: rule(update={w: gc.previous(e), e: e}), ["gc.previous(e) in a rule"]),
    "sum in a neuron": (lambda: gc.Neuron("N", ode={v: gc.sum(v, over="pre")}), ["belongs in a rule"]),
    "place in a neuron": (lambda: gc.Neuron("N", ode={xp: -xp}), ["'xp' on=\"pre\"", "leave on= out"]),
    "sum over": (lambda: gc.sum(w, over="batch"), ["over='batch'"]),
    "no rule": (lambda: told("stdp"), ["plasticity of connection 'src_dst'"]),
    "unknown signal": (lambda: told(rule(update={w: gc.post("u")})), ["has no signal 'u'", "rule 'r'"]),
    "delays": (
        lambda: told(rule(), delay=np.arange(15).reshape(5, 3)),
        ["differ in their delays", "a connection per delay"],
    ),
    "blocks": (
        lambda: told(rule(), connectivity=gc.Sparse(0.5, layout="procedural")),
        ["share or draw their weights", "gc.Sparse(mask=...)"],
    ),
    "sign": (lambda: told(rule(), sign="excitatory"), ["has a sign", "bounds="]),
    "gradient of a buffer": (lambda: told(rule(on_post={w: w + 1}, apply="gradient"), learn=False), ["learn=False"]),
    "weight outside its bounds": (
        lambda: told(rule(on_post={w: w + 1}, bounds=(0, A)), weight=0.5),
        ["is 0.5, outside the bounds", "0.0 and 0.1"],
    ),
    "shared plastic weight": (reversed_network, ["shares the weight of 'src_dst', which a rule changes"]),
    "third factor of none": (lambda: told(rule(), factors={"D": 1}), ["without a third factor"]),
    "unknown third factor": (
        lambda: told(rule(update={w: w + D}), factors={"reward": 1}),
        ["no third factor 'reward'", "target='D'"],
    ),
}


@pytest.mark.parametrize("case", DECLARATIONS)
def test_the_error_names_the_term_and_a_way_out(case):
    make, parts = DECLARATIONS[case]
    with pytest.raises(gc.DeclarationError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)
    assert ".py:" in str(caught.value)


def test_on_post_needs_a_target_that_spikes():
    net = gc.Network(dt=1.0)
    net.input("x", 2)
    net.population("out", gc.zoo.LI, 2)
    with pytest.raises(gc.DeclarationError, match="do not spike"):
        net.connect("x", "out", plasticity=rule())


def test_a_record_of_a_connection_names_its_states():
    model = compiled(told(rule(on_pre={e: e + 1}, on_post={w: w + e})), "c")
    with pytest.raises(gc.DeclarationError, match="names no signal of connection 'src_dst'"):
        model.run({"pre": spikes(PRE), "post": spikes(3)}, record=["src_dst.c"])


def test_triton_refuses_numbers_per_synapse_and_sample():
    with pytest.raises(gc.TargetError, match="learning rule") as caught:
        gc.compile(told(rule()), target="triton", learn=None).source("forward")
    assert 'target="c"' in str(caught.value)
    per_neuron = gc.compile(told(gc.zoo.TsodyksMarkram()), target="triton", learn=None)
    assert "src_dst_x" in per_neuron.source("forward")


def test_a_batch_wider_than_the_kernel_that_reduces_it_is_refused():
    pooled = gc.Plasticity("r", on_post={w: w + 1}, reduction="sum")
    model = compiled(told(pooled), "c", learn=None, schedule={"rows": 2})
    with pytest.raises(gc.TargetError, match="a batch of 65, but the kernel was built for 64") as caught:
        model.run({"pre": spikes(PRE, batch=65), "post": spikes(3, batch=65)})
    assert '"rows": 128' in str(caught.value)


def test_synapses_with_states_cannot_be_pruned():
    model = compiled(told(rule(), connectivity=gc.Sparse(0.8, seed=1)), "c")
    with pytest.raises(gc.GraphcError, match="cannot move"):
        model.prune("src_dst", fraction=0.5)


def test_a_rule_cannot_write_a_weight_that_is_computed():
    pooled = gc.Plasticity("r", on_post={w: w + 1}, reduction="sum")
    model = compiled(told(pooled), "reference", learn=None)
    torch.nn.utils.parametrize.register_parametrization(model.src_dst, "weight", torch.nn.Tanh())
    with pytest.raises(gc.GraphcError, match="computed from another tensor"):
        model.run({"pre": spikes(PRE), "post": spikes(3)})
