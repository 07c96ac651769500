"""A run that keeps the state of every K-th step alone gives the numbers of one that keeps everything."""

import functools
import os
from collections.abc import Mapping

import pytest
import torch

import graphc as gc

from .oracles.networks import SCALES, TOPOLOGIES, build

TARGETS = ["c", "reference"]
EVERY = os.environ.get("GRAPHC_EVERY_CASE") == "1"
CASES = [(n, t) for n in SCALES for t in TOPOLOGIES if EVERY or (n, t) in {("LIF", "delays"), ("CoBaLIF", "recurrent")}]


@functools.cache
def case(name: str, topology: str):
    return build(name, topology)


@functools.cache
def model(
    name: str, topology: str, every: int | str, target: str = "c", dtype: torch.dtype = torch.float64
) -> gc.Model:
    learn = gc.learn.BPTT(checkpoint=every)
    return gc.compile(case(name, topology).network, learn=learn, target=target, dtype=dtype)


def stimulus(name: str, topology: str, steps: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(case(name, topology).inputs["stim"][:steps], dtype=dtype)


def signals(name: str, topology: str) -> list[str]:
    return [f"{p}.{s}" for p in case(name, topology).populations for s in ("v", "spike") if name == "LIF"]


def everything(model: gc.Model, x: torch.Tensor, record: list[str], state: Mapping | None = None) -> dict:
    """Return outputs, records, final state and every gradient of a loss that reads all of them."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    given = None
    if state is not None:
        given = {k: v.detach().clone().requires_grad_() if v.is_floating_point() else v for k, v in state.items()}
    run = model.run(x, record=record, state=given)
    output = run.output if isinstance(run.output, dict) else {"output": run.output}
    found = {**output, **run.records, **{f"final {k}": v for k, v in run.state.items()}}
    loss = sum((v * torch.linspace(-1, 1.3, v.numel(), dtype=v.dtype).reshape(v.shape)).sum() for v in found.values())
    loss.backward()
    found |= {f"d {k}": p.grad for k, p in model.named_parameters()} | {"d x": x.grad}
    found |= {f"d {k}": v.grad for k, v in (given or {}).items() if v.is_floating_point()}
    return {k: v.detach() for k, v in found.items() if v is not None}


def assert_equal(got: dict, want: dict, tolerance: float = 1e-11) -> None:
    """Everything but gradients is equal bit for bit; gradients are summed in another order."""
    assert got.keys() == want.keys()
    for name in want:
        scale = float(want[name].abs().sum()) if name.startswith("d ") else 0.0
        torch.testing.assert_close(got[name], want[name], rtol=0, atol=tolerance * scale, msg=name)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "topology"), CASES)
def test_chunks_give_the_numbers_of_the_whole(name, topology, target):
    x, record = stimulus(name, topology, 23), signals(name, topology)
    state = model(name, topology, "none", target).run(stimulus(name, topology, 40)).state
    want = everything(model(name, topology, "none", target), x, record, state)
    got = everything(model(name, topology, 7, target), x, record, state)
    assert_equal(got, want)
    assert sum(k.startswith("d ") for k in want) > 2 and want["d x"].abs().max() > 0
    got = everything(model(name, topology, 7, target), x, record)  # from the initial state, which may be learned
    assert_equal(got, everything(model(name, topology, "none", target), x, record))


@pytest.mark.parametrize("steps", [0, 1, 6, 7, 8, 14, 15])
def test_any_number_of_steps_may_be_cut(steps):
    x = stimulus("LIF", "delays", steps)
    want = everything(model("LIF", "delays", "none"), x, ["hid.v"])
    assert_equal(everything(model("LIF", "delays", 7), x, ["hid.v"]), want)


@pytest.mark.interpret
def test_chunks_of_interpreted_triton_kernels_give_the_numbers_of_the_whole():
    x = stimulus("LIF", "delays", 15)
    want = everything(model("LIF", "delays", "none", "triton"), x, ["hid.v"])
    assert_equal(everything(model("LIF", "delays", 7, "triton"), x, ["hid.v"]), want)


def two_inputs(every: int | str) -> gc.Model:
    """Return a smooth network with two inputs, of which one crosses a delay."""
    net = gc.Network(dt=1.0)
    torch.manual_seed(0)
    net.input("a", 3)
    net.input("b", 2)
    net.population("hid", gc.zoo.CTRNN, 4)
    net.connect("a", "hid")
    net.connect("b", "hid", delay=3)
    net.connect("hid", "hid", delay=1)
    net.output("hid")
    return gc.compile(net, learn=gc.learn.BPTT(checkpoint=every), dtype=torch.float64)


def test_a_run_goes_on_where_another_ended():
    x = {n: torch.rand(12, 2, k, dtype=torch.float64).requires_grad_() for n, k in (("a", 3), ("b", 2))}
    found = []
    for every in ("none", 5):
        model = two_inputs(every)
        first = model.run({n: v[:7] for n, v in x.items()})
        second = model.run({n: v[7:11] for n, v in x.items()}, state=first.state)
        last, _ = model.step({n: v[11] for n, v in x.items()}, second.state)
        loss = first.output.pow(2).sum() + second.output.sum() + last.pow(3).sum()
        leaves = [*x.values(), *model.parameters()]
        found.append([loss, *torch.autograd.grad(loss, leaves, retain_graph=True), *torch.autograd.grad(loss, leaves)])
    assert len(found[0]) > 8 and all(g.abs().max() > 0 for g in found[0])
    for want, got in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_what_is_kept_is_the_state_of_every_k_th_step():
    kept: dict[str, int] = {}
    for every in ("none", 7):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, to=sizes: to.append(t.numel()) or t, lambda t: t):
            net = model("CuBaLIF", "feedforward", every)
            net(stimulus("CuBaLIF", "feedforward", 60))
        build = net.last_build()
        kept[every] = sum(sizes)
        rows = {build.shape(name, 60, 2)[0] for name in build.saved}
        assert rows == ({60} if every == "none" else {0, 8})
    assert kept["none"] - kept[7] == 60 * 2 * 6 - 2 * 8 * 2 * 6  # a saved condition; two states at eight borders


def test_compiled_code_takes_runs_that_are_cut_and_runs_that_are_not():
    torch.compiler.reset()
    cut, whole = model("LIF", "delays", 7), model("LIF", "delays", "none")
    compiled = torch.compile(cut, fullgraph=True, backend="aot_eager")
    for steps in (16, 5):
        x = stimulus("LIF", "delays", steps)
        for title, output in whole(x).items():
            torch.testing.assert_close(compiled(x)[title], output, rtol=0, atol=0)
    weight = cut.hid_hid.weight
    (got,) = torch.autograd.grad(compiled(stimulus("LIF", "delays", 23))["top"].sum(), weight)
    (want,) = torch.autograd.grad(cut(stimulus("LIF", "delays", 23))["top"].sum(), weight)
    torch.testing.assert_close(got, want)
    assert want.abs().max() > 0


def test_opcheck_accepts_a_run_that_is_cut():
    cut, x = model("CuBaLIF", "feedforward", 7), stimulus("CuBaLIF", "feedforward", 16)
    build = cut.build()
    arguments = (build.name, 16, 2, [x], [p for p in parameters_of(cut)], [])
    torch.library.opcheck(torch.ops.graphc.run.default, arguments)


def parameters_of(model: gc.Model) -> list[torch.Tensor]:
    from graphc.runtime.parameters import read_parameters

    return read_parameters(model, model._program)


def test_a_bad_input_is_traced_to_its_step_in_the_whole_run():
    x = stimulus("CuBaLIF", "feedforward", 40)
    x[31] = float("nan")
    with pytest.raises(gc.GraphcError, match="from step 31 on"):
        model("CuBaLIF", "feedforward", 7)(x)


def within(budget: int | None, every: int | str = "auto", target: str = "c") -> gc.Model:
    learn = gc.learn.BPTT(checkpoint=every, memory_budget=budget)
    return gc.compile(case("CuBaLIF", "recurrent").network, learn=learn, target=target)


def test_a_budget_takes_the_fewest_chunks_that_stay_within_it():
    whole = within(None).build().footprint(1000, 64).peak
    build = within(whole).build()
    assert build.every(1000, 64) == 1000 and build._cut is None
    build = within(whole - 1).build()
    assert build.every(1000, 64) == 500
    build = within(whole // 2).build()
    every = build.every(1000, 64)
    longer = -(-1000 // (-(-1000 // every) - 1))
    assert build.footprint(1000, 64, every).peak <= whole // 2 < build.footprint(1000, 64, longer).peak
    assert build.every(100, 64) == 100


def test_a_budget_that_nothing_meets_names_the_least():
    x = torch.zeros(1000, 64, 8)
    with pytest.raises(gc.TargetError, match=r"1000 steps and 64 samples needs (\d+) bytes") as error:
        within(1000)(x)
    least = int(str(error.value).partition(" needs ")[2].partition(" bytes")[0])
    within(least)(x).sum().backward()
    with pytest.raises(gc.TargetError, match=f"needs {least} bytes"):
        within(least - 1)(x)
    with pytest.raises(gc.TargetError, match="checkpoint='none'"):
        within(least, "none")(x)


def test_the_reference_has_no_budget():
    with pytest.raises(gc.TargetError, match="memory_budget needs a schedule"):
        within(10**9, target="reference")(torch.zeros(4, 1, 8))


@pytest.mark.parametrize("options", [{"checkpoint": "some"}, {"checkpoint": True}, {"memory_budget": 0.5}])
def test_options_are_positive_whole_numbers(options):
    with pytest.raises(gc.DeclarationError, match="must be a positive int"):
        gc.learn.BPTT(**options)
