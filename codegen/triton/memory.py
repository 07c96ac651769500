"""Loads and stores of the tiles of one kernel, and what it has without a tensor, as text."""

from __future__ import annotations

from graphc.codegen.expr import Printer
from graphc.ir import Noise, Time, Type

from .plan import Plan, Pointer

NARROW = ("narrow", "condition")
"""Storages of two bytes an element."""

RANGE = {"bfloat16": (1.1754943508222875e-38, 3.3895313892515355e38), "float16": (5.960464477539063e-08, 65504.0)}
"""By precision the least number above 0 that no device flushes to 0, and the greatest."""


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
        wide = f"tl.cast({row}, tl.int64)" if pointer.kind == "history" else row  # rows of sequences are wide already
        terms += [f"{wide} * {time}"] if row != "0" else []
    place = [f"_b * {strides[0] if strides else width}"] if type.batched else []
    place += [_column(plan, pointer) + (" // 32" if pointer.storage == "bits" else "")] if type.axes else []
    if place:
        terms.append(f"({' + '.join(place)})" if len(place) > 1 else place[0])
    return " + ".join(terms)


def leaf(plan: Plan, printer: Printer, node: Time | Noise, row: str) -> str:
    """Return the text of what a step has without a tensor: its time, or its random numbers."""
    if isinstance(node, Time):
        return f"tl.cast(tl.cast(_start + {row}, tl.float64) * {node.dt!r}, {plan.real})"
    place = f"_seed, _start + {row}, _b, _i_{label(plan, node.result.type)}, {node.stream}"
    return f"{printer.call(f'_draw_{node.kind}', place)}.to({plan.real})"


def load(plan: Plan, pointer: Pointer, row: str = "0") -> str:
    """Return the text of one row of `pointer` as a tile of reals, 0 outside."""
    inside, other = mask(plan, pointer.type), "0.0" if pointer.storage in ("real", *NARROW) else "0"
    text = f"tl.load({address(plan, pointer, row)}{f', {inside}, {other}' if inside else ''})"
    if pointer.storage == "bits":
        text = f"(({text} >> ({_column(plan, pointer)} % 32)) & 1)"
    return text if pointer.storage == "real" else f"{text}.to({plan.real})"


def store(plan: Plan, pointer: Pointer, text: str, row: str = "0") -> str:
    """Return the statement that stores the tile `text` as one row of `pointer`."""
    inside = mask(plan, pointer.type)
    match pointer.storage:
        case "narrow":
            text = f"{text}.to({narrow(plan)})"
        case "condition":
            least, most = RANGE[plan.precision]
            text = f"_keep_sign({text}, {least!r}, {most!r}).to({narrow(plan)})"
        case "uint8":
            text = f"{text}.to(tl.uint8)"
        case "bits":
            name = label(plan, pointer.type)
            place = address(plan, pointer, row).replace(f"_i_{name} // 32", f"_word_{name}")
            return f"tl.store({place}, _pack({text}, {inside}), _row & (_word_{name} * 32 < _n_{name}))"
        case "int32":  # the largest float32 below 2**31 stands for "for ever"
            text = f"tl.minimum({text}, 2147483520.0).to(tl.int32)"
    return f"tl.store({address(plan, pointer, row)}, {text}{f', {inside}' if inside else ''})"


def narrow(plan: Plan) -> str:
    """Return the narrow type of `plan` as Triton writes it."""
    return f"tl.{plan.precision}"


def words(plan: Plan) -> list[str]:
    """Return the statements that number the words of bits which a program stores."""
    written = plan.pointers[len(plan.kernel.reads) :]
    axes = dict.fromkeys(p.type.axes[0] for p in written if p.storage == "bits")
    lines = []
    for axis in axes:
        width, name = f"({plan.widths[axis]} // 32)", plan.sizes[axis].removeprefix("_n_")
        lines.append(f"_word_{name} = tl.program_id(1) * {width} + tl.arange(0, {width})[None, :]")
    return lines


def functions(plan: Plan) -> set[str]:
    """Return the names of the functions that `store` calls for the tensors of `plan`."""
    calls = {"condition": "_keep_sign", "bits": "_pack"}
    return {calls[p.storage] for p in plan.pointers if p.storage in calls}


def _column(plan: Plan, pointer: Pointer) -> str:
    return f"_i_{label(plan, pointer.type)}"
