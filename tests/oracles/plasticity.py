"""Learning rules event by event in NumPy: between two events every trace is a closed form of the time that has passed.

Imports nothing of graphc. Spike times are step numbers; an arrival and a spike of the target in the same step are in
that order. Traces are 1 higher after an event and decay over the step as well: an event k steps later reads
``exp(-k dt / tau)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Times = Sequence[int]


def events(pre: Times, post: Times) -> Iterator[tuple[int, str]]:
    """Yield (step, "pre" or "post") in order, arrivals first."""
    merged = [(t, 0) for t in pre] + [(t, 1) for t in post]
    for t, side in sorted(merged):
        yield t, ("pre", "post")[side]


def trace(times: Times, now: int, tau: float, including: bool) -> float:
    """Return the all-to-all trace that an event at `now` reads of the events at `times`."""
    return float(sum(np.exp(-(now - t) / tau) for t in times if t < now or (including and t == now)))


def nearest(times: Times, now: int, tau: float, including: bool) -> float:
    """Return the trace of the last event alone."""
    past = [t for t in times if t < now or (including and t == now)]
    return float(np.exp(-(now - max(past)) / tau)) if past else 0.0


def pair(
    w: float,
    pre: Times,
    post: Times,
    plus: Callable[[float], float],
    minus: Callable[[float], float],
    taus: tuple[float, float],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    read: Callable[[Times, int, float, bool], float] = trace,
) -> float:
    """Return the weight after pair STDP whose amplitudes depend on the weight."""
    for now, side in events(pre, post):
        if side == "pre":
            w -= minus(w) * read(post, now, taus[1], False)
        else:
            w += plus(w) * read(pre, now, taus[0], True)
        w = min(max(w, bounds[0]), bounds[1])
    return w


def triplet(
    w: float,
    pre: Times,
    post: Times,
    a: tuple[float, float, float, float],
    taus: tuple[float, float, float, float],
) -> float:
    """Return the weight after the triplet rule; `a` is A2+, A3+, A2-, A3-, `taus` tau+, tau-, tau_x, tau_y.

    Source:
        Pfister & Gerstner (2006), J. Neurosci. 26, 9673-9682, equations 3 and 4: the slow traces are read before the
        event that moves them.
    """
    for now, side in events(pre, post):
        if side == "pre":
            w -= trace(post, now, taus[1], False) * (a[2] + a[3] * trace(pre, now, taus[2], False))
        else:
            w += trace(pre, now, taus[0], True) * (a[0] + a[1] * trace(post, now, taus[3], False))
    return w


def tsodyks_markram(arrivals: Times, U: float, tau_rec: float, tau_facil: float) -> list[float]:
    """Return the fraction u x that each arrival releases; u jumps before it is released, x after.

    Source:
        Tsodyks, Pawelzik & Markram (1998), Neural Comput. 10, 821-835; u rests at 0 between spikes.
    """
    u, x, last = 0.0, 1.0, None
    released = []
    for now in arrivals:
        if last is not None:
            u *= np.exp(-(now - last) / tau_facil)
            x = 1 + (x - 1) * np.exp(-(now - last) / tau_rec)
        u += U * (1 - u)
        released.append(u * x)
        x -= u * x
        last = now
    return released
