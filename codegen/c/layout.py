"""Where the values of a kernel live while a block of batch rows runs through time.

A block keeps its values in arrays `[rows][neurons]` of one struct: states (`now_v`), rings of histories (`ring_z`),
products, and what one loop over neurons hands to a later one. Everything else is a local variable of its loop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from graphc.ir.errors import VerifyError
from graphc.ir.graph import Carry, History, Input, Output
from graphc.ir.node import Node, Value
from graphc.ir.ops import Const, Pool, Project, ProjectTransposed, Read, Reduce, Spread, Time
from graphc.ir.schedule import Buffer, Kernel, Schedule
from graphc.ir.synapses import DelayedSynapses, Synapses

Products = (Project, ProjectTransposed, Pool, Synapses, DelayedSynapses)


@dataclass(slots=True)
class Group:
    """One loop: elementwise `nodes` over an axis of `size`, or one product."""

    nodes: tuple[Node, ...]
    axes: tuple[str, ...]
    size: int
    product: Project | ProjectTransposed | Pool | Synapses | DelayedSynapses | None = None

    @property
    def sides(self) -> list[Spread]:
        """The nodes that read a neuron where the loop goes over its synapses."""
        return [n for n in self.nodes if isinstance(n, Spread) and n.side is not None]

    @property
    def operands(self) -> list[Value]:
        """The values read from outside, each once, in order."""
        inside = {n.result for n in self.nodes}
        return list(dict.fromkeys(v for n in self.nodes for v in n.operands if v not in inside))


@dataclass(slots=True)
class Sink:
    """Something done with a value in every step."""

    kind: Literal["output", "sum", "carry", "ring", "array", "many", "check"]
    value: Value
    name: str
    index: int = 0


@dataclass(slots=True)
class Layout:
    """The layout of one `steps` or `reverse` kernel.

    Attributes:
        rows: batch rows per block.
        chunk: neurons per block where neurons are split as well, else 0.
        scalars: unbatched nodes without axes, computed once a step; constants are computed once a call.
        groups: the loops of a step.
        sinks: what happens in each group, and last in the loops that end a step.
        homes: array of each value that outlives its loop.
        handed: of a stage of a block of steps, the values that stages hand on: a row for each step and batch row.
    """

    schedule: Schedule
    kernel: Kernel
    rows: int = 1
    chunk: int = 0
    constants: list[Node] = field(default_factory=list)
    scalars: list[Node] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    sinks: list[list[Sink]] = field(default_factory=list)
    homes: dict[Value, str] = field(default_factory=dict)
    reads: dict[Value, Read] = field(default_factory=dict)
    inputs: dict[Value, Input] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    handed: set[Value] = field(default_factory=set)

    @property
    def tile(self) -> int:
        """The number of steps that go together."""
        return self.kernel.tile

    @property
    def packed(self) -> bool:
        """Whether matrices are copied once a call, so that the columns of a dense product lie together."""
        return self.tile > 1 or bool(self.kernel.options.get("packed", 0))

    @property
    def reverse(self) -> bool:
        """Whether time runs backward."""
        return self.kernel.kind == "reverse"

    @property
    def checks(self) -> tuple[tuple[Value, str], ...]:
        """What must be finite at every step; a state is checked where it is computed first, not again in backward."""
        return () if self.kernel.backward else self.kernel.checks

    def size(self, value: Value) -> int:
        """Return the number of elements of `value` per batch row."""
        return math.prod(self.schedule.sizes[a] for a in value.type.axes)

    @property
    def split(self) -> int:
        """Return the number of neurons that `chunk` splits."""
        return max(group.size for group in self.groups)

    def bound(self, value: Value) -> str:
        """Return how many elements of `value` a block has per row, as text."""
        return "_width" if self.chunk and value.type.axes else str(self.size(value))

    def summand(self, result: Value) -> Value:
        """Return what a Reduce sums to `result`."""
        return next(n.operands[0] for n in self.kernel.graph.nodes if n.result is result)

    def buffer(self, name: str) -> Buffer:
        """Return the buffer called `name`."""
        return self.schedule.buffers[name]

    @property
    def delayed(self) -> list[DelayedSynapses]:
        """Return the sums over synapses with delays of their own."""
        return [g.product for g in self.groups if isinstance(g.product, DelayedSynapses)]

    def turned(self, history: History) -> bool:
        """Return whether a history is read by delayed synapses alone, back through time, which keep it themselves."""
        reads = {v for v, read in self.reads.items() if read.history == history.name}
        others = {v for g in self.groups for v in g.operands if not isinstance(g.product, DelayedSynapses)}
        back = any(reads.intersection(n.reads) for n in self.delayed if n.over == "post")
        return back and not reads & others and history.init is None and history.final is None

    def depth(self, history: History) -> int:
        """Return how many steps back the ring of `history` reaches: as far as the tensors before and after the loop."""
        ends = [self.buffer(name).depth for name in (history.init, history.final) if name]
        return max(history.depth, *ends, 0)

    def slots(self, history: History) -> int:
        """Return the slots of the ring of `history`: so many more than its depth that no block writes what it reads."""
        return self.depth(history) + self.tile

    def row(self, home: str, r: str) -> str:
        """Return row `r` of an array; `home` ends in an index where that counts the rows of all steps."""
        return f"{home[:-1]} + {r}]" if self.tile > 1 and home.endswith("]") else f"{home}[{r}]"


def lanes_of(rows: int) -> int:
    """Return how many lanes hold the rows of a block: a power of two that fills vectors of every width."""
    return max(1 << (rows - 1).bit_length(), 16)


def each_vector(lanes: int) -> str:
    """Return the head of the loop over the vectors of all lanes; it is unrolled, so that sums stay in registers."""
    return f"_UNROLL for (int _v = 0; _v < {lanes}/_LANES; _v++)"


def lay_out(schedule: Schedule, kernel: Kernel) -> Layout:
    """Return where the values of `kernel` live and what its loops do."""
    layout = Layout(schedule, kernel)
    graph = kernel.graph
    layout.names = _argument_names(kernel)
    layout.inputs = {i.value: i for i in graph.inputs}
    for nodes in kernel.loops:
        _add_group(layout, nodes)
    _sink(layout.groups)
    layout.rows, layout.chunk = kernel.options["rows"], kernel.options.get("chunk", 0)
    _place(layout)
    return layout


def lay_out_stages(whole: Layout) -> list[Layout]:
    """Return a layout for each stage of a kernel whose steps go together."""
    layouts = []
    crossing = _crossing(whole.kernel)
    for stage in whole.kernel.stages:
        layout = Layout(whole.schedule, replace(whole.kernel, graph=stage.graph, loops=stage.loops), whole.rows)
        layout.names, layout.inputs = whole.names, whole.inputs
        for nodes in stage.loops:
            _add_group(layout, nodes)
        _sink(layout.groups)
        layout.handed = crossing
        layout.homes.update((v, f"many_{v.name}[_q]") for v in crossing)
        _place(layout)
        layouts.append(layout)
    return layouts


def _crossing(kernel: Kernel) -> set[Value]:
    """Return the values that one stage makes and others read, and all that products make or read of the block."""
    found: set[Value] = set()
    for stage in kernel.stages:
        own = {n.result for n in stage.graph.nodes} | set(stage.graph.arguments)
        used = {v for n in stage.graph.nodes for v in n.operands} | set(stage.graph.results)
        found |= used - own
        found |= {n.result for n in stage.graph.nodes if isinstance(n, Products)}
    return found


def _add_group(layout: Layout, nodes: Iterable[Node]) -> None:
    inside: list[Node] = []
    for node in nodes:
        if isinstance(node, Read):
            layout.reads[node.result] = node
        elif isinstance(node, Const):
            layout.constants.append(node)
        elif isinstance(node, Products):
            layout.groups.append(Group((node,), node.result.type.axes, layout.size(node.result), node))
        elif isinstance(node, Time) or not (node.result.type.batched or node.result.type.axes):
            if not isinstance(node, Reduce):  # a Reduce is no work of its own, but a sink of its operand
                layout.scalars.append(node)
        elif not isinstance(node, Reduce):
            inside.append(node)
    if inside:
        axes = {n.result.type.axes for n in inside} - {()}
        if len(axes) > 1:
            raise VerifyError(f"a loop of kernel {layout.kernel.name!r} runs over several axes: {sorted(axes)}")
        over = axes.pop() if axes else ()
        if layout.groups and layout.groups[-1].product is None and layout.groups[-1].axes == over:
            inside = [*layout.groups.pop().nodes, *inside]
        layout.groups.append(Group(tuple(inside), over, math.prod(layout.schedule.sizes[a] for a in over)))


def _sink(groups: list[Group]) -> None:
    """Move elementwise nodes into the next loop over their axes, where nothing in between reads them.

    before:  drive = x*w             after:  back = z @ u
             back = z @ u                    drive = x*w
             i = drive + back                i = drive + back
    """
    for g in range(len(groups) - 2, -1, -1):
        group = groups[g]
        later = next((k for k in range(g + 1, len(groups)) if _matches(groups[k], group)), None)
        if group.product or later is None:
            continue
        needed = {v for other in groups[g + 1 : later] for v in other.operands}
        kept: list[Node] = []
        moved: list[Node] = []
        for node in reversed(group.nodes):
            if node.result in needed:
                kept.append(node)
                needed.update(node.operands)
            else:
                moved.append(node)
        group.nodes = tuple(reversed(kept))
        groups[later].nodes = (*reversed(moved), *groups[later].nodes)
    groups[:] = [group for group in groups if group.nodes]


def _matches(one: Group, other: Group) -> bool:
    return one.product is None and one.axes == other.axes


def _place(layout: Layout) -> None:
    graph, groups = layout.kernel.graph, layout.groups
    last = len(groups)
    layout.sinks = [[] for _ in range(last + 1)]
    defined = {n.result: g for g, group in enumerate(groups) for n in group.nodes}
    elementwise = {v: g for v, g in defined.items() if not groups[g].product}
    used: dict[Value, int] = {}
    for g, group in enumerate(groups):
        for value in group.operands:
            used[value] = g
    reduced = {n.result: n.operands[0] for n in graph.nodes if isinstance(n, Reduce)}
    ends = [c.next for c in graph.carries] + [h.value for h in graph.histories] + [o.value for o in graph.outputs]
    for value in (*ends, *reduced.values(), *(v for v, _ in layout.checks)):
        if value not in elementwise:
            used[value] = last
    for group in groups:
        if group.product and group.product.result not in layout.handed:
            layout.homes[group.product.result] = f"now_{group.product.result.name}"
    for carry in graph.carries:
        layout.homes[carry.current] = f"now_{carry.current.name}"
    for history in graph.histories:
        if layout.turned(history):  # kept as lanes, at the end of the step
            used[history.value] = last + 1
            continue
        where = elementwise.get(history.value, last)
        layout.sinks[where].append(Sink("ring", history.value, history.name))
        if history.value in defined:  # what is not computed here is read where it is, and copied to the ring
            ring = layout.names[history.name]
            layout.homes.setdefault(history.value, f"ring_{ring}[_slot_{ring}]")
    for carry in graph.carries:
        _place_carry(layout, carry, elementwise, used)
    for value, g in elementwise.items():
        if value in layout.handed:
            layout.sinks[g].append(Sink("many", value, value.name))
        if used.get(value, g) > g and value not in layout.homes:
            layout.homes[value] = f"now_{value.name}"
            layout.sinks[g].append(Sink("array", value, value.name))
    for output in graph.outputs:
        _place_output(layout, output, elementwise, reduced)
    for index, (value, _) in enumerate(layout.checks):
        if layout.tile > 1 and value not in elementwise and all(c.next is not value for c in graph.carries):
            continue  # another stage checks it
        layout.sinks[elementwise.get(value, last)].append(Sink("check", value, value.name, index))


def _place_carry(layout: Layout, carry: Carry, elementwise: dict[Value, int], used: dict[Value, int]) -> None:
    where, last = elementwise.get(carry.next, len(layout.groups)), len(layout.groups)
    if where < last and used.get(carry.current, -1) > where:  # a later loop still reads the old value
        where = last
        if carry.next not in layout.homes:
            layout.homes[carry.next] = f"now_{carry.next.name}"
            layout.sinks[elementwise[carry.next]].append(Sink("array", carry.next, carry.next.name))
    elif where < last:
        layout.homes.setdefault(carry.next, f"now_{carry.current.name}")
    layout.sinks[where].append(Sink("carry", carry.next, carry.current.name))


def _place_output(layout: Layout, output: Output, elementwise: dict[Value, int], reduced: dict[Value, Value]) -> None:
    last = len(layout.groups)
    if output.kind == "sequence":
        layout.sinks[elementwise.get(output.value, last)].append(Sink("output", output.value, output.name))
        return
    if output.kind != "sum" or output.value not in reduced:
        raise VerifyError(f"output {output.name!r} of kernel {layout.kernel.name!r} is neither a sequence nor a sum")
    operand = reduced[output.value]
    layout.sinks[elementwise.get(operand, last)].append(Sink("sum", operand, output.name))


def _argument_names(kernel: Kernel) -> dict[str, str]:
    """Return an identifier for every buffer and history; what the graph reads and writes under one name shares it."""
    names: dict[str, str] = {}
    for name in (*kernel.arguments, *(h.name for h in kernel.graph.histories)):
        if name not in names:
            base = re.sub(r"\W+", "_", name).strip("_") or "value"
            while base in names.values():
                base += "_"
            names[name] = base
    return names
