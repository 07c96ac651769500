"""Mean and mean square of weights that the user gave, after their sign has folded them."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from graphc.distributions import Exponential, LogNormal, Normal, Uniform

if TYPE_CHECKING:
    from graphc.connection import Connection


def given_moments(connection: Connection) -> tuple[float, float]:
    """Return mean and mean square over the synapses of `connection`."""
    import numpy as np

    scale = connection.connectivity.scale(connection.sink)
    value: Any = connection.weight
    if value is None:  # as drawn by default
        bound = 1 / math.sqrt(connection.connectivity.fan_in(connection.source, connection.sink, connection.name))
        value = Uniform(-bound, bound)
    if isinstance(value, (float, int)):
        return value * scale, (value * scale) ** 2
    if isinstance(value, np.ndarray):
        found = connection.synapses
        each = value.ravel() if found.index is None else value.ravel()[found.index]
        return float(each.mean()) * scale, float((each**2).mean()) * scale**2
    mean, square, size = _moments(value)
    if connection.sign is not None:
        mean = size * float(np.mean(connection.sign))
    return mean * scale, square * scale**2


def _moments(value: Any) -> tuple[float, float, float]:
    """Return the means of x, x^2 and |x|."""
    match value:
        case Normal(mean=m, std=s):
            if s == 0:
                return m, m * m, abs(m)
            unit, z = NormalDist(), m / s
            return m, m * m + s * s, s * 2 * unit.pdf(z) + m * (2 * unit.cdf(z) - 1)
        case Uniform(low=a, high=b):
            size = abs(a + b) / 2 if a * b >= 0 else (a * a + b * b) / (2 * (b - a))
            return (a + b) / 2, (a * a + a * b + b * b) / 3, size
        case LogNormal(mu=m, sigma=s):
            mean = math.exp(m + s * s / 2)
            return mean, math.exp(2 * m + 2 * s * s), mean
        case Exponential(mean=m):
            return m, 2 * m * m, m
    raise TypeError(f"{value!r} has no moments")
