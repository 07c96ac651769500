"""A time loop in C: blocks of batch rows in parallel, time inside, loops over neurons innermost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.node import Value
from graphc.ir.ops import Project
from graphc.ir.schedule import Kernel, Schedule

from .layout import Group, Layout, Sink, lay_out
from .rules import real, right_side

STORAGE = {"uint8": "uint8_t", "int32": "int32_t"}
PREFETCH = 64  # neurons from which fetching the next step's row ahead pays


def emit_steps(schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
    """Write the C function of a `steps` or `reverse` kernel."""
    _Steps(lay_out(schedule, kernel), printer, w).write()


class _Steps:
    """One kernel while it is written."""

    def __init__(self, layout: Layout, printer: Printer, w: Writer) -> None:
        self.layout, self.printer, self.w = layout, printer, w
        self.graph, self.kernel = layout.kernel.graph, layout.kernel
        self.real = real(printer)
        self.zero = printer.dialect.number(0)
        self.members: dict[str, str] = {}  # of the struct of a block: name and bounds -> type
        self.step = "_k" if layout.reverse else "_t"
        self.offset = " + _n0" if layout.chunk else ""
        self.prefetched: set[Value] = set()

    def write(self) -> None:
        """Write the struct of a block and the function."""
        outer, self.w = self.w, Writer()
        self._body()
        body, self.w = self.w, outer
        with outer.block(f"struct _{self.kernel.name} {{  // what a thread keeps of its block", "};"):
            for name, kind in self.members.items():
                outer.line(f"{kind} {name} __attribute__((aligned(64)));")
        outer.line()
        head = f"void {self.kernel.name}(const int64_t *_size, void *const *_p, const int64_t *_stride)"
        with outer.block(head + " {", "}"):
            outer.lines(body.text())

    # -- the whole -----------------------------------------------------------------------------------

    def _body(self) -> None:
        w, layout = self.w, self.layout
        w.line("const int64_t _T = _size[0], _B = _size[1], _start = _size[2], _threads = _size[3];")
        self._arguments()
        self._constants()
        transposed = self._transposes()
        w.line(f"const int64_t _blocks = (_B + {layout.rows - 1})/{layout.rows};")
        sums = [o for o in self.graph.outputs if o.kind == "sum"]
        for output in sums:
            name, size = self._argument(output.name), self._width(self._reduced(output.value))
            w.line(f"{self.real} *_part_{name} = calloc((_blocks + 1)*{size}, sizeof({self.real}));")
        over = "_blocks"
        if layout.chunk:
            w.line(f"const int64_t _chunks = {-(-self._axis() // layout.chunk)};")
            over = "_blocks*_chunks"
        w.line("#pragma omp parallel num_threads((int)_threads) if (_threads > 1)")
        with w.block("{", "}"):
            w.line(f"struct _{self.kernel.name} *_m = _take(sizeof *_m);")
            w.line("#pragma omp for schedule(static)")
            with w.block(f"for (int64_t _item = 0; _item < {over}; _item++) {{", "}"):
                self._block()
            w.line("free(_m);")
        for output in sums:
            self._finish_sum(output.name, output.value)
        for name in transposed:
            w.line(f"free(_turned_{name});")

    def _block(self) -> None:
        w, layout = self.w, self.layout
        block = "_item/_chunks" if layout.chunk else "_item"
        w.line(f"const int64_t _b0 = {f'({block})' if layout.chunk else block}*{layout.rows};")
        w.line(f"const int64_t _rows = _B - _b0 < {layout.rows} ? _B - _b0 : {layout.rows};")
        if layout.chunk:
            axis = self._axis()
            w.line(f"const int64_t _n0 = _item%_chunks*{layout.chunk};")
            w.line(f"const int64_t _width = {axis} - _n0 < {layout.chunk} ? {axis} - _n0 : {layout.chunk};")
        self._start()
        steps = f"for (int64_t {self.step} = 0; {self.step} < _T; {self.step}++) {{"
        with w.block(steps, "}"):
            if layout.reverse:
                w.line("const int64_t _t = _T - 1 - _k;")
            for history in self.graph.histories:
                name = self._argument(history.name)
                w.line(f"const int64_t _slot_{name} = {self.step}%{layout.slots(history)};")
            for node in layout.scalars:
                self._declare(node.result, right_side(node, self.printer))
            for group, sinks in zip(layout.groups, layout.sinks, strict=False):
                self._product(group) if group.product else self._loop(group, sinks)
            self._end_step(layout.sinks[-1])
        self._finish()
        if any(o.kind == "sequence" for o in self.graph.outputs):
            w.line("_fence();")

    # -- before the blocks ---------------------------------------------------------------------------

    def _arguments(self) -> None:
        kernel, w = self.kernel, self.w
        written = set(kernel.writes)
        for index, name in enumerate(kernel.arguments):
            first = kernel.arguments.index(name)
            if index != first:
                continue
            buffer, short = self.layout.buffer(name), self._argument(name)
            kind = STORAGE.get(buffer.storage, self.real)
            prefix = "_out" if name in written else "_in"
            const = "" if name in written else "const "
            line = f"{const}{kind} *{prefix}_{short} = _p[{index}];"
            if buffer.kind != "fixed":
                line += f" const int64_t _t_{short} = _stride[{2 * index}], _b_{short} = _stride[{2 * index + 1}];"
            w.line(line)
        if self.layout.checks:
            w.line(f"int64_t *_bad = _p[{len(kernel.arguments)}];")
        for output in self.graph.outputs:
            if self._streams(output.name):
                short, size = self._argument(output.name), self._width(output.value)
                w.line(f"const int _past_cache_{short} = _streams(_out_{short}, _t_{short}, _b_{short}, _T*_B*{size});")

    def _constants(self) -> None:
        for node in self.layout.constants:
            self._declare(node.result, right_side(node, self.printer))
        for value, given in self.layout.inputs.items():
            if given.kind == "fixed" and not value.type.batched and not value.type.axes:
                self._declare(value, self._element(given.source, f"_in_{self._argument(given.source)}[0]"))

    def _transposes(self) -> list[str]:
        names: list[str] = []
        for group in self.layout.groups:
            if group.product and not isinstance(group.product, Project):
                weight = group.product.operands[1]
                name = self._argument(self.layout.inputs[weight].source)
                if name not in names:
                    pre, post = (self.layout.schedule.sizes[a] for a in weight.type.axes)
                    self.printer.used.add("_transpose")
                    self.w.line(f"{self.real} *_turned_{name} = _transpose(_in_{name}, {pre}, {post});")
                    names.append(name)
        return names

    # -- the ends of a block ---------------------------------------------------------------------------

    def _start(self) -> None:
        w, layout = self.w, self.layout
        for carry in self.graph.carries:
            current = carry.current
            self._member(f"now_{current.name}", current)
            with self._each_row(self.layout.size(current)) as n:
                target = f"_m->now_{current.name}[_r][{n}]"
                w.line(f"{target} = {self._initial(carry.init, current, n)};")
        for history in self.graph.histories:
            name, slots = self._argument(history.name), layout.slots(history)
            self._member(f"ring_{name}", history.value, slots)
            with w.block(
                f"for (int64_t _d = 0; _d < {layout.depth(history)}; _d++)"
            ):  # before the loop: slot 1 is the oldest
                with self._each_row(layout.size(history.value)) as n:
                    init = self.zero
                    if history.init:
                        short = self._argument(history.init)
                        row = f"_d*_t_{short} + (_b0 + _r)*_b_{short}"
                        init = self._element(history.init, f"_in_{short}[{row}{self._n0(history.value)} + {n}]")
                    w.line(f"_m->ring_{name}[_d + 1][_r][{n}] = {init};")
        for output in self.graph.outputs:
            if output.kind == "sum":
                name = self._argument(output.name)
                self._member(f"sum_{name}", self._reduced(output.value), row=True)
                w.line(f"__builtin_memset(_m->sum_{name}, 0, sizeof _m->sum_{name});")

    def _initial(self, init: str | None, value: Value, n: str) -> str:
        if init is None:
            return self.zero
        row = f"(_b0 + _r)*{self._width(value)} + " if self.layout.buffer(init).type.batched else ""
        return self._element(init, f"_in_{self._argument(init)}[{row}{n}{self._n0(value)}]")

    def _finish(self) -> None:
        w, layout = self.w, self.layout
        for carry in self.graph.carries:
            if carry.final:
                short, batched = self._argument(carry.final), layout.buffer(carry.final).type.batched
                with self._each_row(layout.size(carry.current), once=not batched) as n:
                    row = f"(_b0 + _r)*{self._width(carry.current)} + " if batched else ""
                    target = f"_out_{short}[{row}{n}{self._n0(carry.current)}]"
                    w.line(f"{target} = {self._stored(carry.final, f'_m->now_{carry.current.name}[_r][{n}]')};")
        for history in self.graph.histories:
            if history.final:
                name, short, slots = self._argument(history.name), self._argument(history.final), layout.slots(history)
                with w.block(f"for (int64_t _d = 0; _d < {layout.depth(history)}; _d++)"):
                    with self._each_row(layout.size(history.value)) as n:
                        target = f"_out_{short}[_d*_t_{short} + (_b0 + _r)*_b_{short}{self._n0(history.value)} + {n}]"
                        slot = f"_m->ring_{name}[(_T + _d + 1)%{slots}][_r][{n}]"
                        w.line(f"{target} = {self._stored(history.final, slot)};")
        for output in self.graph.outputs:
            if output.kind == "sum":
                name, value = self._argument(output.name), self._reduced(output.value)
                bound = "_width" if layout.chunk and value.type.axes else str(layout.size(value))
                with w.block(f"for (int64_t _n = 0; _n < {bound}; _n++)"):
                    part = f"_part_{name}[_b0/{layout.rows}*{self._width(value)} + _n{self._n0(value)}]"
                    w.line(f"{part} = _m->sum_{name}[_n];")

    def _finish_sum(self, output: str, result: Value) -> None:
        w, name, value = self.w, self._argument(output), self._reduced(result)
        size = self._width(value)
        if result.type.axes:
            with w.block(f"for (int64_t _n = 0; _n < {size}; _n++) {{", "}"):
                w.line("double _total = 0;")
                with w.block("for (int64_t _k = 0; _k < _blocks; _k++)"):
                    w.line(f"_total += _part_{name}[_k*{size} + _n];")
                w.line(f"_out_{name}[_n] = ({self.real})_total;")
        else:
            w.line(f"_out_{name}[0] = _sum(_part_{name}, _blocks*{size});")
            self.printer.used.add("_sum")
        w.line(f"free(_part_{name});")

    # -- one step --------------------------------------------------------------------------------------

    def _product(self, group: Group) -> None:
        w, layout, product = self.w, self.layout, group.product
        assert product is not None
        source, weight = product.operands
        result = product.result.name
        self._member(f"now_{result}", product.result)
        name = self._argument(layout.inputs[weight].source)
        inner = layout.size(source)
        if isinstance(product, Project) and source.type.dtype == "bool":
            self._member("events", None, bounds=f"[{layout.rows}][{inner + 16}]", kind="uint32_t")
            self._member("count", None, bounds=f"[{layout.rows}]", kind="int")
            pointer, scan = self._row(source, "_r"), f"_events_{self._kind(source)}"
            self.printer.used |= {scan, "_gather"}
            with w.block("for (int64_t _r = 0; _r < _rows; _r++)"):
                w.line(f"_m->count[_r] = {scan}({pointer}, {inner}, _m->events[_r]);")
            with w.block("for (int64_t _r = 0; _r < _rows; _r++)"):
                call = f"_gather(_m->events[_r], 0, _m->count[_r], _in_{name}, {group.size}, _m->now_{result}[_r]);"
                w.line(call, product.result.loc)
            return
        pointer, stride = self._row(source, "0"), self._row_stride(source)
        matrix = f"_in_{name}" if isinstance(product, Project) else f"_turned_{name}"
        self.printer.used.add("_dense")
        call = f"_dense(_rows, {inner}, {group.size}, {pointer}, {stride}, {matrix}, &_m->now_{result}[0][0], {group.size});"
        w.line(call, product.result.loc)

    def _loop(self, group: Group, sinks: list[Sink]) -> None:
        self._rows_loop(group.operands, group.size, bool(group.axes), sinks, group)

    def _end_step(self, sinks: list[Sink]) -> None:
        """Write loops for what is done with values that no elementwise loop defines."""
        axes = dict.fromkeys(s.value.type.axes for s in sinks)
        for over in axes:
            here = [s for s in sinks if s.value.type.axes == over]
            values = list(dict.fromkeys(s.value for s in here))
            self._rows_loop(values, self.layout.size(values[0]), bool(over), here, None)

    def _rows_loop(self, operands: list[Value], size: int, axes: bool, sinks: list[Sink], group: Group | None) -> None:
        w = self.w
        checks = [s for s in sinks if s.kind == "check"]
        streamed = [s for s in sinks if s.kind == "output" and self._streams(s.name)]
        bound = "_width" if self.layout.chunk and axes else str(size)
        with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
            loads = [v for v in operands if self._is_loaded(v)]
            for value in loads:
                self._row_pointer(value, bound)
            for sink in sinks:
                if sink.kind == "output":
                    self._out_pointer(sink)
            if checks:
                w.line(f"{self.real} _wrong = {self.zero};")
            w.line("#pragma omp simd" + (" reduction(+:_wrong)" if checks else ""))
            with w.block(f"for (int64_t _n = 0; _n < {bound}; _n++) {{", "}"):
                for value in loads:
                    n = "_n" if value.type.axes else "0"
                    self._declare(value, self._convert(self._kind(value), f"_row_{value.name}[{n}]"))
                for node in group.nodes if group else ():
                    self._declare(node.result, right_side(node, self.printer))
                for sink in sinks:
                    self._store(sink)
            for sink in streamed:
                short = self._argument(sink.name)
                target = self._out_row(sink)
                w.line(f"if (_past_cache_{short}) _stream({target}, _m->stage_{short}, {bound});")
            if checks:
                with w.block(f"if (_wrong != {self.zero})"):
                    calls = [
                        f"_report(_m->test_{s.value.name}, {bound}, {s.index}, _start + _t, _b0 + _r, {self._first(s.value)}, _bad);"
                        for s in checks
                    ]
                    w.line(" ".join(calls) if len(calls) == 1 else "{ " + " ".join(calls) + " }")
                self.printer.used.add("_report")

    def _store(self, sink: Sink) -> None:
        w, value = self.w, sink.value
        text = self.printer.dialect.identifier(value.name)
        n = "_n" if value.type.axes else "0"
        match sink.kind:
            case "output":
                w.line(f"_row_{self._argument(sink.name)}_[{n}] = {self._stored(sink.name, text)};")
            case "sum":
                w.line(f"_m->sum_{self._argument(sink.name)}[{n}] += {text};")
            case "carry":
                w.line(f"_m->now_{sink.name}[_r][{n}] = {text};")
            case "array":
                self._member(f"now_{sink.name}", value)
                w.line(f"_m->now_{sink.name}[_r][{n}] = {text};")
            case "ring":
                name = self._argument(sink.name)
                w.line(f"_m->ring_{name}[_slot_{name}][_r][{n}] = {text};")
            case "check":
                self._member(f"test_{value.name}", value, row=True)
                w.line(f"_m->test_{value.name}[{n}] = {text};")
                w.line(f"_wrong += {text} - {text};")

    # -- pointers --------------------------------------------------------------------------------------

    def _row_pointer(self, value: Value, bound: str) -> None:
        kind = STORAGE.get(self._kind(value), self.real)
        self.w.line(f"const {kind} *_row_{value.name} = {self._row(value, '_r')};")
        given = self.layout.inputs.get(value)
        if given and given.kind == "sequence" and value not in self.prefetched and self._width(value) >= PREFETCH:
            self.prefetched.add(value)
            self.printer.used.add("_prefetch")
            sign = "-" if self.layout.reverse else "+"
            size = f"{bound}*sizeof *_row_{value.name}"
            self.w.line(f"_prefetch(_row_{value.name} {sign} _t_{self._argument(given.source)}, {size});")

    def _out_pointer(self, sink: Sink) -> None:
        short = self._argument(sink.name)
        kind = STORAGE.get(self.layout.buffer(sink.name).storage, self.real)
        target = self._out_row(sink)
        if self._streams(sink.name):
            self._member(f"stage_{short}", sink.value, row=True)
            self.printer.used |= {"_stream"}
            target = f"_past_cache_{short} ? _m->stage_{short} : {target}"
        self.w.line(f"{kind} *_row_{short}_ = {target};")

    def _out_row(self, sink: Sink) -> str:
        short = self._argument(sink.name)
        batch = f" + (_b0 + _r)*_b_{short}" if self.layout.buffer(sink.name).type.batched else ""
        return f"_out_{short} + _t*_t_{short}{batch}{self._n0(sink.value)}"

    def _row(self, value: Value, r: str) -> str:
        """Return a pointer to row `r` of the block of `value`."""
        layout = self.layout
        if value in layout.homes:
            return f"_m->{layout.homes[value]}[{r}]"
        if value in layout.reads:
            read = layout.reads[value]
            name, slots = self._argument(read.history), layout.slots(self.graph.history(read.history))
            return f"_m->ring_{name}[({self.step} + {slots - read.delay})%{slots}][{r}]"
        given = layout.inputs[value]
        short = self._argument(given.source)
        b = "_b0" if r == "0" else f"(_b0 + {r})"
        text = f"{'_out' if given.source in self.kernel.writes else '_in'}_{short}"
        if given.kind == "sequence":
            batch = f" + {b}*_b_{short}" if value.type.batched else ""
            return f"{text} + _t*_t_{short}{batch}{self._n0(value)}"
        return f"{text}{f' + {b}*{self._width(value)}' if value.type.batched else ''}{self._n0(value)}"

    def _row_stride(self, value: Value) -> str:
        given = self.layout.inputs.get(value)
        if given is None:
            return str(self.layout.size(value))
        return f"_b_{self._argument(given.source)}" if given.kind == "sequence" else str(self._width(value))

    def _is_loaded(self, value: Value) -> bool:
        if value in self.layout.homes or value in self.layout.reads:
            return True
        return value in self.layout.inputs and (value.type.batched or bool(value.type.axes))

    def _kind(self, value: Value) -> str:
        given = self.layout.inputs.get(value)
        return self.layout.buffer(given.source).storage if given else "real"

    # -- words -----------------------------------------------------------------------------------------

    @contextmanager
    def _each_row(self, size: int, once: bool = False) -> Iterator[str]:
        """Open loops over the rows and neurons of a block; `once` for the first row of the batch alone."""
        w = self.w
        bound = "_width" if self.layout.chunk else str(size)
        rows = "_b0 == 0 && _r < 1" if once else "_r < _rows"
        with w.block(f"for (int64_t _r = 0; {rows}; _r++)"), w.block(f"for (int64_t _n = 0; _n < {bound}; _n++)"):
            yield "_n"

    def _declare(self, value: Value, text: str) -> None:
        self.w.line(f"const {self.real} {self.printer.dialect.identifier(value.name)} = {text};", value.loc)

    def _element(self, buffer: str, text: str) -> str:
        return self._convert(self.layout.buffer(buffer).storage, text)

    def _convert(self, storage: str, text: str) -> str:
        return text if storage == "real" else f"({self.real}){text}"

    def _stored(self, buffer: str, text: str) -> str:
        storage = self.layout.buffer(buffer).storage
        return text if storage == "real" else f"({STORAGE[storage]}){text}"

    def _argument(self, name: str) -> str:
        return self.layout.names[name]

    def _streams(self, output: str) -> bool:
        buffer = self.layout.buffer(output)
        return buffer.kind == "sequence" and buffer.storage == "real" and buffer.type.batched

    def _reduced(self, result: Value) -> Value:
        return next(n.operands[0] for n in self.graph.nodes if n.result is result)

    def _width(self, value: Value) -> int:
        return self.layout.size(value)

    def _axis(self) -> int:
        return max(g.size for g in self.layout.groups)

    def _n0(self, value: Value) -> str:
        return self.offset if value.type.axes else ""

    def _first(self, value: Value) -> str:
        return "_n0" if self.layout.chunk and value.type.axes else "0"

    def _member(
        self, name: str, value: Value | None, slots: int = 0, row: bool = False, bounds: str = "", kind: str = ""
    ) -> None:
        """Add an array to the struct of a block: `[slots][rows][neurons]`, or one row."""
        if value is not None:
            width = self.layout.chunk if self.layout.chunk and value.type.axes else self.layout.size(value)
            bounds = (f"[{slots}]" if slots else "") + ("" if row else f"[{self.layout.rows}]") + f"[{width}]"
        self.members.setdefault(f"{name}{bounds}", kind or self.real)
