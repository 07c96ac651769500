"""The module tree of a model's parameters: `model.hid.theta`, `model.x_hid.weight`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from graphc.ir import GraphcError, Loc, Parameter, Program


class Bounded(nn.Module):
    """Maps an unbounded tensor into the bounds of a parameter.

    min + softplus(raw), max - softplus(raw), or min + (max - min) sigmoid(raw); `right_inverse` is its inverse.
    """

    def __init__(self, minimum: float | None, maximum: float | None, name: str = "", loc: Loc | None = None) -> None:
        """Take the bounds, and what to name when a value is outside them."""
        super().__init__()
        self.minimum, self.maximum, self.name, self.loc = minimum, maximum, name, loc

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the bounded value."""
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return low + (high - low) * torch.sigmoid(raw)
        if low is not None:
            return low + nn.functional.softplus(raw)
        assert high is not None
        return high - nn.functional.softplus(raw)

    def right_inverse(self, value: torch.Tensor) -> torch.Tensor:
        """Return the tensor that `forward` maps to `value`.

        Raises:
            GraphcError: an element is not between the bounds.
        """
        low, high = self.minimum, self.maximum
        inside = (value > (-math.inf if low is None else low)) & (value < (math.inf if high is None else high))
        if not inside.all():
            worst = float(value[~inside].flatten()[0])
            bounds = " and ".join([f"above {low!r}"] * (low is not None) + [f"below {high!r}"] * (high is not None))
            message = f"parameter '{self.name}' is set to {worst!r}, but a learned value must stay {bounds}"
            raise GraphcError(message, self.loc, "clip the values, or change min= and max= of the declaration")
        if low is not None and high is not None:
            return torch.logit((value - low) / (high - low))
        distance = value - low if low is not None else high - value  # type: ignore[operator]
        return distance + torch.log(-torch.expm1(-distance))

    def extra_repr(self) -> str:
        """Return the bounds."""
        return f"minimum={self.minimum}, maximum={self.maximum}"


class Signed(nn.Module):
    """Keeps the sign of a weight: ``sign * |raw|``, whose derivative at 0 is that of a growing weight.

    A raw value below 0 is a synapse that training has driven through 0 (see `Model.rewire`).
    """

    sign: torch.Tensor

    def __init__(self, sign: torch.Tensor, name: str = "", loc: Loc | None = None) -> None:
        """Take +1 or -1, one or in the shape of the weight, and what to name when a value has the other sign."""
        super().__init__()
        self.register_buffer("sign", sign.clone(), persistent=False)
        self.name, self.loc = name, loc

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the signed value."""
        return self.sign * torch.where(raw < 0, -raw, raw)

    def right_inverse(self, value: torch.Tensor) -> torch.Tensor:
        """Return the tensor that `forward` maps to `value`.

        Raises:
            GraphcError: an element has the other sign.
        """
        raw = value * self.sign
        if (raw < 0).any():
            worst = float(value[raw < 0].flatten()[0])
            raise GraphcError(f"weight '{self.name}' is set to {worst!r}, against its sign", self.loc)
        return raw.abs()


def add_parameters(model: nn.Module, program: Program, dtype: torch.dtype) -> None:
    """Give `model` one submodule per population and connection, with its parameters and buffers drawn anew."""
    for p in program.parameters:
        if p.owner not in model._modules:
            model.add_module(p.owner, nn.Module())
        owner = model.get_submodule(p.owner)
        value = _signed(p, draw(p, program.sizes, dtype))
        if not p.learn:
            owner.register_buffer(p.attribute, value)
            continue
        owner.register_parameter(p.attribute, nn.Parameter(value))
        if p.minimum is not None or p.maximum is not None:
            parametrize.register_parametrization(owner, p.attribute, Bounded(p.minimum, p.maximum, p.name, p.loc))
        if p.sign is not None:
            sign = torch.tensor(p.sign, dtype=dtype)
            parametrize.register_parametrization(owner, p.attribute, Signed(sign, p.name, p.loc))


def _signed(p: Parameter, value: torch.Tensor) -> torch.Tensor:
    """Return a drawn value with the declared sign."""
    return value if p.sign is None else value.abs() * torch.tensor(p.sign, dtype=value.dtype)


def draw(p: Parameter, sizes: Mapping[str, int], dtype: torch.dtype, batch: int | None = None) -> torch.Tensor:
    """Return the initial value of `p`: a number everywhere, an array, or a draw from torch's default generator."""
    shape = ((batch,) if p.type.batched and batch is not None else ()) + tuple(sizes[a] for a in p.type.axes)
    value: Any = p.value
    if p.type.dtype == "int":
        return torch.tensor(value, dtype=torch.int32)
    if value is None:  # torch.nn.Linear's default
        bound = 1 / math.sqrt(p.fan_in or 1)
        return torch.empty(shape, dtype=dtype).uniform_(-bound, bound)
    if isinstance(value, (int, float)):
        return torch.full(shape, float(value), dtype=dtype)
    if isinstance(value, np.ndarray):
        return torch.tensor(value, dtype=dtype).expand(shape).clone()
    drawn = torch.empty(shape, dtype=dtype)
    match type(value).__name__, value.arguments:
        case "Normal", (mean, np.ndarray() as std):  # one per synapse
            return drawn.normal_() * torch.tensor(std, dtype=dtype) + float(mean)
        case "Normal", (mean, std):
            return drawn.normal_(mean, std)
        case "Uniform", (low, high):
            return drawn.uniform_(low, high)
        case "LogNormal", (mu, sigma):
            return drawn.log_normal_(mu, sigma)
        case "Exponential", (mean,):  # a number, or one per synapse
            return drawn.exponential_() * torch.as_tensor(mean, dtype=dtype)
        case kind, _:
            raise TypeError(f"cannot draw from {kind}")


def read_parameters(model: nn.Module, program: Program) -> list[torch.Tensor]:
    """Return the parameters in the order of the program, read through the modules' attributes."""
    owners = model._modules
    return [getattr(owners[p.owner], p.attribute) for p in program.parameters]


def check_parameters(program: Program, tensors: Sequence[torch.Tensor], like: torch.Tensor) -> None:
    """Raise where a parameter was replaced by a tensor that no kernel can read: kernels do not look.

    Raises:
        GraphcError: a tensor has another shape than declared, or another dtype or device than `like`.
    """
    for p, x in zip(program.parameters, tensors, strict=True):
        shape = tuple([program.sizes[a] for a in p.type.axes])
        if x.shape != shape:
            raise GraphcError(f"parameter '{p.name}' has shape {tuple(x.shape)}, but {shape} is declared", p.loc)
        dtype = torch.int32 if p.type.dtype == "int" else like.dtype
        if x.dtype != dtype or x.device != like.device:
            raise GraphcError(
                f"parameter '{p.name}' is {x.dtype} on {x.device}, but the model computes in {dtype} on {like.device}",
                p.loc,
                "move the whole model, model.to(...)",
            )
