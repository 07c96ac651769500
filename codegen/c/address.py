"""Where a value stands, as C text: pointers to its rows and conversions of its elements."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphc.codegen.expr import Printer
from graphc.ir.graph import Graph
from graphc.ir.node import Value

from .layout import Layout, Sink
from .rules import real

STORAGE = {"uint8": "uint8_t", "int32": "int32_t"}


@dataclass(slots=True)
class Members:
    """The struct that a thread keeps of its block: arrays, by name and bounds, and the type of their elements."""

    layout: Layout
    arrays: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: Value, kind: str, slots: int = 0) -> None:
        """Add ``name[slots][rows][neurons]``, without slots where there are none.

        Where steps go together it is ``name[slots*rows][neurons]``, of which fewer rows lie without gaps.
        """
        rows = f"[{self.layout.rows}]"
        if slots:
            rows = f"[{slots}*{self.layout.rows}]" if self.layout.tile > 1 else f"[{slots}]{rows}"
        self.arrays.setdefault(f"{name}{rows}[{self._neurons(value)}]", kind)

    def add_row(self, name: str, value: Value, kind: str) -> None:
        """Add one row, which the rows of the block use in turn."""
        self.arrays.setdefault(f"{name}[{self._neurons(value)}]", kind)

    def add_plain(self, name: str, kind: str) -> None:
        """Add an array whose bounds stand in its name."""
        self.arrays.setdefault(name, kind)

    def _neurons(self, value: Value) -> int:
        return self.layout.chunk if self.layout.chunk and value.type.axes else self.layout.size(value)


class Addresses:
    """Texts for the values and buffers of one kernel, inside the loop over the rows `_r` of a block."""

    def __init__(self, layout: Layout, printer: Printer, graph: Graph | None = None) -> None:
        """Remember the layout and the real type, and `graph` that has all histories where `layout` is of a stage."""
        self.layout, self.graph = layout, graph or layout.kernel.graph
        self.real, self.zero = real(printer), printer.dialect.number(0)
        self.step = "_k" if layout.reverse else "_t"

    def argument(self, name: str) -> str:
        """Return the identifier of a buffer or history."""
        return self.layout.names[name]

    def pointer(self, name: str) -> str:
        """Return the pointer to the start of a buffer."""
        return f"{'_out' if name in self.layout.kernel.writes else '_in'}_{self.argument(name)}"

    def kind(self, value: Value) -> str:
        """Return how the memory that `value` is read from keeps it."""
        given = self.layout.inputs.get(value)
        return self.layout.buffer(given.source).storage if given else "real"

    def c_type(self, storage: str) -> str:
        """Return the C type of an element."""
        return STORAGE.get(storage, self.real)

    def convert(self, storage: str, text: str) -> str:
        """Return an element in memory as a real number."""
        return text if storage == "real" else f"({self.real}){text}"

    def element(self, buffer: str, text: str) -> str:
        """Return the element `text` of `buffer` as a real number."""
        return self.convert(self.layout.buffer(buffer).storage, text)

    def stored(self, buffer: str, text: str) -> str:
        """Return a real number as `buffer` keeps it."""
        storage = self.layout.buffer(buffer).storage
        return text if storage == "real" else f"({STORAGE[storage]}){text}"

    def streams(self, output: str) -> bool:
        """Return whether an output may be written past the cache."""
        buffer = self.layout.buffer(output)
        return buffer.kind == "sequence" and buffer.storage == "real" and buffer.type.batched

    def is_loaded(self, value: Value) -> bool:
        """Return whether `value` is read from memory, row by row."""
        if value in self.layout.homes or value in self.layout.reads:
            return True
        return value in self.layout.inputs and (value.type.batched or bool(value.type.axes))

    def n0(self, value: Value) -> str:
        """Return what leads to the first neuron of the block, where neurons are split."""
        return " + _n0" if self.layout.chunk and value.type.axes else ""

    def first(self, value: Value) -> str:
        """Return the number of the first neuron of the block."""
        return "_n0" if self.layout.chunk and value.type.axes else "0"

    def initial(self, init: str | None, value: Value, n: str) -> str:
        """Return element `n` of a state before the loop."""
        if init is None:
            return self.zero
        row = f"(_b0 + _r)*{self.layout.size(value)} + " if self.layout.buffer(init).type.batched else ""
        return self.element(init, f"{self.pointer(init)}[{row}{n}{self.n0(value)}]")

    def past(self, buffer: str, value: Value, n: str) -> str:
        """Return element `n` of entry `_d` of a history in memory."""
        short = self.argument(buffer)
        return f"{self.pointer(buffer)}[_d*_t_{short} + (_b0 + _r)*_b_{short}{self.n0(value)} + {n}]"

    def out_row(self, sink: Sink) -> str:
        """Return the row that an output has at this step."""
        short = self.argument(sink.name)
        batch = f" + (_b0 + _r)*_b_{short}" if self.layout.buffer(sink.name).type.batched else ""
        return f"{self.pointer(sink.name)} + _t*_t_{short}{batch}{self.n0(sink.value)}"

    def row(self, value: Value, r: str) -> str:
        """Return row `r` of the block of `value`."""
        layout = self.layout
        if value in layout.homes:
            return f"_m->{layout.row(layout.homes[value], r)}"
        if value in layout.reads:
            read = layout.reads[value]
            name, slots = self.argument(read.history), layout.slots(self.graph.history(read.history))
            slot = f"({self.step} + {slots - read.delay})%{slots}{'*_rows' if layout.tile > 1 else ''}"
            return f"_m->{layout.row(f'ring_{name}[{slot}]', r)}"
        given = layout.inputs[value]
        short = self.argument(given.source)
        b = "_b0" if r == "0" else f"(_b0 + {r})"
        text = self.pointer(given.source)
        if given.kind == "sequence":
            batch = f" + {b}*_b_{short}" if value.type.batched else ""
            return f"{text} + _t*_t_{short}{batch}{self.n0(value)}"
        return f"{text}{f' + {b}*{layout.size(value)}' if value.type.batched else ''}{self.n0(value)}"

    def row_stride(self, value: Value) -> str:
        """Return the distance of two rows of `value`."""
        given = self.layout.inputs.get(value)
        if given is None:
            return str(self.layout.size(value))
        return f"_b_{self.argument(given.source)}" if given.kind == "sequence" else str(self.layout.size(value))
