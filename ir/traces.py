"""Eligibility traces: what they accumulate, and which numbers they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .node import Value
from .types import Type

Class = Literal["zero", "shared", "dense", "full"]


@dataclass(frozen=True, slots=True, eq=False)
class Driver:
    """How a coefficient acts on the neurons of one population: what an eligibility trace accumulates.

    Attributes:
        coefficient: the fixed tensor of the time loop: a matrix of weights, or one number per neuron or population.
        drive: the sequence (T, B, post) that the backward half writes: the gradient of what the coefficient adds to.
        source: the sequence (T, B, pre) that weights multiply; None for a coefficient of neurons.
        axes: (pre, post) of weights, (post,) of a coefficient of neurons.
        into: the value of the step that weights add to.
    """

    coefficient: str
    drive: str
    source: str | None
    axes: tuple[str, ...]
    into: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """One number per neuron that a step hands to the next: a carry, or what a history keeps of `age` steps ago."""

    name: str
    axis: str
    current: Value
    next: Value | None
    history: str | None = None
    age: int = 0

    @property
    def label(self) -> str:
        """How traces name it."""
        return self.name if self.history is None else f"{self.history.removesuffix('@history')}-{self.age}"


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The derivative of one state of every target neuron by one coefficient, carried from chunk to chunk.

    `kind` is "shared" where it is the same for all targets, so that it has the axes (pre,), or "dense", (pre, post); a
    coefficient of neurons has (post,). A "full" one is of the state of every neuron of `state.axis`, which is its first
    axis. `reads` are the labels of the states on which its state ever depends.
    """

    name: str
    type: Type
    driver: Driver
    state: State
    kind: Class
    reads: tuple[str, ...] = ()
