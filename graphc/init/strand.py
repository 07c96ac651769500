"""Sizes of weights that give a membrane its mean and variance: one equation for each, shared by the strands.

A *strand* is what one connection brings from sources of one sign. Its weights have mean m and mean square q; with n
synapses of Moments (mean, variance) it adds n mean m sum(psp) to the potential and n variance q sum(psp^2) to its
variance.

Source:
    Rossbroich, Gygax & Zenke (2022), Neuromorph. Comput. Eng. 2, 044016. Here every connection has its share of the
    mean as of the variance, so that shares stay possible where means are not 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .source import Moments

SQUARE = {"exponential": 2.0, "half-normal": math.pi / 2}
"""Mean square over square of the mean, of the sizes of weights with a sign."""

CLOSE = 0.01
"""How near, of its size, a std must be to the only one that excitation alone has at the mean that is asked."""


@dataclass
class Strand:
    """Sources of one sign within one connection.

    Attributes:
        label: the connection, for messages.
        source: name of the sources.
        number: how many of its synapses a target neuron has on average.
        lines: how many source neurons there are.
        goal: number of the target's input.
        sign: +1, -1, or None where weights are free.
        share: of the variance; None where the weights are given.
        mean: of the weights.
        square: mean square of the weights.
    """

    label: str
    source: str
    sent: Moments
    number: float
    lines: float
    goal: int
    sign: float | None
    share: float | None = None
    mean: float = 0.0
    square: float = 0.0


@dataclass(frozen=True)
class Request:
    """What is asked, with what a target neuron answers to one unit of each input."""

    integral: Sequence[float]
    square: Sequence[float]
    distribution: str
    name: str
    loc: Loc

    def shift(self, s: Strand) -> float:
        """Return what the strand adds to the potential by weights of mean 1."""
        return s.number * s.sent.mean * self.integral[s.goal]

    def noise(self, s: Strand) -> float:
        """Return what the strand adds to the variance by weights of mean square 1."""
        return s.number * s.sent.variance * self.square[s.goal]


def share_out(strands: Sequence[Strand], ask: Request, mean: float, variance: float) -> None:
    """Set mean and mean square of the weights so that they add `mean` and `variance` to the potential.

    Raises:
        DeclarationError: no weights do.
    """
    for s in strands:
        if not ask.noise(s) > 0:
            message = f"{s.label} does not reach the membrane potential of '{ask.name}'"
            raise DeclarationError(message, ask.loc, "name the state that is the potential, state=, or give a weight")
    free = [s for s in strands if s.sign is None]
    signed = [s for s in strands if s.sign is not None]
    for s in free:
        _set_free(s, ask, _share(s) * mean, _share(s) * variance)
    if signed:
        part = sum(map(_share, signed))
        _set_signed(signed, ask, part * mean, part * variance)


def _share(s: Strand) -> float:
    assert s.share is not None
    return s.share


def _set_free(s: Strand, ask: Request, mean: float, variance: float) -> None:
    shift, noise = ask.shift(s), ask.noise(s)
    s.square = variance / noise
    if abs(mean) <= 1e-9 * math.sqrt(variance):
        s.mean = 0.0
        return
    if shift == 0 or (mean / shift) ** 2 > s.square * (1 + 1e-9):
        reach = abs(shift) * math.sqrt(s.square)
        message = f"{s.label} cannot move the potential of '{ask.name}' by {mean:.4g} with a std of only"
        raise DeclarationError(
            f"{message} {math.sqrt(variance):.4g}: equal weights move it by {reach:.4g}",
            ask.loc,
            "ask for a larger std, a mean nearer to rest, or give the sources a higher rate",
        )
    s.mean = mean / shift


def _set_signed(strands: Sequence[Strand], ask: Request, mean: float, variance: float) -> None:
    """Balance: excitation of variance e^2 and inhibition of i^2, with A e - B i = mean and e^2 + i^2 = variance."""
    for s in strands:
        if ask.shift(s) == 0:
            message = f"{s.label} has a sign, but moves the potential of '{ask.name}' neither up nor down"
            raise DeclarationError(message, ask.loc, "leave sign= out, or give a weight")
    up = [s for s in strands if _rises(s, ask)]
    down = [s for s in strands if not _rises(s, ask)]
    A, B = _lift(up, ask), _lift(down, ask)
    std = math.sqrt(variance)
    if up and down:
        if not -B * std <= mean <= A * std:
            message = f"excitation and inhibition with a std of {std:.4g} move the potential of '{ask.name}' by"
            raise DeclarationError(
                f"{message} {-B * std:.4g} to {A * std:.4g}, not by {mean:.4g}",
                ask.loc,
                "ask for a larger std, a mean nearer to rest, or give the sources a higher rate",
            )
        a, b, c = A * A + B * B, mean * B, mean * mean - A * A * variance
        i = (-b + math.sqrt(max(b * b - a * c, 0.0))) / a
        e = (mean + B * i) / A
    else:
        only, lift = ("excitation", A) if up else ("inhibition", -B)
        reached = mean / lift
        if not abs(reached - std) <= CLOSE * std:
            other = "an inhibitory" if up else "an excitatory"
            message = f"{only} alone cannot move the potential of '{ask.name}' by {mean:.4g} with a std of {std:.4g}"
            possible = (
                f"this mean has a std of {reached:.4g}" if reached > 0 else f"it moves it {'up' if up else 'down'}"
            )
            hint = f"add {other} connection, leave sign= out" + ", or ask for that std" * (reached > 0)
            raise DeclarationError(f"{message}: {possible}", ask.loc, hint)
        e = i = reached
    for group, size in ((up, e), (down, i)):
        for s in group:
            s.square = size * size * _part(s, group) / ask.noise(s)
            s.mean = (s.sign or 0.0) * math.sqrt(s.square / SQUARE[ask.distribution])


def _rises(s: Strand, ask: Request) -> bool:
    """Whether a spike of this strand raises the potential: the driving force of a conductance may turn its sign."""
    return (s.sign or 0.0) * ask.integral[s.goal] > 0


def _part(s: Strand, group: Sequence[Strand]) -> float:
    return _share(s) / sum(map(_share, group))


def _lift(group: Sequence[Strand], ask: Request) -> float:
    """Return by how much the potential moves where the group has a variance of 1."""
    size = [math.sqrt(_part(s, group) / ask.noise(s) / SQUARE[ask.distribution]) for s in group]
    return sum(abs(ask.shift(s)) * k for s, k in zip(group, size, strict=True))
