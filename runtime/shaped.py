"""Outputs and records of states with several parts: one tensor (T, B, N, M) for M sequences (T, B, N)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from graphc.ir import Program
from graphc.ir.program import during


def parts(program: Program, names: Iterable[str]) -> tuple[str, ...]:
    """Return the sequences that records stand for."""
    return tuple(dict.fromkeys(part for name in names for part in program.families.get(name, (name,))))


def outputs_of(program: Program, found: Mapping[str, torch.Tensor]) -> Any:
    """Return the output among the sequences of a run, or the outputs by the name under which they were declared."""
    if len(program.asked) == 1:
        return _whole(program, found, program.asked[0])
    return {name.removesuffix(".output"): _whole(program, found, name) for name in program.asked}


def records_of(program: Program, found: Mapping[str, torch.Tensor], names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Return the records called `names` among the sequences of a run."""
    return {name: _whole(program, found, name) for name in names}


def outputs_by_part(program: Program, output: Any) -> dict[str, torch.Tensor]:
    """Return the sequences of which `outputs_of` made `output`, by name."""
    values = output if isinstance(output, Mapping) else {program.asked[0].removesuffix(".output"): output}
    found: dict[str, torch.Tensor] = {}
    for name in program.asked:
        value, several = values[name.removesuffix(".output")], program.families.get(name)
        found |= {name: value} if several is None else dict(zip(several, value.unbind(-1), strict=True))
    return found


def _whole(program: Program, found: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if name in program.families:
        return torch.stack([_whole(program, found, part) for part in program.families[name]], -1)
    return found[name if name in found else during(name)]
