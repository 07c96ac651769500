"""A block of steps that go together: stages of products, of all its steps at once, and of loops over its steps.

What stages hand on stands in arrays ``many_x[steps*rows][neurons]``: row ``_q + _r`` is that of batch row `_r` at the
step whose first row is `_q`. Rings are arrays of rows too, so that steps that follow each other are one matrix.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.node import Value
from graphc.ir.ops import Project

from .address import Addresses, Members
from .layout import Group, Layout, lay_out_stages
from .step import Step

FEW = 64  # rows of a call for which no weights are copied


def write_tiles(w: Writer, whole: Layout, members: Members, printer: Printer) -> None:
    """Write the loop over the blocks of steps."""
    step = "_k" if whole.reverse else "_t"
    with w.block(f"for (int64_t _begin = 0; _begin < _T; _begin += {whole.tile}) {{", "}"):
        w.line(f"const int64_t _steps = _T - _begin < {whole.tile} ? _T - _begin : {whole.tile};")
        for layout in lay_out_stages(whole):
            at = Addresses(layout, printer, whole.kernel.graph)
            if any(group.product for group in layout.groups):
                _Products(w, layout, at, members, printer).write()
                continue
            with w.block(f"for (int64_t {step} = _begin; {step} < _begin + _steps; {step}++) {{", "}"):
                if layout.handed:
                    w.line(f"const int64_t _q = ({step} - _begin)*_rows;")
                Step(w, layout, at, members, printer).write()


def write_panels(w: Writer, layout: Layout, at: Addresses) -> list[str]:
    """Write the copies of weights that products of many rows read, once a call, and return their names."""
    names: list[str] = []
    for group in layout.groups:
        if group.product and not _by_events(group) and (name := f"_panels_{_weight(layout, group)}") not in names:
            inner, few = layout.size(group.product.operands[0]), f"_T*_B < {FEW}"
            copied = f"_panels({_matrix(layout, at, group)}, {inner}, {group.size})"
            w.line(f"{at.real} *{name} = {few} ? 0 : {copied};")
            names.append(name)
    return names


def _by_events(group: Group) -> bool:
    return isinstance(group.product, Project) and group.product.operands[0].type.dtype == "bool"


def _weight(layout: Layout, group: Group) -> str:
    """Return an identifier for the matrix that a product multiplies with."""
    assert group.product is not None
    name = layout.names[layout.inputs[group.product.operands[1]].source]
    return name if isinstance(group.product, Project) else f"turned_{name}"


def _matrix(layout: Layout, at: Addresses, group: Group) -> str:
    """Return the pointer to the matrix that a product multiplies with."""
    assert group.product is not None
    given = layout.inputs[group.product.operands[1]].source
    return at.pointer(given) if isinstance(group.product, Project) else f"_turned_{at.argument(given)}"


class _Products:
    """The products of one stage while they are written."""

    def __init__(self, w: Writer, layout: Layout, at: Addresses, members: Members, printer: Printer) -> None:
        self.w, self.layout, self.at, self.members, self.printer = w, layout, at, members, printer
        self.listed: set[Value] = set()

    def write(self) -> None:
        """Write every product of the stage."""
        for group in self.layout.groups:
            self._product(group)

    def _product(self, group: Group) -> None:
        w, layout, product = self.w, self.layout, group.product
        assert product is not None
        source, weight = product.operands
        inner, loc = layout.size(source), product.result.loc
        result = f"many_{product.result.name}"
        self.members.add(result, product.result, self.at.real, layout.tile)
        given = layout.inputs[weight].source
        if _by_events(group):
            self._list_events(source)
            self.printer.used |= {"_gather", "_gather_rows"}
            events = f"_m->events_{source.name}[0], {inner + 16}, _m->count_{source.name}"
            target = f"{group.size}, _m->{result}[0]"
            w.line(f"_gather_rows(_steps*_rows, {events}, {self.at.pointer(given)}, {target});", loc)
            return
        matrix, panels = _matrix(layout, self.at, group), f"_panels_{_weight(layout, group)}"
        self.printer.used |= {"_dense", "_panels"}

        def multiply(count: str, rows: str, first: str) -> None:
            size = f"{count}, {inner}, {group.size}"
            target = f"_m->{result}[{first}], {group.size}"
            w.line(f"_dense_panels({size}, {rows}, {inner}, {matrix}, {panels}, {target});", loc)

        self._parts(source, multiply)

    def _list_events(self, source: Value) -> None:
        """Write the search for spikes in the rows of all steps."""
        if source in self.listed:
            return
        self.listed.add(source)
        name, size, rows = source.name, self.layout.size(source), self.layout.tile * self.layout.rows
        self.members.add_plain(f"events_{name}[{rows}][{size + 16}]", "uint32_t")
        self.members.add_plain(f"count_{name}[{rows}]", "int")
        self.printer.used.add("_events_real")

        def search(count: str, matrix: str, first: str) -> None:
            with self.w.block(f"for (int64_t _r = 0; _r < {count}; _r++)"):
                at = f"{first} + _r" if first != "0" else "_r"
                row = f"{matrix} + _r*{size}"
                self.w.line(f"_m->count_{name}[{at}] = _events_real({row}, {size}, _m->events_{name}[{at}]);")

        self._parts(source, search)

    def _parts(self, source: Value, use: Callable[[str, str, str], None]) -> None:
        """Write `use` of the rows of a block: how many, where they start, and the number of the first."""
        w, layout = self.w, self.layout
        if source not in layout.reads:
            use("_steps*_rows", f"_m->many_{source.name}[0]", "0")
            return
        read = layout.reads[source]
        history = self.at.graph.history(read.history)
        name, slots = self.at.argument(history.name), layout.slots(history)
        with w.block("for (int64_t _d = 0, _some; _d < _steps; _d += _some) {  // up to the end of the ring", "}"):
            w.line(f"const int64_t _slot = (_begin + _d + {slots - read.delay})%{slots};")
            w.line(f"_some = {slots} - _slot < _steps - _d ? {slots} - _slot : _steps - _d;")
            use("_some*_rows", f"_m->ring_{name}[_slot*_rows]", "_d*_rows")
