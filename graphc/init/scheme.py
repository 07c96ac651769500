"""What to ask of initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphc.dimensions import TIME, Dimension
from graphc.distributions import Distribution
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.names import did_you_mean
from graphc.values import measure_number

SIGNED = ("exponential", "half-normal")


@dataclass(frozen=True)
class Scheme:
    """Base of what `init=` of a connection takes."""

    def weight(self, fan_in: float, fan_out: float) -> Distribution | None:
        """Return the distribution of the weights, None where it depends on the rest of the network."""
        return None


@dataclass(frozen=True)
class FluctuationDriven(Scheme):
    """Weights for which the membrane potential of the target neurons, without spikes, fluctuates as asked.

    All connections of one population share its mean and variance, so those that are initialised by this scheme must
    ask for the same. Without `sign=` weights are normal. With it, their size follows `distribution`, and the sizes of
    excitation and inhibition are such that both mean and standard deviation come out.

    Args:
        mean: of the potential over time and neurons, a number or quantity; a potential, not a distance from rest.
        std: of the potential over time; root mean square over neurons.
        rate: of the source neurons: spikes per second or a quantity, for all; or a dict of them by name of input or
            population. "measured" is that of `inputs`, which all populations are then taken to have too.
        inputs: spikes or currents (T, B, N) to measure, or by name of the input.
        alpha: what part of the variance feed-forward connections have, where recurrent ones have the rest.
        distribution: of weights with `sign=`: "exponential" or "half-normal".
        state: which state is the potential; the first by default.
        loc: the user's line.

    Source:
        Rossbroich, Gygax & Zenke (2022), Neuromorph. Comput. Eng. 2, 044016.
    """

    mean: Any = field(kw_only=True)
    std: Any = field(kw_only=True)
    rate: Any = field(kw_only=True)
    inputs: Any = field(default=None, kw_only=True, repr=False)
    alpha: float = field(default=0.9, kw_only=True)
    distribution: str = field(default="exponential", kw_only=True)
    state: str | None = field(default=None, kw_only=True)
    loc: Loc = field(default_factory=Loc.caller, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is wrong whatever the network."""
        loc = self.loc
        for name in ("mean", "std"):
            measure_number(getattr(self, name), f"{name} of gc.init", loc.entry(name))
        if not measure_number(self.std, "std of gc.init", loc).value > 0:
            hint = "a membrane that fluctuates has a std above 0"
            raise DeclarationError(f"std of gc.init is {self.std!r}", loc.entry("std"), hint)
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)) or not 0 < self.alpha < 1:
            hint = "give the part of the variance that feed-forward connections have, between 0 and 1"
            raise DeclarationError(f"alpha of gc.init is {self.alpha!r}", loc.entry("alpha"), hint)
        if self.distribution not in SIGNED:
            hint = did_you_mean(str(self.distribution), SIGNED) or 'use "exponential" or "half-normal"'
            message = f"distribution of gc.init is {self.distribution!r}"
            raise DeclarationError(message, loc.entry("distribution"), hint)
        for rate in self.rate.values() if isinstance(self.rate, Mapping) else (self.rate,):
            if rate != "measured":
                per_ms(rate, loc.entry("rate"))
        if self.is_measured and self.inputs is None:
            hint = 'give the spikes too, inputs=x or inputs={"x": x}'
            raise DeclarationError('rate of gc.init is "measured", of nothing', loc.entry("rate"), hint)

    @property
    def is_measured(self) -> bool:
        """Whether a rate is to be measured."""
        return "measured" in [r for r in (self.rate.values() if isinstance(self.rate, Mapping) else (self.rate,))]

    def agrees_with(self, other: FluctuationDriven) -> bool:
        """Whether both ask the same of one membrane."""
        mine, theirs = ((float_of(s.mean), float_of(s.std), s.alpha, s.distribution, s.state) for s in (self, other))
        return mine == theirs


def float_of(value: Any) -> float:
    """Return a number or quantity in base units."""
    return measure_number(value, "a number of gc.init", Loc.caller()).value


def per_ms(rate: Any, loc: Loc) -> float:
    """Return a rate, spikes per second or a quantity, in spikes per ms."""
    if isinstance(rate, str):
        raise DeclarationError(f"rate of gc.init is {rate!r}", loc, did_you_mean(rate, ["measured"]) or "give a number")
    number = measure_number(rate, "rate of gc.init", loc)
    if number.dimension not in (None, Dimension() / TIME):
        raise DeclarationError(f"rate of gc.init is a {number.dimension}", loc, "spikes per second, or 10 / second")
    value = number.value / 1000 if number.dimension is None else number.value
    if not 0 < value < float("inf"):
        hint = "sources that are silent drive no membrane, whatever the weights; give the rate that they will have"
        raise DeclarationError(f"rate of gc.init is {rate!r}", loc, hint)
    return value
