"""Products over all steps, driven by events, against the interpreter."""

import itertools

import pytest
import torch

from graphc.codegen.c import emit, is_event_driven
from graphc.runtime import load_c

from .models.kernels import draw, product, run_c, run_reference, schedule_of

SIZES = [(70, 300, 7, 5), (5, 3, 2, 1), (64, 20, 3, 40)]
TOLERANCE = {"float64": 1e-11, "float32": 1e-4}


@pytest.fixture
def dense_calls(monkeypatch):
    calls = []
    original = load_c.run_product
    monkeypatch.setattr(load_c, "run_product", lambda *args: (calls.append(args[0].name), original(*args)))
    return calls


@pytest.mark.parametrize(
    ("delay", "init", "storage", "dtype"),
    [
        (0, None, "uint8", "float32"),
        (1, None, "real", "float64"),
        (3, "past0", "uint8", "float32"),
        (3, "past0", "real", "float64"),
        (3, "past0", "values", "float32"),
    ],
)
@pytest.mark.parametrize("op", ["project", "outer"])
def test_events_equal_the_interpreter(op, delay, init, storage, dtype, dense_calls):
    for pre, post, steps, batch in SIZES:
        graph = product(op, delay, init, spikes=storage != "values")
        kept = {"z": "uint8"} if storage == "uint8" else {}  # the history stays of the real type
        plan = schedule_of(graph, "product", {"p": pre, "q": post}, dtype, {}, kept)
        given = draw(plan, steps, batch, rate=0.1)
        if storage == "values":
            given = {n: t * (torch.rand(t.shape) < 0.1) if n in ("z", "past0") else t for n, t in given.items()}
        ours, wanted = run_c(plan, given, steps, batch), run_reference(plan, given, steps, batch)
        for name, tensor in wanted.items():
            assert pre < 10 or tensor.abs().max() > 0
            torch.testing.assert_close(ours[name].double(), tensor, rtol=0, atol=TOLERANCE[dtype])
    assert len(dense_calls) <= 1  # two rows of five may well be dense


@pytest.mark.parametrize("op", ["project", "outer"])
def test_dense_sources_equal_the_interpreter(op, dense_calls):
    plan = schedule_of(product(op, spikes=False), "product", {"p": 40, "q": 24}, "float64")
    given = draw(plan, 6, 5)
    ours, wanted = run_c(plan, given, 6, 5), run_reference(plan, given, 6, 5)
    for name, tensor in wanted.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-11)
    assert dense_calls == ["product"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_with_the_transpose_equal_the_interpreter(dtype, dense_calls):
    for pre, post, steps, batch in [(70, 20, 7, 70), (5, 3, 2, 1), (16, 1, 3, 9)]:
        plan = schedule_of(product("transposed"), "product", {"p": pre, "q": post}, dtype)
        given = draw(plan, steps, batch)
        ours, wanted = run_c(plan, given, steps, batch), run_reference(plan, given, steps, batch)
        torch.testing.assert_close(ours["back"].double(), wanted["back"], rtol=0, atol=TOLERANCE[dtype])
    assert dense_calls == []


def test_a_gradient_by_events_does_not_depend_on_the_number_of_threads():
    plan = schedule_of(product("outer"), "product", {"p": 200, "q": 48}, "float32", {}, {"z": "uint8"})
    given, before = draw(plan, 30, 20, rate=0.05), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(run_c(plan, given, 30, 20)["dw"])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_not_a_number_in_the_source_is_not_skipped():
    plan = schedule_of(product("project", spikes=False), "product", {"p": 50, "q": 20}, "float32")
    given = draw(plan, 2, 3)
    given["z"] *= torch.rand(given["z"].shape) < 0.1
    given["z"][1, 2, 7] = float("nan")
    rows = torch.isnan(run_c(plan, given, 2, 3)["drive"]).any(-1)
    assert rows.tolist() == [[False, False, False], [False, False, True]]


def test_nothing_happens_without_samples_or_steps():
    for (steps, batch), op in itertools.product([(0, 3), (3, 0)], ["project", "outer"]):
        plan = schedule_of(product(op, 1), "product", {"p": 5, "q": 20}, "float32")
        written = run_c(plan, draw(plan, steps, batch), steps, batch)
        assert all(not t.numel() or not t.any() for t in written.values())


def test_only_products_of_possible_spikes_are_emitted():
    assert not is_event_driven(*_kernel("transposed"))
    assert is_event_driven(*_kernel("outer"))
    assert "_density" not in emit(_kernel("transposed")[0])["forward"]


def test_the_text_of_a_projection(golden):
    text = emit(schedule_of(product("project", 1, "past0"), "product", {"p": 50, "q": 20}, "float32"))["forward"]
    golden(text[text.index("int64_t product_density") :])


def test_the_text_of_a_gradient(golden):
    text = emit(schedule_of(product("outer", spikes=False), "product", {"p": 50, "q": 20}, "float64"))["forward"]
    golden(text[text.index("int64_t product_density") :])


def _kernel(op):
    plan = schedule_of(product(op), "product", {"p": 5, "q": 4})
    return plan, plan.kernels[0]
