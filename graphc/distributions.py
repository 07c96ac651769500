"""Distributions of parameters, weights and initial values; drawn when the model is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc


@dataclass(frozen=True)
class Distribution:
    """Base of the distributions; arguments are numbers or quantities."""

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The numbers that define it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal distribution."""

    mean: Any
    std: Any

    @property
    def arguments(self) -> tuple[Any, Any]:
        """Mean and standard deviation."""
        return self.mean, self.std


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform distribution on ``[low, high)``."""

    low: Any
    high: Any

    @property
    def arguments(self) -> tuple[Any, Any]:
        """Both ends."""
        return self.low, self.high


@dataclass(frozen=True)
class LogNormal(Distribution):
    """Distribution of ``exp(x)`` in base units, where x is normal with mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    @property
    def arguments(self) -> tuple[Any, Any]:
        """Mean and standard deviation of the logarithm."""
        return self.mu, self.sigma


@dataclass(frozen=True)
class Exponential(Distribution):
    """Exponential distribution of numbers above 0, of the given mean."""

    mean: Any

    @property
    def arguments(self) -> tuple[Any]:
        """Mean."""
        return (self.mean,)


def checked(distribution: Distribution, numbers: tuple[float, ...], loc: Loc) -> Distribution:
    """Return `distribution` with its arguments as floats in base units, or say what is wrong with them."""
    if isinstance(distribution, Uniform):
        first, second = numbers
        if not first <= second:
            raise DeclarationError(f"gc.Uniform({first!r}, {second!r}) is empty", loc, "low must not exceed high")
    elif numbers[-1] < 0:
        raise DeclarationError(f"{distribution!r} has a negative width", loc)
    return type(distribution)(*numbers)
