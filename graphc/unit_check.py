"""The dimension check of one neuron: which entries contradict each other, and what follows for its symbols."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sympy import Symbol

from graphc.ir.functions import previous

from .dimensions import NAMES, NONE, TIME, Dimension, quantities
from .distributions import Distribution
from .inference import Dimensions, Form, Mismatch
from .symbols import Input, Noise, Parameter, State
from .values import Measured

if TYPE_CHECKING:
    from .entries import Entry

Problem = tuple["Entry", str]
_SETTLING = ("init", "reset", "spike", "escape")  # these compare a state with a value, where `ode` only relates states


def check_units(
    entries: Sequence[Entry], values: Sequence[tuple[Entry, Measured]], parameters: Iterable[Parameter]
) -> tuple[list[Problem], dict[str, Dimension]]:
    """Return what contradicts what, and the dimension of every symbol that has a determined one.

    Any of two contradicting entries may be the wrong one. What carries units is believed first, then the equations;
    where that makes a state something that no state is (voltage times time), thresholds and resets are believed.
    """
    known = {"t": TIME, "dt": TIME, "spike": NONE}
    for n, white in _white(entries).items():
        known |= {n.name: NONE, white.name: TIME ** Fraction(-1, 2)}
    known |= {p.name: p.dimension or NONE for p in parameters if p.dimension is not None or not _is_zero(p.default)}
    symbols = {s for e in entries for s in e.expr.free_symbols if isinstance(s, (State, Input, Parameter))}
    with_units = [e for e in entries if e.group in _SETTLING and _mentions_units(e.expr)]
    settling = [e for e in entries if e.group in _SETTLING]
    for first in (with_units, settling):
        problems, dimensions = _check([*first, *(e for e in entries if e not in first)], values, known)
        found = {s.name: d for s in symbols if (d := dimensions.known(s.name)) is not None}
        states = [d for s in symbols if isinstance(s, State) and (d := found.get(s.name)) is not None]
        if not problems or all(d in NAMES and d != TIME for d in states):
            break
    return problems, found


def _check(
    entries: Sequence[Entry], values: Sequence[tuple[Entry, Measured]], known: dict[str, Dimension]
) -> tuple[list[Problem], Dimensions]:
    dimensions = Dimensions(known)
    problems: list[Problem] = []
    white = _white(entries)
    for entry, measured in values:
        if measured.dimension is not None or not _is_zero(measured.value):
            given = Form(measured.dimension or NONE)
            _attempt(problems, entry, dimensions, given, dimensions.of(entry.key), "is {b}, but the state is {a}")
    for entry in entries:
        try:
            if entry.group == "let" and not entry.expr.free_symbols.isdisjoint(white):
                continue  # written out where it is read; what its noise is depends on the place
            _check_delays(entry.expr, dimensions)
            form = dimensions.of(entry.expr.xreplace(white) if entry.group == "ode" else entry.expr)
        except Mismatch as error:
            problems.append((entry, str(error)))
            continue
        match entry.group:
            case "ode":
                target = dimensions.of(entry.key) or Form()
                _attempt(problems, entry, dimensions, form, target * Form(TIME**-1), "is {b}, but must be {a}")
            case "update" | "receive" | "reset" | "init":
                _attempt(problems, entry, dimensions, form, dimensions.of(entry.key), "is {b}, but the state is {a}")
            case "escape":
                _attempt(problems, entry, dimensions, form, Form(TIME**-1), "is {b}, but must be {a}")
            case "refractory":
                _attempt(problems, entry, dimensions, form, Form(TIME), "is {b}, but must be {a}")
    return problems, dimensions


def _white(entries: Iterable[Entry]) -> dict[Noise, Symbol]:
    """Return what stands in `ode` for each noise, which has another dimension there."""
    return {n: Symbol(f"{n}@white") for e in entries for n in e.expr.atoms(Noise)}


def _attempt(
    problems: list[Problem], entry: Entry, dimensions: Dimensions, form: Form | None, target: Form | None, message: str
) -> None:
    try:
        dimensions.equate(target, form, message)
    except Mismatch as error:
        problems.append((entry, str(error)))


def _check_delays(e: Any, dimensions: Dimensions) -> None:
    for marker in e.atoms(previous):
        if quantities(marker.args[1]):
            form = dimensions.of(marker.args[1])
            dimensions.equate(Form(TIME), form, f"looks back by {{b}} in '{marker}', not by a {{a}}")


def _mentions_units(e: Any) -> bool:
    return bool(quantities(e)) or any(isinstance(s, Parameter) and s.dimension is not None for s in e.free_symbols)


def _is_zero(value: Any) -> bool:
    if isinstance(value, Distribution):
        return False
    return not value.any() if hasattr(value, "any") else value == 0
