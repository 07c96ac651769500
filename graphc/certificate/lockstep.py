"""Two runs side by side: where their spikes part, and which quantity is wrong first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reference import CONDITION, Traces
from .rounding import NONE, Rounding
from .table import Row

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Paths:
    """Where two runs took the same path.

    Attributes:
        same: (T, B), the steps before any spike differs.
        explain: (T, B), those steps and the one on which a sample parts that rounding does not explain.
    """

    same: torch.Tensor
    explain: torch.Tensor


def lockstep(
    target: Traces, reference: Traces, spiking: Sequence[str], tolerance: float, rounding: Rounding = NONE
) -> tuple[list[Row], Paths]:
    """Compare spikes one by one; return a row per population, and where the paths are the same.

    Two runs part rightly where the first spike that differs has a condition within `tolerance` of 0, relative to the
    range of that condition, or within what `rounding` does to it, or where the reference itself has parted.
    """
    import torch

    shape = next(iter(target.sequences.values())).shape[:2]
    differs = {
        n: (target.sequences[f"{n}.spike"].detach().cpu() > 0) != (reference.sequences[f"{n}.spike"].detach() > 0)
        for n in spiking
    }
    apart = torch.zeros(shape, dtype=torch.bool)
    for where in differs.values():
        apart |= where.any(dim=2)
    same = apart.cumsum(0) == 0
    first = apart & (apart.cumsum(0) == 1)
    if rounding.same is not None:
        same, first = same & rounding.same, first & rounding.same
    wrong, rows = torch.zeros_like(apart), []
    for name in spiking:
        begin = differs[name] & first.unsqueeze(2)
        condition = reference.sequences[f"{name}.spike{CONDITION}"].detach().abs()
        spikes = int((reference.sequences[f"{name}.spike"] > 0).sum())
        if not begin.any():
            rows.append(Row(name, "spikes", f"{spikes} spikes, none differs in lockstep"))
            continue
        relative = condition / condition.max()
        begins_wrong = begin & ~((relative <= tolerance) | (condition <= rounding.of(f"{name}.spike{CONDITION}")))
        wrong |= begins_wrong.any(dim=2)
        worst = float(relative[begin].max())
        step = int(begin.any(dim=2).any(dim=1).nonzero()[0])
        count = int(begin.any(dim=2).sum())
        found = f"{count} samples part, first at step {step}, |condition| {worst:.1e} of its range"
        rows.append(Row(name, "spikes", found, not begins_wrong.any()))
        first = first & ~begin.any(dim=2)  # what differs at the same step downstream follows from this
    return rows, Paths(same, same | wrong)


def first_fault(
    target: Traces,
    reference: Traces,
    order: Sequence[str],
    paths: Paths,
    tolerance: float,
    rounding: Rounding = NONE,
) -> str | None:
    """Return which quantity is wrong first, and where: the earliest step, and there the first that a step computes.

    Args:
        target: one run.
        reference: what it should be.
        order: names of the quantities as a step computes them.
        paths: where the runs can be compared.
        tolerance: of a quantity, relative to its largest value.
        rounding: what is allowed beside that.
    """
    found: list[tuple[int, int, str]] = []
    for number, name in enumerate(order):
        a, b = target.sequences[name].detach().cpu().double(), reference.sequences[name].detach()
        if name.endswith(".spike"):
            wrong = (a > 0) != (b > 0)
        else:
            compared = b[paths.same]
            scale = float(compared.abs().max()) if compared.numel() else 0.0
            wrong = ~((a - b).abs() <= tolerance * max(scale, 1e-30) + rounding.of(name)) & ~(a.isnan() & b.isnan())
        wrong &= paths.explain.unsqueeze(2)
        if wrong.any():
            step, sample, neuron = (int(k) for k in wrong.nonzero()[0])
            values = f"{float(a[step, sample, neuron]):.6g} instead of {float(b[step, sample, neuron]):.6g}"
            where = f"{name} at step {step}, sample {sample}, neuron {neuron}: {values}"
            found.append((step, number, where))
    return min(found)[2] if found else None


def distance(
    name: str,
    what: str,
    a: torch.Tensor,
    b: torch.Tensor,
    same: torch.Tensor,
    tolerance: float,
    rounding: Rounding = NONE,
) -> Row:
    """Return the row of two sequences compared while the paths are the same."""
    allowed = rounding.of(name)
    if not isinstance(allowed, float):
        allowed = allowed[same]
    a, b = a.detach().cpu().double()[same], b.detach().double()[same]
    if not b.numel():
        return Row(name, what, "nothing to compare")
    scale = float(b.abs().max())
    apart, strict = (a - b).abs(), tolerance * max(scale, 1e-30)
    found = f"differs by {float(apart.max()):.1e}, range {scale:.1e}"
    ok = bool((apart <= strict + allowed).all())
    if ok and not (apart <= strict).all():
        found += ", as rounding to float32 makes it"
    return Row(name, what, found, ok)
