"""Weights scaled by the number of synapses that a neuron has: for rate units, whose signals are no spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.distributions import Distribution, Normal, Uniform

from .scheme import Scheme


@dataclass(frozen=True)
class KaimingNormal(Scheme):
    """Normal weights of standard deviation ``gain / sqrt(fan_in)``.

    `fan_in` is the number of synapses that a target neuron has on average, of the actual connectivity.

    Args:
        gain: sqrt(2) for relu, 5/3 for tanh, 1 for linear units.

    Source:
        He et al. (2015), ICCV, arXiv:1502.01852.
    """

    gain: float = math.sqrt(2)

    def weight(self, fan_in: float, fan_out: float) -> Distribution:
        """Return the normal distribution."""
        return Normal(0.0, self.gain / math.sqrt(fan_in))


@dataclass(frozen=True)
class KaimingUniform(Scheme):
    """Uniform weights of the same standard deviation as `KaimingNormal`, within ``+-gain sqrt(3 / fan_in)``."""

    gain: float = math.sqrt(2)

    def weight(self, fan_in: float, fan_out: float) -> Distribution:
        """Return the uniform distribution."""
        bound = self.gain * math.sqrt(3 / fan_in)
        return Uniform(-bound, bound)


@dataclass(frozen=True)
class XavierNormal(Scheme):
    """Normal weights of standard deviation ``gain sqrt(2 / (fan_in + fan_out))``.

    `fan_in` and `fan_out` are the numbers of synapses that target and source neurons have on average.

    Source:
        Glorot & Bengio (2010), AISTATS 9, 249-256.
    """

    gain: float = 1.0

    def weight(self, fan_in: float, fan_out: float) -> Distribution:
        """Return the normal distribution."""
        return Normal(0.0, self.gain * math.sqrt(2 / (fan_in + fan_out)))


@dataclass(frozen=True)
class XavierUniform(Scheme):
    """Uniform weights of the same standard deviation as `XavierNormal`."""

    gain: float = 1.0

    def weight(self, fan_in: float, fan_out: float) -> Distribution:
        """Return the uniform distribution."""
        bound = self.gain * math.sqrt(6 / (fan_in + fan_out))
        return Uniform(-bound, bound)
