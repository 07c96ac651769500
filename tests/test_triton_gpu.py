"""Triton kernels on a GPU, against the float64 reference on the CPU."""

import pytest
import torch

import graphc as gc

from .models.kernels import adaptive, adjoint, cuba, draw, run_reference, schedule_of
from .models.triton_kernels import for_triton, network_of, run_triton
from .oracles.networks import SCALES, build

pytestmark = pytest.mark.gpu

STORAGE = {"held": "uint8", "k0": "int32", "k1": "int32", "z": "uint8"}
TOLERANCE = {"float64": 1e-9, "float32": 3e-4}  # float32: a few hundred steps of rounding
CHAOTIC = {"Izhikevich", "IzhikevichPublished", "Theta"}  # rounding grows faster than the time loop forgets it


def assert_same(plan, steps, batch, start=0):
    given = draw(plan, steps, batch)
    ours = run_triton(plan, given, steps, batch, start, device="cuda")
    for name, tensor in run_reference(plan, given, steps, batch, start).items():
        scale = max(1.0, float(tensor.abs().max()))
        torch.testing.assert_close(
            ours[name].double() / scale, tensor.double() / scale, rtol=0, atol=TOLERANCE[plan.dtype], msg=name
        )
    return ours


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("delay", [1, 3])
def test_recurrence_equals_the_interpreter(delay, dtype):
    for neurons, warps in ((37, 4), (64, 8)) if dtype == "float64" else ((37, 4), (64, 8), (128, 16)):
        plan = schedule_of(cuba(delay), "steps", {"hid": neurons}, dtype, {"warps": warps}, STORAGE)
        ours = assert_same(for_triton(plan, "resident"), 20, 37)
    assert ours["z"].any()


@pytest.mark.parametrize("unroll", [1, 4])
@pytest.mark.parametrize("kind", ["steps", "reverse"])
def test_elementwise_loops_equal_the_interpreter(kind, unroll):
    for neurons, steps, batch in ((5, 9, 30), (2100, 11, 2), (512, 15, 3)):
        plan = schedule_of(adaptive(), kind, {"h": neurons}, "float64", {"unroll": unroll}, STORAGE)
        assert_same(for_triton(plan, "elementwise"), steps, batch, start=7)


def test_gradients_through_weights_equal_the_interpreter():
    plan = schedule_of(adjoint(), "reverse", {"h": 37, "o": 20}, "float32")
    assert_same(for_triton(plan, "resident"), 5, 19)


def run(case, target, dtype, device):
    torch.manual_seed(0)
    model = gc.compile(case.network, target=target, dtype=dtype).to(device)
    x = torch.as_tensor(case.inputs["stim"].copy()).to(device, dtype).requires_grad_()
    y = model(x)
    outputs = y if isinstance(y, dict) else {"output": y}
    sum(
        (v.double() * torch.arange(v.numel(), device=device).reshape(v.shape).sin()).sum() for v in outputs.values()
    ).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"x": x.grad}
    return ({k: v.detach().double().cpu() for k, v in found.items()} for found in (outputs, gradients))


@pytest.mark.parametrize("topology", ["feedforward", "recurrent", "delays"])
@pytest.mark.parametrize("name", SCALES)
def test_every_neuron_equals_the_reference(name, topology):
    case = build(name, topology)
    outputs, gradients = run(case, "reference", torch.float64, "cpu")
    ours, our_gradients = run(case, "triton", torch.float64, "cuda")
    for wanted, got in ((outputs, ours), (gradients, our_gradients)):
        for key, tensor in wanted.items():
            scale = float(tensor.abs().max()) + 1e-30
            torch.testing.assert_close(got[key] / scale, tensor / scale, rtol=0, atol=1e-7, msg=key)


@pytest.mark.parametrize("name", [n for n in SCALES if n not in CHAOTIC])
def test_spikes_of_float32_equal_the_reference(name):
    case = build(name, "recurrent")
    wanted, _ = run(case, "reference", torch.float64, "cpu")
    ours, _ = run(case, "triton", torch.float32, "cuda")
    for key, tensor in wanted.items():
        assert (ours[key] - tensor).abs().mean() <= 2e-3 * tensor.abs().max()


def test_a_long_sequence_needs_no_second_build():
    model = gc.compile(network_of("LIF", 256), target="triton").to("cuda")
    with torch.no_grad():
        for steps in (1, 15, 16, 1000):
            assert model(torch.rand(steps, 3, 64, device="cuda")).shape == (steps, 3, 256)


def test_values_not_finite_are_reported():
    model = gc.compile(network_of("CuBaLIF", 64, 1), target="triton").to("cuda")
    x = torch.rand(12, 5, 64, device="cuda")
    x[7, 2, 3] = torch.nan
    with pytest.raises(gc.GraphcError, match="not finite from step 7"), torch.no_grad():
        model(x)
        model.check()
