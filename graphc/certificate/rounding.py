"""How far rounding alone takes a run: the reference in float32 beside the reference in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reference import Traces

if TYPE_CHECKING:
    import torch

TIMES = 16.0  # two computations in float32 round differently, by amounts of one size
NEAR = 3  # steps around one, of which the largest error of any neuron counts: by luck one neuron may round not at all


@dataclass(frozen=True)
class Rounding:
    """What rounding to float32 does to the reference.

    Attributes:
        sequences: how far it takes every sequence, (T, B, N) by name.
        same: (T, B), where it changes no spike; None where that was not asked.
    """

    sequences: dict[str, torch.Tensor]
    same: torch.Tensor | None = None

    def of(self, name: str) -> torch.Tensor | float:
        """Return how far rounding may take a sequence; 0 where nothing is known."""
        return self.sequences.get(name, 0.0)


NONE = Rounding({})


def measure_rounding(rounded: Traces, reference: Traces, spiking: Sequence[str]) -> Rounding:
    """Return how far the reference in float32 is from that in float64 while both spike alike, widened.

    A neuron that amplifies errors, such as one whose upstroke is exponential, has its errors amplified here, too. Where
    the two part, rounding decides what happens, and no target can be held to what follows.

    Args:
        rounded: the run in float32.
        reference: the run in float64.
        spiking: the populations that spike.
    """
    import torch

    shape = next(iter(reference.sequences.values())).shape[:2]
    apart = torch.zeros(shape, dtype=torch.bool)
    for n in spiking:
        name = f"{n}.spike"
        apart |= ((rounded.sequences[name] > 0) != (reference.sequences[name] > 0)).any(dim=2)
    same = apart.cumsum(0) == 0
    found = {}
    for name, b in reference.sequences.items():
        error = ((rounded.sequences[name].detach().double() - b.detach()).abs()).nan_to_num(0.0)
        error = error.masked_fill(~same.unsqueeze(2), 0.0)
        largest = error.amax(dim=(1, 2)).reshape(1, 1, -1) if error.numel() else error.reshape(1, 1, -1)
        widest = torch.nn.functional.max_pool1d(largest, 2 * NEAR + 1, stride=1, padding=NEAR)
        found[name] = (TIMES * widest).reshape(-1, 1, 1).expand_as(error)
    return Rounding(found, same)
