"""Which neuron reaches which: the kinds of connectivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.ir.errors import not_supported
from graphc.ir.loc import Loc


@dataclass(frozen=True)
class Connectivity:
    """Base of the kinds of connectivity."""


@dataclass(frozen=True)
class Dense(Connectivity):
    """Every source neuron reaches every target neuron; weights are (pre, post)."""


@dataclass(frozen=True)
class OneToOne(Connectivity):
    """Source neuron k reaches target neuron k; weights are (N,)."""


class _Later(Connectivity):
    def __init__(self, *args: Any, **options: Any) -> None:
        not_supported(f"gc.{type(self).__name__}", Loc.caller(), "use gc.Dense() or gc.OneToOne()")


class AllButSelf(_Later):
    """Dense without the diagonal."""


class Sparse(_Later):
    """A random or given subset of the pairs."""


class Blocks(_Later):
    """Independent dense blocks."""


class Conv1d(_Later):
    """A convolution over one axis."""


class Conv2d(_Later):
    """A convolution over two axes."""


class ConvTranspose(_Later):
    """A transposed convolution."""


class AvgPool(_Later):
    """Means over windows."""


class LearnedDelay:
    """A delay per synapse that is learned."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Refuse: delays are one whole number of steps per connection."""
        not_supported("gc.LearnedDelay", Loc.caller(), "use one delay per connection, delay=3 or delay=3 * ms")
