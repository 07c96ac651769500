"""Schedule: kernels over named buffers, what codegen reads and the runtime executes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .graph import Graph
from .node import Node, Value
from .ops import Read
from .types import Type

Storage = Literal["real", "narrow", "condition", "uint8", "bits", "int32"]
"""How one element is kept: in the state dtype; in that of the precision; likewise, but so that its sign survives the
rounding; a spike as a byte, or as one bit of 32 along the neurons; an integer."""

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
"""What sequences and the factors of products are rounded to; sums, states and coefficients keep the state dtype."""

KernelKind = Literal["steps", "reverse", "product"]


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """The device a schedule is for, as plain data.

    `kind` is "cpu" or "cuda"; `arch` the compute capability times ten, 0 on a CPU; `cores` its multiprocessors;
    `shared_memory` bytes per program; `cooperative` whether programs of one launch may wait for each other.
    """

    kind: str
    arch: int = 0
    cores: int = 1
    shared_memory: int = 0
    cooperative: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A tensor in memory: (T, B, ...) for a sequence, (depth, B, ...) for a history, (B, ...) or (...) for a fixed one.

    Spikes kept as bits are (T, B, ceil(N / 32)) words, the first neuron in the lowest bit. `reason` is why it has this
    storage, for `explain()`.
    """

    name: str
    type: Type
    kind: Literal["sequence", "fixed", "history"]
    storage: Storage
    depth: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """What neurons of one step compute between two moments at which they hear of each other.

    `products` come first: they read what earlier phases or steps made. `nodes` are elementwise.
    """

    products: tuple[Node, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What is done of a block of steps before the next stage begins: products of all its steps, or a loop over them."""

    graph: Graph
    loops: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class StepBuffer:
    """A tensor (B, N) that the parts of a step hand on, to each other or to the next step.

    Attributes:
        name: by which inputs and outputs of kind "step" know it.
        init: the buffer it starts from, None for zero; of a history the row `row`.
        final: the buffer that takes its last value.
    """

    name: str
    type: Type
    storage: Storage
    init: str | None = None
    row: int | None = None
    final: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One launch. `graph` is its code; a `product` holds one Project, ProjectTransposed or Outer over all steps.

    Attributes:
        loops: the nodes of `graph` in order, grouped: elementwise nodes over one axis are one loop over neurons, a
            product is a group of its own, scalars are groups of nodes without axes.
        strategy: how the target lays the work out; `options` are its tiles.
        checks: real values that must be finite at every step, each with the name to report.
        phases: of a step whose neurons are spread over programs: strategies cooperative and stepwise.
        parts: of a stepwise kernel, what is launched at every step: products, and loops over the neurons of one axis.
        buffers: what these parts hand on.
        reason: why this strategy was chosen, for `explain()`.
        tile: steps that go together.
        stages: of a kernel on a CPU with a tile of more than 1, what a block of these steps consists of.
    """

    name: str
    kind: KernelKind
    graph: Graph
    loops: tuple[tuple[Node, ...], ...]
    strategy: str
    options: Mapping[str, int]
    backward: bool
    checks: tuple[tuple[Value, str], ...] = ()
    phases: tuple[Phase, ...] = ()
    parts: tuple[Kernel, ...] = ()
    buffers: tuple[StepBuffer, ...] = ()
    reason: str = ""
    tile: int = 1
    stages: tuple[Stage, ...] = ()

    def heard_slots(self, value: Value) -> int:
        """Return the slots of what programs of the cooperative strategy tell each other: none is read and written.

        What is read `delay` steps later is told for `tile` steps, what the end of a block reads for two blocks.
        """
        if self.tile == 1:
            return 2
        node = self.graph.definition().get(value)
        return node.delay + self.tile if isinstance(node, Read) else 2 * self.tile

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the buffers read: inputs, initial states, initial histories, in this order."""
        graph = self.graph
        return (
            tuple(i.source for i in graph.inputs)
            + tuple(c.init for c in graph.carries if c.init)
            + tuple(h.init for h in graph.histories if h.init)
        )

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the buffers written: outputs, final states, final histories, in this order."""
        graph = self.graph
        return (
            tuple(o.name for o in graph.outputs)
            + tuple(c.final for c in graph.carries if c.final)
            + tuple(h.final for h in graph.histories if h.final)
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """The buffers of the kernel's pointers, in order."""
        return self.reads + self.writes


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Kernels in order, forward and backward, over `buffers`. `saved` are kept between the two."""

    target: str
    dtype: Literal["float32", "float64"]
    sizes: Mapping[str, int]
    buffers: Mapping[str, Buffer]
    kernels: tuple[Kernel, ...]
    saved: tuple[str, ...]
    precision: Precision = "float32"

    def half(self, backward: bool) -> tuple[Kernel, ...]:
        """Return the kernels of the forward or of the backward half."""
        return tuple(k for k in self.kernels if k.backward is backward)
