"""Batches of sequences that differ in length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from graphc.ir.errors import GraphcError


class Batch(NamedTuple):
    """Padded sequences, how long each is, and what it is of."""

    values: torch.Tensor
    """Shape (T, B, N)."""
    lengths: torch.Tensor
    """Steps of each sample, shape (B,), int64."""
    labels: torch.Tensor | None = None
    """Shape (B,), int64."""

    @property
    def mask(self) -> torch.Tensor:
        """Return where a step is of its sample and no padding: shape (T, B), bool."""
        return torch.arange(len(self.values), device=self.lengths.device)[:, None] < self.lengths

    def mean(self, output: torch.Tensor) -> torch.Tensor:
        """Return the mean of `output` (T, B, ...) over the steps of each sample: shape (B, ...).

        Raises:
            GraphcError: `output` is of other steps or samples, or a sample has no step.
        """
        if output.shape[:2] != self.values.shape[:2]:
            raise GraphcError(f"the batch is of {tuple(self.values.shape[:2])} steps and samples, not {output.shape}")
        if (self.lengths == 0).any():
            raise GraphcError(f"sample {int((self.lengths == 0).int().argmax())} has no step, so there is no mean")
        shape = (*self.mask.shape, *[1] * (output.ndim - 2))
        total = output.where(self.mask.view(shape), 0).sum(0)  # a product with the mask would keep a NaN of the padding
        return total / self.lengths.view(shape[1:])

    def last(self, output: torch.Tensor) -> torch.Tensor:
        """Return `output` (T, B, ...) at the last step of each sample: shape (B, ...)."""
        if output.shape[:2] != self.values.shape[:2]:
            raise GraphcError(f"the batch is of {tuple(self.values.shape[:2])} steps and samples, not {output.shape}")
        if (self.lengths == 0).any():
            raise GraphcError(f"sample {int((self.lengths == 0).int().argmax())} has no step, so there is no last one")
        return output[self.lengths - 1, torch.arange(len(self.lengths), device=self.lengths.device)]


def pad(samples: Sequence[torch.Tensor], labels: Sequence[int] | None = None, *, value: float = 0.0) -> Batch:
    """Return sequences (T_b, N) of unequal length side by side, filled up with `value`.

    Raises:
        GraphcError: no samples, samples of unequal N or dtype, or another number of labels.
    """
    if not samples:
        raise GraphcError("a batch needs at least one sample")
    first = samples[0]
    for b, sample in enumerate(samples):
        if sample.ndim != 2 or sample.shape[1:] != first.shape[1:]:
            raise GraphcError(f"sample {b} has the shape {tuple(sample.shape)}: all are (T, N) with one N")
        if sample.dtype != first.dtype:
            raise GraphcError(f"sample {b} is of {sample.dtype}, and sample 0 of {first.dtype}")
    if labels is not None and len(labels) != len(samples):
        raise GraphcError(f"{len(samples)} samples and {len(labels)} labels")
    values = torch.nn.utils.rnn.pad_sequence(list(samples), padding_value=value)
    lengths = torch.tensor([len(sample) for sample in samples])
    return Batch(values, lengths, None if labels is None else torch.as_tensor(labels, dtype=torch.int64))
