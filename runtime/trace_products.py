"""Sums over synapses of eligibility traces, by torch: what a chunk adds to gradients, and to the traces themselves."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from graphc.ir import Trace

Rows = Mapping[str, torch.Tensor]
"""By the label of a state: its gradient (B, post) at the start of a chunk."""


def correlate(source: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
    """Return the sum over steps and samples of source (T, B, pre) times drive (T, B, post), (pre, post)."""
    z = source.reshape(-1, source.shape[-1]).to(drive.dtype)
    return z.T @ drive.reshape(-1, drive.shape[-1])


def each(source: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
    """Return the sum over steps of source (T, B, pre) times drive (T, B, post), for each sample: (B, pre, post)."""
    z = source.permute(1, 2, 0).to(drive.dtype)
    return torch.bmm(z, drive.transpose(0, 1))


def contract(trace: Trace, value: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Return the sum over samples of a trace times the gradient (B, post) of its state, (pre, post)."""
    if trace.kind == "shared":
        return value.T @ row
    return torch.einsum("bji,bi->ji", value, row)


def advance(
    trace: Trace,
    before: Mapping[str, tuple[Trace, torch.Tensor]],
    row: Rows,
    source: torch.Tensor,
    drive: torch.Tensor,
) -> torch.Tensor:
    """Return a trace after a chunk.

    Args:
        trace: which one; s is its state.
        before: by the label of a state, the traces of the same driver at the start of the chunk.
        row: d s after the chunk / d state before it, (B, post) by the label of the state.
        source: the sequence (T, B, pre) of weights.
        drive: d s after the chunk / d drive at each step, (T, B, post).
    """
    if trace.kind == "shared":  # one target stands for all
        total = torch.einsum("tbj,tb->bj", source.to(drive.dtype), drive[..., 0])
        for label, (_, value) in before.items():
            total = total + row[label][:, :1] * value
        return total
    total = each(source, drive)
    for label, (other, value) in before.items():
        wide = value.unsqueeze(-1) if other.kind == "shared" else value
        total.addcmul_(wide.expand_as(total), row[label].unsqueeze(1).expand_as(total))
    return total
