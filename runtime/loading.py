"""Schedule -> texts -> kernels, by target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir import Schedule, TargetError

if TYPE_CHECKING:
    from .build import Library


def emit(plan: Schedule) -> dict[str, str]:
    """Return the texts of a schedule, "forward" and "backward"."""
    if plan.target == "c":
        from graphc.codegen import c

        return c.emit(plan)
    if plan.target == "triton":
        from graphc.codegen import triton

        return triton.emit(plan)
    raise TargetError(f"unknown target {plan.target!r}", hint='use "auto", "c", "triton" or "reference"')


def load(plan: Schedule, texts: dict[str, str]) -> Library:
    """Return the kernels of `texts`, built or fetched from the cache."""
    if plan.target == "c":
        from . import load_c

        return load_c.load(plan, texts)
    from . import load_triton

    return load_triton.load(plan, texts)
