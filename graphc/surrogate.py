"""Surrogates: what stands in for the derivative dz/dc of the spike, c the distance to threshold, and its integral."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import sympy

from graphc.ir.errors import DeclarationError
from graphc.ir.functions import clip, relu, sigmoid, softplus
from graphc.ir.loc import Loc


@dataclass(frozen=True)
class Surrogate:
    """Base of the surrogates. Parameters are positive numbers."""

    def __post_init__(self) -> None:
        """Refuse parameters that give no surrogate."""
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                name = type(self).__name__
                raise DeclarationError(
                    f"{option.name} of {name} must be a positive number, not {value!r}", Loc.caller()
                )

    def derivative(self, c: Any) -> sympy.Expr:
        """Return dz/dc at `c`."""
        raise NotImplementedError

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return a smooth stand-in for the spike, whose derivative is exactly `derivative`."""
        raise NotImplementedError


@dataclass(frozen=True)
class SuperSpike(Surrogate):
    """``1 / (1 + beta |c|)**2``, a fast sigmoid.

    Equal to Norse's ``superspike`` (alpha = beta) and SpyTorch's.

    Source:
        Zenke & Ganguli (2018), Neural Computation 30, 1514-1541.
    """

    beta: float = 10.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return ``1 / (1 + beta |c|)**2``."""
        return 1 / (1 + self.beta * sympy.Abs(c)) ** 2

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return ``c / (1 + beta |c|)``."""
        return c / (1 + self.beta * sympy.Abs(c))


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """``1 / (1 + slope |c|)**2``: SuperSpike under snnTorch's name ``fast_sigmoid(slope=25)``."""

    slope: float = 25.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return ``1 / (1 + slope |c|)**2``."""
        return SuperSpike(self.slope).derivative(c)

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return ``c / (1 + slope |c|)``."""
        return SuperSpike(self.slope).antiderivative(c)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """``beta s(beta c) s(-beta c)``, the derivative of the logistic function s.

    Equal to SpikingJelly's ``Sigmoid(alpha=4.0)`` and snnTorch's ``sigmoid(slope=25)``.
    """

    beta: float = 4.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the derivative of the logistic function of ``beta c``."""
        return self.beta * sigmoid(self.beta * c) * sigmoid(-self.beta * c)

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return the logistic function of ``beta c``."""
        return sigmoid(self.beta * c)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """``dampening / width * max(0, 1 - |c| / width)``.

    With ``width`` the threshold it is the pseudo-derivative of LSNNs; with ``width=1`` Norse's ``triangle`` (alpha =
    dampening); with ``dampening=1, width=1/alpha`` SpikingJelly's ``PiecewiseQuadratic(alpha)``.

    Source:
        Esser et al. (2016), PNAS 113, 11441; Bellec et al. (2018), NeurIPS 31.
    """

    dampening: float = 0.3
    width: float = 1.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the triangle of area `dampening`."""
        return self.dampening / self.width * relu(1 - sympy.Abs(c) / self.width)

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return its integral, 0 left of the triangle and `dampening` right of it."""
        u = clip(c / self.width, -1, 1)
        return self.dampening * (sympy.Rational(1, 2) + u - u * sympy.Abs(u) / 2)


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """``1 / width`` where ``|c| < width / 2``, else 0; SpikingJelly's ``Rect(alpha=1/width)``.

    Source:
        Wu et al. (2018), Frontiers in Neuroscience 12, 331.
    """

    width: float = 1.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the box of area 1."""
        return sympy.Piecewise((1 / self.width, sympy.Abs(c) < self.width / 2), (0, True))

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return the ramp from 0 to 1."""
        return clip(c / self.width + sympy.Rational(1, 2), 0, 1)


@dataclass(frozen=True)
class ArcTan(Surrogate):
    """``alpha / 2 / (1 + (pi alpha c / 2)**2)``.

    Equal to SpikingJelly's ``ATan(alpha=2.0)`` and snnTorch's ``atan(alpha=2.0)``.

    Source:
        Fang et al. (2021), ICCV, 2641-2651.
    """

    alpha: float = 2.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the derivative of the scaled arctan."""
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * c) ** 2)

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return ``atan(pi alpha c / 2) / pi + 1/2``."""
        return sympy.atan(math.pi / 2 * self.alpha * c) / math.pi + sympy.Rational(1, 2)


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """Normal density of standard deviation `sigma`; SpikingJelly's ``Erf(alpha)`` for ``sigma = 1/(sqrt(2) alpha)``."""

    sigma: float = 0.5

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the density."""
        return sympy.exp(-((c / self.sigma) ** 2) / 2) / (self.sigma * math.sqrt(2 * math.pi))

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return the cumulative probability."""
        return (1 + sympy.erf(c / (self.sigma * math.sqrt(2)))) / 2


@dataclass(frozen=True)
class MultiGaussian(Surrogate):
    """``gamma ((1 + h) N(c; 0, sigma) - h N(c; sigma, s sigma) - h N(c; -sigma, s sigma))``, N the normal density.

    Defaults and constant factors as in the authors' code for the ECG task.

    Source:
        Yin, Corradi & Bohte (2021), Nature Machine Intelligence 3, 905-913.
    """

    gamma: float = 0.5
    sigma: float = 0.5
    h: float = 0.15
    s: float = 6.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the sum of one positive and two negative bumps."""
        return self._sum(c, "derivative")

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return the same sum of cumulative probabilities."""
        return self._sum(c, "antiderivative")

    def _sum(self, c: Any, what: str) -> sympy.Expr:
        centre, side = getattr(Gaussian(self.sigma), what), getattr(Gaussian(self.s * self.sigma), what)
        return self.gamma * ((1 + self.h) * centre(c) - self.h * side(c - self.sigma) - self.h * side(c + self.sigma))


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """1 everywhere; snnTorch's ``straight_through_estimator``.

    Source:
        Bengio, Leonard & Courville (2013), arXiv 1308.3432.
    """

    def derivative(self, c: Any) -> sympy.Expr:
        """Return 1."""
        return sympy.S.One

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return `c`."""
        return sympy.sympify(c)


@dataclass(frozen=True)
class EscapeNoise(Surrogate):
    """Derivative of the probability ``P(c) = 1 - exp(-rate exp(beta c))`` to fire with exponential escape noise.

    `rate` is the expected number of spikes in one step at threshold, rho_0 dt.

    Source:
        Gerstner et al. (2014), Neuronal Dynamics, section 9.1; Pfister et al. (2006), Neural Computation 18, 1318-1348.
    """

    beta: float = 5.0
    rate: float = 1.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return dP/dc, as one exponential that cannot become infinity times zero."""
        u = sympy.Min(self.beta * c, 80)
        return self.beta * self.rate * sympy.exp(u - self.rate * sympy.exp(u))

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return P."""
        return 1 - sympy.exp(-self.rate * sympy.exp(sympy.Min(self.beta * c, 80)))


@dataclass(frozen=True)
class LogSumExp(Surrogate):
    """``s(c / temperature)``, s the logistic function.

    The spike is relaxed to ``temperature log(1 + exp(c / temperature))``, which tends to max(0, c) when cold.
    """

    temperature: float = 1.0

    def derivative(self, c: Any) -> sympy.Expr:
        """Return the logistic function."""
        return sigmoid(c / self.temperature)

    def antiderivative(self, c: Any) -> sympy.Expr:
        """Return the log-sum-exp of 0 and `c`."""
        return self.temperature * softplus(c / self.temperature)
