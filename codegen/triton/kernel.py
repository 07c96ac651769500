"""The skeleton of a Triton kernel: parameters, tiles, the time loop and what it loads and stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphc.codegen.expr import Printer
from graphc.codegen.writer import Writer
from graphc.ir import (
    Const,
    History,
    Node,
    Noise,
    Output,
    Project,
    ProjectTransposed,
    Read,
    Reduce,
    Spread,
    Time,
    Value,
)

from .memory import functions, label, leaf, load, store, words
from .plan import Plan, Pointer, added, literals
from .rules import Rules

_HELD = (Read, Time, Noise, Reduce)
"""Nodes that the loop provides; all others are statements of the step function."""


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A function of the text: `body` computes `returned`, for one step or for one phase of it."""

    name: str
    body: tuple[Node, ...]
    returned: tuple[Value, ...]


@dataclass(slots=True)
class _Sum:
    pointer: Pointer
    value: Value
    name: str


class KernelEmitter:
    """Writes one kernel: a function of one step, and the loop that calls it. Strategies elementwise and resident."""

    def __init__(self, plan: Plan, used: set[str]) -> None:
        self.plan, self.kernel, self.graph = plan, plan.kernel, plan.kernel.graph
        self.w = Writer("#")
        used |= functions(plan)
        self.printer = Printer(plan.dialect, used=used)
        self.literal = literals(self.kernel)
        self.rules = Rules(plan, self.printer, self.literal)
        self.steps = self.kernel.kind == "steps"
        self.counter = "_t" if self.steps else "_k"
        self.kept = list(self.graph.histories)  # those to which every step adds
        reads, written = len(self.kernel.reads), iter(plan.pointers[len(self.kernel.reads) :])
        before = iter(plan.pointers[:reads])
        self.inputs = [(i, next(before)) for i in self.graph.inputs]
        self.initial = {c.name: next(before) for c in self.graph.carries if c.init}
        self.before = {h.name: next(before) for h in self.graph.histories if h.init}
        self.outputs = [(o, next(written)) for o in self.graph.outputs]
        self.final = [(c, next(written)) for c in self.graph.carries if c.final]
        self.after = [(h, next(written)) for h in self.graph.histories if h.final]
        self.sums = [
            _Sum(p, added(self.kernel, o), f"_{p.name.removesuffix('_ptr')}")
            for o, p in self.outputs
            if o.kind == "sum"
        ]
        self.body = [
            n
            for n in self.graph.nodes
            if not isinstance(n, _HELD) and not (isinstance(n, Const) and n.result in self.literal)
        ]
        self.name = self.kernel.name
        self.functions = self._functions()

    def text(self) -> str:
        """Return the text of the step functions and of the kernel."""
        for function in self.functions:
            self._step_function(function)
            self.w.line()
            self.w.line()
        unspecialized = ", ".join(f'"{name}"' for name in self.plan.call)
        self.w.line(f"@triton.jit(do_not_specialize=[{unspecialized}])")
        self.w.line(f"def {self.name}(")
        with self.w.indented():
            for line in self._parameters():
                self.w.line(f"{line},")
        with self.w.block("):"):
            self._body()
        return self.w.text()

    def _body(self) -> None:
        self._tiles()
        self._load_fixed()
        self._start_states()
        self._loop()
        self._store_finals()

    # The function of one step.

    def _functions(self) -> tuple[StepFunction, ...]:
        """Return the functions that one step calls, in order."""
        returned = tuple(n.result for n in self.body if n.result in self._needed())
        return (StepFunction(f"_{self.name}_step", tuple(self.body), returned),) if returned else ()

    def _needed(self) -> set[Value]:
        """Return the values that the loop stores, checks, adds up or takes into the next iteration."""
        return {*self.graph.results, *(v for v, _ in self.kernel.checks), *(s.value for s in self.sums)}

    def _step_parameters(self, function: StepFunction) -> list[tuple[str, Value | None]]:
        """Return what the step function takes: its name inside, and the value that the loop passes for it."""
        inside = {n.result for n in function.body} | self.literal
        taken: dict[str, Value | None] = {}
        for node in function.body:
            if isinstance(node, (Project, ProjectTransposed)):
                taken["_row"] = None
                if self.rules.pads(node.operands[0]):
                    taken[f"_col_{label(self.plan, node.operands[0].type)}"] = None
                taken |= dict.fromkeys(self.rules.weights(node))
                taken |= dict.fromkeys(["_device"] if "_device" in self.plan.constants else [])
            for value in node.operands[:1] if isinstance(node, (Project, ProjectTransposed)) else node.operands:
                if value not in inside:
                    taken[self.plan.names[value]] = value
        if any(isinstance(n, Spread) for n in function.body):
            taken |= dict.fromkeys(self.plan.constants)
        return sorted(taken.items(), key=lambda item: item[0] in self.plan.constants)

    def _step_function(self, function: StepFunction) -> None:
        w, names = self.w, [name for name, _ in self._step_parameters(function)]
        w.line("@triton.jit")
        typed = [f"{n}: tl.constexpr" if n in self.plan.constants else n for n in names]
        with w.block(f"def {function.name}({', '.join(typed)}):"):
            for node in function.body:
                w.line(f"{self.plan.names[node.result]} = {self.rules.expression(node)}", note=node.result.loc)
            w.line(f"return {', '.join(self.plan.names[v] for v in function.returned)}")

    def _call(self, function: StepFunction, names: Mapping[Value, str]) -> None:
        passed = [name if value is None else names[value] for name, value in self._step_parameters(function)]
        results = ", ".join(self.plan.names[v] for v in function.returned)
        self.w.line(f"{results} = {function.name}({', '.join(passed)})")

    # Parameters and tiles.

    def _parameters(self) -> list[str]:
        """Return the parameters, those of one tensor or of one kind on a line."""
        plan = self.plan
        lines = [", ".join((p.name, *p.strides)) for p in plan.pointers]
        lines += [p.name for p in plan.scratch]
        lines += [*plan.words, ", ".join(f"{name}: tl.int64" for name in plan.call)]
        lines += [", ".join(plan.sizes.values())] if plan.sizes else []
        return [*lines, ", ".join(f"{name}: tl.constexpr" for name in plan.constants)]

    def _tiles(self) -> None:
        w = self.w
        w.line(f"_b = {self._first_row()} + tl.arange(0, _rows)[:, None]")
        w.line("_row = _b < _B")
        for axis, width in self.plan.widths.items():
            name = self.plan.sizes[axis].removeprefix("_n_")
            lead = f"tl.program_id(1) * {width} + " if self.plan.tiled else ""
            w.line(f"_i_{name} = {lead}tl.arange(0, {width})[None, :]")
            w.line(f"_col_{name} = _i_{name} < _n_{name}")
            w.line(f"_in_{name} = _row & _col_{name}")
        for line in words(self.plan):
            w.line(line)

    def _first_row(self) -> str:
        """Return the sample of the first row of the program's tile."""
        return "tl.program_id(0).to(tl.int64) * _rows"

    # Before the loop.

    def _load_fixed(self) -> None:
        for i, pointer in self.inputs:
            if i.kind == "fixed":
                if len(i.value.type.axes) == 2:
                    self._load_weight(i.value, pointer)
                else:
                    self.w.line(f"{self.plan.names[i.value]} = {load(self.plan, pointer)}", note=i.value.loc)

    def _load_weight(self, value: Value, pointer: Pointer) -> None:
        pre, post = value.type.axes
        done: set[str] = set()
        for node in self.body:
            if not isinstance(node, (Project, ProjectTransposed)) or node.operands[1] is not value:
                continue
            forward, height = isinstance(node, Project), self.rules.height(node)
            down, across = (pre, post) if forward else (post, pre)
            strides = (self.plan.sizes[post], "1") if forward else ("1", self.plan.sizes[post])
            for part, name in enumerate(self.rules.weights(node)):
                if name not in done:
                    extent = (str(part * height), self.plan.sizes[down], self.plan.sizes[across], *strides)
                    tile = self.printer.call("_weight", pointer.name, *extent, str(height), self.plan.widths[across])
                    self.w.line(f"{name} = {self.rules.factor(tile)}", note=value.loc)
                done.add(name)

    def _zeros(self, value: Value) -> str:
        return f"tl.zeros({self.rules.shape(value)}, {self.plan.real})"

    def _start_states(self) -> None:
        w = self.w
        for c in self.graph.carries:
            start = load(self.plan, self.initial[c.name]) if c.init else self._zeros(c.current)
            w.line(f"{self.plan.names[c.current]} = {start}", note=c.current.loc)
        for h in self.graph.histories:
            if h.name in self.plan.rings:
                self._fill_ring(h)
                continue
            for d in range(1, h.depth + 1):
                before = load(self.plan, self.before[h.name], str(h.depth - d)) if h.init else self._zeros(h.value)
                w.line(f"{self._ago(h, d)} = {before}", note=h.value.loc if d == 1 else None)
        for s in self.sums:
            w.line(f"{s.name} = {self._zeros(s.value)}")
        self._start_checks()

    def _ago(self, history: History, delay: int) -> str:
        return f"_{self.plan.names[history.value]}_ago{delay}"

    def _fill_ring(self, h: History) -> None:
        ring = self.plan.rings[h.name]
        with self.w.block(f"for _d in range(0, {h.depth}):"):
            start = load(self.plan, self.before[h.name], "_d") if h.init else self._zeros(h.value)
            self.w.line(store(self.plan, ring, start, "(_d + 1)"))
        self.w.line("tl.debug_barrier()")

    # The loop.

    def _loop(self) -> None:
        w = self.w
        unroll = self.plan.unroll
        streams = [(i.value, p) for i, p in self.inputs if i.kind == "sequence"]
        if unroll > 1 and streams:
            w.line(f"_whole = _T - _T % {unroll}")
            with w.block(f"for {self.counter} in range(0, _whole, {unroll}):"):
                self._set_row()
                loaded = [{v: f"{self.plan.names[v]}_u{u}" for v, _ in streams} for u in range(unroll)]
                for u in range(unroll):
                    for v, p in streams:
                        w.line(f"{loaded[u][v]} = {load(self.plan, p, self._row(u))}", note=v.loc if u == 0 else None)
                for u in range(unroll):
                    self._one_step(u, loaded[u])
            with w.block(f"for {self.counter} in range(_whole, _T):"):
                self._set_row()
                for v, p in streams:
                    w.line(f"{self.plan.names[v]} = {load(self.plan, p, self._row(0))}")
                self._one_step(0, {})
            return
        first = "0" if self.steps else "(_T - 1)"
        for v, p in streams:  # from here on a row is loaded before the step of the row before it
            w.line(f"{self.plan.names[v]} = {load(self.plan, p, first)}", note=v.loc)
        with w.block(f"for {self.counter} in range(0, _T):"):
            self._set_row()
            if streams:
                w.line(f"_ahead = {'tl.minimum(_t + 1, _T - 1)' if self.steps else 'tl.maximum(_t - 1, 0)'}")
            for v, p in streams:
                w.line(f"_{self.plan.names[v]}_next = {load(self.plan, p, '_ahead')}")
            self._one_step(0, {})
            for v, _ in streams:
                w.line(f"{self.plan.names[v]} = _{self.plan.names[v]}_next")

    def _set_row(self) -> None:
        if not self.steps:
            self.w.line("_t = _T - 1 - _k")

    def _row(self, u: int) -> str:
        if u == 0:
            return "_t"
        return f"(_t + {u})" if self.steps else f"(_t - {u})"

    def _turn(self, u: int) -> str:
        """Return how many iterations came before, which a ring counts."""
        return self.counter if u == 0 else f"{self.counter} + {u}"

    def _one_step(self, u: int, loaded: Mapping[Value, str]) -> None:
        w, names = self.w, {**self.plan.names, **loaded}
        names.update((v, self.rules.text[v]) for v in self.literal)
        for node in self.graph.nodes:
            if isinstance(node, Read):
                names[node.result] = self._read(node, u)
            elif isinstance(node, (Time, Noise)):
                text = leaf(self.plan, self.printer, node, self._row(u))
                w.line(f"{self.plan.names[node.result]} = {text}", note=node.result.loc)
        self._compute(names, u)
        self._store_rows(self.outputs, names, u)
        for s in self.sums:
            w.line(f"{s.name} += {names[s.value]}")
        self._check(names, u)
        self._advance(names, u)

    def _store_rows(self, outputs: Iterable[tuple[Output, Pointer]], names: Mapping[Value, str], u: int) -> None:
        for o, p in outputs:
            if o.kind == "sequence":
                self.w.line(store(self.plan, p, names[o.value], self._row(u)))

    def _compute(self, names: Mapping[Value, str], u: int) -> None:
        """Write what computes the values of one step from `names`."""
        for function in self.functions:
            self._call(function, names)

    def _read(self, node: Read, u: int) -> str:
        history = self.graph.history(node.history)
        ring = self.plan.rings.get(history.name)
        if ring is None:
            return self._ago(history, node.delay)
        name = self.plan.names[node.result]
        slot = f"(({self._turn(u)} + {ring.depth - node.delay}) % {ring.depth})"
        self.w.line(f"{name} = {load(self.plan, ring, slot)}", note=node.result.loc)
        return name

    def _advance(self, names: Mapping[Value, str], u: int) -> None:
        """Write what the next iteration finds as states and histories."""
        w = self.w
        moves: list[tuple[str, str]] = []
        deep = [h for h in self.kept if h.name in self.plan.rings]
        for h in self.kept:
            if h not in deep:
                moves += [(self._ago(h, d), self._ago(h, d - 1)) for d in range(h.depth, 1, -1)]
                moves.append((self._ago(h, 1), names[h.value]))
        moves += [(self.plan.names[c.current], names[c.next]) for c in self.graph.carries if c.next is not c.current]
        for h in deep:
            slot = f"(({self._turn(u)}) % {h.depth + 1})" if u else f"({self._turn(u)} % {h.depth + 1})"
            w.line(store(self.plan, self.plan.rings[h.name], names[h.value], slot))
        if deep:
            w.line("tl.debug_barrier()")
        overwritten: set[str] = set()
        ordered = True
        for target, source in moves:
            ordered = ordered and source not in overwritten
            overwritten.add(target)
        if ordered:
            for target, source in moves:
                w.line(f"{target} = {source}")
        else:
            w.line(f"{', '.join(t for t, _ in moves)} = {', '.join(s for _, s in moves)}")

    # What must be finite.

    def _start_checks(self) -> None:
        if self.kernel.checks:
            with self.w.block("if _bad is not None:"):
                for value in self._checked_axes().values():
                    first = f"_first_{label(self.plan, value.type)}"
                    self.w.line(f"{first} = tl.full({self._full(value)}, 2147483647, tl.int32)")

    def _checked_axes(self) -> dict[str, Value]:
        return {v.type.axes[0]: v for v, _ in self.kernel.checks}

    def _full(self, value: Value) -> str:
        return f"(_rows, {self.plan.widths[value.type.axes[0]]})"

    def _check(self, names: Mapping[Value, str], u: int) -> None:
        if not self.kernel.checks:
            return
        count = len(self.kernel.checks)
        with self.w.block("if _bad is not None:"):
            for index, (value, _) in enumerate(self.kernel.checks):
                x, first = names[value], f"_first_{label(self.plan, value.type)}"
                code = f"{self._row(u)} * {count} + {index}" if count > 1 else self._row(u)
                code = f"tl.cast({code}, tl.int32)"
                self.w.line(f"{first} = tl.where({x} - {x} == 0.0, {first}, tl.minimum({first}, {code}))")

    # After the loop.

    def _store_finals(self) -> None:
        for s in self.sums:
            self.w.line(store(self.plan, s.pointer, s.name))
        for c, pointer in self.final:
            self.w.line(store(self.plan, pointer, self.plan.names[c.current]))
        for h, pointer in self.after:
            ring = self.plan.rings.get(h.name)
            if ring is not None:
                with self.w.block(f"for _d in range(0, {h.depth}):"):
                    row = load(self.plan, ring, f"((_T + 1 + _d) % {ring.depth})")
                    self.w.line(store(self.plan, pointer, row, "_d"))
                continue
            for d in range(h.depth, 0, -1):
                self.w.line(store(self.plan, pointer, self._ago(h, d), str(h.depth - d)))
        self._report()

    def _report(self) -> None:
        if self.kernel.checks:
            self.printer.used.add("_report")
            with self.w.block("if _bad is not None:"):
                for axis in self._checked_axes():
                    name = self.plan.sizes[axis].removeprefix("_n_")
                    count = len(self.kernel.checks)
                    sample = self._first_row()
                    neuron = f"tl.program_id(1) * {self.plan.widths[axis]}" if self.plan.tiled else "0"
                    self.w.line(f"_report(_bad, _first_{name}, {count}, _in_{name}, {sample}, {neuron}, _start)")
