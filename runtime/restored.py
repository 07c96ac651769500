"""How a pickled model is made again: from its declaration, its options and its `state_dict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphc.ir import Program

from .asked import Compiler
from .build import Options

if TYPE_CHECKING:
    from .module import Model


def restored(
    kind: type[Model],
    compiler: Compiler,
    program: Program,
    target: str,
    dtype: torch.dtype,
    trainable: bool,
    options: Options,
    state: dict[str, torch.Tensor],
    frozen: frozenset[str],
    training: bool,
    device: torch.device,
) -> Model:
    """Return a pickled model."""
    model = kind(compiler, program, target, dtype, trainable, options).to(device).train(training)
    model.load_state_dict(state)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return model
