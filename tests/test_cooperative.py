"""Programs that share out the neurons of a time loop, under Triton's interpreter: alone, and several in lock step."""

import os
import re
from dataclasses import replace

import pytest
import torch

import graphc as gc
from graphc.codegen.triton import emit
from graphc.ir import TargetError
from graphc.passes.phases import phases_of
from graphc.runtime import cooperative

from .models import triton_kernels
from .models.kernels import adjoint, cuba, draw, run_reference, schedule_of
from .models.narrow import NARROW, rounding_to_nearest
from .models.triton_kernels import for_triton, run_triton
from .models.triton_lockstep import lockstep
from .oracles import networks
from .oracles.networks import KINDS, SCALES, build
from .test_precision import adaptive, emulated

pytestmark = pytest.mark.interpret

TOLERANCE = 2e-4  # float32: steps of rounding, no spike at the threshold
STORAGE = {"z": "uint8"}


@pytest.fixture(autouse=True)
def passes_are_checked_elsewhere(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def cooperating(plan, programs, held=0, **options):
    plan = for_triton(plan, "cooperative", {"programs": programs, "held": held, **options})
    kernel = plan.kernels[0]
    return replace(plan, kernels=(replace(kernel, phases=phases_of(kernel.graph)),))


def assert_same(plan, steps, batch, start=0):
    given = draw(plan, steps, batch)
    with lockstep() as launches:
        ours = run_triton(plan, given, steps, batch, start)
    for name, tensor in run_reference(plan, given, steps, batch, start).items():
        scale = max(1.0, float(tensor.abs().max()))
        torch.testing.assert_close(ours[name].double(), tensor.double(), rtol=0, atol=TOLERANCE * scale, msg=name)
    return ours, launches


@pytest.mark.parametrize("held", [0, 1])
@pytest.mark.parametrize("delay", [1, 4])  # a history in registers, and in memory
def test_programs_hear_of_each_other_at_every_step(delay, held):
    for neurons, programs, steps, batch in ((37, 3, 5, 17), (140, 5, 3, 1), (20, 3, 4, 2)):  # 20: a program without
        plan = schedule_of(cuba(delay), "steps", {"hid": neurons}, "float32", {}, STORAGE)
        ours, launches = assert_same(cooperating(plan, programs, held), steps, batch)
        assert 0 < ours["z"].sum() < ours["z"].numel()
        assert [launch.grid for launch in launches] == [(-(-batch // 16), programs, 1)]


@pytest.mark.parametrize("held", [0, 1])
def test_gradients_through_weights_wait_for_all_neurons(held):
    for neurons, outputs, programs, steps, batch in ((37, 20, 3, 4, 19), (130, 1, 2, 3, 2)):
        plan = schedule_of(adjoint(), "reverse", {"h": neurons, "o": outputs}, "float32")
        assert_same(cooperating(plan, programs, held), steps, batch)


@pytest.mark.parametrize("shares", [1, 2, 4, 8])
def test_warps_share_out_the_terms_of_the_sums(shares):
    options = {"shares": shares, "ahead": 2, "depth": 128}
    plan = cooperating(schedule_of(cuba(1), "steps", {"hid": 140}, "float32", {}, STORAGE), 5, 1, **options)
    assert ("_by_warp(" in emit(plan)["forward"]) is (shares > 1)
    ours, _ = assert_same(plan, 3, 2)
    assert 0 < ours["z"].sum() < ours["z"].numel()


@pytest.mark.parametrize("seed", range(4))
def test_the_order_in_which_programs_run_does_not_matter(seed):
    plan = cooperating(schedule_of(cuba(1), "steps", {"hid": 40}, "float32", {}, STORAGE), 3)
    given = draw(plan, 6, 3)
    with lockstep():
        wanted = run_triton(plan, given, 6, 3)
    with lockstep(order="random", seed=seed):
        ours = run_triton(plan, given, 6, 3)
    assert wanted["z"].any() and all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_programs_that_do_not_wait_hear_the_wrong_step(monkeypatch):
    plan = cooperating(schedule_of(cuba(1), "steps", {"hid": 40}, "float32", {}, STORAGE), 3)
    given = draw(plan, 6, 3)
    with lockstep(order="random", seed=1):
        wanted = run_triton(plan, given, 6, 3)
        texts = {half: re.sub(r"\n +_wait\(.*", "", text) for half, text in emit(plan).items()}
        monkeypatch.setattr(triton_kernels, "emit", lambda plan: texts)
        assert not torch.equal(run_triton(plan, given, 6, 3)["z"], wanted["z"])


def test_batch_tiles_that_cannot_all_run_at_once_are_launched_in_turn(monkeypatch):
    monkeypatch.setattr(cooperative, "running_at_once", lambda device: 5)
    plan = cooperating(schedule_of(cuba(1), "steps", {"hid": 20}, "float32", {}, STORAGE, ("i2", "v2")), 2)
    _, launches = assert_same(plan, 3, 70)  # five tiles of 16 samples
    assert [launch.grid for launch in launches] == [(2, 2, 1), (2, 2, 1), (1, 2, 1)]
    given, bad = draw(plan, 3, 70), torch.zeros(4, dtype=torch.int64)
    given["x"][1, 66, 17] = float("nan")
    with lockstep():
        run_triton(plan, given, 3, 70, start=10, bad=bad)
    assert bad.tolist() == [1, 11, 66, 17]


def test_programs_that_a_device_cannot_run_at_once_are_refused(monkeypatch):
    monkeypatch.setattr(cooperative, "running_at_once", lambda device: 2)
    plan = cooperating(schedule_of(cuba(1), "steps", {"hid": 40}, "float32", {}, STORAGE), 3)
    with pytest.raises(TargetError, match="3 programs wait for each other and the device runs 2") as refused:
        run_triton(plan, draw(plan, 3, 2), 3, 2)
    assert "stepwise" in str(refused.value)


def gradients(case, target, steps, dtype, **options):
    """Return outputs, final states and all gradients of one run over the first `steps` steps."""
    torch.manual_seed(0)
    model = gc.compile(case.network, target=target, dtype=dtype, **options)
    x = torch.as_tensor(case.inputs["stim"][:steps].copy()).to(dtype).requires_grad_()
    run = model.run(x)
    found = dict(run.output) if isinstance(run.output, dict) else {"output": run.output}
    found |= {name: v for name, v in run.state.items() if v.is_floating_point()}
    torch.manual_seed(1)
    sum((v * torch.randn(v.shape, dtype=torch.float64).to(dtype)).sum() for v in found.values()).backward()
    grads = {name: p.grad for name, p in model.named_parameters()} | {"x": x.grad}
    return {name: v.detach().double() for name, v in (found | grads).items() if v is not None}


def assert_equals_the_reference(case, steps, near=TOLERANCE, **schedule):
    wanted = gradients(case, "reference", steps, torch.float64)
    ours = gradients(case, "triton", steps, torch.float32, schedule={"strategy": "cooperative", **schedule})
    assert wanted.keys() == ours.keys() and wanted["x"].any()
    for key, tensor in wanted.items():
        scale = float(tensor.abs().max()) + 1e-30
        atol = 0 if set(tensor.unique().tolist()) == {0.0, 1.0} else near  # spikes are equal
        torch.testing.assert_close(ours[key] / scale, tensor / scale, rtol=0, atol=atol, msg=key)


EVERY = [(name, topology) for name in SCALES for topology in ("recurrent", "delays", "layers")]
MORE = ("LI", "Theta", "IzhikevichPublished")  # an output that is a state, a phase, values in the hundreds
SOME = [*((name, "recurrent") for name in (*KINDS, *MORE)), ("ALIF", "layers"), ("CuBaLIF", "delays")]


@pytest.mark.parametrize(("name", "topology"), EVERY if os.environ.get("GRAPHC_EVERY_CASE") else SOME)
def test_one_program_for_all_neurons_equals_the_reference(name, topology):
    steep = name == "IzhikevichPublished"  # v is in the hundreds, and so is the rounding of what the surrogate sees
    assert_equals_the_reference(build(name, topology), 12, near=2e-3 if steep else TOLERANCE)


def test_populations_that_programs_share_out_equal_the_reference(monkeypatch):
    monkeypatch.setitem(networks.SIZES, "hid", 37)  # slices of 16: one is not full
    monkeypatch.setitem(networks.SIZES, "top", 20)  # one program has none of these
    with lockstep() as launches:
        assert_equals_the_reference(build("ALIF", "layers"), 8, columns=16)
    assert [launch.grid for launch in launches].count((1, 3, 1)) == 2


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_factors_are_rounded_as_an_emulation_rounds_them(precision):
    net, weights = adaptive(recurrent=True)
    model = gc.compile(net, target="triton", precision=precision, schedule={"strategy": "cooperative", "columns": 16})
    x = ((torch.rand(6, 2, 12) < 0.4) * torch.randint(1, 9, (6, 2, 12)) / 8).to(NARROW[precision]).requires_grad_()
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    y, z = emulated(x.detach().float(), leaves["x_hid"], leaves["hid_out"], leaves["hid_hid"], NARROW[precision])
    weight = torch.randn(y.shape)
    (y * weight).sum().backward()
    with rounding_to_nearest(), lockstep() as launches:
        run = model.run(x, record=["hid.spike"])
        (run.output.float() * weight).sum().backward()
    assert torch.equal(run.records["hid.spike"].float(), z) and z.any() and torch.equal(run.output.float(), y)
    assert [launch.grid for launch in launches].count((1, 3, 1)) == 2
    near = 3e-2 if precision == "bfloat16" else 4e-3
    for name, leaf in leaves.items():
        found = getattr(model, name).weight.grad
        assert (found - leaf.grad).abs().max() < near * leaf.grad.abs().max(), name
