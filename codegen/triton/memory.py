"""Loads and stores of the tiles of one kernel, as text."""

from __future__ import annotations

from graphc.ir import Type

from .plan import Plan, Pointer


def label(plan: Plan, type: Type) -> str:
    """Return the identifier of the axis of `type`, of which ``_i_``, ``_n_``, ``_col_`` and ``_in_`` are the names."""
    return plan.sizes[type.axes[0]].removeprefix("_n_")


def mask(plan: Plan, type: Type) -> str:
    """Return the text of what lies inside; every program stores a value without batch, the same one."""
    if type.axes:
        return f"_in_{label(plan, type)}" if type.batched else f"_col_{label(plan, type)}"
    return "_row" if type.batched else ""


def address(plan: Plan, pointer: Pointer, row: str = "0") -> str:
    """Return the text of the addresses of one row of `pointer`."""
    type, strides = pointer.type, list(pointer.strides)
    width = f"_n_{label(plan, type)}" if type.axes else "1"
    terms = [pointer.name]
    if pointer.kind == "ring":
        terms += [f"{row} * ({f'_B * {width}' if type.batched else width})"] if row != "0" else []
    elif strides:
        time = strides.pop(0)
        terms += [f"{row} * {time}"] if row != "0" else []
    place = [f"_b * {strides[0] if strides else width}"] if type.batched else []
    place += [f"_i_{label(plan, type)}"] if type.axes else []
    if place:
        terms.append(f"({' + '.join(place)})" if len(place) > 1 else place[0])
    return " + ".join(terms)


def load(plan: Plan, pointer: Pointer, row: str = "0") -> str:
    """Return the text of one row of `pointer` as a tile of reals, 0 outside."""
    inside, other = mask(plan, pointer.type), "0.0" if pointer.storage == "real" else "0"
    text = f"tl.load({address(plan, pointer, row)}{f', {inside}, {other}' if inside else ''})"
    return text if pointer.storage == "real" else f"{text}.to({plan.real})"


def store(plan: Plan, pointer: Pointer, text: str, row: str = "0") -> str:
    """Return the statement that stores the tile `text` as one row of `pointer`."""
    inside = mask(plan, pointer.type)
    if pointer.storage == "uint8":
        text = f"{text}.to(tl.uint8)"
    elif pointer.storage == "int32":  # the largest float32 below 2**31 stands for "for ever"
        text = f"tl.minimum({text}, 2147483520.0).to(tl.int32)"
    return f"tl.store({address(plan, pointer, row)}, {text}{f', {inside}' if inside else ''})"
