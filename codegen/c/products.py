"""Products over all steps, driven by events: a row of weights per source element that is not 0."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.graph import Input
from graphc.ir.node import Node, Value
from graphc.ir.ops import Outer, Project, ProjectTransposed, Read
from graphc.ir.schedule import Kernel, Schedule

from .rules import real

DENSE_ROWS = 64  # rows of a dense product that use a column of weights while it is near
ROWS = 32  # rows that are searched for events before the first of them is used


@dataclass(frozen=True, slots=True)
class Product:
    """The parts of a `product` kernel: its node, the source sequence and, where it is shifted, by how much."""

    node: Node
    source: Input
    delay: int
    init: str | None
    other: Input


def find_product(kernel: Kernel) -> Product:
    """Return the parts of the product that `kernel` consists of."""
    graph = kernel.graph
    reads = {n.result: n for n in graph.nodes if isinstance(n, Read)}
    (node,) = (n for n in graph.nodes if not isinstance(n, Read))
    inputs = {i.value: i for i in graph.inputs}
    source, other = node.operands
    if source not in reads:
        return Product(node, inputs[source], 0, None, inputs[other])
    read = reads[source]
    history = graph.history(read.history)
    return Product(node, inputs[history.value], read.delay, history.init, inputs[other])


def is_event_driven(schedule: Schedule, kernel: Kernel) -> bool:
    """Return whether the product of `kernel` has a source that may be mostly 0, and a form that events know."""
    graph = kernel.graph
    reads = {n.result for n in graph.nodes if isinstance(n, Read)}
    node = next(n for n in graph.nodes if not isinstance(n, Read))
    if not isinstance(node, (Project, Outer)) or node.operands[1] in reads:
        return False
    if len(graph.outputs) != 1 or any(h.final for h in graph.histories):
        return False
    product = find_product(kernel)
    names = [name for name in (product.source.source, product.init) if name]
    return all(schedule.buffers[name].storage != "int32" for name in names)


def is_transposed(kernel: Kernel) -> bool:
    """Return whether `kernel` is a product with the transpose of a weight, of a sequence as it stands."""
    graph = kernel.graph
    return len(graph.nodes) == len(graph.outputs) == 1 and isinstance(graph.nodes[0], ProjectTransposed)


def emit_transposed(schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
    """Write the function of a dense product with the transpose of a weight."""
    graph, kind = kernel.graph, real(printer)
    g, weight = graph.nodes[0].operands
    sources = {i.value: kernel.arguments.index(i.source) for i in graph.inputs}
    at, out = sources[g], kernel.arguments.index(graph.outputs[0].name)
    pre, post = (schedule.sizes[axis] for axis in weight.type.axes)
    printer.used |= {"_transpose", "_dense"}
    with w.block(f"void {kernel.name}(const int64_t *_size, void *const *_p, const int64_t *_stride) {{", "}"):
        w.line("const int64_t _T = _size[0], _B = _size[1], _threads = _size[3];")
        w.line(f"const {kind} *_g = _p[{at}];")
        w.line(f"{kind} *_out = _p[{out}];")
        w.line(f"{kind} *_turned = _transpose(_p[{sources[weight]}], {pre}, {post});")
        w.line(f"const int64_t _blocks = (_B + {DENSE_ROWS - 1})/{DENSE_ROWS};")
        w.line("#pragma omp parallel for num_threads((int)_threads) if (_threads > 1) schedule(static)")
        with w.block("for (int64_t _item = 0; _item < _T*_blocks; _item++) {", "}"):
            w.line(f"const int64_t _t = _item/_blocks, _b = _item%_blocks*{DENSE_ROWS}, _left = _B - _b;")
            w.line(f"const int64_t _rows = _left < {DENSE_ROWS} ? _left : {DENSE_ROWS};")
            row = f"_g + _t*_stride[{2 * at}] + _b*_stride[{2 * at + 1}], _stride[{2 * at + 1}]"
            target = f"_out + _t*_stride[{2 * out}] + _b*_stride[{2 * out + 1}], _stride[{2 * out + 1}]"
            w.line(f"_dense(_rows, {post}, {pre}, {row}, _turned, {target});", graph.nodes[0].result.loc)
        w.line("free(_turned);")


def emit_product(schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
    """Write the function of an event-driven product, and one that measures how dense its source is."""
    _Events(schedule, kernel, find_product(kernel), printer, w).write()


class _Events:
    """One product while it is written."""

    def __init__(self, schedule: Schedule, kernel: Kernel, product: Product, printer: Printer, w: Writer) -> None:
        self.schedule, self.kernel, self.product, self.printer, self.w = schedule, kernel, product, printer, w
        self.real = real(printer)
        source = schedule.buffers[product.source.source]
        self.bytes = source.storage == "uint8"
        self.kind = "uint8_t" if self.bytes else self.real
        self.binary = self.bytes or product.source.value.type.dtype == "bool"
        self.scan = f"_events_{'uint8' if self.bytes else 'real'}"
        self.pre = self._size(product.source.value)
        printer.used |= {self.scan}

    def write(self) -> None:
        """Write both functions."""
        w, name = self.w, self.kernel.name
        head = "(const int64_t *_size, void *const *_p, const int64_t *_stride)"
        with w.block(f"int64_t {name}_density{head} {{  // elements that are not 0, of 64 rows, per million", "}"):
            self._density()
        w.line()
        with w.block(f"struct _{name} {{  // the events of a block of rows", "};"):
            w.line(f"uint32_t events[{ROWS}][{self.pre + 16}];")
            if not self.binary:
                w.line(f"{self.real} values[{ROWS}][{self.pre}];")
            w.line(f"int count[{ROWS}];")
        w.line()
        with w.block(f"void {name}{head} {{", "}"):
            self._project() if isinstance(self.product.node, Project) else self._outer()

    def _pointer(self, buffer: str, first: str) -> str:
        """Return the row of `buffer` that starts at `first` along its leading axis and at _b."""
        index = self._index(buffer)
        kind = "uint8_t" if self.schedule.buffers[buffer].storage == "uint8" else self.real
        return f"(const {kind} *)_p[{index}] + {first}*_stride[{2 * index}] + _b*_stride[{2 * index + 1}]"

    def _density(self) -> None:
        w, product = self.w, self.product
        w.line(f"const int64_t rows = (_size[0] - {product.delay})*_size[1], step = rows > 64 ? rows/64 : 1;")
        w.line("int64_t found = 0, seen = 0;")
        with w.block("for (int64_t row = 0; row < rows; row += step) {", "}"):
            w.line("const int64_t _t = row/_size[1], _b = row%_size[1];")
            w.line(f"const {self.kind} *x = {self._pointer(product.source.source, '_t')};")
            w.line(f"for (int64_t k = 0; k < {self.pre}; k++) found += x[k] != 0;")
            w.line(f"seen += {self.pre};")
        w.line("return seen ? found*1000000/seen : 0;")

    def _events(self) -> None:
        """Write the search of a block of rows, starting at _row0."""
        w, product = self.w, self.product
        with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
            w.line("const int64_t _t = (_row0 + _r)/_B, _b = (_row0 + _r)%_B;")
            if product.delay:
                with w.block(f"if (_t < {product.delay}) {{  // before the first step", "}"):
                    self._early()
                    w.line("continue;")
            t = f"(_t - {product.delay})" if product.delay else "_t"
            w.line(f"const {self.kind} *x = {self._pointer(product.source.source, t)}{self._first()};")
            self._search(self.scan, "x")

    def _early(self) -> None:
        w, product = self.w, self.product
        if product.init is None:
            w.line("_m->count[_r] = 0;")
            return
        buffer = self.schedule.buffers[product.init]
        scan = f"_events_{buffer.storage}"
        self.printer.used.add(scan)
        slot = f"(_t + {buffer.depth - product.delay})"
        kind = "uint8_t" if buffer.storage == "uint8" else self.real
        w.line(f"const {kind} *before = {self._pointer(product.init, slot)}{self._first()};")
        self._search(scan, "before")

    def _search(self, scan: str, row: str) -> None:
        w = self.w
        count = "_width" if isinstance(self.product.node, Outer) else str(self.pre)
        w.line(f"_m->count[_r] = {scan}({row}, {count}, _m->events[_r]);")
        if not self.binary:
            value = f"{row}[_m->events[_r][_e]]"
            w.line(f"for (int _e = 0; _e < _m->count[_r]; _e++) _m->values[_r][_e] = {value};")

    def _first(self) -> str:
        return " + _first" if isinstance(self.product.node, Outer) else ""

    def _rows(self) -> None:
        w = self.w
        w.line(f"const int64_t _row0 = _block*{ROWS}, _left = _T*_B - _row0, _rows = _left < {ROWS} ? _left : {ROWS};")
        self._events()

    def _head(self) -> None:
        w = self.w
        w.line("const int64_t _T = _size[0], _B = _size[1], _threads = _size[3];")
        w.line(f"const int64_t _blocks = (_T*_B + {ROWS - 1})/{ROWS};")

    def _space(self) -> None:
        w = self.w
        w.line(f"struct _{self.kernel.name} *_m = _take(sizeof *_m);")

    def _project(self) -> None:
        w, product = self.w, self.product
        post = self.schedule.sizes[product.other.value.type.axes[1]]
        weight = self._index(product.other.source)
        out = self._index(self.kernel.graph.outputs[0].name)
        values = "0" if self.binary else "_m->values[_r]"
        self.printer.used.add("_gather")
        self._head()
        w.line(f"const {self.real} *_w = _p[{weight}];")
        w.line(f"{self.real} *_out = _p[{out}];")
        w.line("#pragma omp parallel num_threads((int)_threads) if (_threads > 1)")
        with w.block("{", "}"):
            self._space()
            w.line("#pragma omp for schedule(static)")
            with w.block("for (int64_t _block = 0; _block < _blocks; _block++) {", "}"):
                self._rows()
                with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
                    w.line("const int64_t _t = (_row0 + _r)/_B, _b = (_row0 + _r)%_B;")
                    row = f"_out + _t*_stride[{2 * out}] + _b*_stride[{2 * out + 1}]"
                    call = f"_gather(_m->events[_r], {values}, _m->count[_r], _w, {post}, {row});"
                    w.line(call, product.node.result.loc)
            w.line("free(_m);")

    def _outer(self) -> None:
        w, product = self.w, self.product
        post = self._size(product.other.value)
        g = self._index(product.other.source)
        out = self._index(self.kernel.graph.outputs[0].name)
        self.printer.used.add("_scatter")
        self._head()
        w.line(f"const {self.real} *_g = _p[{g}];")
        w.line(f"{self.real} *_out = _p[{out}];")
        w.comment("every thread owns rows of the result: an element is summed in one order, whatever the threads")
        w.line(f"const int64_t _share = ({self.pre} + 16*_threads - 1)/(16*_threads)*16;")
        w.line("#pragma omp parallel for num_threads((int)_threads) if (_threads > 1) schedule(static)")
        with w.block("for (int64_t _part = 0; _part < _threads; _part++) {", "}"):
            w.line(f"const int64_t _first = _part*_share, _left = {self.pre} - _first;")
            w.line("const int64_t _width = _left < _share ? _left : _share;")
            w.line("if (_width <= 0) continue;")
            w.line(f"{self.real} *_mine = _out + _first*{post};")
            w.line(f"__builtin_memset(_mine, 0, (size_t)(_width*{post})*sizeof({self.real}));")
            self._space()
            with w.block("for (int64_t _block = 0; _block < _blocks; _block++) {", "}"):
                self._rows()
                with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
                    w.line("const int64_t _t = (_row0 + _r)/_B, _b = (_row0 + _r)%_B;")
                    row = f"_g + _t*_stride[{2 * g}] + _b*_stride[{2 * g + 1}]"
                    values = "0" if self.binary else "_m->values[_r]"
                    call = f"_scatter(_m->events[_r], {values}, _m->count[_r], {row}, _mine, {post});"
                    w.line(call, product.node.result.loc)
            w.line("free(_m);")

    def _index(self, name: str) -> int:
        return self.kernel.arguments.index(name)

    def _size(self, value: Value) -> int:
        size = 1
        for axis in value.type.axes:
            size *= self.schedule.sizes[axis]
        return size
