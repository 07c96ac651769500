"""The two ends of a block: what it takes from memory before the first step and gives back after the last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphc.codegen.writer import Writer
from graphc.ir.graph import Carry, History
from graphc.ir.node import Value

from .address import Addresses, Members
from .layout import Layout


def write_start(w: Writer, layout: Layout, at: Addresses, members: Members) -> None:
    """Write the loads of states and histories, and zero the sums."""
    graph = layout.kernel.graph
    for carry in graph.carries:
        members.add(f"now_{carry.current.name}", carry.current, at.real)
        with _rows(w, layout, carry.current):
            w.line(f"_m->now_{carry.current.name}[_r][_n] = {at.initial(carry.init, carry.current, '_n')};")
    for history in graph.histories:
        if layout.turned(history):
            continue
        name = at.argument(history.name)
        members.add(f"ring_{name}", history.value, at.real, layout.slots(history))
        init = at.zero
        if history.init:
            init = at.element(history.init, at.past(history.init, history.value, "_n"))
        with _entries(w, layout, history):  # slot 0 is free: the first step writes it
            w.line(f"_m->{layout.row(_slot(layout, name, f'_d + {layout.tile}'), '_r')}[_n] = {init};")
    for output in graph.outputs:
        if output.kind == "sum":
            name = at.argument(output.name)
            members.add_row(f"sum_{name}", layout.summand(output.value), at.real)
            w.line(f"__builtin_memset(_m->sum_{name}, 0, sizeof _m->sum_{name});")


def write_finish(w: Writer, layout: Layout, at: Addresses) -> None:
    """Write the stores of final states and histories, and of the sums of this block."""
    graph = layout.kernel.graph
    for carry in graph.carries:
        if carry.final:
            _store_state(w, layout, at, carry, carry.final)
    for history in graph.histories:
        if history.final:
            entry = f"(_T + _d + {layout.tile})%{layout.slots(history)}"
            slot = f"_m->{layout.row(_slot(layout, at.argument(history.name), entry), '_r')}[_n]"
            target = at.past(history.final, history.value, "_n")
            with _entries(w, layout, history):
                w.line(f"{target} = {at.stored(history.final, slot)};")
    for output in graph.outputs:
        if output.kind == "sum":
            name, value = at.argument(output.name), layout.summand(output.value)
            with w.block(f"for (int64_t _n = 0; _n < {layout.bound(value)}; _n++)"):
                part = f"_part_{name}[_b0/{layout.rows}*{layout.size(value)} + _n{at.n0(value)}]"
                w.line(f"{part} = _m->sum_{name}[_n];")


def write_sum(w: Writer, layout: Layout, at: Addresses, output: str, result: Value) -> None:
    """Write the sum of the parts of all blocks, in their order: the threads do not show in it."""
    name, size = at.argument(output), layout.size(layout.summand(result))
    if result.type.axes:
        with w.block(f"for (int64_t _n = 0; _n < {size}; _n++) {{", "}"):
            w.line("double _total = 0;")
            w.line(f"for (int64_t _k = 0; _k < _blocks; _k++) _total += _part_{name}[_k*{size} + _n];")
            w.line(f"_out_{name}[_n] = ({at.real})_total;")
    else:
        w.line(f"_out_{name}[0] = _sum(_part_{name}, _blocks*{size});")
    w.line(f"free(_part_{name});")


def _slot(layout: Layout, ring: str, entry: str) -> str:
    """Return one slot of a ring, by the number of its first row where it is an array of rows."""
    if layout.tile > 1:
        entry = f"({entry})*_rows" if "%" not in entry else f"{entry}*_rows"
    return f"ring_{ring}[{entry}]"


def _store_state(w: Writer, layout: Layout, at: Addresses, carry: Carry, final: str) -> None:
    value, batched = carry.current, layout.buffer(final).type.batched
    row = f"(_b0 + _r)*{layout.size(value)} + " if batched else ""
    stored = at.stored(final, f"_m->now_{value.name}[_r][_n]")
    with _rows(w, layout, value, once=not batched):
        w.line(f"_out_{at.argument(final)}[{row}_n{at.n0(value)}] = {stored};")


@contextmanager
def _rows(w: Writer, layout: Layout, value: Value, once: bool = False) -> Iterator[None]:
    """Open loops over the rows and neurons of the block; `once` over the first row of the batch alone."""
    rows = "_b0 == 0 && _r < 1" if once else "_r < _rows"
    neurons = f"for (int64_t _n = 0; _n < {layout.bound(value)}; _n++)"
    with w.block(f"for (int64_t _r = 0; {rows}; _r++)"), w.block(neurons):
        yield


@contextmanager
def _entries(w: Writer, layout: Layout, history: History) -> Iterator[None]:
    """Open loops over the entries of a history, oldest first, and their rows and neurons."""
    with w.block(f"for (int64_t _d = 0; _d < {layout.depth(history)}; _d++)"), _rows(w, layout, history.value):
        yield
