"""One time step of a block: its products, and its loops over neurons."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.node import Node, Value
from graphc.ir.ops import Pool, Project, Spread
from graphc.ir.synapses import DelayedSynapses, Synapses

from .address import Addresses, Members
from .delayed import StepDelayed
from .layout import Group, Layout, Sink
from .pairs import write_pairs, write_pool
from .panels import panels_of
from .rules import right_side
from .synapses import StepSynapses

PART = 128  # neurons whose next inputs are fetched, work is done and outputs are written past the cache, in turn


class Step:
    """The step of one kernel while it is written."""

    def __init__(self, w: Writer, layout: Layout, at: Addresses, members: Members, printer: Printer) -> None:
        """Remember where to write."""
        self.w, self.layout, self.at, self.members, self.printer = w, layout, at, members, printer
        self._fetched: set[Value] = set()
        self._listed: set[Value] = set()

    def write(self) -> None:
        """Write everything inside the loop over time."""
        w, layout = self.w, self.layout
        if layout.reverse:
            w.line("const int64_t _t = _T - 1 - _k;")
        for history in [h for h in layout.kernel.graph.histories if not layout.turned(h)]:
            slot = f"{self.at.step}%{layout.slots(history)}{'*_rows' if layout.tile > 1 else ''}"
            w.line(f"const int64_t _slot_{self.at.argument(history.name)} = {slot};")
        for node in layout.scalars:
            self.declare(node.result, right_side(node, self.printer))
        for group, sinks in zip(layout.groups, layout.sinks, strict=False):
            if group.product:
                self._product(group)
            else:
                self._loop(group.operands, group.nodes, sinks, group.sides)
        self._end(layout.sinks[-1])
        for node in layout.delayed:
            with w.block("{", "}"):
                self._delayed(node).finish()

    def prepare(self) -> None:
        """Write what products do once a call."""
        for node in self.layout.delayed:
            self._delayed(node).prepare()

    def release(self) -> None:
        """Write the end of what `prepare` began."""
        for node in self.layout.delayed:
            self._delayed(node).release()

    def start(self) -> None:
        """Write what products do before the first step of a block."""
        for node in self.layout.delayed:
            self._delayed(node).start()

    def _delayed(self, node: DelayedSynapses) -> StepDelayed:
        return StepDelayed(self.w, self.layout, self.at, self.members, self.printer, node)

    def declare(self, value: Value, text: str) -> None:
        """Write a local variable with the name and line of `value`."""
        self.w.line(f"const {self.at.real} {self.printer.dialect.identifier(value.name)} = {text};", value.loc)

    def _product(self, group: Group) -> None:
        w, layout, product = self.w, self.layout, group.product
        assert product is not None
        if isinstance(product, DelayedSynapses):
            self._delayed(product).read()
            return
        if isinstance(product, Synapses):
            self._synapses(product)
            return
        if isinstance(product, Pool):
            write_pool(w, layout, self.at, self.members, product)
            return
        source, weight = product.operands
        result = product.result.name
        self.members.add(f"now_{result}", product.result, self.at.real)
        given, inner = layout.inputs[weight].source, layout.size(source)
        if isinstance(product, Project) and source.type.dtype == "bool":
            self._list_events(source)
            self.printer.used.add("_gather")
            events = f"_m->events_{source.name}[_r], 0, _m->count_{source.name}[_r]"
            with w.block("for (int64_t _r = 0; _r < _rows; _r++)"):
                call = f"_gather({events}, {self.at.pointer(given)}, {group.size}, _m->now_{result}[_r]);"
                w.line(call, product.result.loc)
            return
        matrix = self.at.pointer(given) if isinstance(product, Project) else f"_turned_{self.at.argument(given)}"
        rows = f"{self.at.row(source, '0')}, {self.at.row_stride(source)}"
        self.printer.used.add("_dense")
        target = f"&_m->now_{result}[0][0], {group.size}"
        if layout.packed:
            self.printer.used.add("_panels")
            size, panels = f"_rows, {inner}, {group.size}", panels_of(layout, group)
            w.line(f"_dense_panels({size}, {rows}, {matrix}, {panels}, {target});", product.result.loc)
            return
        w.line(f"_dense(_rows, {inner}, {group.size}, {rows}, {matrix}, {target});", product.result.loc)

    def _synapses(self, node: Synapses) -> None:
        """Write a sum over synapses, from the sources that are not silent where there may be such."""
        silent = node.silent() if node.over == "pre" else None
        source = None if silent is None else node.operands[silent]
        if source is not None:
            self._list_events(source)
        StepSynapses(self.w, self.layout, self.at, self.members, self.printer, node).write(
            None if source is None else source.name
        )

    def _list_events(self, source: Value) -> None:
        """Write the search for spikes, for all rows of the block before any list is used."""
        if source in self._listed:
            return
        self._listed.add(source)
        name, size, rows = source.name, self.layout.size(source), self.layout.rows
        self.members.add_plain(f"events_{name}[{rows}][{size + 16}]", "uint32_t")
        self.members.add_plain(f"count_{name}[{rows}]", "int")
        scan = f"_events_{self.at.kind(source)}"
        self.printer.used.add(scan)
        with self.w.block("for (int64_t _r = 0; _r < _rows; _r++)"):
            row = self.at.row(source, "_r")
            self.w.line(f"_m->count_{name}[_r] = {scan}({row}, {size}, _m->events_{name}[_r]);")

    def _end(self, sinks: list[Sink]) -> None:
        """Write loops for what is done with values that no elementwise loop defines."""
        for axes in dict.fromkeys(s.value.type.axes for s in sinks):
            here = [s for s in sinks if s.value.type.axes == axes]
            self._loop(list(dict.fromkeys(s.value for s in here)), (), here)

    def _loop(
        self, operands: list[Value], nodes: tuple[Node, ...], sinks: list[Sink], sides: Sequence[Spread] = ()
    ) -> None:
        """Write a loop over the rows of the block, and over their neurons or synapses."""
        w = self.w
        results = [n.result for n in nodes if n.result.type.axes]
        widest = max(results or (*operands, *(n.result for n in nodes)), key=lambda v: len(v.type.axes))
        lists = {v for n in sides for v in n.operands[1:]}
        loads = [v for v in operands if self.at.is_loaded(v) and v not in lists]
        checks = [s for s in sinks if s.kind == "check"]
        streamed = [s for s in sinks if s.kind == "output" and self.at.streams(s.name)]
        with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
            for value in loads:
                kind = self.at.c_type(self.at.kind(value))
                w.line(f"const {kind} *_row_{value.name} = {self.at.row(value, '_r')};")
            for sink in sinks:
                if sink.kind == "output":
                    self._out_pointer(sink)
            if checks:
                w.line(f"{self.at.real} _wrong = {self.at.zero};")
            if sides:
                write_pairs(self, nodes, loads, sinks, sides)
                self._streams(streamed, self.layout.bound(widest))
                if checks:
                    self._report(checks, sinks, self.layout.bound(widest))
                return
            ahead = [] if self.layout.size(widest) < 2 * PART else self._ahead(loads)
            if ahead or (streamed and self.layout.size(widest) >= 2 * PART):
                self._parts(widest, loads, nodes, sinks, ahead, streamed)
            else:
                self._neurons("0", self.layout.bound(widest), loads, nodes, sinks)
                self._streams(streamed, self.layout.bound(widest))
            if checks:
                self._report(checks, sinks, self.layout.bound(widest))

    def _parts(
        self,
        widest: Value,
        loads: list[Value],
        nodes: tuple[Node, ...],
        sinks: list[Sink],
        ahead: list[Value],
        streamed: list[Sink],
    ) -> None:
        """Write the loop over neurons in parts, so that memory is read, used and written at the same time."""
        w, bound = self.w, self.layout.bound(widest)
        count = str(PART)
        with w.block(f"for (int64_t _c = 0; _c < {bound}; _c += {PART}) {{", "}"):
            if not bound.isdigit() or int(bound) % PART:
                w.line(f"const int64_t _count = {bound} - _c < {PART} ? {bound} - _c : {PART};")
                count = "_count"
            for value in ahead:
                step = f"{'-' if self.layout.reverse else '+'} _t_{self.at.argument(self.layout.inputs[value].source)}"
                w.line(f"_prefetch(_row_{value.name} {step} + _c, {count}*sizeof *_row_{value.name});")
            self._neurons("_c", f"_c + {count}", loads, nodes, sinks)
            self._streams(streamed, count, " + _c")

    def _neurons(self, start: str, end: str, loads: list[Value], nodes: tuple[Node, ...], sinks: list[Sink]) -> None:
        """Write the innermost loop."""
        w = self.w
        checks = [self.printer.dialect.identifier(s.value.name) for s in sinks if s.kind == "check"]
        w.line("#pragma omp simd" + (" reduction(+:_wrong)" if checks else ""))
        with w.block(f"for (int64_t _n = {start}; _n < {end}; _n++) {{", "}"):
            self.element(loads, nodes, sinks)

    def element(self, loads: list[Value], nodes: tuple[Node, ...], sinks: list[Sink]) -> None:
        """Write what is done with element `_n`."""
        checks = [self.printer.dialect.identifier(s.value.name) for s in sinks if s.kind == "check"]
        for value in loads:
            self.load(value.name, value, "_n" if value.type.axes else "0")
        for node in nodes:
            self.declare(node.result, right_side(node, self.printer, f"_n{self.at.n0(node.result)}"))
        for sink in sinks:
            self._store(sink, sinks)
        if checks:
            self.w.line(f"_wrong += {' + '.join(f'({name} - {name})' for name in checks)};  // 0, or NaN")

    def load(self, name: str, value: Value, index: str) -> None:
        """Write a local variable with the element `index` of the row of `value`."""
        text = self.at.convert(self.at.kind(value), f"_row_{value.name}[{index}]")
        self.w.line(f"const {self.at.real} {self.printer.dialect.identifier(name)} = {text};", value.loc)

    def _streams(self, streamed: list[Sink], count: str, start: str = "") -> None:
        for sink in streamed:
            short = self.at.argument(sink.name)
            self.w.line(f"if (_past_cache_{short}) _stream(_at_{short}{start}, _m->stage_{short}{start}, {count});")

    def _ahead(self, loads: list[Value]) -> list[Value]:
        """Return the sequences whose next row is fetched here: by the first loop that reads them."""
        given = self.layout.inputs
        found = [
            v for v in loads if v in given and given[v].kind == "sequence" and v.type.axes and v not in self._fetched
        ]
        self._fetched.update(found)
        if found:
            self.printer.used.add("_prefetch")
        return found

    def _store(self, sink: Sink, sinks: list[Sink]) -> None:
        w, value = self.w, sink.value
        text = self.printer.dialect.identifier(value.name)
        n = "_n" if value.type.axes else "0"
        match sink.kind:
            case "output":
                w.line(f"_to_{self.at.argument(sink.name)}[{n}] = {self.at.stored(sink.name, text)};")
            case "sum":
                term = text if value.type.batched else f"_b0 + _r == 0 ? {text} : {self.at.zero}"
                w.line(f"_m->sum_{self.at.argument(sink.name)}[{n}] += {term};")
            case "carry" | "array":
                self.members.add(f"now_{sink.name}", value, self.at.real)
                w.line(f"_m->{self._kept(sink)}[{n}] = {text};")
            case "many":
                self.members.add(f"many_{sink.name}", value, self.at.real, self.layout.tile)
                w.line(f"_m->{self._kept(sink)}[{n}] = {text};")
            case "ring":
                w.line(f"_m->{self._kept(sink)}[{n}] = {text};")
            case "check":
                if self._row_of(sink, sinks) is None:
                    self.members.add_row(f"test_{value.name}", value, self.at.real)
                    w.line(f"_m->test_{value.name}[{n}] = {text};")

    def _kept(self, sink: Sink) -> str:
        """Return the row of a block that a sink writes."""
        if sink.kind == "ring":
            name = self.at.argument(sink.name)
            return self.layout.row(f"ring_{name}[_slot_{name}]", "_r")
        if sink.kind == "many":
            return self.layout.row(f"many_{sink.name}[_q]", "_r")
        return f"now_{sink.name}[_r]"

    def _row_of(self, check: Sink, sinks: list[Sink]) -> str | None:
        """Return a row that this loop writes anyway and that holds what is to be checked."""
        for sink in sinks:
            if sink.value is check.value and sink.kind in ("carry", "array", "many", "ring"):
                return f"_m->{self._kept(sink)}"
            if sink.value is check.value and sink.kind == "output" and self.at.streams(sink.name):
                return f"_to_{self.at.argument(sink.name)}"
        return None

    def _report(self, checks: list[Sink], sinks: list[Sink], bound: str) -> None:
        w = self.w
        self.printer.used.add("_report")
        with w.block(f"if (_wrong != {self.at.zero}) {{", "}"):
            for check in checks:
                row = self._row_of(check, sinks) or f"_m->test_{check.value.name}"
                where = f"{check.index}, _start + _t, _b0 + _r, {self.at.first(check.value)}"
                w.line(f"_report({row}, {bound}, {where}, _bad);")

    def _out_pointer(self, sink: Sink) -> None:
        short, kind = self.at.argument(sink.name), self.at.c_type(self.layout.buffer(sink.name).storage)
        if not self.at.streams(sink.name):
            self.w.line(f"{kind} *_to_{short} = {self.at.out_row(sink)};")
            return
        self.members.add_row(f"stage_{short}", sink.value, kind)
        self.printer.used.add("_stream")
        self.w.line(f"{kind} *_at_{short} = {self.at.out_row(sink)};")
        self.w.line(f"{kind} *_to_{short} = _past_cache_{short} ? _m->stage_{short} : _at_{short};")
