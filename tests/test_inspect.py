"""A compiled model shows its IR at every stage, its kernels, and what it does in words."""

import pytest
import torch

import graphc as gc
from graphc.card import card_of
from graphc.lower import lower
from graphc.passes import Request, pipeline
from graphc.units import ms

v, i = gc.states("v i")
x = gc.input("x")
tau_mem, tau_syn = gc.params(tau_mem=10 * ms, tau_syn=5 * ms)
theta = gc.param("theta", 1.0, learn=True, per="neuron", min=0.1)
LI = gc.Neuron("LI", ode={v: -v / tau_mem}, receive={v: v + x})


def neuron(**changes):
    parts = {
        "ode": {v: (i - v) / tau_mem, i: -i / tau_syn},
        "receive": {i: i + x},
        "spike": gc.Spike(v > theta),
        "reset": {v: 0},
        "refractory": 2 * ms,
    }
    return gc.Neuron("Lif", **{**parts, **changes})


def network(dt=1.0, delay=2, **changes):
    net = gc.Network(dt=dt * ms)
    net.input("x", 3)
    net.population("hid", neuron(**changes), 4)
    net.population("out", LI, 2)
    net.connect("x", "hid")
    net.connect("hid", "hid", delay=delay)
    net.connect("hid", "out")
    net.output("out")
    return net


@pytest.fixture(scope="module")
def model():
    return gc.compile(network())


def card(net):
    return card_of(net, pipeline(Request())[0].run(lower(net)), "float32").hash


def test_the_graph_of_every_stage_can_be_shown(model):
    assert "ode auto dv/dt" in model.graph("lower") and model.graph("after lower") == model.graph("lower")
    discrete = model.graph("after discretize")
    assert "ode " not in discrete and "exprel(" in discrete
    assert "reverse backward graph" in model.graph("adjoint") and "reverse" not in model.graph("delays")
    assert model.graph("schedule").startswith("schedule c float32")


def test_a_pass_that_runs_twice_is_told_apart_by_its_number(model):
    numbered = [s for s in ("05-simplify", "06-simplify", "08-simplify", "09-simplify") if _has(model, s)]
    assert len(numbered) == 2 and model.graph("simplify") == model.graph(numbered[-1])
    assert model.graph(numbered[0]) != model.graph(numbered[1])


def _has(model, stage):
    try:
        return bool(model.graph(stage))
    except gc.GraphcError:
        return False


def test_an_unknown_stage_comes_with_the_known_ones(model):
    with pytest.raises(gc.GraphcError, match=r"there is no stage 'discretise'\n  hint: did you mean 'discretize'"):
        model.graph("discretise")
    with pytest.raises(gc.GraphcError, match="stages are lower, discretize, "):
        model.graph("zzz")


def test_the_source_names_its_key_and_the_users_lines(model):
    first, _, text = model.source("forward").partition("\n")
    assert first.startswith("// forward of target c, cpu, float32, no records, gradients of hid.theta")
    assert "test_inspect.py:" in text and "forward_1" in text
    assert "backward_1" in model.source("backward")


def test_the_source_of_another_target_and_key_can_be_asked_for(model):
    assert (
        model.source("forward", "triton").startswith("# forward of target triton") and "@triton.jit" in model.source()
    )
    shown = model.source("forward", record=["hid.v"], gradients=False, target="c")
    assert shown.startswith("// forward of target c, cpu, float32, records hid.v, no gradients\n")
    model.double()
    assert "float64" in model.source(target="c").partition("\n")[0]
    model.float()


def test_the_key_used_last_is_the_one_shown():
    model = gc.compile(network())
    with torch.no_grad():
        model.run(torch.ones(3, 1, 3), record=["hid.i"])
    assert "records hid.i, no gradients" in model.source().partition("\n")[0]


@pytest.mark.ahead
def test_ptx_is_built_without_a_gpu(model):
    text = model.source("forward", "ptx")
    assert text.startswith("// forward of target triton, cpu, laid out for sm_90, float32") and ".target sm_90" in text
    assert ".entry forward_1(" in text
    with pytest.raises(gc.TargetError, match="target 'c' has no PTX"):
        model.source("forward", "ptx", target="c")


@pytest.mark.ahead
def test_every_step_of_triton_can_be_read(model):
    found = {what: model.source("forward", what) for what in ("ttir", "ttgir", "llir", "sass")}
    assert "tt.func public @forward_1" in found["ttir"] and "ttg." in found["ttgir"]
    assert "define" in found["llir"] and "EXIT" in found["sass"]
    with pytest.raises(gc.TargetError, match=r"sm_90 has no text 'amdgcn'\n  hint: ask with arch=\"gfx942\""):
        model.source("forward", "amdgcn")


def test_assembly_is_that_of_the_compiler_with_its_flags(model, monkeypatch):
    from graphc.runtime import compiler

    text = model.source("forward", "asm")
    assert text.startswith("# forward of target c") and "forward_1:" in text and "\tret" in text
    monkeypatch.setenv("GRAPHC_CFLAGS", "-O0")
    assert compiler.assembly(model.source("forward", "c")) not in text


@pytest.mark.interpret
def test_ptx_is_refused_where_triton_interprets(model):
    with pytest.raises(gc.TargetError, match="unset TRITON_INTERPRET"):
        model.source("forward", "ptx")


def test_text_that_is_not_there_is_refused(model):
    with pytest.raises(gc.GraphcError, match="no source 'gradients'"):
        model.source("gradients")
    with pytest.raises(gc.GraphcError, match=r"no text 'sas' of a kernel\n  hint: did you mean 'sass'"):
        model.source("forward", "sas")
    with pytest.raises(gc.TargetError, match=r"no architecture 'h100'\n  hint: use one such as"):
        model.source("forward", "ttir", arch="h100")
    with pytest.raises(gc.TargetError, match="target 'triton' has no assembly"):
        model.source("forward", "asm", target="triton")
    with pytest.raises(gc.GraphcError, match=r"no backward kernels: .*\n  hint: ask with gradients=True"):
        model.source("backward", gradients=False, target="c")
    with pytest.raises(gc.TargetError, match="'reference' interprets the IR"):
        gc.compile(network(), target="reference").source()


def test_explanation_of_a_small_network(golden):
    before, _, kernels = gc.compile(network()).explain().partition("\nkernels\n")
    golden(before)
    assert "forward): time loop, " in kernels and "products inside with hid_hid_weight" in kernels


def test_an_input_without_a_connection_is_named():
    net = gc.Network(dt=1)
    net.input("x", 2)
    net.population("p", gc.Neuron("Two", ode={v: gc.input("exc") - gc.input("inh") - v}), 2)
    net.connect("x", "p", target="exc")
    net.output("p")
    assert "which are 0\n  p.inh\n" in gc.compile(net, learn=None).explain()


def test_saved_bytes_are_those_of_the_saved_tensors():
    model = gc.compile(network())
    build = model.build()
    saved = torch.empty(0)
    for name in build.saved:
        saved = torch.cat([saved, torch.ones(torch.empty(build.shape(name, 1, 1), dtype=build.storage(name)).nbytes)])
    assert f"  {saved.numel()} bytes per step and sample" in model.explain() and saved.numel() > 0


CHANGES = {
    "dt": {"dt": 0.5},
    "delay": {"delay": 3},
    "threshold": {"spike": gc.Spike(v >= theta)},
    "edge": {"spike": gc.Spike(v > theta, edge="rising")},
    "surrogate": {"spike": gc.Spike(v > theta, surrogate=gc.surrogate.SuperSpike(beta=5.0))},
    "detach": {"spike": gc.Spike(v > theta, detach_reset=False)},
    "reset": {"reset": {v: v - 1}},
    "refractory": {"refractory": 3 * ms},
    "hold": {"refractory": gc.Refractory(2 * ms, hold=(v, i))},
    "integrator": {"integrator": "euler"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_choice_that_decides_numbers_changes_the_card(change):
    assert card(network(**change)) != card(network())


def test_the_card_does_not_depend_on_values_or_records():
    net = network()
    model = gc.compile(net)
    assert card(network()) == card(net) and f"semantics card {card(net)}\n" in model.explain()
    assert model.explain(record=["hid.v"]).split("\n\n")[1] == model.explain().split("\n\n")[1]


def test_the_jacobian_holds_the_reset_and_what_was_left_attached():
    attached = gc.compile(network(spike=gc.Spike(v > theta, detach_reset=False), refractory=None)).explain()
    assert "d hid.v / d hid.v = " in attached and "z'(hid_condition)" in attached
    detached = gc.compile(network(refractory=None)).explain()
    assert "d hid.v / d hid.v = hid_v_keep*(1 - hid_spike_self)" in detached and "z'(" not in detached
    assert "d hid.i / d hid.v" not in detached


def test_inspection_needs_no_compiler(monkeypatch, model):
    monkeypatch.setenv("CC", "/nonexistent/cc")
    assert "forward" in model.source() and "semantics card" in model.explain()
