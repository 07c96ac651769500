"""A block of steps that go together: stages of products, of all its steps at once, and of loops over its steps.

What stages hand on stands in arrays ``many_x[steps*rows][neurons]``: row ``_q + _r`` is that of batch row `_r` at the
step whose first row is `_q`. Rings are arrays of rows too, so that steps that follow each other are one matrix.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.node import Value

from .address import Addresses, Members
from .layout import Group, Layout, lay_out_stages
from .panels import by_events, matrix_of, panels_of
from .step import Step


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
        if by_events(group):
            self._list_events(source)
            self.printer.used |= {"_gather", "_gather_rows"}
            events = f"_m->events_{source.name}[0], {inner + 16}, _m->count_{source.name}"
            target = f"{group.size}, _m->{result}[0]"
            w.line(f"_gather_rows(_steps*_rows, {events}, {self.at.pointer(given)}, {target});", loc)
            return
        matrix, panels = matrix_of(layout, self.at, group), panels_of(layout, group)
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
