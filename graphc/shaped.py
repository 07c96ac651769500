"""States and inputs of several parts: ``gc.state("v", shape=3)`` is the tuple of v[0], v[1] and v[2]."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import sympy

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .distributions import Distribution
from .symbols import State
from .values import is_array

Positions = dict[tuple[str, Any], int]
"""Where the entry of one part stands in the dict that the user wrote, by group and part."""


def identifier(name: str) -> str:
    """Return the name of a part as one that a module can have: ``x_2`` for ``x[2]``."""
    return re.sub(r"\[(\d+)\]", r"_\1", name)


def families(symbols: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the parts, in order, by that of the whole; only of what has all its parts."""
    found: dict[str, dict[int, Any]] = {}
    for s in symbols:
        if s.size is not None:
            whole, _, number = s.name.rstrip("]").partition("[")
            found.setdefault(whole, {})[int(number)] = s
    return {
        whole: tuple(parts[k].name for k in sorted(parts))
        for whole, parts in found.items()
        if len(parts) == next(iter(parts.values())).size
    }


def unpack(group: str, given: Any, what: str, loc: Loc, positions: Positions) -> Any:
    """Return the entries of an argument such as `ode` by single states, and note where they stand.

    The value of a tuple of states is a sequence of one value per state, or one for all; of an initial value also an
    array of one row per neuron.
    """
    if not isinstance(given, Mapping):
        return given
    entries: dict[Any, Any] = {}
    for index, (key, value) in enumerate(given.items()):
        keys = key if isinstance(key, tuple) and key and all(isinstance(s, State) for s in key) else (key,)
        label = f"{group} of {what}"
        values = (value,) if keys == (key,) else _per_part(value, len(keys), label, loc.entry(group, index))
        for one, part in zip(keys, values, strict=True):
            if one in entries:
                raise DeclarationError(f"{label} has '{one}' twice", loc.entry(group, index), "keep one of them")
            entries[one] = part
            positions[group, one] = index
    return entries


def flat(given: Any) -> Any:
    """Return a tuple of states and of tuples of states as one tuple; anything else as it is."""
    if not isinstance(given, (tuple, list)):
        return given
    return tuple(s for one in given for s in (one if isinstance(one, (tuple, list)) else (one,)))


def incomplete(states: Iterable[Any]) -> tuple[str, str] | None:
    """Return the whole and the first part that is missing of what has a shape, or None where nothing is."""
    known = list(states)
    names = {s.name for s in known}
    for s in known:
        whole = s.name.partition("[")[0]
        for k in range(s.size or 0):
            if f"{whole}[{k}]" not in names:
                return whole, f"{whole}[{k}]"
    return None


def values_of_parts(symbols: Iterable[Any], values: Mapping[str, Any], what: str, loc: Loc) -> dict[str, Any]:
    """Return the values that a user gives by name, those of a whole by its parts.

    A whole takes one value for all, (M,) one per part, or (N, M) one per neuron and part.
    """
    known = families(symbols)
    found: dict[str, Any] = {}
    for name, value in values.items():
        parts = known.get(name, (name,))
        split = (value,) if name not in known else _per_part(value, len(parts), f"'{name}' of {what}", loc.entry(name))
        for part, one in zip(parts, split, strict=True):
            if part in found:
                raise DeclarationError(f"'{part}' of {what} is given twice", loc.entry(name), "give it once")
            found[part] = one
    return found


def _per_part(value: Any, count: int, label: str, loc: Loc) -> tuple[Any, ...]:
    """Return one value per part."""
    if isinstance(value, sympy.MatrixBase):
        value = tuple(value)
    if isinstance(value, Distribution) or not (isinstance(value, (list, tuple)) or is_array(value)):
        return (value,) * count
    if hasattr(value, "shape"):
        if value.shape == (count,) or (len(value.shape) == 2 and value.shape[1] == count):
            return tuple(value[..., k] for k in range(count))
        raise DeclarationError(
            f"{label} has shape {tuple(value.shape)}", loc, f"give ({count},), or (neurons, {count})"
        )
    if len(value) != count:
        message = f"{label} has {len(value)} values for {count} states"
        raise DeclarationError(message, loc, f"give one for all, or a sequence of {count}")
    if any(isinstance(row, (list, tuple)) for row in value):  # one row per neuron, or one array per part
        raise DeclarationError(f"{label} is a list of lists", loc, "give an array of shape (neurons, states)")
    return tuple(value)
