"""What is known of one compiled model: plain data, which `graphc inspect --json` prints as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from graphc.ir import Loc

Form = Literal["declared", "discretised", "adjoint", "traces"]
FORMS: tuple[Form, ...] = ("declared", "discretised", "adjoint", "traces")


@dataclass(frozen=True)
class Where:
    """A line of the user."""

    file: str
    line: int
    text: str

    @staticmethod
    def of(loc: Loc | None) -> Where | None:
        """Return the line of `loc`."""
        return None if loc is None else Where(str(loc).rpartition(":")[0], loc.line, loc.text)

    def __str__(self) -> str:
        """Return base name and line."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Equation:
    """One equation; `values` are the values of the program that it defines, as `scoped` names."""

    form: Form
    owner: str
    about: str
    text: str
    latex: str
    where: Where | None
    values: tuple[str, ...] = ()


def scoped(name: str, backward: bool) -> str:
    """Return the name of a value together with its half: names are unique in a graph alone."""
    return f"{'backward' if backward else 'forward'}:{name}"


@dataclass(frozen=True)
class PopulationInfo:
    """Neurons of one kind."""

    name: str
    neuron: str
    size: int
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    where: Where | None


@dataclass(frozen=True)
class ConnectionInfo:
    """Synapses of one kind; `delays` are the first and the last one, in steps."""

    name: str
    pre: str
    post: str
    target: str
    kind: str
    synapses: int
    delays: tuple[int, int]
    rule: str | None
    learned: bool
    where: Where | None


@dataclass(frozen=True)
class NetworkInfo:
    """What was declared."""

    dt_ms: float
    inputs: dict[str, int]
    populations: tuple[PopulationInfo, ...]
    connections: tuple[ConnectionInfo, ...]
    outputs: tuple[str, ...]

    @property
    def neurons(self) -> int:
        """How many neurons there are."""
        return sum(p.size for p in self.populations)


@dataclass(frozen=True)
class GraphNode:
    """A value of a graph: `op` is what makes it, or "input", "carry"; `next` names the states that it becomes."""

    value: str
    name: str
    op: str
    text: str
    where: str | None
    next: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphInfo:
    """A region of a program; `edges` are pairs of names."""

    name: str
    kind: str
    backward: bool
    nodes: tuple[GraphNode, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StageInfo:
    """The program after one pass: its text, and the unified diff with the text before."""

    index: int
    name: str
    about: str
    changed: bool
    nodes: int
    added: int
    removed: int
    notes: tuple[str, ...]
    text: str
    diff: str
    graphs: tuple[GraphInfo, ...]


@dataclass(frozen=True)
class SourceLine:
    """A generated line that defines values, or that comes from a line of the user."""

    number: int
    values: tuple[str, ...]
    where: str | None


@dataclass(frozen=True)
class SourceInfo:
    """A generated text."""

    target: str
    half: str
    language: str
    text: str
    lines: tuple[SourceLine, ...]
    override: str


@dataclass(frozen=True)
class KernelCost:
    """What a kernel has to do per step and sample, counted from its graph.

    Attributes:
        bytes: of sequences, read and written.
        once: of what it reads or writes once a call, such as weights and first states.
        elementwise: floating-point operations of expressions; a function counts as `FUNCTION` of them.
        functions: how many functions such as exp these hold.
        products: operations of products, two per synapse, as if every source were active.
        neurons: that it advances, 0 of a product over all steps.
        intensity: operations per byte, in a call of the given size.
        bound: "bytes" or "operations", whichever takes longer on the machine.
        least_us: microseconds of a call that no kernel can be faster than on the machine.
    """

    kernel: str
    half: str
    kind: str
    strategy: str
    reason: str
    nodes: int
    loops: int
    bytes: int
    once: int
    elementwise: float
    functions: int
    products: float
    neurons: int
    intensity: float
    bound: str
    least_us: float

    @property
    def operations(self) -> float:
        """All operations per step and sample."""
        return self.elementwise + self.products


@dataclass(frozen=True)
class Machine:
    """What a machine can do at best, and where the numbers are from."""

    name: str
    gbytes_s: float
    gflop_s: float
    source: str


@dataclass(frozen=True)
class KernelResources:
    """What a built kernel uses; None where a target does not tell.

    `vectors` counts instructions on vector registers by their bits, in functions of target C.
    """

    kernel: str
    half: str
    target: str
    machine: str
    registers: int | None
    spills: int | None
    shared: int | None
    stack: int | None
    instructions: int
    vectors: dict[str, int]


@dataclass(frozen=True)
class Held:
    """A buffer in memory, in one call of the given size."""

    name: str
    kind: str
    type: str
    storage: str
    bytes: int
    saved: bool
    reason: str


@dataclass(frozen=True)
class MemoryPlan:
    """What a call of `steps` and `batch` allocates; totals are None where a budget refuses it."""

    steps: int
    batch: int
    lines: tuple[str, ...]
    saved: tuple[str, ...]
    buffers: tuple[Held, ...]


@dataclass(frozen=True)
class UserFile:
    """A part of a file of the user, from line `first` on."""

    name: str
    first: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Everything; `missing` says what could not be had and why."""

    name: str
    key: str
    target: str
    card: str
    options: str
    network: NetworkInfo
    stages: tuple[StageInfo, ...]
    schedule: str
    equations: tuple[Equation, ...]
    sources: tuple[SourceInfo, ...]
    costs: tuple[KernelCost, ...]
    machine: Machine
    resources: tuple[KernelResources, ...]
    memory: MemoryPlan
    files: tuple[UserFile, ...]
    missing: tuple[str, ...]

    def of_form(self, *forms: str) -> Sequence[Equation]:
        """Return the equations of these forms."""
        return [e for e in self.equations if e.form in forms]

    def document(self) -> dict[str, Any]:
        """Return all of it as numbers, texts, lists and mappings."""
        return asdict(self)
