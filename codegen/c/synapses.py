"""Sums over synapses in C: scattered to the targets, gathered from them, or per synapse over the batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sympy

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.graph import Input
from graphc.ir.node import Value
from graphc.ir.ops import Read
from graphc.ir.schedule import Kernel, Schedule
from graphc.ir.synapses import Synapses

from .address import Addresses, Members
from .layout import Layout, each_vector, lanes_of
from .rules import real

SOURCES = 16  # source neurons of a share of a gradient are a multiple of these, so that no two threads share a line


class StepSynapses:
    """A sum over sources or targets, inside a step of a block."""

    def __init__(
        self, w: Writer, layout: Layout, at: Addresses, members: Members, printer: Printer, node: Synapses
    ) -> None:
        """Look up where operands and lists stand."""
        self.w, self.layout, self.at, self.members, self.printer, self.node = w, layout, at, members, printer, node
        self.result = f"_m->now_{node.result.name}"
        self.pre, self.post = (layout.schedule.sizes[a] for a in node.ends)
        self.lists = [at.pointer(layout.inputs[v].source) for v in node.operands[len(node.roles) :]]

    def write(self, events: str | None) -> None:
        """Write the sum; `events` names the list of the source neurons that are not silent, where there is one."""
        self.members.add(f"now_{self.node.result.name}", self.node.result, self.at.real)
        if self.node.over == "pre":
            self._scatter(events)
        elif self.node.listed and not self.node.own:
            self._gather_lanes()
        else:
            self._gather()

    def _scatter(self, events: str | None) -> None:
        w = self.w
        with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
            w.line(f"{self.at.real} *_to = {self.result}[_r];", self.node.result.loc)
            w.line(f"__builtin_memset(_to, 0, {self.post}*sizeof *_to);")
            self._rows("_r")
            count = f"_m->count_{events}[_r]" if events else str(self.pre)
            with w.block(f"for (int64_t _e = 0; _e < {count}; _e++) {{", "}"):
                w.line(f"const int64_t _i = {f'_m->events_{events}[_r][_e]' if events else '_e'};")
                self._declare("pre", "_i")
                with self._synapses():
                    self._declare("synapse", "_s")
                    self._declare("post", "_j")
                    w.line(f"_to[_j] += {self._expression()};")

    def _gather(self) -> None:
        w = self.w
        with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
            self._rows("_r")
            with w.block(f"for (int64_t _i = 0; _i < {self.pre}; _i++) {{", "}"):
                self._declare("pre", "_i")
                w.line(f"{self.at.real} _sum = {self.at.zero};")
                with self._synapses(" reduction(+:_sum)"):
                    self._declare("synapse", "_s")
                    self._declare("post", "_j")
                    w.line(f"_sum += {self._expression()};")
                w.line(f"{self.result}[_r][_i] = _sum;", self.node.result.loc)

    def _gather_lanes(self) -> None:
        """Write the sum with the rows of the block as lanes: a synapse is read once for all of them."""
        w, rows, kind = self.w, lanes_of(self.layout.rows), self.at.real
        for value in dict.fromkeys(self.node.role("post")):
            self.members.add_plain(f"turn_{value.name}[{self.post}][{rows}]", kind)
            with w.block(f"for (int64_t _r = 0; _r < {rows}; _r++) {{", "}"):
                source = self.at.convert(self.at.kind(value), f"_row[{'_j' if value.type.axes else '0'}]")
                w.line(f"const {self.at.c_type(self.at.kind(value))} *_row = {self.at.row(value, '_r')};")
                to, loop = f"_m->turn_{value.name}[_j][_r]", f"for (int64_t _j = 0; _j < {self.post}; _j++)"
                w.line(f"if (_r < _rows) {loop} {to} = {source};")
                w.line(f"else {loop} {to} = {self.at.zero};")
        if is_polynomial(self.node.expr) and not self._of("pre"):
            self._gather_vectors()
            return
        with w.block(f"for (int64_t _i = 0; _i < {self.pre}; _i++) {{", "}"):
            w.line(f"{kind} _sum[{rows}] = {{{self.at.zero}}};")
            for k, value in self._of("pre"):
                w.line(f"{kind} _lane{k}[{rows}] = {{{self.at.zero}}};")
                source = self.at.convert(self.at.kind(value), f"({self.at.row(value, '_r')})[_i]")
                w.line(f"for (int64_t _r = 0; _r < _rows; _r++) _lane{k}[_r] = {source};")
            with self._synapses(simd=False):
                self._declare("synapse", "_s")
                w.line("#pragma omp simd")
                with w.block(f"for (int64_t _r = 0; _r < {rows}; _r++) {{", "}"):
                    for k, value in self._of("post"):
                        w.line(f"const {kind} s{k} = _m->turn_{value.name}[_j][_r];")
                    for k, _ in self._of("pre"):
                        w.line(f"const {kind} s{k} = _lane{k}[_r];")
                    w.line(f"_sum[_r] += {self._expression()};")
            w.line(f"for (int64_t _r = 0; _r < _rows; _r++) {self.result}[_r][_i] = _sum[_r];", self.node.result.loc)

    def _gather_vectors(self) -> None:
        """Write the loop over the sources with the rows of the block in vectors."""
        w, rows = self.w, lanes_of(self.layout.rows)
        each = each_vector(rows)
        with w.block(f"for (int64_t _i = 0; _i < {self.pre}; _i++) {{", "}"):
            w.line(f"_vector _sum[{rows}/_LANES];")
            w.line(f"{each} _sum[_v] = (_vector){{0}};")
            with self._synapses(simd=False):
                self._declare("synapse", "_s")
                with w.block(f"{each} {{", "}"):
                    for k, value in self._of("post"):
                        w.line(f"const _vector s{k} = *(const _vector *)(_m->turn_{value.name}[_j] + _v*_LANES);")
                    w.line(f"_sum[_v] += {self._expression()};")
            to = f"{self.result}[_r][_i] = _sum[_r/_LANES][_r%_LANES];"
            w.line(f"for (int64_t _r = 0; _r < _rows; _r++) {to}", self.node.result.loc)

    @contextmanager
    def _synapses(self, clauses: str = "", simd: bool = True) -> Iterator[None]:
        """Open the loop over the synapses `_s` of source `_i`, with their targets `_j`."""
        w, drawn = self.w, self.node.drawn
        if drawn is not None:
            self.printer.used |= {"_mix", "_gap"}
            start = f"_mix({drawn.seed % (1 << 64)}ull + (uint64_t)_i*_GOLDEN)"
            w.line(f"uint64_t _state = {start};  // the targets are drawn as they are needed")
            step = f"(_at += _gap(_state += _GOLDEN, {drawn.scale!r})) < {self.post}"
            with w.block(f"for (double _at = -1; {step};) {{", "}"):
                w.line("const int64_t _j = (int64_t)_at;")
                if not drawn.autapses:
                    w.line("if (_j == _i) continue;")
                yield
            return
        if self.node.listed:
            rows, post = self.lists
            with w.block(f"for (int64_t _s = {rows}[_i]; _s < {rows}[_i + 1]; _s++) {{", "}"):
                w.line(f"const int64_t _j = {post}[_s];")
                yield
            return
        if simd:
            w.line(f"#pragma omp simd{clauses}")
        with w.block(f"for (int64_t _j = 0; _j < {self.post}; _j++) {{", "}"):
            if self.node.role("synapse"):
                w.line(f"const int64_t _s = _i*{self.post} + _j;")
            yield

    def _of(self, role: str) -> list[tuple[int, Value]]:
        node = self.node
        return [(k, v) for k, (v, r) in enumerate(zip(node.operands, node.roles, strict=False)) if r == role]

    def _rows(self, r: str) -> None:
        """Write pointers to the rows of the operands of both sides."""
        for role in ("pre", "post", "synapse"):
            for k, value in self._of(role):
                if role == "synapse" and not value.type.batched:
                    continue
                kind = self.at.c_type(self.at.kind(value))
                self.w.line(f"const {kind} *_row{k} = {self.at.row(value, r)};")

    def _declare(self, role: str, index: str) -> None:
        for k, value in self._of(role):
            shared = role == "synapse" and not value.type.batched
            base = self.at.pointer(self.layout.inputs[value].source) if shared else f"_row{k}"
            text = self.at.convert(self.at.kind(value), f"{base}[{index}]")
            self.w.line(f"const {self.at.real} s{k} = {text};")

    def _expression(self) -> str:
        return self.printer.text(self.node.expr, self.node.result.loc)


def is_polynomial(expr: sympy.Expr) -> bool:
    """Return whether `expr` is made of sums and products alone, which C knows of vectors too."""
    return all(
        isinstance(e, (sympy.Add, sympy.Mul, sympy.Symbol, sympy.Number)) for e in sympy.preorder_traversal(expr)
    )


def is_synapses(kernel: Kernel) -> bool:
    """Return whether `kernel` is the gradient of the weights of single synapses."""
    return kernel.kind == "product" and kernel.strategy == "synapses"


def emit_gradient(schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
    """Write the function of a sum over steps and batch, one per synapse."""
    _Gradient(schedule, kernel, printer, w).write()


class _Gradient:
    """One such sum while it is written: threads own source neurons, so every element is summed in one order."""

    def __init__(self, schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
        self.schedule, self.kernel, self.printer, self.w = schedule, kernel, printer, w
        self.real = real(printer)
        (self.node,) = (n for n in kernel.graph.nodes if isinstance(n, Synapses))
        self.reads = {n.result: n for n in kernel.graph.nodes if isinstance(n, Read)}
        self.inputs: dict[Value, Input] = {i.value: i for i in kernel.graph.inputs}
        self.pre, self.post = (schedule.sizes[a] for a in self.node.ends)
        self.silent = self.node.silent()

    def write(self) -> None:
        """Write the struct of a thread's rows, and the function."""
        w, name, node = self.w, self.kernel.name, self.node
        with w.block(f"struct _{name} {{  // rows of one step and sample, as real numbers", "};"):
            for k, _ in self._sided():
                w.line(f"{self.real} row{k}[{self._width(k)}];")
            w.line(f"uint32_t events[{self.pre + 16}];")
        with w.block(f"void {name}(const int64_t *_size, void *const *_p, const int64_t *_stride) {{", "}"):
            w.line("const int64_t _T = _size[0], _B = _size[1], _threads = _size[3];")
            out = self.kernel.arguments.index(kernel_output(self.kernel))
            w.line(f"{self.real} *_out = _p[{out}];", node.result.loc)
            for k, (value, role) in enumerate(zip(node.operands, node.roles, strict=False)):
                if role == "synapse":
                    w.line(f"const {self.real} *_w{k} = _p[{self._argument(self.inputs[value].source)}];")
            for text, value in zip(("_list", "_post"), node.operands[len(node.roles) :], strict=False):
                w.line(f"const int32_t *{text} = _p[{self._argument(self.inputs[value].source)}];")
            w.line(f"const int64_t _share = ({self.pre} + {SOURCES}*_threads - 1)/({SOURCES}*_threads)*{SOURCES};")
            count = 1
            for axis in node.result.type.axes:
                count *= self.schedule.sizes[axis]
            w.line(f"__builtin_memset(_out, 0, (size_t){count}*sizeof *_out);")
            w.line("#pragma omp parallel for num_threads((int)_threads) if (_threads > 1) schedule(static)")
            with w.block("for (int64_t _part = 0; _part < _threads; _part++) {", "}"):
                w.line(f"const int64_t _first = _part*_share, _left = {self.pre} - _first;")
                w.line("const int64_t _width = _left < _share ? _left : _share;")
                w.line("if (_width <= 0) continue;")
                w.line(f"struct _{name} *_m = _take(sizeof *_m);")
                with (
                    w.block("for (int64_t _t = 0; _t < _T; _t++) {", "}"),
                    w.block("for (int64_t _b = 0; _b < _B; _b++) {", "}"),
                ):
                    self._sample()
                w.line("free(_m);")

    def _sample(self) -> None:
        w, node = self.w, self.node
        sided = self._sided()
        if self.silent is not None:
            sided.sort(key=lambda kv: kv[0] != self.silent)
        for k, value in sided:
            self._row(k, value)
            if k == self.silent:
                self.printer.used.add("_events_real")
                w.line(f"const int _count = _events_real(_row{k} + _first, _width, _m->events);")
                w.line("if (!_count) continue;")
        count = "_count" if self.silent is not None else "_width"
        with w.block(f"for (int64_t _e = 0; _e < {count}; _e++) {{", "}"):
            w.line(f"const int64_t _i = _first + {'_m->events[_e]' if self.silent is not None else '_e'};")
            for k, _ in self._of("pre"):
                w.line(f"const {self.real} s{k} = _row{k}[_i];")
            if node.listed:
                opening = "for (int64_t _s = _list[_i]; _s < _list[_i + 1]; _s++) {"
            else:
                w.line("#pragma omp simd")
                opening = f"for (int64_t _j = 0; _j < {self.post}; _j++) {{"
            with w.block(opening, "}"):
                w.line("const int64_t _j = _post[_s];" if node.listed else f"const int64_t _s = _i*{self.post} + _j;")
                for k, _ in self._of("post"):
                    w.line(f"const {self.real} s{k} = _row{k}[_j];")
                for k, _ in self._of("synapse"):
                    w.line(f"const {self.real} s{k} = _w{k}[_s];")
                w.line(f"_out[_s] += {self.printer.text(node.expr, node.result.loc)};")

    def _row(self, k: int, value: Value) -> None:
        """Write `_row{k}`, the numbers of one operand at this step and sample."""
        w, width = self.w, self._width(k)
        if value not in self.reads:
            given = self.inputs[value]
            if given.kind == "fixed" and not value.type.batched:
                w.line(f"const {self.real} *_row{k} = _p[{self._argument(given.source)}];")
            elif self.schedule.buffers[given.source].storage == "real":
                w.line(f"const {self.real} *_row{k} = {self._pointer(given.source, '_t')};")
            else:
                w.line(f"const {self.real} *_row{k} = _m->row{k};")
                self._copy(k, given.source, "_t", width)
            return
        read = self.reads[value]
        history = self.kernel.graph.history(read.history)
        source = self.inputs[history.value].source
        w.line(f"const {self.real} *_row{k} = _m->row{k};")
        with w.block(f"if (_t >= {read.delay}) {{"):
            self._copy(k, source, f"(_t - {read.delay})", width)
        with w.block("} else {  // before the first step", "}"):
            if history.init is None:
                w.line(f"__builtin_memset(_m->row{k}, 0, sizeof _m->row{k});")
            else:
                self._copy(k, history.init, f"(_t + {self.schedule.buffers[history.init].depth - read.delay})", width)

    def _copy(self, k: int, source: str, first: str, width: int) -> None:
        kind = {"uint8": "uint8_t", "int32": "int32_t"}.get(self.schedule.buffers[source].storage, self.real)
        self.w.line(f"const {kind} *_from = {self._pointer(source, first)};")
        self.w.line(f"for (int64_t _n = 0; _n < {width}; _n++) _m->row{k}[_n] = ({self.real})_from[_n];")

    def _pointer(self, buffer: str, first: str) -> str:
        index = self._argument(buffer)
        kind = {"uint8": "uint8_t", "int32": "int32_t"}.get(self.schedule.buffers[buffer].storage, self.real)
        return f"(const {kind} *)_p[{index}] + {first}*_stride[{2 * index}] + _b*_stride[{2 * index + 1}]"

    def _argument(self, name: str) -> int:
        return self.kernel.arguments.index(name)

    def _of(self, role: str) -> list[tuple[int, Value]]:
        pairs = zip(self.node.operands, self.node.roles, strict=False)
        return [(k, v) for k, (v, r) in enumerate(pairs) if r == role]

    def _sided(self) -> list[tuple[int, Value]]:
        return sorted([*self._of("pre"), *self._of("post")])

    def _width(self, k: int) -> int:
        return self.pre if self.node.roles[k] == "pre" else self.post


def kernel_output(kernel: Kernel) -> str:
    """Return the one buffer that a product writes."""
    (output,) = kernel.graph.outputs
    return output.name
