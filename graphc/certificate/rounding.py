"""How far rounding alone takes a run: the reference in float32 beside the reference in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reference import Traces

if TYPE_CHECKING:
    import torch

TIMES = 16.0  # two computations in float32 round differently, by amounts of one size
NEAR = 3  # steps around one, of which the largest error counts: an error may pass through 0


@dataclass(frozen=True)
class Rounding:
    """What rounding to float32 does to every sequence, (T, B, N) by name, and to every gradient, by name."""

    sequences: dict[str, torch.Tensor]
    gradients: dict[str, float]

    def of(self, name: str) -> torch.Tensor | float:
        """Return how far rounding may take a sequence; 0 where nothing is known."""
        return self.sequences.get(name, 0.0)


NONE = Rounding({}, {})


def measure_rounding(
    rounded: Traces, reference: Traces, spiking: Sequence[str], weighted: Callable[[Traces], list[torch.Tensor | None]]
) -> Rounding:
    """Return how far the reference in float32 is from that in float64 while both spike alike, widened.

    A neuron that amplifies errors, such as one whose upstroke is exponential, has its errors amplified here, too.

    Args:
        rounded: the run in float32.
        reference: the run in float64.
        spiking: the populations that spike.
        weighted: from a run to the gradients of one loss.
    """
    import torch

    shape = next(iter(reference.sequences.values())).shape[:2]
    apart = torch.zeros(shape, dtype=torch.bool)
    for n in spiking:
        name = f"{n}.spike"
        apart |= ((rounded.sequences[name] > 0) != (reference.sequences[name] > 0)).any(dim=2)
    same = (apart.cumsum(0) == 0).unsqueeze(2)
    found = {}
    for name, b in reference.sequences.items():
        error = ((rounded.sequences[name].detach().double() - b.detach()).abs() * same).nan_to_num(0.0)
        steps, samples, neurons = error.shape
        flat = error.permute(1, 2, 0).reshape(1, samples * neurons, steps)
        widest = torch.nn.functional.max_pool1d(flat, 2 * NEAR + 1, stride=1, padding=NEAR)
        found[name] = TIMES * widest.reshape(samples, neurons, steps).permute(2, 0, 1)
    gradients = {}
    if not bool(apart.any()) and any(y.requires_grad for y in reference.sequences.values()):
        for leaf, g, wanted in zip(reference.leaves, weighted(rounded), weighted(reference), strict=True):
            if g is not None and wanted is not None:
                gradients[leaf] = TIMES * float((g.double() - wanted).abs().max())
    return Rounding(found, gradients)
