"""How a network learns: options only, the passes do the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from graphc.ir.errors import DeclarationError, not_supported
from graphc.ir.loc import Loc


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
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise DeclarationError(f"{name} of gc.learn.BPTT must be a positive int, not {value!r}", Loc.caller())


class _Later(Learning):
    def __init__(self, *args: Any, **options: Any) -> None:
        not_supported(f"gc.learn.{type(self).__name__}", Loc.caller(), 'use learn="bptt" or learn=None')


class RTRL(_Later):
    """Real-time recurrent learning."""


class BlockDiagonal(_Later):
    """Eligibility traces within each neuron."""


class OTTT(_Later):
    """Online training through time."""


class SLTT(_Later):
    """Spatial learning through time."""
