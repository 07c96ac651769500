"""Numbers and signals to spikes: latency, rate, delta modulation, level crossings, receptive fields."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from graphc.ir.errors import GraphcError

from .events import Events


def latency(
    values: Any,
    *,
    steps: int,
    last: float | None = None,
    tau: float | None = None,
    threshold: float = 0.0,
    jitter: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return at most one spike per value, the earlier the larger: shape ``(steps, *values.shape)``.

    The step is ``(1 - x) last``, or with `tau` the time at which a leaky integrator driven by x reaches `threshold`,
    ``tau log(x / (x - threshold))``, which is `last` at the latest; rounded to the nearest one.

    Args:
        values: from 0 to 1.
        steps: T.
        last: the step of the smallest value; the last one if not given.
        tau: time constant in steps.
        threshold: values up to it make no spike.
        jitter: standard deviation of a normal error of the step; what leaves the steps is moved to the nearest.
        generator: of the jitter.

    Raises:
        GraphcError: values outside 0 to 1.
    """
    x = _numbers(values, 0.0, 1.0)
    _positive(steps=steps)
    end = steps - 1 if last is None else last
    if not 0 <= end <= steps - 1:
        raise GraphcError(f"last is {last!r}: it is a step from 0 to {steps - 1}")
    if not 0 <= threshold < 1:
        raise GraphcError(f"threshold is {threshold!r}: it is at least 0 and less than 1")
    if tau is None:
        step = (1 - x) * end
    elif not (math.isfinite(tau) and tau > 0 and threshold > 0):
        raise GraphcError(f"tau={tau!r} needs to be a positive number of steps, and the threshold more than 0")
    else:
        step = (tau * torch.log(x / (x - threshold).clamp(min=1e-12))).clamp(max=end)
    if not (math.isfinite(jitter) and jitter >= 0):
        raise GraphcError(f"jitter is {jitter!r}: it is a standard deviation in steps")
    if jitter:
        step = step + jitter * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    spikes = torch.zeros(steps, *x.shape, dtype=x.dtype, device=x.device)
    spikes.scatter_(0, step.round().long().clamp(0, steps - 1)[None], 1.0)
    return spikes * (x > threshold)


def rate(values: Any, *, steps: int, generator: torch.Generator | None = None, poisson: bool = False) -> torch.Tensor:
    """Return independent random spikes in every step: shape ``(steps, *values.shape)``.

    Args:
        values: expected spikes per step: a firing rate times dt. From 0 to 1, with `poisson` any number from 0 on.
        steps: T.
        generator: of the draw.
        poisson: Poisson counts, which may exceed 1, instead of 0 or 1 with that probability.

    Raises:
        GraphcError: values that are no such expectation.
    """
    _positive(steps=steps)
    x = _numbers(values, 0.0, math.inf if poisson else 1.0, hint="poisson=True counts several spikes per step")
    expected = x.expand(steps, *x.shape)
    if poisson:
        return torch.poisson(expected, generator=generator)
    return (torch.rand(expected.shape, generator=generator, dtype=x.dtype, device=x.device) < expected).to(x.dtype)


def delta(signal: Any, threshold: float) -> torch.Tensor:
    """Return the spikes of a delta modulator: ``(T, ..., N)`` to ``(T, ..., 2 N)``, N for up and then N for down.

    A reference, at first the first value, follows the signal by one `threshold` per spike, and so at most by one in a
    step: a signal that changes faster is left behind and caught up with later.

    Raises:
        GraphcError: a signal that is not finite or has no time, or a threshold that is not positive.
    """
    x = _signal(signal)
    _positive(threshold=threshold)
    reference = x[0].clone()
    spikes = torch.zeros(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype, device=x.device)
    for t in range(1, len(x)):
        away = x[t] - reference
        up, down = away >= threshold, away <= -threshold
        reference += threshold * (up.to(x.dtype) - down.to(x.dtype))
        spikes[t] = torch.cat([up, down], -1)
    return spikes


def level_crossing(signal: Any, spacing: float, *, dt: float = 1.0) -> Events:
    """Return when a signal ``(T, B, N)`` or ``(T, N)`` crosses levels `spacing` apart: events of 2 N units.

    An event of unit n is signal n reaching the level above the one it was last at, of unit N + n the level below: one
    event per level, in continuous time on the line between two values. The levels count from the first value. The
    signal is never a `spacing` or more from the level of the last event. ``events_to_dense(*events, size=2 * N, ...)``
    bins them.

    Args:
        signal: one value each `dt`, the first at time 0.
        spacing: distance of two levels.
        dt: time between two values.

    Raises:
        GraphcError: a signal that is not finite or not of that shape, or a spacing or dt that is not positive.
    """
    x = _signal(signal).double().cpu().numpy()
    _positive(spacing=spacing, dt=dt)
    if x.ndim not in (2, 3):
        raise GraphcError(f"a signal has the shape (T, B, N) or (T, N), not {x.shape}")
    x = x.reshape(len(x), -1, x.shape[-1])
    height = (x - x[0]) / spacing
    if np.abs(height).max(initial=0) > 2**53:
        raise GraphcError(f"levels {spacing:g} apart are too many for this signal", hint="a larger spacing")
    low, high = np.floor(height), np.ceil(height)
    level = np.zeros_like(height)
    for t in range(1, len(x)):
        level[t] = np.clip(level[t - 1], low[t], high[t])
    crossed = np.abs(np.diff(level, axis=0)).astype(np.int64)
    step, sample, unit = np.nonzero(crossed)
    many = crossed[step, sample, unit]
    step, sample, unit = (np.repeat(array, many) for array in (step, sample, unit))
    nth = np.arange(len(step)) - np.repeat(np.cumsum(many) - many, many) + 1
    before, after = height[step, sample, unit], height[step + 1, sample, unit]
    sign = np.sign(level[step + 1, sample, unit] - level[step, sample, unit])
    reached = level[step, sample, unit] + sign * nth
    times = (step + (reached - before) / (after - before)) * dt
    units = unit + np.where(sign < 0, x.shape[-1], 0)
    order = np.lexsort((units, times, sample))
    return Events(times[order], units[order], sample[order])


def population(values: Any, *, neurons: int, low: float, high: float, width: float = 1.0) -> torch.Tensor:
    """Return the activity, at most 1, of Gaussian receptive fields: ``(..., N)`` to ``(..., N * neurons)``.

    Field k of `neurons` is centred at ``low + k spacing``, the last at `high`; the fields of one value are neighbours.
    `latency` and `rate` turn activities into spikes.

    Args:
        values: what to represent.
        neurons: fields per value, at least 2.
        low: centre of the first.
        high: centre of the last.
        width: standard deviation of a field in spacings.

    Raises:
        GraphcError: values that are not finite, or fields without a width or a place.
    """
    x = _numbers(values, -math.inf, math.inf)
    if x.ndim == 0:
        raise GraphcError("a single number has no axis (..., N)")
    _positive(neurons=neurons, width=width)
    if neurons < 2 or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise GraphcError(f"{neurons} fields from {low!r} to {high!r}: give at least 2, from a low to a higher centre")
    centres = torch.linspace(low, high, neurons, dtype=x.dtype, device=x.device)
    sigma = width * (high - low) / (neurons - 1)
    return torch.exp(-0.5 * ((x[..., None] - centres) / sigma) ** 2).flatten(-2)


def _numbers(values: Any, low: float, high: float, hint: str | None = None) -> torch.Tensor:
    """Return finite numbers from `low` to `high` as floats: float64 stays, everything else becomes float32."""
    tensor = torch.as_tensor(values)
    if tensor.is_complex():
        raise GraphcError(f"values are of {tensor.dtype}, no real numbers")
    x = tensor.to(torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    if not x.isfinite().all():
        raise GraphcError("values are not finite")
    if x.numel() and not (low <= x.min() and x.max() <= high):
        upper = f"to {high:g}" if math.isfinite(high) else "on"
        raise GraphcError(
            f"values go from {x.min().item():g} to {x.max().item():g}: they must be from {low:g} {upper}", hint=hint
        )
    return x


def _signal(signal: Any) -> torch.Tensor:
    x = _numbers(signal, -math.inf, math.inf)
    if x.ndim < 2 or len(x) == 0:
        raise GraphcError(f"a signal has the shape (T, ..., N) with a step at least, not {tuple(x.shape)}")
    return x


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        whole = name in ("steps", "neurons")
        if isinstance(number, bool) or (whole and not isinstance(number, (int, np.integer))):
            raise GraphcError(f"{name} is {number!r}: give a positive whole number")
        if not (math.isfinite(number) and number > 0):
            raise GraphcError(f"{name} is {number!r}: give a positive number")
