"""Single Triton kernels on a GPU, against the interpreter in float64 on the CPU."""

import pytest
import torch

from .models.kernels import adaptive, adjoint, cuba, draw, run_reference, schedule_of
from .models.triton_kernels import for_triton, run_triton

pytestmark = pytest.mark.gpu

STORAGE = {"held": "uint8", "k0": "int32", "k1": "int32", "z": "uint8"}
TOLERANCE = {"float64": 1e-9, "float32": 3e-4}  # float32: some steps of rounding


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


@pytest.mark.parametrize("neurons, warps", [(64, 4), (64, 8), (128, 16)])
def test_products_that_are_read_in_the_time_loop_are_those_of_their_step(neurons, warps):
    """Triton once took the accumulator of a later step where a loop reads it before it adds again (triton#11836)."""
    plan = schedule_of(cuba(1), "steps", {"hid": neurons}, "float32", {"warps": warps}, STORAGE)
    given = {name: tensor.mul(64).round().div(64) for name, tensor in draw(plan, 300, 16).items()}
    given["keep"], given["fade"] = torch.full_like(given["keep"], 0.5), torch.tensor(0.5).double()
    # Excitation and inhibition in balance, so that spikes neither die out nor take over in so many steps.
    given["w"] = (given["w"] - given["w"].mean()).mul(64).round().div(64)
    given["x"] = given["x"] * 2
    ours = run_triton(for_triton(plan, "resident"), given, 300, 16, device="cuda")
    wanted = run_reference(plan, given, 300, 16)  # every number is short: a stale sum is no rounding
    assert 0.05 < wanted["z"].mean() < 0.95
    assert torch.equal(ours["z"].double()[:20], wanted["z"][:20])
    assert (ours["z"].double() == wanted["z"]).double().mean() > 0.999
