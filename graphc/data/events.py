"""Event streams, lists of times and units, to dense sequences (T, B, N) and back."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from graphc.ir.errors import GraphcError, GraphcWarning

ON_A_BOUNDARY = 1e-6
"""A time this close to the start of a step, in steps, is on it: 0.3 / 0.1 is 2.9999999999999996."""


class Events(NamedTuple):
    """One entry per event, ordered by sample, then time, then unit."""

    times: np.ndarray
    units: np.ndarray
    samples: np.ndarray


def events_to_dense(
    times: Any,
    units: Any,
    samples: Any = None,
    *,
    steps: int,
    dt: float,
    size: int,
    batch: int | None = None,
    start: float = 0.0,
    binary: bool = False,
    outside: str = "warn",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Return the number of events in every step, of every sample and unit: shape ``(steps, batch, size)``.

    Step k holds the events with ``start + k dt <= time < start + (k + 1) dt``.

    Args:
        times: of the events, in any order; or a list of such arrays, one per sample.
        units: which unit each event is of, 0 to `size` - 1; a list like `times`.
        samples: which sample each event is of where `times` is one array; all of sample 0 if not given.
        steps: T.
        dt: length of a step, in the unit of `times`.
        size: N.
        batch: B; the number of arrays in `times`, or the last of `samples` plus one, if not given.
        start: the time at which step 0 begins.
        binary: 1 where there is an event, however many there are.
        outside: what to do about events before `start` or after the last step: "warn", "drop" or "error".
        dtype: of the result; uint8 holds 255 events per step.

    Raises:
        GraphcError: times are negative or not finite, units or samples out of range, arrays of unequal length, or
            more events in a step than `dtype` holds.
    """
    _check_sizes(steps, dt, size, start, outside)
    flat, size_of_batch = _flattened(times, units, samples, batch)
    when = _checked(flat, size, size_of_batch)
    step = steps_of(when, dt, start, flat.times.dtype)
    inside = (step >= 0) & (step < steps)
    if not inside.all() and outside != "drop":
        _report(flat, inside, outside, steps * dt + start)
    cell = (step[inside].astype(np.int64) * size_of_batch + flat.samples[inside]) * size + flat.units[inside]
    cells, counts = np.unique(cell, return_counts=True)
    dense = _zeros((steps, size_of_batch, size), dtype)
    if binary:
        counts = np.ones_like(counts)
    elif len(counts) and counts.max() > (most := _most(dtype)):
        raise GraphcError(f"{counts.max()} events in one step and unit: {dtype} holds {most}", hint="binary=True")
    dense.view(-1)[torch.from_numpy(cells)] = torch.from_numpy(counts).to(dtype)
    return dense


def dense_to_events(dense: torch.Tensor, *, dt: float = 1.0, start: float = 0.0) -> Events:
    """Return the events of counts `dense` ``(T, B, N)``, each at the start of its step.

    Raises:
        GraphcError: `dense` holds something else than counts.
    """
    if dense.ndim != 3:
        raise GraphcError(f"a sequence has the shape (T, B, N), not {tuple(dense.shape)}")
    counts = dense.detach().cpu().double().numpy()
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.floor(counts)).all()):
        raise GraphcError(
            "only counts (0, 1, 2, ...) are events", hint="keep signs apart: torch.cat([x > 0, x < 0], -1)"
        )
    sample, step, unit = np.nonzero(counts.transpose(1, 0, 2))
    many = counts[step, sample, unit].astype(np.int64)
    return Events(*(np.repeat(array, many) for array in (start + step * dt, unit, sample)))


def steps_of(times: np.ndarray, dt: float, start: float, stored: np.dtype[Any]) -> np.ndarray:
    """Return in which step of length `dt` each of the float64 `times` lies; `stored` is the type they came in."""
    with np.errstate(over="ignore"):
        exact = np.minimum((times - start) / dt, 2.0**62)
    near = np.rint(exact)
    slack: Any = ON_A_BOUNDARY
    if stored == np.float32:  # k * dt, rounded to float32, is on the boundary too
        slack = np.maximum(slack, np.finfo(np.float32).eps * np.abs(times) / dt)
    step: np.ndarray = np.where(np.abs(exact - near) <= slack, near, np.floor(exact))
    return step


def checked_times(times: np.ndarray, what: str) -> np.ndarray:
    """Return `times` in float64, or raise where one is negative or not finite."""
    when = times.astype(np.float64)  # float16 overflows at 65504, and resolves a second to a millisecond
    for wrong, is_wrong in (("is not finite", ~np.isfinite(when)), ("is negative", when < 0)):
        if is_wrong.any():
            k = int(is_wrong.argmax())
            raise GraphcError(f"{what}: time {when[k]:g} of event {k} {wrong}")
    return when


def check_units(units: np.ndarray, size: int, what: str) -> None:
    """Raise where one of `units` is not 0 to `size` - 1."""
    wrong = (units < 0) | (units >= size)
    if wrong.any():
        k = int(wrong.argmax())
        raise GraphcError(f"{what}: event {k} is of unit {units[k]}, and units go from 0 to {size - 1}")


def _check_sizes(steps: int, dt: float, size: int, start: float, outside: str) -> None:
    for name, number in (("steps", steps), ("size", size)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise GraphcError(f"{name} is {number!r}: give a positive whole number")
    if not (math.isfinite(dt) and dt > 0):
        raise GraphcError(f"dt is {dt!r}: give a positive number, in the unit of the times")
    if not math.isfinite(start):
        raise GraphcError(f"start is {start!r}: give a finite time")
    if outside not in ("warn", "drop", "error"):
        raise GraphcError(f"outside is {outside!r}: it is 'warn', 'drop' or 'error'")


def _flattened(times: Any, units: Any, samples: Any, batch: int | None) -> tuple[Events, int]:
    """Return one entry per event, and B."""
    if _is_ragged(times):
        if samples is not None:
            raise GraphcError("a list of arrays says which sample an event is of; leave samples out")
        if not _is_ragged(units) or len(units) != len(times):
            raise GraphcError(f"{len(times)} arrays of times need as many arrays of units")
        pairs = [_pair(t, u, f"sample {b}") for b, (t, u) in enumerate(zip(times, units, strict=True))]
        lengths = [len(t) for t, _ in pairs]
        flat_times = np.concatenate([t for t, _ in pairs]) if pairs else np.zeros(0)
        flat_units = np.concatenate([u for _, u in pairs]) if pairs else np.zeros(0, np.int64)
        which = np.repeat(np.arange(len(pairs)), lengths)
        size = len(pairs) if batch is None else batch
        if size < len(pairs):
            raise GraphcError(f"{len(pairs)} samples are more than batch={batch}")
    else:
        flat_times, flat_units = _pair(times, units, "events")
        which = np.zeros(len(flat_times), np.int64) if samples is None else _whole(samples, "samples")
        if len(which) != len(flat_times):
            raise GraphcError(f"{len(flat_times)} times and {len(which)} samples: there is one of each per event")
        size = batch if batch is not None else int(which.max(initial=0)) + 1
    return Events(flat_times, flat_units, which), size


def _is_ragged(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(np.ndim(entry) == 1 for entry in value) and len(value) > 0


def _pair(times: Any, units: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    when, which = np.asarray(times), _whole(units, f"units of {what}")
    if when.size == 0:
        when = when.reshape(-1).astype(np.float64)
    if when.dtype.kind not in "fiu" or when.ndim != 1:
        raise GraphcError(f"{what}: times are an array of numbers (events,), not {when.dtype} {when.shape}")
    if len(when) != len(which):
        raise GraphcError(f"{what}: {len(when)} times and {len(which)} units: there is one of each per event")
    return when, which


def _whole(values: Any, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise GraphcError(f"{what} are an array of whole numbers (events,), not {array.dtype} {array.shape}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise GraphcError(f"{what}: {array.max()} is out of range")
    return array.astype(np.int64)  # unsigned 16 bits would wrap in the arithmetic of cells


def _checked(flat: Events, size: int, batch: int) -> np.ndarray:
    """Return the times in float64; raise with the sample and the event within it that is wrong."""
    if batch < 1:
        raise GraphcError(f"batch is {batch!r}: give a positive whole number")
    wrong = (flat.samples < 0) | (flat.samples >= batch)
    if wrong.any():
        k = int(wrong.argmax())
        raise GraphcError(f"event {k} is of sample {flat.samples[k]}, and samples go from 0 to {batch - 1}")
    when = flat.times.astype(np.float64)
    bad = ~np.isfinite(when) | (when < 0) | (flat.units < 0) | (flat.units >= size)
    if bad.any():
        sample = int(flat.samples[int(bad.argmax())])
        mine = flat.samples == sample
        checked_times(flat.times[mine], f"sample {sample}")
        check_units(flat.units[mine], size, f"sample {sample}")
    return when


def _report(flat: Events, inside: np.ndarray, outside: str, end: float) -> None:
    lost = int((~inside).sum())
    first = int((~inside).argmax())
    message = (
        f"{lost} of {len(inside)} events are outside the steps, the first of sample {flat.samples[first]} "
        f"at {float(flat.times[first]):g}; the last step ends at {end:g}"
    )
    if outside == "error":
        raise GraphcError(message, hint='more steps, or outside="drop"')
    warnings.warn(f"{message}; outside='drop' leaves them out without a word", GraphcWarning, stacklevel=3)


def _zeros(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    try:
        return torch.zeros(shape, dtype=dtype)
    except RuntimeError as error:
        raise GraphcError(
            f"no memory for {' x '.join(map(str, shape))} numbers (steps, samples, units)", hint="fewer steps"
        ) from error


def _most(dtype: torch.dtype) -> int:
    """Return up to which count every whole number is one of `dtype`."""
    if dtype == torch.bool:
        return 1
    if dtype.is_floating_point:
        return int(2 / torch.finfo(dtype).eps)
    return int(torch.iinfo(dtype).max)
