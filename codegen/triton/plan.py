"""The parameters, tiles and grid of one Triton kernel: what its text and its launcher must agree on."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from graphc.codegen.expr import Dialect, triton_dialect
from graphc.ir import (
    Const,
    History,
    Kernel,
    Names,
    Node,
    Noise,
    Output,
    Precision,
    Project,
    ProjectTransposed,
    Read,
    Reduce,
    Schedule,
    TargetError,
    Type,
    Value,
)
from graphc.ir.schedule import Storage

PointerKind = Literal["sequence", "history", "fixed", "step", "sum", "ring"]

REGISTER_DEPTH = {"elementwise": 8, "resident": 2, "cooperative": 2, "step": 0}
"""Histories up to this depth stay in registers, by strategy; a deeper one is a ring in memory."""

NARROW = ("bfloat16", "float16")

TILE = {"float32": 32, "tf32": 128, "bfloat16": 128, "float16": 128}
"""Rows of a weight matrix that a cooperative program multiplies at once: without tensor cores 64 take all registers."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """One tensor parameter and its strides.

    Attributes:
        name: of the parameter.
        type: type of one row.
        strides: names of the stride parameters, in elements: time or depth, then batch where `type` is batched.
        depth: rows of a history or of a ring.
    """

    name: str
    kind: PointerKind
    type: Type
    storage: Storage = "real"
    strides: tuple[str, ...] = ()
    depth: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One Triton kernel, apart from its statements.

    Attributes:
        kernel: what the text computes: the ir.Kernel without what `handed` does and inputs that nothing reads.
        handed: histories that no node reads, each with the sequence that holds its values: the launcher copies them.
        pointers: of the arguments of `kernel`, in its order. One of kind "sum" is contiguous and keeps the batch
            and the neurons that its output sums: the launcher passes scratch there and reduces it.
        rings: scratch per deep history, contiguous, (depth + 1, ...) of the real type; parameters after `pointers`.
        exchanges: scratch per value that programs hear of each other, contiguous, (slots, B, N): of this step and
            the next, or where steps go together of a block and what it reads.
        names: text of each value of the graph.
        sizes: name of the run-time size per axis.
        widths: name of the compile-time tile width per axis.
        constants: values of the compile-time parameters; of "_device" 0 says that Triton interprets, 2 AMD, 1 NVIDIA.
        extent: number of neurons per axis.
        tiled: programs share out the neurons; otherwise each holds all of them.
        programs: how many that wait for each other share out the neurons; 0 where none waits.
        warps: warps per program.
        unroll: steps whose inputs are loaded together.
        precision: what the factors of products are rounded to.
        depth: rows of a weight matrix per product: over more at once in float32, ptxas loads all weights first and
            spills them.
    """

    kernel: Kernel
    handed: tuple[tuple[History, str], ...]
    dialect: Dialect
    pointers: tuple[Pointer, ...]
    rings: Mapping[str, Pointer]
    exchanges: Mapping[Value, Pointer]
    names: Mapping[Value, str]
    sizes: Mapping[str, str]
    widths: Mapping[str, str]
    constants: Mapping[str, int]
    extent: Mapping[str, int]
    tiled: bool
    programs: int
    precision: Precision
    warps: int
    unroll: int
    depth: int

    @property
    def scratch(self) -> tuple[Pointer, ...]:
        """What the launcher allocates for the time of a call, in the order of its parameters."""
        arrived = (Pointer("_arrived", "ring", Type("int"), "int32"),) if self.programs else ()
        return (*self.rings.values(), *self.exchanges.values(), *arrived)

    @property
    def draws(self) -> bool:
        """Whether the kernel draws random numbers."""
        return any(isinstance(n, Noise) for n in self.kernel.graph.nodes)

    @property
    def call(self) -> tuple[str, ...]:
        """Names of what differs between calls: steps, samples, the first step, a seed, the first sample of a launch."""
        if self.kernel.strategy == "step":
            return ("_B",)
        drawn, first = ("_seed",) if self.draws else (), ("_first",) if self.programs else ()
        return ("_T", "_B", "_start", *drawn, *first)

    @property
    def words(self) -> tuple[str, ...]:
        """Names of the pointers to int64 words: what is not finite, after the clock of a part of a step."""
        return ("_clock", "_bad") if self.kernel.strategy == "step" else ("_bad",)

    @property
    def run_time(self) -> tuple[str, ...]:
        """Names of the integers after the pointers and before the compile-time parameters."""
        return (*self.call, *self.sizes.values())

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters in order."""
        strided = tuple(n for p in self.pointers for n in (p.name, *p.strides))
        return (*strided, *(p.name for p in self.scratch), *self.words, *self.run_time, *self.constants)

    @property
    def real(self) -> str:
        """The real type as Triton writes it."""
        return f"tl.{self.dialect.dtype}"

    def grid(self, batch: int) -> tuple[int, int]:
        """Return the number of programs over the batch and over the neurons."""
        rows = -(-batch // self.constants["_rows"])
        if self.programs or not self.tiled:
            return rows, max(self.programs, 1)
        ((axis, width),) = self.widths.items()
        return rows, -(-self.extent[axis] // self.constants[width])


def plan(schedule: Schedule, kernel: Kernel) -> Plan:
    """Return the parameters, tiles and grid of `kernel`, a `steps` or `reverse` kernel."""
    if kernel.strategy not in REGISTER_DEPTH:
        raise TargetError(f"target 'triton' has no strategy {kernel.strategy!r}", None, "use target='c'")
    handed = _handed(kernel)
    kernel = _without(kernel, {h for h, _ in handed})
    graph = kernel.graph
    dialect = triton_dialect(schedule.dtype)
    names = {v: dialect.identifier(v.name) for v in graph.values}
    axes = tuple(dict.fromkeys(axis for v in graph.values for axis in v.type.axes))
    labels = Names()
    labelled = {axis: labels.fresh(axis) for axis in axes}
    widths = {axis: f"_width_{label}" for axis, label in labelled.items()}
    products = [n for n in graph.nodes if isinstance(n, (Project, ProjectTransposed))]
    if kernel.strategy in ("elementwise", "step") and products:
        products[0].fail("is a product in a kernel without recurrence")
    programs = kernel.options.get("programs", 1) if kernel.strategy == "cooperative" else 0
    tiled = kernel.strategy in ("elementwise", "step") and len(axes) == 1
    pointers = _pointers(schedule, kernel, names)
    rings = {
        h.name: Pointer(f"_{names[h.value]}_ring", "ring", h.value.type, depth=h.depth + 1)
        for h in graph.histories
        if h.depth > REGISTER_DEPTH[kernel.strategy] or 1 < kernel.tile <= h.depth
    }
    extent = {axis: schedule.sizes[axis] for axis in axes}
    least = 16 if products else 1  # of each side of a tile that tl.dot takes
    columns = {axis: max(power_of_two(-(-size // max(programs, 1))), least) for axis, size in extent.items()}
    for pointer in pointers:
        if programs and pointer.storage == "bits":  # whole words
            columns[pointer.type.axes[0]] = max(columns[pointer.type.axes[0]], 32)
    rows = kernel.options.get("rows", 16)
    if tiled:
        block = kernel.options.get("block", 256)
        columns = {axis: min(width, block) for axis, width in columns.items()}
        rows = block // max(columns.values())
    constants = {"_rows": max(rows, least), **{widths[axis]: columns[axis] for axis in axes}}
    if programs or (products and schedule.precision in NARROW):
        constants["_device"] = 1
    return Plan(
        kernel=kernel,
        handed=handed,
        dialect=dialect,
        pointers=pointers,
        rings=rings,
        exchanges=_exchanges(kernel, names, schedule.precision) if programs else {},
        names=names,
        sizes={axis: f"_n_{label}" for axis, label in labelled.items()},
        widths=widths,
        constants=constants,
        extent=extent,
        tiled=tiled or programs > 0,
        programs=programs,
        precision=schedule.precision,
        warps=kernel.options.get("warps", 4),
        unroll=kernel.options.get("unroll", 1) if tiled else 1,
        depth=kernel.options.get("depth", _depth(schedule.precision, programs, columns)),
    )


def _handed(kernel: Kernel) -> tuple[tuple[History, str], ...]:
    """Return the histories that the loop need not keep, and where their values are when it is over."""
    graph = kernel.graph
    if kernel.kind != "steps":
        return ()
    read = {n.history for n in graph.nodes if isinstance(n, Read)}
    rows = {o.value: o.name for o in graph.outputs if o.kind == "sequence"}
    rows |= {i.value: i.source for i in graph.inputs if i.kind == "sequence"}
    return tuple((h, rows[h.value]) for h in graph.histories if h.name not in read and h.value in rows)


def _without(kernel: Kernel, handed: Container[History]) -> Kernel:
    graph = replace(kernel.graph, histories=tuple(h for h in kernel.graph.histories if h not in handed))
    needed = {*graph.results, *(v for v, _ in kernel.checks), *(v for n in graph.nodes for v in n.operands)}
    return replace(kernel, graph=replace(graph, inputs=tuple(i for i in graph.inputs if i.value in needed)))


def _exchanges(kernel: Kernel, names: Mapping[Value, str], precision: Precision) -> dict[Value, Pointer]:
    """Return where programs leave what the products of other programs read, as these multiply it.

    Spikes are bytes where a product is of single multiplications: they hide the conversion, of a quarter of their rate.
    """
    wide: Storage = "narrow" if precision in NARROW else "real"
    heard = dict.fromkeys(n.operands[0] for phase in kernel.phases for n in phase.products)
    bytes_ = {v for v in heard if v.type.dtype == "bool" and precision == "float32"}
    return {
        v: Pointer(f"_{names[v]}_heard", "ring", v.type, "uint8" if v in bytes_ else wide, (), kernel.heard_slots(v))
        for v in heard
    }


def _depth(precision: Precision, programs: int, columns: Mapping[str, int]) -> int:
    if programs:
        return TILE[precision]
    return 64 if precision == "float32" else max(columns.values(), default=1)


def power_of_two(size: int) -> int:
    """Return the smallest power of two that is at least `size`."""
    return 1 << max(size - 1, 0).bit_length()


def _pointers(schedule: Schedule, kernel: Kernel, names: Mapping[Value, str]) -> tuple[Pointer, ...]:
    graph = kernel.graph
    fresh = Names(names.values())
    found: list[Pointer] = []
    stored = {b.name: b.storage for k in schedule.kernels for b in k.buffers}
    stored |= {b.name: b.storage for b in schedule.buffers.values()}

    def add(wanted: str, type: Type, kind: PointerKind, depth: int = 0) -> None:
        name = fresh.fresh(f"{wanted}_ptr")
        letters = {"sequence": "t", "history": "d"}.get(kind, "") + ("b" if type.batched else "")
        strides = tuple(fresh.fresh(f"{name.removesuffix('_ptr')}_{letter}") for letter in letters)
        storage = "real" if kind == "sum" else stored[kernel.arguments[len(found)]]
        found.append(Pointer(name, kind, type, storage, strides if kind in ("sequence", "history") else (), depth))

    for i in graph.inputs:
        add(names[i.value], i.value.type, i.kind)
    for c in graph.carries:
        if c.init:
            add(f"{names[c.current]}_init", c.current.type, "fixed")
    for h in graph.histories:
        if h.init:
            add(f"{names[h.value]}_before", h.value.type, "history", h.depth)
    for o in graph.outputs:
        if o.kind == "fixed":
            raise TargetError(f"kernel {kernel.name!r} has a time loop and writes {o.name!r} once")
        add(o.name, added(kernel, o).type if o.kind == "sum" else o.value.type, o.kind)
    for c in graph.carries:
        if c.final:
            add(f"{names[c.current]}_final", c.current.type, "fixed")
    for h in graph.histories:
        if h.final:
            add(f"{names[h.value]}_after", h.value.type, "history", h.depth)
    return tuple(found)


def added(kernel: Kernel, output: Output) -> Value:
    """Return what an output of kind "sum" adds up over the steps: the operand of its Reduce."""
    node = kernel.graph.definition().get(output.value)
    return node.operands[0] if isinstance(node, Reduce) else output.value


def literals(kernel: Kernel) -> frozenset[Value]:
    """Return the constants that may stand as numbers in the text: whose every user reads something else too."""
    constants = {n.result for n in kernel.graph.nodes if isinstance(n, Const)}
    needed = {*kernel.graph.results, *(v for v, _ in kernel.checks)}

    def mixes(user: Node) -> bool:
        return any(o not in constants for o in user.operands) and not isinstance(user, Reduce)

    users = kernel.graph.users()
    return frozenset(v for v in constants - needed if all(mixes(user) for user in users[v]))
