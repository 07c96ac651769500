"""A time loop in C: blocks of batch rows in parallel, time inside, loops over neurons innermost."""

from __future__ import annotations

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir.graph import Output
from graphc.ir.ops import Noise, ProjectTransposed
from graphc.ir.schedule import Kernel, Schedule

from .address import Addresses, Members
from .block import write_finish, write_start, write_sum
from .layout import Layout, lay_out
from .panels import write_panels
from .rules import right_side
from .step import Step
from .tiles import write_tiles


def emit_steps(schedule: Schedule, kernel: Kernel, printer: Printer, w: Writer) -> None:
    """Write the C function of a `steps` or `reverse` kernel, after the struct of its blocks."""
    layout = lay_out(schedule, kernel)
    body, members = Writer(), Members(layout)
    _Skeleton(body, layout, Addresses(layout, printer), members, printer).write()
    with w.block(f"struct _{kernel.name} {{  // what a thread keeps of its block", "};"):
        for name, kind in members.arrays.items():
            w.line(f"{kind} {name} __attribute__((aligned(64)));")
    w.line()
    with w.block(f"void {kernel.name}(const int64_t *_size, void *const *_p, const int64_t *_stride) {{", "}"):
        w.lines(body.text())


class _Skeleton:
    """Everything around the step of one kernel."""

    def __init__(self, w: Writer, layout: Layout, at: Addresses, members: Members, printer: Printer) -> None:
        self.w, self.layout, self.at, self.members, self.printer = w, layout, at, members, printer
        self.step = Step(w, layout, at, members, printer)
        self.kernel, self.graph = layout.kernel, layout.kernel.graph

    def write(self) -> None:
        w, layout, at = self.w, self.layout, self.at
        w.line("const int64_t _T = _size[0], _B = _size[1], _start = _size[2], _threads = _size[3];")
        if any(isinstance(n, Noise) for n in self.graph.nodes):
            w.line("const uint64_t _seed = (uint64_t)_size[4];")
        self._arguments()
        self._constants()
        turned = self._transposes()
        self.step.prepare()
        panels = write_panels(w, layout, at) if layout.packed else []
        w.line(f"const int64_t _blocks = (_B + {layout.rows - 1})/{layout.rows};")
        sums = self._outputs("sum")
        for output in sums:
            count = f"(_blocks + 1)*{layout.size(layout.summand(output.value))}"
            w.line(f"{at.real} *_part_{at.argument(output.name)} = calloc({count}, sizeof({at.real}));")
        if layout.chunk:
            w.line(f"const int64_t _chunks = {-(-layout.split // layout.chunk)};")
        w.line("#pragma omp parallel num_threads((int)_threads) if (_threads > 1)")
        with w.block("{", "}"):
            w.line(f"struct _{self.kernel.name} *_m = _take(sizeof *_m);")
            w.line("#pragma omp for schedule(static)")
            items = "_blocks*_chunks" if layout.chunk else "_blocks"
            with w.block(f"for (int64_t _item = 0; _item < {items}; _item++) {{", "}"):
                self._block()
            w.line("free(_m);")
        for output in sums:
            self.printer.used.add("_sum")
            write_sum(w, layout, at, output.name, output.value)
        for name in turned:
            w.line(f"free(_turned_{name});")
        self.step.release()
        for name in panels:
            w.line(f"free({name});")

    def _block(self) -> None:
        w, layout, step = self.w, self.layout, self.at.step
        w.line(f"const int64_t _b0 = {'_item/_chunks' if layout.chunk else '_item'}*{layout.rows};")
        w.line(f"const int64_t _rows = _B - _b0 < {layout.rows} ? _B - _b0 : {layout.rows};")
        if layout.chunk:
            w.line(f"const int64_t _n0 = _item%_chunks*{layout.chunk}, _left = {layout.split} - _n0;")
            w.line(f"const int64_t _width = _left < {layout.chunk} ? _left : {layout.chunk};")
        if layout.delayed:
            w.line("const int _wide = _rows > 3;")
        write_start(w, layout, self.at, self.members)
        self.step.start()
        if layout.tile > 1:
            write_tiles(w, layout, self.members, self.printer)
        else:
            with w.block(f"for (int64_t {step} = 0; {step} < _T; {step}++) {{", "}"):
                self.step.write()
        write_finish(w, layout, self.at)
        if any(self.at.streams(o.name) for o in self._outputs("sequence")):
            w.line("_fence();")

    def _arguments(self) -> None:
        arguments, w, at = self.kernel.arguments, self.w, self.at
        for index, name in enumerate(arguments):
            if name in arguments[:index]:
                continue
            buffer, short = self.layout.buffer(name), at.argument(name)
            const = "" if name in self.kernel.writes else "const "
            line = f"{const}{at.c_type(buffer.storage)} *{at.pointer(name)} = _p[{index}];"
            if buffer.kind != "fixed":
                line += f" const int64_t _t_{short} = _stride[{2 * index}], _b_{short} = _stride[{2 * index + 1}];"
            w.line(line)
        if self.layout.checks:
            w.line(f"int64_t *_bad = _p[{len(arguments)}];")
        for output in self._outputs("sequence"):
            if at.streams(output.name):
                short, size = at.argument(output.name), self.layout.size(output.value)
                w.line(f"const int _past_cache_{short} = _streams(_out_{short}, _t_{short}, _b_{short}, _T*_B*{size});")

    def _constants(self) -> None:
        for node in self.layout.constants:
            self.step.declare(node.result, right_side(node, self.printer))
        for value, given in self.layout.inputs.items():
            if given.kind == "fixed" and not value.type.batched and not value.type.axes:
                self.step.declare(value, self.at.element(given.source, f"{self.at.pointer(given.source)}[0]"))

    def _transposes(self) -> list[str]:
        """Write the transposition of every weight through which gradients flow back, once a call."""
        names: list[str] = []
        for group in self.layout.groups:
            if isinstance(group.product, ProjectTransposed):
                weight = group.product.operands[1]
                given = self.layout.inputs[weight].source
                name = self.at.argument(given)
                if name not in names:
                    pre, post = (self.layout.schedule.sizes[a] for a in weight.type.axes)
                    self.printer.used.add("_transpose")
                    self.w.line(
                        f"{self.at.real} *_turned_{name} = _transpose({self.at.pointer(given)}, {pre}, {post});"
                    )
                    names.append(name)
        return names

    def _outputs(self, kind: str) -> list[Output]:
        return [o for o in self.graph.outputs if o.kind == kind]
