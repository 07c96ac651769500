"""How a network learns: options only, the passes do the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

RuleName = Literal["diagonal", "snap1", "ottt", "sltt", "full"]
FEEDBACK = ("symmetric", "random", "adaptive")


@dataclass(frozen=True)
class Learning:
    """Base of the kinds of learning."""


@dataclass(frozen=True)
class BPTT(Learning):
    """Exact gradients by backpropagation through time.

    Args:
        checkpoint: K keeps the state of every K-th step alone, and backward computes the steps between again. "none"
            keeps what backward reads, whatever it takes; "auto" does too, but in the fewest chunks of equal length
            that stay within `memory_budget` where there is one.
        memory_budget: bytes that forward and backward of one call may allocate, outputs and gradients of inputs among
            them; what the caller passes is not. A call that cannot stay within it is a TargetError.
    """

    checkpoint: int | Literal["auto", "none"] = "auto"
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse options that are no positive whole numbers."""
        for name, value in (("checkpoint", self.checkpoint), ("memory_budget", self.memory_budget)):
            if value in (("auto", "none") if name == "checkpoint" else (None,)):
                continue
            _check_count(f"{name} of gc.learn.BPTT", value)


@dataclass(frozen=True, eq=False)
class Online(Learning):
    """Base of the rules whose gradient needs no step but the present one.

    ``loss(model(x)).backward()`` gives the rule's gradient of a whole sequence. In a stream, ``y, state =
    model.step(x, state)``, the state carries eligibility traces, so that ``loss(y).backward()`` after every step, or
    after every few of them, gives the same gradient in memory that does not grow.

    Args:
        chunk: steps that a whole sequence is cut into: traces are carried from chunk to chunk, and only one chunk's
            steps are kept. None lets the size decide; "all" takes the sequence as one chunk, without traces.
        feedback: by what gradients go back from a population to the one before it: "symmetric", the weights
            themselves; "random", fixed numbers drawn as weights are; "adaptive", numbers drawn so that are learned by
            the weights' own gradient; or tensors (pre, post) by the name of their connection.

    Raises:
        DeclarationError: an option is none of these.
    """

    chunk: int | Literal["all"] | None = None
    feedback: Literal["symmetric", "random", "adaptive"] | Mapping[str, Any] = "symmetric"
    rule: ClassVar[RuleName]

    def __post_init__(self) -> None:
        """Refuse options that are none."""
        name = f"gc.learn.{type(self).__name__}"
        if self.chunk not in (None, "all"):
            _check_count(f"chunk of {name}", self.chunk)
        if not isinstance(self.feedback, Mapping) and self.feedback not in FEEDBACK:
            raise DeclarationError(
                f"feedback of {name} is {self.feedback!r}",
                Loc.caller(),
                f"use one of {', '.join(map(repr, FEEDBACK))}, or tensors by the name of their connection",
            )


class BlockDiagonal(Online):
    """Eligibility traces within each neuron: block-diagonal real-time recurrent learning; e-prop on an LSNN.

    Exact for one hidden layer without recurrence. Gradients go between populations within a step only; what a
    connection reads of earlier steps is left out, and ``model.explain()`` lists it.

    Source:
        Bellec et al. (2020), Nat. Commun. 11, 3625; Zenke & Neftci (2021), Proc. IEEE 109, 935-950.
    """

    rule = "diagonal"


class SnAp1(Online):
    """Block-diagonal traces in which the weight of each neuron to itself takes part (sparse n-step approximation, n=1).

    Source:
        Menick et al. (2021), ICLR, arXiv:2006.07232.
    """

    rule = "snap1"


class OTTT(Online):
    """Online training through time: traces of the sources alone, for neurons whose reset is detached and subtractive.

    Source:
        Xiao et al. (2022), NeurIPS 35, arXiv:2210.04195.
    """

    rule = "ottt"


class SLTT(Online):
    """Spatial learning through time: each step by itself, no trace.

    Source:
        Meng et al. (2023), ICCV, arXiv:2302.14311.
    """

    rule = "sltt"


class RTRL(Online):
    """Real-time recurrent learning: the whole gradient, forward in time. For small networks: an oracle.

    Traces take (states, weights) numbers per sample.

    Source:
        Williams & Zipser (1989), Neural Comput. 1, 270-280.
    """

    rule = "full"


def _check_count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DeclarationError(f"{what} must be a positive int, not {value!r}", Loc.caller())
