"""The expressions of a declaration, each with its place in the user's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy

from graphc.ir.functions import previous
from graphc.ir.loc import Loc

from .dimensions import quantities, without_units

_WHAT = {
    "ode": "d{key}/dt",
    "update": "the update of '{key}'",
    "receive": "receive of '{key}'",
    "reset": "the reset of '{key}'",
    "init": "the initial value of '{key}'",
    "let": "let '{key}'",
    "spike": "the spike condition",
    "escape": "the escape rate",
    "output": "the output",
    "refractory": "the refractory time",
    "on_pre": "on_pre of '{key}'",
    "on_post": "on_post of '{key}'",
    "transmit": "transmit",
    "bounds": "a bound",
}


@dataclass
class Entry:
    """One expression of a declaration and where it stands."""

    group: str
    key: Any
    index: int | None
    expr: Any
    neuron: str
    declared: Loc
    kind: str = "neuron"

    @property
    def what(self) -> str:
        """What it is, in a message."""
        return f"{_WHAT[self.group].format(key=self.key)} of {self.kind} '{self.neuron}'"

    @property
    def loc(self) -> Loc:
        """The line it was written on."""
        return self.declared.entry(self.group, self.index)


def in_base_units(e: Any) -> Any:
    """Return `e` with quantities replaced by numbers in base units; a time to look back becomes a Float of ms."""
    timed = [marker for marker in e.atoms(previous) if quantities(marker.args[1])]
    delays = {m: previous(m.args[0], sympy.Float(without_units(m.args[1]))) for m in timed}
    return without_units(e.xreplace(delays) if delays else e)


def sorted_symbols(e: Any) -> list[Any]:
    """Return the symbols of `e`, always in the same order."""
    return sorted(e.free_symbols, key=lambda s: (s.name, type(s).__name__, str(s)))


def read_now(e: Any) -> set[Any]:
    """Return the symbols of `e` that are read at this very step."""
    if isinstance(e, previous):
        return set()
    return {e} if e.is_Symbol else set().union(*(read_now(a) for a in e.args))
