"""Check what a user passes to a model: inputs and states of the right shape, dtype and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from graphc.ir import GraphcError, Loc, Program, TargetError, Type

from .build import DTYPES
from .products import NARROW


def check_dtype(dtype: torch.dtype) -> None:
    """Raise a TargetError unless states can be of `dtype`."""
    if dtype in DTYPES:
        return
    narrow = dtype in NARROW.values()
    precision = f'gc.compile(network, precision="{str(dtype).removeprefix("torch.")}") rounds sequences and factors'
    raise TargetError(
        f"dtype {dtype} is not supported",
        hint=precision if narrow else "use torch.float32 or torch.float64",
    )


def check_count(name: str, value: Any) -> None:
    """Raise a GraphcError unless `value` counts steps or samples."""
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)) or value < 0:
        raise GraphcError(f"{name}={value!r} is no int of at least 0", hint=f"such as {name}=1")


def named_inputs(program: Program, inputs: Any) -> dict[str, torch.Tensor]:
    """Return the inputs by name; one that stands alone takes the name of the only input."""
    if inputs is None:
        return {}
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if len(program.inputs) != 1:
        names = ", ".join(repr(t.name) for t in program.inputs) or "none"
        raise GraphcError(f"the network has the inputs {names}", hint="pass a dict by name")
    return {program.inputs[0].name: inputs}


def checked_inputs(
    program: Program, like: torch.Tensor, inputs: Any, steps: int | None, batch: int | None, dtype: torch.dtype
) -> tuple[list[torch.Tensor], int, int]:
    """Return the inputs in order, T and B; each must be on the device of `like` and of `dtype`."""
    for name, count in (("steps", steps), ("batch_size", batch)):
        if count is not None:
            check_count(name, count)
    named = named_inputs(program, inputs)
    for tensor in program.inputs:
        if tensor.name not in named:
            raise GraphcError(f"input '{tensor.name}' of the network was not given", tensor.loc)
    known = [t.name for t in program.inputs]
    if unknown := [name for name in named if name not in known]:
        names = ", ".join(map(repr, known)) or "none"
        raise GraphcError(f"the network has no input {unknown[0]!r}", hint=f"its inputs are {names}")
    found: list[torch.Tensor] = []
    for tensor in program.inputs:
        x = named[tensor.name]
        found.append(_checked(like, tensor.name, x, program.sizes[tensor.type.axes[0]], tensor.loc, dtype))
        if (steps is not None and x.shape[0] != steps) or (batch is not None and x.shape[1] != batch):
            raise GraphcError(
                f"input '{tensor.name}' has T, B = {tuple(x.shape[:2])}, "
                f"but ({steps}, {batch}) comes from another input or argument",
                tensor.loc,
            )
        steps, batch = x.shape[0], x.shape[1]
    if steps is None:
        raise GraphcError("a network without inputs needs steps=", hint="model.run(steps=1000, batch_size=1)")
    return found, steps, 1 if batch is None else batch


def _checked(like: torch.Tensor, name: str, x: Any, size: int, loc: Loc | None, dtype: torch.dtype) -> torch.Tensor:
    if not isinstance(x, torch.Tensor):
        raise GraphcError(f"input '{name}' is a {type(x).__name__}, no tensor", loc)
    if x.layout != torch.strided:
        raise GraphcError(f"input '{name}' is sparse, which no target takes", loc, f"pass {name}.to_dense()")
    if x.dim() != 3 or x.shape[2] != size:
        raise GraphcError(f"input '{name}' has shape {tuple(x.shape)}, but (T, B, {size}) is declared", loc)
    if x.dtype != dtype:
        does = f"computes in {dtype}" if dtype == like.dtype else f"takes {dtype}"
        raise GraphcError(f"input '{name}' is {x.dtype}, but the model {does}", loc, _cast(name, x.dtype, dtype))
    if x.device != like.device:
        raise GraphcError(
            f"input '{name}' is on {x.device}, the model on {like.device}", loc, "move one of them with .to()"
        )
    return x


def _cast(name: str, given: torch.dtype, wanted: torch.dtype) -> str:
    """Return what to do about an input of another dtype; it is never cast in silence, autocast or not."""
    hint = f"pass {name}.to({wanted})"
    if given in (torch.bfloat16, torch.float16) and wanted == torch.float32:
        precision = str(given).removeprefix("torch.")
        hint += f", or gc.compile(network, precision={precision!r}), which takes what autocast makes of it"
    return hint


def checked_state(
    program: Program, like: torch.Tensor, state: Mapping[str, torch.Tensor], batch: int
) -> list[torch.Tensor]:
    """Return the states in the order of the program, or say which one does not fit."""
    found = []
    start = "start from model.initial_state(batch_size=...)"
    if not isinstance(state, Mapping):
        raise GraphcError(f"the state is a {type(state).__name__}, no mapping of names to tensors", hint=start)
    for tensor in program.states:
        if tensor.name not in state:
            raise GraphcError(f"the state lacks '{tensor.name}'", hint=start)
        value = state[tensor.name]
        if not isinstance(value, torch.Tensor):
            raise GraphcError(f"state '{tensor.name}' is a {type(value).__name__}, no tensor", hint=start)
        if value.device != like.device:
            raise GraphcError(
                f"state '{tensor.name}' is on {value.device}, the model on {like.device}",
                hint="move one of them with .to()",
            )
        shape = _shape(program, tensor.type, batch, tensor.depth)
        if tuple(value.shape) != shape:
            raise GraphcError(f"state '{tensor.name}' has shape {tuple(value.shape)}, but {shape} is needed")
        found.append(value.to(torch.int32 if tensor.type.dtype == "int" else like.dtype))
    if "t" not in state:
        raise GraphcError(
            "the state lacks 't', the number of its step", hint="keep the state as run or step returned it"
        )
    t = state["t"]
    if not isinstance(t, torch.Tensor) or t.dim() or t.is_floating_point():
        raise GraphcError(f"'t' of the state is {t!r}, no integer tensor without axes", hint=start)
    return found


def in_order(
    states: list[torch.Tensor],
    names: tuple[str, ...],
    state: Mapping[str, torch.Tensor] | None,
    program: Program,
) -> list[torch.Tensor]:
    """Return the states called `names`, and the number of the step; nothing where no state was given.

    Raises:
        GraphcError: the given state lacks one.
    """
    if state is None:
        return []
    by_name = dict(zip((t.name for t in program.states), states, strict=True))
    missing = [n for n in names if n not in by_name]
    if missing and is_trace(missing[0]):
        raise GraphcError(
            f"the state lacks the trace '{missing[0]}': it was advanced without gradients, or by another model",
            hint="keep gradients enabled from the first step on, or start from model.initial_state()",
        )
    if missing:
        raise GraphcError(f"this record set needs the state '{missing[0]}', which the given state lacks")
    return [*(by_name[n] for n in names), state["t"]]


def checked_seed(seed: Any) -> torch.Tensor:
    """Return the seed of noise as an int64 number, one of torch's default generator where None is given."""
    if seed is None:
        return torch.randint(2**63 - 1, (), dtype=torch.int64)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise GraphcError(f"seed={seed!r} is no int", hint="seed=0, or None for one of torch's generator")
    return torch.tensor((seed + 2**63) % 2**64 - 2**63)


def is_trace(name: str) -> bool:
    """Whether a state of this name is an eligibility trace."""
    return "~" in name  # no declared name has one


def without_traces(program: Program, keep: Mapping[str, Any]) -> Program:
    """Return `program` without the states that are eligibility traces, but for those of `keep`."""
    return replace(program, states=tuple(t for t in program.states if not is_trace(t.name) or t.name in keep))


def _shape(program: Program, type: Type, batch: int, depth: int | None) -> tuple[int, ...]:
    return (() if depth is None else (depth,)) + (batch,) + tuple(program.sizes[a] for a in type.axes)
