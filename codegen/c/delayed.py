"""Synapses with delays of their own in C.

A block of few rows goes from spike to spike: what it will deliver is added, when it happens, to the drives of the steps
to come, so that one event costs its synapses once, whatever their delays. A block of many rows, and values that are no
spikes, keep what was sent for as long as the longest delay, with the rows as lanes, and every synapse reads what was
sent its delay ago. Back through time it is the same: every synapse reads the gradient that lies its delay ahead.
"""

from __future__ import annotations

import math

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.ops import Read
from graphc.ir.schedule import Kernel, Schedule
from graphc.ir.synapses import DelayedSynapses

from .address import Addresses, Members
from .layout import Layout, each_vector, lanes_of
from .rules import real

WINDOW = 128  # steps whose events are sorted by source before they are used
SOURCES = 16  # source neurons of a share of a gradient are a multiple of these, so that no two threads share a line


class StepDelayed:
    """A sum over delayed synapses in the steps of a block."""

    def __init__(
        self, w: Writer, layout: Layout, at: Addresses, members: Members, printer: Printer, node: DelayedSynapses
    ) -> None:
        """Look up sizes, the list, and the history that is read."""
        self.w, self.layout, self.at, self.members, self.printer, self.node = w, layout, at, members, printer, node
        self.pre, self.post = (layout.schedule.sizes[a] for a in node.ends)
        self.name, self.slots, self.rows = node.result.name, max(node.lags) + 1, layout.rows
        self.weight, self.list, self.targets = (
            at.pointer(layout.inputs[v].source) for v in (node.factor, *node.tables)
        )
        self.history = layout.kernel.graph.history(layout.reads[node.reads[0]].history)
        self.lanes = lanes_of(layout.rows)
        self.spikes = node.over == "pre" and self.history.value.type.dtype == "bool"
        self.later = f"_m->later_{self.name}"

    def prepare(self) -> None:
        """Write what a call does once: sort the list by target, for the blocks that go from target to target."""
        if self.node.over == "pre":
            self.printer.used.add("_by_target")
            turned = f"_turned_{self.name}"
            when = "_B > 3 ? " if self.spikes else ""
            none = " : (struct _list){0};  // few rows go from spike to spike"
            of = f"{self.list}, {self.targets}, {self.weight}, {len(self.node.lags)}, {self.pre}, {self.post}"
            self.w.line(f"struct _list {turned} = {when}_by_target({of}){none if self.spikes else ';'}")

    def release(self) -> None:
        """Write the end of what `prepare` began."""
        if self.node.over == "pre":
            turned = f"_turned_{self.name}"
            self.w.line(f"free({turned}.first), free({turned}.other), free({turned}.weight);")

    def start(self) -> None:
        """Write what a block does before its first step: empty what it keeps, and take what is under way."""
        widest = max(self.pre, self.post)
        self.members.add_plain(f"later_{self.name}[{self.slots}][{widest}*{self.lanes}]", self.at.real)
        self.w.line(f"__builtin_memset({self.later}, 0, sizeof {self.later});")
        if self.node.over == "pre" and self.history.init:
            slots, entry = self.layout.slots(self.history), self.layout.depth(self.history)
            ring = f"_m->ring_{self.at.argument(self.history.name)}[({entry + 1} - _age + {slots})%{slots}]"
            oldest = max(self.node.lags)
            with self.w.block(f"for (int64_t _age = {oldest}; _age >= 1; _age--) {{  // before the first step", "}"):
                self._take(ring, "-_age", first=True)

    def read(self) -> None:
        """Write the drive of this step, where other loops read it."""
        w = self.w
        self.members.add(f"now_{self.name}", self.node.result, self.at.real)
        if not self.spikes:
            with w.block("{", "}"):
                self._gather()
            return
        with w.block("if (!_wide) {  // what spikes have delivered for this step"):
            copy = f"{self.later}[_t%{self.slots}][_r*{self.post} + _j]"
            with w.block("for (int64_t _r = 0; _r < _rows; _r++)"):
                loop = f"for (int64_t _j = 0; _j < {self.post}; _j++)"
                w.line(f"{loop} _m->now_{self.name}[_r][_j] = {copy};", self.node.result.loc)
        with w.block("} else {", "}"):
            self._gather()

    def finish(self) -> None:
        """Write what a step does at its end, when the value of the history is known."""
        step = self.at.step
        if self.node.over == "post":
            row = self.at.convert(self.at.kind(self.history.value), f"({self.at.row(self.history.value, '_r')})")
            self._turn(row, f"{self.later}[{step}%{self.slots}]", self.post)
            return
        slots = self.layout.slots(self.history)
        self._take(f"_m->ring_{self.at.argument(self.history.name)}[_t%{slots}]", "_t", first=False)

    def _take(self, source: str, t: str, first: bool) -> None:
        """Write what becomes of the values that sources sent at step `t`; `first` before the first step."""
        w = self.w
        slot = f"{self.later}[({t} + {self.slots})%{self.slots}]"
        if not self.spikes:
            self._turn(f"({source}[_r])", slot, self.pre)
            return
        with w.block("if (!_wide) {  // few rows: from spike to spike, to the steps at which each arrives"):
            if not first:
                w.line(f"__builtin_memset({slot}, 0, sizeof {slot});")
            self._deliver(source, t, first)
        with w.block("} else {  // many rows: kept as lanes until it arrives", "}"):
            self._turn(f"({source}[_r])", slot, self.pre)

    def _deliver(self, source: str, t: str, first: bool) -> None:
        w = self.w
        self.printer.used.add("_events_real")
        self.members.add_plain(f"sent_{self.name}[{self.rows}][{self.pre + 16}]", "uint32_t")
        self.members.add_plain(f"count_{self.name}[{self.rows}]", "int")
        sent = f"_events_real({source}[_r], {self.pre}, _m->sent_{self.name}[_r])"
        w.line(f"for (int64_t _r = 0; _r < _rows; _r++) _m->count_{self.name}[_r] = {sent};")
        self._delays()
        with w.block(f"for (int64_t _q = 0; _q < {len(self.node.lags)}; _q++) {{", "}"):
            if first:
                w.line(f"if (_d[_q] + ({t}) < 0) continue;")
            w.line(f"{self.at.real} *_in = {self.later}[(_d[_q] + {t} + {self.slots})%{self.slots}];")
            w.line(f"const int32_t *_first = {self.list} + _q*{self.pre};")
            with (
                w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"),
                w.block(f"for (int _e = 0; _e < _m->count_{self.name}[_r]; _e++) {{", "}"),
            ):
                w.line(f"const int64_t _i = _m->sent_{self.name}[_r][_e];")
                loop = "for (int64_t _s = _first[_i]; _s < _first[_i + 1]; _s++)"
                to = f"_in[_r*{self.post} + {self.targets}[_s]]"
                w.line(f"{loop} {to} += {self.weight}[_s];", self.node.result.loc)

    def _delays(self) -> None:
        lags = self.node.lags
        self.w.line(f"static const int64_t _d[{len(lags)}] = {{{', '.join(map(str, lags))}}};")

    def _gather(self) -> None:
        """Write the sum per neuron: every synapse reads, for all rows, what lies its delay away."""
        w, kind, step, lanes = self.w, self.at.real, self.at.step, self.lanes
        turned = f"_turned_{self.name}"
        lists = (self.list, self.targets, self.weight)
        if self.node.over == "pre":
            lists = (f"{turned}.first", f"{turned}.other", f"{turned}.weight")
        rows, other, weight = lists
        width, each = self.post if self.node.over == "pre" else self.pre, each_vector(lanes)
        sums = f"_m->sum_{self.name}"
        self.members.add_plain(f"sum_{self.name}[{width}*{lanes}]", kind)

        def term(s: str) -> str:
            return f"{weight}[{s}]**(const _vector *)(_in + (int64_t){other}[{s}]*{lanes} + _v*_LANES)"

        self._delays()
        w.line(f"__builtin_memset({sums}, 0, sizeof {sums});")
        with w.block(f"for (int64_t _q = 0; _q < {len(self.node.lags)}; _q++) {{", "}"):
            w.line(f"const {kind} *_in = {self.later}[({step} + {self.slots} - _d[_q])%{self.slots}];")
            w.line(f"const int32_t *_first = {rows} + _q*{width};")
            with w.block(f"for (int64_t _i = 0; _i < {width}; _i++) {{", "}"):
                w.line(f"_vector _one[{lanes}/_LANES], _two[{lanes}/_LANES];  // sums that do not wait for each other")
                w.line(f"{each} _one[_v] = *(const _vector *)({sums} + _i*{lanes} + _v*_LANES);")
                w.line(f"{each} _two[_v] = (_vector){{0}};")
                w.line("int64_t _s = _first[_i];")
                w.line("const int64_t _end = _first[_i + 1];")
                with w.block("for (; _s + 2 <= _end; _s += 2) {", "}"):
                    w.line(f"{each} _one[_v] += {term('_s')};", self.node.result.loc)
                    w.line(f"{each} _two[_v] += {term('_s + 1')};")
                with w.block("if (_s < _end) {", "}"):
                    w.line(f"{each} _one[_v] += {term('_s')};")
                w.line(f"{each} *(_vector *)({sums} + _i*{lanes} + _v*_LANES) = _one[_v] + _two[_v];")
        line = f"_m->now_{self.name}[_r][_i] = {sums}[_i*{lanes} + _r];"
        with w.block("for (int64_t _r = 0; _r < _rows; _r++)"):
            w.line(f"for (int64_t _i = 0; _i < {width}; _i++) {line}")

    def _turn(self, row: str, to: str, width: int) -> None:
        """Write the rows of the block as lanes; lanes without a row are 0."""
        with self.w.block(f"for (int64_t _r = 0; _r < {self.lanes}; _r++)"):
            loop = f"for (int64_t _n = 0; _n < {width}; _n++)"
            self.w.line(f"{loop} {to}[_n*{self.lanes} + _r] = _r < _rows ? {row}[_n] : {self.at.zero};")


def is_delayed(kernel: Kernel) -> bool:
    """Return whether `kernel` is the gradient of the weights of delayed synapses."""
    return kernel.kind == "product" and kernel.strategy == "delayed synapses"


def emit_delayed_gradient(schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
    """Write the function of the gradient of delayed weights: what a source sent, times what it met at its delay."""
    (node,) = (n for n in kernel.graph.nodes if isinstance(n, DelayedSynapses))
    reads = {n.result: n for n in kernel.graph.nodes if isinstance(n, Read)}
    inputs = {i.value: i.source for i in kernel.graph.inputs}
    history = kernel.graph.history(reads[node.reads[0]].history)
    pre = schedule.sizes[node.ends[0]]
    count = math.prod(schedule.sizes[a] for a in node.result.type.axes)
    kind, lags = real(printer), node.lags

    def place(name: str) -> int:
        return kernel.arguments.index(name)

    def row(name: str, first: str) -> tuple[str, str]:
        stored = {"uint8": "uint8_t", "int32": "int32_t"}.get(schedule.buffers[name].storage, kind)
        k = place(name)
        return stored, f"(const {stored} *)_p[{k}] + {first}*_stride[{2 * k}] + _b*_stride[{2 * k + 1}]"

    printer.used.add("_events_real")
    g, early = place(inputs[node.factor]), history.depth if history.init else 0
    binary = history.value.type.dtype == "bool"
    with w.block(f"struct _{kernel.name} {{  // what a thread keeps of a sample: when each of its sources sent", "};"):
        w.line(f"{kind} sent[{pre}];")
        w.line(f"uint32_t events[{pre + 16}];")
        w.line(f"int count[{pre}];")
        w.line(f"int32_t when[{pre}][{WINDOW}];")
        if not binary:
            w.line(f"{kind} what[{pre}][{WINDOW}];")
    with w.block(f"void {kernel.name}(const int64_t *_size, void *const *_p, const int64_t *_stride) {{", "}"):
        w.line("const int64_t _T = _size[0], _B = _size[1], _threads = _size[3];")
        w.line(f"{kind} *_out = _p[{place(kernel.graph.outputs[0].name)}];")
        for text, value in zip(("_list", "_post"), node.tables, strict=True):
            w.line(f"const int32_t *{text} = _p[{place(inputs[value])}];")
        w.line(f"static const int64_t _d[{len(lags)}] = {{{', '.join(map(str, lags))}}};")
        w.line(f"const int64_t _share = ({pre} + {SOURCES}*_threads - 1)/({SOURCES}*_threads)*{SOURCES};")
        w.line(f"__builtin_memset(_out, 0, (size_t){count}*sizeof *_out);")
        w.line("#pragma omp parallel for num_threads((int)_threads) if (_threads > 1) schedule(static)")
        with w.block("for (int64_t _part = 0; _part < _threads; _part++) {", "}"):
            w.line(f"const int64_t _first = _part*_share, _left = {pre} - _first;")
            w.line("const int64_t _width = _left < _share ? _left : _share;")
            w.line("if (_width <= 0) continue;")
            w.line(f"struct _{kernel.name} *_m = _take(sizeof *_m);")
            with (
                w.block("for (int64_t _b = 0; _b < _B; _b++) {", "}"),
                w.block(f"for (int64_t _t0 = {-early}; _t0 < _T; _t0 += {WINDOW}) {{", "}"),
            ):
                w.line("__builtin_memset(_m->count, 0, sizeof _m->count);")
                with w.block(f"for (int64_t _t = _t0; _t < _T && _t < _t0 + {WINDOW}; _t++) {{", "}"):
                    copy = f"for (int64_t _n = 0; _n < _width; _n++) _m->sent[_n] = ({kind})_from[_first + _n];"
                    opening = "{"
                    if history.init:
                        with w.block("if (_t < 0) {  // before the first step"):
                            stored, text = row(history.init, f"(_t + {schedule.buffers[history.init].depth})")
                            w.line(f"const {stored} *_from = {text};")
                            w.line(copy)
                        opening = "} else {"
                    with w.block(opening, "}"):
                        stored, text = row(inputs[history.value], "_t")
                        w.line(f"const {stored} *_from = {text};")
                        w.line(copy)
                    w.line("const int _found = _events_real(_m->sent, _width, _m->events);")
                    with w.block("for (int _e = 0; _e < _found; _e++) {", "}"):
                        w.line("const int64_t _i = _m->events[_e];")
                        if not binary:
                            w.line("_m->what[_i][_m->count[_i]] = _m->sent[_i];")
                        w.line("_m->when[_i][_m->count[_i]++] = (int32_t)_t;")
                with (
                    w.block(f"for (int _q = 0; _q < {len(lags)}; _q++)"),
                    w.block("for (int64_t _i = 0; _i < _width; _i++) {", "}"),
                ):
                    w.line(
                        f"const int64_t _s0 = _list[_q*{pre} + _first + _i], _s1 = _list[_q*{pre} + _first + _i + 1];"
                    )
                    w.line("int _e = 0, _end = _m->count[_i];")
                    w.line("while (_e < _end && _m->when[_i][_e] + _d[_q] < 0) _e++;")
                    w.line("while (_end > _e && _m->when[_i][_end - 1] + _d[_q] >= _T) _end--;")
                    step = f"(_m->when[_i][{{}}] + _d[_q])*_stride[{2 * g}]"
                    met = f"(const {kind} *)_p[{g}] + {step} + _b*_stride[{2 * g + 1}]"
                    for count in (4, 1):
                        with w.block(f"for (; _e + {count} <= _end; _e += {count}) {{", "}"):
                            terms = []
                            for n in range(count):
                                w.line(f"const {kind} *_met{n} = {met.format(f'_e + {n}' if n else '_e')};")
                                scale = "" if binary else f"_m->what[_i][_e + {n}]*"
                                terms.append(f"{scale}_met{n}[_post[_s]]")
                            loop = "for (int64_t _s = _s0; _s < _s1; _s++)"
                            w.line(f"{loop} _out[_s] += {' + '.join(terms)};", node.result.loc)
            w.line("free(_m);")
