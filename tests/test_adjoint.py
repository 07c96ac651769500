"""Gradients: the reverse regions equal torch autograd through the interpreter, and central differences when relaxed."""

from dataclasses import replace
from functools import lru_cache

import pytest
import torch

import graphc as gc
from graphc.ir import Program, Read, StopGradient, final, show
from graphc.ir.interpret import Mode, interpret
from graphc.lower import lower
from graphc.passes import Request, run_passes
from graphc.passes.adjoint import Adjoint
from graphc.passes.discretize import Discretize
from graphc.passes.prologue import SplitPrologue

from .models import small
from .models.gradients import EXACT, Experiment, difference, discrete, experiment, unstopped
from .oracles.networks import KINDS, SCALES, TOPOLOGIES, WIDE, build

RELAXED = Mode(relaxed=True)
UNFELT = (".above@initial", ".hid_v@history@initial")  # read in conditions alone, which have no derivative


@lru_cache(maxsize=4)
def zoo_experiment(name: str, topology: str, steps: int, stopped: bool = True) -> Experiment:
    case = build(name, topology)
    program = lower(case.network)
    inputs = {"stim": torch.as_tensor(case.inputs["stim"][:steps])}
    return experiment(program if stopped else unstopped(program), inputs)


def network_experiment(network: gc.Network, steps: int = 12) -> Experiment:
    program = lower(network)
    draw = torch.Generator().manual_seed(3)
    shape = {t.name: (steps, 2, program.sizes[t.type.axes[0]]) for t in program.inputs}
    inputs = {n: 2 * torch.rand(s, generator=draw, dtype=torch.float64) for n, s in shape.items()}
    return experiment(program, inputs)


def assert_equal_gradients(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    for name, gradient in wanted.items():
        if not name.endswith(UNFELT):
            assert float(gradient.abs().max()) > 0, f"{name} is dead"
        assert difference(found[name], gradient) < EXACT, name


@pytest.mark.parametrize(
    ("name", "topology"), [(n, t) for n in WIDE for t in TOPOLOGIES if t == "delays" or n in KINDS]
)
def test_reverse_regions_equal_autograd(name, topology):
    e = zoo_experiment(name, topology, steps=30)
    outputs = interpret(discrete(e.program), e.given)
    rates = [float((outputs[o] != 0).double().mean()) for o in e.program.outputs]
    assert min(rates) > 0.01, f"too few spikes: {rates}"
    assert_equal_gradients(e.adjoint(e.complete()), e.autograd())


@pytest.mark.parametrize("name", SCALES)
def test_relaxed_gradients_equal_central_differences(name):
    check_against_differences(zoo_experiment(name, "recurrent", steps=6, stopped=False))


@pytest.mark.parametrize("name", ["LIF", "ALIF", "LI"])
def test_relaxed_gradients_over_long_delays_equal_central_differences(name):
    check_against_differences(zoo_experiment(name, "delays", steps=8, stopped=False))


def check_against_differences(e: Experiment) -> None:
    found = e.adjoint(e.complete(), RELAXED)
    for name in e.wrt:
        if name.endswith(UNFELT):
            continue
        scale = float(found[name].norm())
        assert scale > 0, f"{name} is dead"
        errors = []
        for h in (1e-4, 1e-6):  # the first is more precise, the second stays clear of kinks
            direction, slope = e.slope(name, RELAXED, h)
            errors.append(abs(float((found[name] * direction).sum() - slope)) / scale)
            if errors[-1] < 1e-5:
                break
        assert min(errors) < 1e-5, (name, errors)


ATTACHED = ("reset", "previous spike", "output")


def attached(which: str) -> gc.Network:
    """Return a network in which one use of the spike carries a gradient."""
    v, x, theta = gc.state("v"), gc.input("x"), gc.param("theta", 0.75, learn=True)
    options = {"update": {v: 0.75 * v + x}, "reset": {v: v - theta}}
    if which == "previous spike":
        options = {"update": {v: 0.75 * v + x - theta * gc.previous(gc.spike, 2)}}
    if which == "output":
        options["output"] = v * gc.spike + gc.at_threshold(v**2)
    neuron = gc.Neuron("N", spike=gc.Spike(v > theta, detach_reset=False), **options)
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("hid", neuron, 3)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=0.5)
    net.connect("hid", "hid", weight=0.125, delay=2)
    net.output("hid")
    return net


@pytest.mark.parametrize("which", ATTACHED)
def test_attached_spikes_carry_gradients(which):
    e = network_experiment(attached(which))
    assert not any(isinstance(n, StopGradient) for n in e.program.regions[0].graph.nodes)
    assert_equal_gradients(e.adjoint(e.complete()), e.autograd())
    check_against_differences(e)


@pytest.mark.parametrize("delay", [1, 3])
def test_a_past_that_conditions_alone_read_still_hands_back_the_gradient_of_its_final_values(delay):
    v, x = gc.state("v"), gc.input("x")
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("hid", gc.Neuron("N", update={v: gc.where(gc.previous(v, delay) <= 1, v + x, v / 2)}), 3)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=0.5)
    net.output("hid")
    e = network_experiment(net)
    found, wanted = e.adjoint(e.complete()), e.autograd()
    assert (
        difference(found["x"], wanted["x"]) < EXACT
        and difference(found["hid.v@initial"], wanted["hid.v@initial"]) < EXACT
    )


def test_shared_weight_collects_every_use():
    net = gc.Network(dt=1.0)
    net.input("a", 2)
    net.population("hid", small.LEAKY, 2)
    net.population("out", small.LEAKY, 2)
    first = net.connect("a", "hid", weight=[[0.5, 0.25], [-0.5, 1.0]])
    net.connect("hid", "out", weight=first)
    net.output("out")
    e = network_experiment(net)
    assert_equal_gradients(e.adjoint(e.complete()), e.autograd())


def lif_adjoint() -> tuple[Experiment, Program]:
    e = network_experiment(attached("reset"))
    program = run_passes(discrete(e.program), [Adjoint(Request(wrt=frozenset(e.wrt), final=True))])
    return e, program


def test_unfused_adjoint_equals_autograd():
    e, program = lif_adjoint()
    assert_equal_gradients(e.adjoint(program), e.autograd())


def test_reverse_read_at_the_wrong_step_is_noticed():
    e, program = lif_adjoint()
    region = program.region("reverse")
    moved = [replace(n, delay=n.delay - 1) if isinstance(n, Read) else n for n in region.graph.nodes]
    broken = [replace(r, graph=r.graph.with_nodes(moved)) if r is region else r for r in program.regions]
    found, wanted = e.adjoint(program.with_regions(broken)), e.autograd()
    assert difference(found["hid_hid.weight"], wanted["hid_hid.weight"]) > 1e-3


def test_lost_stop_gradient_is_noticed():
    e = zoo_experiment("LIF", "recurrent", steps=30)
    found, wanted = e.adjoint(e.complete(unstopped(e.program))), e.autograd()
    assert difference(found["stim_hid.weight"], wanted["stim_hid.weight"]) > 1e-3


def test_lost_carry_gradient_is_noticed():
    e, program = lif_adjoint()
    region = program.region("reverse")
    (carry,) = region.graph.carries
    graph = replace(region.graph, carries=(replace(carry, next=carry.current),))
    broken = program.with_regions([replace(r, graph=graph) if r is region else r for r in program.regions])
    found, wanted = e.adjoint(broken), e.autograd()
    assert difference(found["x_hid.weight"], wanted["x_hid.weight"]) > 1e-3


def small_adjoint(*wrt: str, final: bool = False) -> Program:
    passes = [Discretize(), SplitPrologue(), Adjoint(Request(wrt=frozenset(wrt), final=final))]
    return run_passes(lower(small.feedforward()), passes)


def test_reverse_region_reads_as_the_chain_rule(golden):
    golden(show(small_adjoint("inp_out.weight", "inp")))


def test_second_adjoint_is_the_same_object():
    program = small_adjoint("inp_out.weight")
    assert Adjoint(Request(wrt=frozenset({"inp"}))).run(program) is program


def test_without_request_only_stop_gradients_go():
    program = run_passes(lower(small.recurrent()), [Discretize(), SplitPrologue(), Adjoint(Request())])
    assert [r.kind for r in program.regions] == ["once", "steps"]
    assert not any(isinstance(n, StopGradient) for r in program.regions for n in r.graph.nodes)


def test_unwanted_gradients_are_not_computed():
    names = {o.name for o in small_adjoint("inp").region("reverse").graph.outputs}
    assert names == {"d(inp)"}


def test_adjoint_changes_no_forward_number():
    e = network_experiment(small.recurrent())
    before, after = interpret(discrete(e.program), e.given), interpret(e.complete(), e.given)
    names = [*e.program.outputs, *(final(t.name) for t in e.program.states)]
    assert float(before["out.output"].abs().max()) > 0
    assert all(torch.equal(before[n], after[n]) for n in names)
