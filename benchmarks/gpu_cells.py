"""The cells of g5 as their users write them, in the functions of PyTorch or of JAX: one step, states in float32.

Imports neither: the process of the JAX peers has no use for torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

State = tuple[Any, ...]
Step = Callable[[Any, Any, State], tuple[Any, State]]
"""``step(xp, x, state) -> (spikes, state)``; `xp` is torch or jax.numpy."""


def adex(xp: Any, x: Any, state: State) -> tuple[Any, State]:
    """Advance AdEx by 0.2 ms: Euler for v, the exact step for w with v held."""
    v, w = state
    dt, keep = 0.2, math.exp(-0.2 / 144.0)
    upstroke = 30.0 * 2.0 * xp.exp(xp.clip((v + 50.4) / 2.0, None, 15.0))
    after = v + dt * (30.0 * (-70.6 - v) + upstroke + x - w) / 281.0
    w = w * keep + (1 - keep) * 4.0 * (v + 70.6)
    z = after > 20.0
    return z, (xp.where(z, -70.6, after), xp.where(z, w + 80.5, w))


def izhikevich(xp: Any, x: Any, state: State) -> tuple[Any, State]:
    """Advance Izhikevich's model by 0.1 ms with RK4."""
    v, u = state
    dt = 0.1

    def slope(v: Any, u: Any) -> tuple[Any, Any]:
        return 0.04 * v * v + 5 * v + 140 - u + x, 0.02 * (0.2 * v - u)

    v1, u1 = slope(v, u)
    v2, u2 = slope(v + dt / 2 * v1, u + dt / 2 * u1)
    v3, u3 = slope(v + dt / 2 * v2, u + dt / 2 * u2)
    v4, u4 = slope(v + dt * v3, u + dt * u3)
    v = v + dt / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    u = u + dt / 6 * (u1 + 2 * u2 + 2 * u3 + u4)
    z = v >= 30.0
    return z, (xp.where(z, -65.0, v), xp.where(z, u + 8.0, u))


def _linoid(xp: Any, y: Any) -> Any:
    """Return y / (1 - exp(-y)), 1 at 0."""
    small = xp.abs(y) < 1e-5
    safe = xp.where(small, 1.0, y)
    return xp.where(small, 1 + y / 2, safe / -xp.expm1(-safe))


def hodgkin_huxley(xp: Any, x: Any, state: State) -> tuple[Any, State]:
    """Advance Hodgkin-Huxley by 0.05 ms with exponential Euler; a spike is an upward crossing of 0 mV."""
    v, m, h, n = state
    dt = 0.05
    sodium, potassium = 120.0 * m * m * m * h, 36.0 * n * n * n * n
    total = sodium + potassium + 0.3
    rest = (sodium * 50.0 - potassium * 77.0 - 0.3 * 54.387 + x) / total
    after = rest + (v - rest) * xp.exp(-dt * total)
    gates = (
        (m, _linoid(xp, (v + 40) / 10), 4 * xp.exp(-(v + 65) / 18)),
        (h, 0.07 * xp.exp(-(v + 65) / 20), 1 / (1 + xp.exp(-(v + 35) / 10))),
        (n, 0.1 * _linoid(xp, (v + 55) / 10), 0.125 * xp.exp(-(v + 65) / 80)),
    )
    new = []
    for gate, alpha, beta in gates:
        end = alpha / (alpha + beta)
        new.append(end + (gate - end) * xp.exp(-dt * (alpha + beta)))
    return (after > 0) & ~(v > 0), (after, *new)


@dataclass(frozen=True)
class Cell:
    """One neuron of g5.

    Attributes:
        name: in the zoo.
        dt: ms.
        drive: mean and spread of the current.
        start: initial state.
    """

    name: str
    dt: float
    drive: tuple[float, float]
    start: tuple[float, ...]
    step: Step


def _rest(v: float) -> tuple[float, ...]:
    """Return v and the gates at their ends for v."""
    rates = (
        (((v + 40) / 10) / -math.expm1(-(v + 40) / 10), 4 * math.exp(-(v + 65) / 18)),
        (0.07 * math.exp(-(v + 65) / 20), 1 / (1 + math.exp(-(v + 35) / 10))),
        (0.1 * ((v + 55) / 10) / -math.expm1(-(v + 55) / 10), 0.125 * math.exp(-(v + 65) / 80)),
    )
    return (v, *(a / (a + b) for a, b in rates))


CELLS = {
    "AdEx": Cell("AdEx", 0.2, (2500.0, 600.0), (-70.6, 0.0), adex),
    "Izhikevich": Cell("Izhikevich", 0.1, (60.0, 20.0), (-65.0, -13.0), izhikevich),
    "HodgkinHuxley": Cell("HodgkinHuxley", 0.05, (40.0, 15.0), _rest(-65.0), hodgkin_huxley),
}
