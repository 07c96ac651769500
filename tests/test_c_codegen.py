"""Time loops in C against the interpreter, on kernels built by hand."""

import pytest
import torch

from graphc.codegen.c import emit

from .models.kernels import adaptive, adjoint, cuba, draw, run_c, run_reference, schedule_of

EXTENTS = {37: [(20, 5), (0, 2), (5, 0)], 3: [(4, 1)], 64: [(9, 8), (1, 19)]}  # neurons -> steps and samples
TOLERANCE = {"float64": 1e-11, "float32": 2e-4}  # float32: 20 steps of rounding, no spike at the threshold


def assert_same(plan, steps, batch, start=0, spikes=()):
    given = draw(plan, steps, batch)
    ours, wanted = run_c(plan, given, steps, batch, start), run_reference(plan, given, steps, batch, start)
    for name, tensor in wanted.items():
        assert ours[name].shape == tensor.shape, name
        tolerance = TOLERANCE[plan.dtype] * max(1.0, float(tensor.abs().max()) if tensor.numel() else 0.0)
        torch.testing.assert_close(ours[name].double(), tensor.double(), rtol=0, atol=tolerance, msg=name)
    if steps * batch > 100:
        assert all(0.001 < float(wanted[name].mean()) < 0.999 for name in spikes)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_recurrence_by_spikes_equals_the_interpreter(delay, dtype):
    for neurons, extents in EXTENTS.items():
        plan = schedule_of(cuba(delay), "steps", {"hid": neurons}, dtype, {"rows": 4}, {"z": "uint8"})
        for steps, batch in extents:
            assert_same(plan, steps, batch, spikes=["z"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["steps", "reverse"])
def test_elementwise_loops_equal_the_interpreter(kind, dtype):
    storage = {"held": "uint8", "k0": "int32", "k1": "int32"}
    for neurons, steps, batch in ((5, 9, 30), (2100, 11, 2)):
        plan = schedule_of(adaptive(), kind, {"h": neurons}, dtype, {}, storage)
        assert_same(plan, steps, batch, start=7, spikes=["z", "held"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_through_weights_equal_the_interpreter(dtype):
    for neurons, outputs, steps, batch in (
        (37, 20, 5, 19),
        (64, 16, 4, 8),
        (33, 7, 5, 1),
        (16, 1, 3, 2),
        (40, 33, 2, 3),
    ):
        plan = schedule_of(adjoint(), "reverse", {"h": neurons, "o": outputs}, dtype, {"rows": 8})
        assert_same(plan, steps, batch)


def test_strides_of_sequences_are_honoured():
    plan = schedule_of(cuba(1), "steps", {"hid": 20}, options={"rows": 4})
    given = draw(plan, 6, 5)
    wanted = run_c(plan, given, 6, 5)
    given["x"] = given["x"].transpose(0, 1).contiguous().transpose(0, 1)  # batch first in memory
    assert not given["x"].is_contiguous()
    assert torch.equal(run_c(plan, given, 6, 5)["c"], wanted["c"])
    given["x"] = given["x"][:1, :1].expand(6, 5, 20)
    assert torch.equal(run_c(plan, given, 6, 5)["c"], run_c(plan, {**given, "x": given["x"].contiguous()}, 6, 5)["c"])


def test_results_do_not_depend_on_the_number_of_threads():
    plan = schedule_of(adaptive(), "steps", {"h": 1500}, "float32", {}, {"k0": "int32", "k1": "int32"})
    given, before = draw(plan, 20, 16), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run_c(plan, given, 20, 16)
        torch.set_num_threads(3)
        three = run_c(plan, given, 20, 16)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one[name], three[name]) for name in one)
    assert float(one["total"]) != 0


def test_large_outputs_written_past_the_cache_are_the_same():
    plan = schedule_of(cuba(), "steps", {"hid": 512}, "float32")
    assert "_stream(" in emit(plan)["forward"]
    given = draw(plan, 40, 64)  # 5 MB an output
    assert torch.equal(run_c(plan, given, 40, 64)["c"][:5], run_c(plan, {**given, "x": given["x"][:5]}, 5, 64)["c"])


def test_the_first_value_that_is_not_finite_is_reported():
    plan = schedule_of(cuba(1), "steps", {"hid": 20}, options={"rows": 4}, checks=("v2", "i2"))
    given, bad = draw(plan, 9, 7), torch.zeros(4, dtype=torch.int64)
    run_c(plan, given, 9, 7, 100, bad)
    assert bad.tolist() == [0, 0, 0, 0]
    given["x"][5, 2, 11] = float("inf")
    given["x"][4, 6, 13] = float("nan")
    given["x"][4, 6, 12] = float("-inf")
    run_c(plan, given, 9, 7, 100, bad)
    assert bad.tolist() == [1, 104, 6, 12]


def test_a_check_of_a_kept_state_and_no_word_to_report_to_are_fine():
    plan = schedule_of(cuba(), "steps", {"hid": 20}, checks=("i2",))
    given, bad = draw(plan, 3, 2), torch.zeros(4, dtype=torch.int64)
    given["x"][1, 1, 3] = float("nan")
    assert torch.isnan(run_c(plan, given, 3, 2)["c"]).any()
    run_c(plan, given, 3, 2, 0, bad)
    assert bad.tolist() == [1, 1, 1, 3]


def test_the_text_of_an_elementwise_kernel(golden):
    golden(
        kernel_text(emit(schedule_of(cuba(), "steps", {"hid": 20}, "float32", {"rows": 4}, checks=("v2",)))["forward"])
    )


def test_the_text_of_a_recurrent_kernel(golden):
    golden(kernel_text(emit(schedule_of(cuba(2), "steps", {"hid": 20}, "float32", {"rows": 4}))["forward"]))


def test_the_text_of_a_backward_kernel(golden):
    golden(kernel_text(emit(schedule_of(adjoint(), "reverse", {"h": 20, "o": 3}, "float64", {"rows": 4}))["forward"]))


def test_texts_are_deterministic():
    texts = [emit(schedule_of(adaptive(), "steps", {"h": 20}, "float32"))["forward"] for _ in range(2)]
    assert texts[0] == texts[1]


def kernel_text(text):
    """Return a text from its first kernel on: what the kernels share is not repeated in every golden file."""
    return text[text.index("struct _") :]
