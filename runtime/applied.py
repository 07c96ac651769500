"""What a run of learning rules leaves in the parameters: weights that all samples share, or gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from graphc.ir import GraphcError, Program
from graphc.ir.program import Applied


def apply_rules(
    model: nn.Module,
    program: Program,
    before: Mapping[str, torch.Tensor] | None,
    after: Mapping[str, torch.Tensor],
) -> None:
    """Write what the rules of `program` made of their weights between two states; no `before` is that of step 0.

    Raises:
        GraphcError: a weight is no parameter of its own any more.
    """
    for applied in program.applied:
        value = after[applied.state].detach()
        if not len(value):
            continue
        weight = _leaf(model, applied)
        if not applied.is_gradient:
            weight.data.copy_(value[0])
            continue
        change = value if before is None else value - before[applied.state].detach()
        total = change.mean(0) if applied.mean else change.sum(0)
        weight.grad = -total if weight.grad is None else weight.grad - total


def _leaf(model: nn.Module, applied: Applied) -> torch.Tensor:
    owner, _, attribute = applied.parameter.partition(".")
    weight = getattr(model.get_submodule(owner), attribute)
    if not isinstance(weight, torch.Tensor) or not weight.is_leaf:
        raise GraphcError(
            f"weight '{applied.parameter}' is computed from another tensor, so that its rule cannot write it",
            hint="remove the parametrization, or let samples keep weights of their own, reduction=None",
        )
    return weight
