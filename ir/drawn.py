"""Random synapses that need no memory: the targets of a neuron, drawn anew from a seed whenever they are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """Every pair is a synapse with `probability`, independently; `autapses` whether a neuron may join itself.

    The gaps between the targets of neuron i are geometric: gap k is ``1 + floor(log(u) / log(1 - probability))`` with u
    the k-th number of a SplitMix64 generator whose state starts at ``mix(seed + i * GOLDEN)``.

    Source:
        Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators.
    """

    seed: int
    probability: float
    autapses: bool = True

    @property
    def scale(self) -> float:
        """Return what the logarithm of a uniform number is multiplied by to give a gap."""
        return -0.0 if self.probability == 1 else 1 / math.log1p(-self.probability)

    def pairs(self, pre: int, post: int) -> tuple[Any, Any]:
        """Return all synapses as arrays (pre, post), sorted by source and target."""
        chunk = max(int(4e6 / (post * self.probability + 64)), 1)
        parts = [self._rows(first, min(first + chunk, pre), post) for first in range(0, pre, chunk)]
        i, j = (np.concatenate(p) for p in zip(*parts, strict=True))
        keep = slice(None) if self.autapses else i != j
        return i[keep], j[keep]

    def _rows(self, first: int, last: int, post: int) -> tuple[Any, Any]:
        with np.errstate(over="ignore"):
            sources = np.arange(first, last, dtype=np.uint64)
            state = mix(np.uint64(self.seed & _MASK) + sources * np.uint64(GOLDEN))
            mean = post * self.probability
            width, at = int(mean + 6 * math.sqrt(mean) + 8), np.full(len(sources), -1, dtype=np.int64)
            columns: list[Any] = []
            done = 0
            while len(at) and at.min() < post:
                steps = np.arange(done + 1, done + width + 1, dtype=np.uint64)
                bits = mix(state[:, None] + steps[None, :] * np.uint64(GOLDEN))
                u = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
                gaps = 1 + np.floor(np.log(u) * self.scale)
                places = at[:, None] + np.cumsum(np.minimum(gaps, post + 1.0), axis=1).astype(np.int64)
                columns.append(places)
                at, done = places[:, -1], done + width
        every = np.concatenate(columns, axis=1) if columns else np.empty((len(sources), 0), dtype=np.int64)
        row, column = np.nonzero(every < post)
        return row + first, every[row, column]


def mix(z: Any) -> Any:
    """Return the output function of SplitMix64 of an array of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    return z ^ (z >> np.uint64(31))
