"""Types: the domain over which a value is defined, and what one element of it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["real", "int", "bool"]
_WIDTH: dict[Dtype, int] = {"bool": 0, "int": 1, "real": 2}


@dataclass(frozen=True, slots=True)
class Type:
    """Domain and element of a value.

    `real` is the state dtype, float32 or float64, which the build key chooses. `axes` is () for a scalar, (population,)
    for one number per neuron and (pre, post) for one per synapse; populations joined one to one share an axis.
    """

    dtype: Dtype = "real"
    batched: bool = False
    axes: tuple[str, ...] = ()

    def __str__(self) -> str:
        domain = ", ".join((("B",) if self.batched else ()) + self.axes)
        return f"{self.dtype}[{domain}]"

    def with_dtype(self, dtype: Dtype) -> Type:
        """Return the same domain with elements of `dtype`."""
        return Type(dtype, self.batched, self.axes)


def join(*types: Type) -> Type | None:
    """Return the smallest type to which all `types` widen, or None where their axes differ.

    Scalars widen to any axes, unbatched to batched, bool to int to real.
    """
    axes: tuple[str, ...] = ()
    for t in types:
        if t.axes and axes and t.axes != axes:
            return None
        axes = axes or t.axes
    dtype: Dtype = max((t.dtype for t in types), key=lambda d: _WIDTH[d], default="real")
    return Type(dtype, any(t.batched for t in types), axes)
