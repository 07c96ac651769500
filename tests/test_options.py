"""Options of `schedule=`: none changes a number, each is refused where it means nothing."""

import pytest
import torch

import graphc as gc

from .models.tuning import network, spikes

C = [
    {"rows": 3},
    {"rows": 1},
    {"packed": 1},
    {"packed": 1, "dense_rows": 6, "rows": 6},
    {"dense_rows": 1},
    {"vector": 128},
    {"stream": 0},
    {"threads": 1},
    {"neurons": 64},
    {"spikes": "numbers"},
    {"recompute": 0},
    {"checkpoint": 7},
    {"forward.rows": 2, "backward.rows": 5},
]


def numbers(target, schedule, steps=20, batch=9, **options):
    """Return output and gradients of one training call."""
    torch.manual_seed(0)
    model = gc.compile(network(), target=target, schedule=schedule, **options)
    x = spikes(steps, batch).to(model.dtype).requires_grad_()
    y = model(x)
    assert y.abs().max() > 0
    y.square().sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in model.parameters())]


@pytest.fixture(scope="module")
def wanted():
    return numbers("c", {})


@pytest.mark.parametrize("schedule", C, ids=str)
def test_an_option_of_c_keeps_every_bit(schedule, wanted):
    found = numbers("c", schedule)
    assert all(torch.equal(a, b) for a, b in zip(found[:2], wanted[:2], strict=True))
    exact = "checkpoint" not in schedule and not any("rows" in name and "dense" not in name for name in schedule)
    for a, b in zip(found[2:], wanted[2:], strict=True):  # sums over the batch go block by block
        torch.testing.assert_close(a, b, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6 * float(b.abs().max()))


def test_doubles_fit_into_the_shortest_vectors():
    double = {"dtype": torch.float64, "steps": 5, "batch": 3}
    for a, b in zip(numbers("c", {"vector": 128}, **double), numbers("c", {}, **double), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13 * float(b.abs().max()))


@pytest.mark.parametrize("percent", [0, 100])
def test_dense_products_and_events_agree(percent, wanted):
    for a, b in zip(numbers("c", {"dense": percent}), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6 * float(b.abs().max()))


@pytest.mark.interpret
@pytest.mark.parametrize(
    "schedule", [{"spikes": "bytes"}, {"spikes": "numbers"}, {"recompute": 0}, {"stages": 2}], ids=str
)
def test_an_option_of_triton_keeps_every_bit(schedule):
    pairs = zip(numbers("triton", schedule, 5, 2), numbers("triton", {}, 5, 2), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def texts(schedule):
    build = gc.compile(network(), target="c", schedule=schedule).build()
    return build.texts["forward"], build.texts["backward"]


def test_an_option_of_one_half_leaves_the_other_alone():
    (forward, backward), (f, b) = texts({}), texts({"backward.rows": 2, "backward.vector": 128})
    assert f == forward
    assert b != backward
    assert texts({"forward.rows": 2, "backward.rows": 2}) == texts({"rows": 2})


@pytest.mark.parametrize(
    ("target", "schedule", "match"),
    [
        ("c", {"rowz": 2}, "no option 'rowz'"),
        ("c", {"middle.rows": 2}, "no option 'middle.rows'"),
        ("c", {"forward.recompute": 0}, "no option 'forward.recompute'"),
        ("c", {"rows": 0}, "no positive int"),
        ("c", {"packed": 2}, "not within 0 to 1"),
        ("c", {"packed": -1}, "no int from 0 on"),
        ("c", {"dense": 101}, "not within 0 to 100"),
        ("c", {"spikes": "words"}, "no value of spikes 'words'"),
        ("c", {"vector": 300}, "no value of vector 300"),
        ("c", {"backward.warps": 4}, "'backward.warps', which target 'c' does not know"),
        ("triton", {"packed": 1}, "'packed', which target 'triton' does not know"),
        ("reference", {"recompute": 0}, "which target 'reference' does not know"),
    ],
)
def test_an_option_that_means_nothing_is_refused(target, schedule, match):
    with pytest.raises(gc.TargetError, match=match):
        gc.compile(network(), target=target, schedule=schedule)
