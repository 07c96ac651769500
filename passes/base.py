"""What a pass is, who may watch, and how a pipeline runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from graphc.ir import GraphcError, Node, Program, show, verify


class Pass(Protocol):
    """A pure function Program -> Program with a name; it returns the same object when it changes nothing."""

    @property
    def name(self) -> str:
        """The name by which `model.graph` and GRAPHC_DUMP know it."""
        ...

    def run(self, program: Program) -> Program:
        """Return the transformed program."""
        ...


class Observer(Protocol):
    """Told of every pass after it ran and its result was verified."""

    def after(self, index: int, name: str, before: Program, after: Program) -> None:
        """See the program before and after pass `index`."""
        ...

    def failed(self, index: int, name: str, before: Program) -> None:
        """See the program that pass `index` was given when it failed."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """A learning rule: which paths its gradient takes.

    Attributes:
        name: "diagonal" (within each neuron over time, between neurons within a step), "snap1" (also over the weight of
            a neuron to itself), "ottt" (as diagonal, with traces of sources alone), "sltt" (nothing over time) or
            "full" (all paths).
        feedback: "symmetric", "random", "adaptive", or "given" for tensors by the name of their connection.
        given: the connections with a tensor of their own.
    """

    name: Literal["diagonal", "snap1", "ottt", "sltt", "full"]
    feedback: Literal["symmetric", "random", "adaptive", "given"] = "symmetric"
    given: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether gradients stay within a neuron over time."""
        return self.name != "full"


@dataclass(frozen=True, slots=True)
class Request:
    """What one build must compute beside the outputs; part of its key.

    Attributes:
        records: names recorded in addition to the outputs.
        wrt: names of the parameters, inputs and initial states whose gradients are wanted; empty for no backward.
        final: the final state takes part in the loss, so its gradient arrives.
        lists: the target's kernels walk lists of synapses; else every list becomes a matrix.
        rule: which paths gradients take; all of them without one.
        recompute: the backward half computes again what that makes cheaper; else everything that it reads is saved.
        drivers: write what traces accumulate, per neuron and step, in place of the gradients of coefficients.
    """

    records: tuple[str, ...] = ()
    wrt: frozenset[str] = frozenset()
    final: bool = False
    lists: bool = True
    rule: Rule | None = None
    drivers: bool = False
    recompute: bool = True


def run_passes(program: Program, passes: Sequence[Pass], observers: Sequence[Observer] = ()) -> Program:
    """Run `passes` in order, verifying before, between and after.

    Raises:
        VerifyError: a pass returned a program that breaks a rule of the IR.
    """
    sound: set[Node] = set()  # which the passes left as they were
    verify(program, sound)
    for index, step in enumerate(passes, start=1):
        before = program
        try:
            program = step.run(before)
            if program is not before:
                verify(program, sound)
        except GraphcError as error:
            for observer in observers:
                observer.failed(index, step.name, before)
            error.add_note(f"in pass {index} {step.name!r}, on this program:\n{show(before)}")
            raise
        for observer in observers:
            observer.after(index, step.name, before, program)
    return program
