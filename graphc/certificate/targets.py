"""Which targets this machine can run, and why not the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.errors import TargetError


@dataclass(frozen=True)
class Available:
    """A target that runs here.

    Attributes:
        name: "reference", "c" or "triton".
        device: where.
        interpreted: whether Triton interprets its kernels, which is slow.
    """

    name: str
    device: str = "cpu"
    interpreted: bool = False


def available() -> tuple[list[Available], dict[str, str]]:
    """Return the targets that run here, and for each other one why it does not."""
    found, missing = [Available("reference")], {}
    from graphc.runtime.compiler import find_compiler

    try:
        find_compiler()
        found.append(Available("c"))
    except TargetError as error:
        missing["c"] = error.message
    try:
        found.append(_triton())
    except TargetError as error:
        missing["triton"] = error.message
    return found, missing


def _triton() -> Available:
    """Return target "triton".

    Raises:
        TargetError: nothing here runs its kernels.
    """
    import importlib.util

    import torch

    if importlib.util.find_spec("triton") is None:
        raise TargetError("triton is not installed")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return Available("triton", interpreted=True)
    if torch.cuda.is_available():
        return Available("triton", "cuda")
    raise TargetError("no CUDA device; TRITON_INTERPRET=1 interprets its kernels, slowly")


def chosen(names: Sequence[str]) -> tuple[list[Available], dict[str, str]]:
    """Return the targets of those names that run here, and why the others do not; all targets for no name.

    Raises:
        TargetError: a target was named that does not run here.
    """
    found, missing = available()
    if not names:
        return found, missing
    for name in names:
        if name in missing:
            raise TargetError(f"target {name!r} cannot run here: {missing[name]}", hint="leave out --target")
    return [t for t in found if t.name in names], {}
