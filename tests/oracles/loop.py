"""One neuron as a NumPy step loop, and what the loops share.

A `Loop` is one neuron: parameters in base units (ms, mV, nS, pA, pF), an initial state and one time step. A step takes
state and drive as arrays (B, N), parameters as numbers or arrays (N,), and returns the new state and what can be
recorded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy import exp, where

Values = dict[str, np.ndarray]
Numbers = Mapping[str, float | np.ndarray]


@dataclass(frozen=True)
class Loop:
    """One neuron: defaults, initial states, one step, and what it sends before t = 0."""

    parameters: dict[str, float]
    init: Callable[[Numbers], dict[str, float | np.ndarray]]
    step: Callable[[Values, Values, Numbers, float], tuple[Values, Values]]
    inputs: tuple[str, ...] = ("x",)
    above: Callable[[Values], np.ndarray] | None = None
    """The condition of a rising edge, read on the initial state."""
    output: Callable[[Values], np.ndarray] | None = None
    """What a unit without spikes sends."""


def done(
    before: Values, after: Values, z: np.ndarray | None = None, output: np.ndarray | None = None, **hidden: np.ndarray
) -> tuple[Values, Values]:
    """Return (next state, record) from the states before and after the reset, the spike and the output."""
    record = dict(after) | {f"{name}@threshold": value for name, value in before.items()}
    if z is not None:
        record["spike"] = z.astype(float)
    record["output"] = record["spike"] if output is None else output
    return after | hidden, record


def steps_of(duration: float | np.ndarray, dt: float) -> np.ndarray:
    return np.rint(np.asarray(duration) / dt)


def count_down(count: np.ndarray, z: np.ndarray, duration: float | np.ndarray, dt: float) -> np.ndarray:
    return where(z, steps_of(duration, dt), np.maximum(count - 1, 0))


def towards(target: np.ndarray, s: np.ndarray, tau: float | np.ndarray, dt: float) -> np.ndarray:
    """Return the exact solution of tau s' = target - s after dt."""
    return target + (s - target) * exp(-dt / tau)


def ratio(y: np.ndarray) -> np.ndarray:
    """Return y / (1 - exp(-y)), 1 at 0."""
    small = np.abs(y) < 1e-9
    return where(small, 1 + y / 2, y / -np.expm1(-where(small, 1.0, y)))


def from_zero(*names: str) -> Callable[[Numbers], dict[str, float | np.ndarray]]:
    return lambda p: {name: p.get(name, 0.0) for name in names}
