"""Event streams to dense sequences and back, and batches of unequal length."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.data import dense_to_events, events_to_dense, pad

DOCS = Path(__file__).parents[1] / "docs" / "data.md"
SHAPE = {"steps": 4, "dt": 0.5, "size": 3}


@st.composite
def streams(draw):
    dt = draw(st.sampled_from([0.1, 0.5, 1.0, 1 / 3]))
    event = st.tuples(st.floats(0, 20), st.integers(0, 4))
    return dt, draw(st.lists(st.lists(event, max_size=12), min_size=1, max_size=4))


@given(streams())
@settings(max_examples=40, deadline=None)
def test_every_event_is_counted_in_the_step_that_holds_it(stream):
    dt, samples = stream
    times, units = [[e[0] for e in s] for s in samples], [[e[1] for e in s] for s in samples]
    dense = events_to_dense(times, units, steps=300, dt=dt, size=5)
    assert dense.shape == (300, len(samples), 5)
    wanted = np.zeros(dense.shape)
    for b, events in enumerate(samples):
        for time, unit in events:
            wanted[int(time / dt + 1e-6), b, unit] += 1
    np.testing.assert_array_equal(dense, wanted)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.3, 1.0, 1 / 3, 1e-3]), st.floats(0, 50))
@settings(max_examples=40, deadline=None)
def test_dense_to_events_to_dense_is_the_same(seed, dt, start):
    dense = torch.poisson(torch.full((200, 2, 3), 0.1), generator=torch.Generator().manual_seed(seed))
    events = dense_to_events(dense, dt=dt, start=start)
    assert len(events.times) == dense.sum()
    again = events_to_dense(*events, steps=200, dt=dt, size=3, batch=2, start=start, outside="error")
    assert torch.equal(again, dense)
    single = events_to_dense(
        (np.arange(200) * dt).astype(np.float32), np.zeros(200, int), steps=200, dt=dt, size=1, outside="error"
    )
    assert (single == 1).all(), "times rounded to float32"


def test_events_are_in_order_of_sample_time_and_unit():
    events = dense_to_events(torch.tensor([[[0, 1], [2, 0]], [[1, 0], [0, 0]]]), dt=0.5)
    assert [list(a) for a in events] == [[0.0, 0.5, 0.0, 0.0], [1, 0, 0, 0], [0, 0, 1, 1]]


def test_binary_holds_one_and_uint8_holds_255_per_step():
    many = [[0.0] * 300], [[1] * 300]
    assert events_to_dense(*many, **SHAPE, binary=True, dtype=torch.uint8).sum() == 1
    assert events_to_dense(*many, **SHAPE)[0, 0, 1] == 300
    with pytest.raises(gc.GraphcError, match="300 events in one step"):
        events_to_dense(*many, **SHAPE, dtype=torch.uint8)
    with pytest.raises(gc.GraphcError, match="300 events"):
        events_to_dense(*many, **SHAPE, dtype=torch.bfloat16)


def test_half_precision_and_small_integers_neither_overflow_nor_wrap():
    dense = events_to_dense(
        np.array([1.4, 0.0], np.float16), np.array([699, 3], np.uint16), np.array([20, 0], np.uint8),
        steps=1401, dt=1e-3, size=700, dtype=torch.uint8,
    )  # fmt: skip
    assert dense.nonzero().tolist() == [[0, 0, 3], [1400, 20, 699]]


def test_events_outside_are_counted():
    times, units = [0.4, 5.0, 1.9, 2.0], [0, 0, 0, 0]
    with pytest.warns(gc.GraphcWarning, match="2 of 4 events are outside .* sample 0 at 5; the last step ends at 2"):
        assert events_to_dense(times, units, **SHAPE).sum() == 2
    with pytest.raises(gc.GraphcError, match="2 of 4 events"):
        events_to_dense(times, units, **SHAPE, outside="error")
    assert events_to_dense(times, units, **SHAPE, outside="drop", start=1.0).sum() == 2


def test_no_events_are_zeros():
    assert events_to_dense([], [], **SHAPE).shape == (4, 1, 3)
    assert events_to_dense([[], [0.1]], [[], [2]], **SHAPE).nonzero().tolist() == [[0, 1, 2]]
    assert events_to_dense([[], []], [[], []], **SHAPE, batch=5).shape == (4, 5, 3)


WRONG = {
    "sample 1: time nan of event 2 is not finite": ([[0.1], [0.1, 0.2, np.nan]], [[0], [0, 0, 0]]),
    "sample 1: time -0.1 of event 0 is negative": ([[0.1], [-0.1]], [[0], [0]]),
    "sample 0: event 1 is of unit 3, and units go from 0 to 2": ([[0.1, 0.1], []], [[0, 3], []]),
    "sample 0: event 0 is of unit -1": ([0.1], [-1]),
    "sample 1: 2 times and 1 units": ([[0.1], [0.1, 0.2]], [[0], [0]]),
    "2 arrays of times": ([[0.1], [0.1]], [[0]]),
    "units of events are an array of whole numbers": ([0.1], [0.5]),
    "times are an array of numbers": (["a"], [0]),
    "(1, 2, 1)": ([[[0.1], [0.2]]], [[[0], [0]]]),
    "is of sample -1": ([0.1], [0], [-1]),
    "1 times and 2 samples": ([0.1], [0], [0, 1]),
    "leave samples out": ([[0.1], [0.2]], [[0], [0]], [0]),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_stream_is_refused_with_its_sample(message):
    with pytest.raises(gc.GraphcError) as error:
        events_to_dense(*WRONG[message], **SHAPE)
    assert message in error.value.message


@pytest.mark.parametrize(
    "changed",
    [{"steps": 0}, {"steps": 2.5}, {"dt": 0.0}, {"dt": np.nan}, {"size": -1}, {"start": np.inf}, {"outside": "x"},
     {"batch": 0}, {"steps": 10**12, "size": 10**6}],
)  # fmt: skip
def test_wrong_sizes_are_refused(changed):
    with pytest.raises(gc.GraphcError, match=r"steps|dt|size|start|outside|batch|memory"):
        events_to_dense([0.1], [0], **(SHAPE | changed))


@pytest.mark.parametrize("dense", [torch.tensor([[[0.5]]]), torch.tensor([[[-1]]]), torch.full((1, 1, 1), torch.nan)])
def test_only_counts_are_events(dense):
    with pytest.raises(gc.GraphcError, match="only counts"):
        dense_to_events(dense)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_a_batch_keeps_its_samples_and_masks_the_rest(lengths):
    samples = [torch.randn(n, 2) for n in lengths]
    batch = pad(samples, list(range(len(lengths))), value=torch.nan)
    assert batch.mask.sum(0).tolist() == lengths == batch.lengths.tolist()
    for b, sample in enumerate(samples):
        assert torch.equal(batch.values[batch.mask[:, b], b], sample)
    assert batch.values[~batch.mask].isnan().all()
    if min(lengths):
        torch.testing.assert_close(batch.mean(batch.values), torch.stack([s.mean(0) for s in samples]))
        assert torch.equal(batch.last(batch.values), torch.stack([s[-1] for s in samples]))
    else:
        with pytest.raises(gc.GraphcError, match=f"sample {lengths.index(0)} has no step"):
            batch.mean(batch.values)


def test_padding_has_no_gradient():
    batch = pad([torch.ones(2, 1), torch.ones(3, 1)])
    output = torch.ones(3, 2, 1, requires_grad=True)
    batch.mean(output).sum().backward()
    assert output.grad[2, 0] == 0 and output.grad[1, 0] == 0.5


@pytest.mark.parametrize(
    ("samples", "labels"),
    [([], None), ([torch.ones(2, 1), torch.ones(2, 2)], None), ([torch.ones(2)], None), ([torch.ones(2, 1)], [1, 2]),
     ([torch.ones(2, 1), torch.ones(2, 1, dtype=torch.int64)], None)],
)  # fmt: skip
def test_what_makes_no_batch_is_refused(samples, labels):
    with pytest.raises(gc.GraphcError):
        pad(samples, labels)
