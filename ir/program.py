"""Program: ordered regions over named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .graph import Graph
from .loc import Loc
from .traces import Driver, Trace
from .types import Type

RegionKind = Literal["once", "steps", "reverse", "all_steps"]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A graph and how often it runs: `once` a call, for t ascending (`steps`) or descending (`reverse`) or at once.

    A graph of kind all_steps has no carries; a Read in it is a shift of the sequence. `tile` is how many steps a loop
    can take together: no product needs what the block of these steps makes after it.
    """

    kind: RegionKind
    graph: Graph
    backward: bool = False
    tile: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named tensor that enters or leaves the program; (depth, ...) for a history."""

    name: str
    type: Type
    depth: int | None = None
    loc: Loc | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A tensor that the user's module owns. `value` is a number, an array or a distribution, in base units.

    `learn` makes it an nn.Parameter, else a buffer; `minimum` and `maximum` bound it by reparametrisation, and so does
    `sign`, +1 or -1 for all elements or an array of them. A list of synapses is a buffer of whole numbers.
    """

    name: str
    owner: str
    attribute: str
    type: Type
    value: Any
    learn: bool
    minimum: float | None = None
    maximum: float | None = None
    fan_in: int | None = None
    sign: Any = None
    loc: Loc | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What a learning rule leaves in a parameter after a run.

    `state` is the weight itself, equal in all samples, or else the change of every sample, whose sum or `mean` over the
    batch is minus the gradient.
    """

    parameter: str
    state: str
    mean: bool

    @property
    def is_gradient(self) -> bool:
        """Whether a change is kept rather than the weight."""
        return self.state != self.parameter


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What `gc.compile` makes of a network.

    Attributes:
        sizes: number of elements per axis.
        parameters: what the module owns.
        inputs: sequences (T, B, N) that the user passes.
        outputs: names of the sequences that the user asked for, outputs first and records after them.
        states: tensors that carry the state from call to call, refractory counters and histories among them.
        initial: a `once` graph from parameters and draws to the initial states; one it does not write starts at 0.
        draws: tensors drawn, or set, anew for every initial state.
        regions: what runs, in order; `once` regions first, backward regions last.
        drivers: what eligibility traces accumulate, where a learning rule asks for them.
        traces: the traces themselves, of drivers and states that are not zero.
        taps: of a connection with learned delays the first and last delay, and the first and last width, in steps.
        applied: what learning rules leave in parameters.
        streams: sources of noise; 0 where nothing is random.
        notes: lines for `explain()`, by the pass that wrote them.
        asked: the outputs as the user named them, one name for all parts of a state.
        families: the names of the parts of every signal that has several.
    """

    stage: str
    dt: float
    sizes: Mapping[str, int]
    parameters: tuple[Parameter, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    states: tuple[Tensor, ...]
    initial: Graph
    draws: tuple[Parameter, ...]
    regions: tuple[Region, ...]
    card: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    drivers: tuple[Driver, ...] = ()
    traces: tuple[Trace, ...] = ()
    taps: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)
    applied: tuple[Applied, ...] = ()
    streams: int = 0
    asked: tuple[str, ...] = ()
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_regions(self, regions: Iterable[Region], stage: str | None = None) -> Program:
        """Return this program with other regions; itself when they are the same objects and the stage stays."""
        new = tuple(regions)
        same = len(new) == len(self.regions) and all(a is b for a, b in zip(new, self.regions, strict=True))
        if same and stage in (None, self.stage):
            return self
        return replace(self, regions=new, stage=stage or self.stage)

    def learned_states(self, wrt: frozenset[str]) -> list[str]:
        """Return the states whose initial value depends on one of the parameters `wrt`."""
        reached = {i.value for i in self.initial.inputs if i.source in wrt}
        for node in self.initial.nodes:
            if any(v in reached for v in node.operands):
                reached.add(node.result)
        return [o.name for o in self.initial.outputs if o.value in reached and o.value.type.dtype == "real"]

    def note(self, about: str, *lines: str) -> Program:
        """Return this program with lines added for `explain()`."""
        return replace(self, notes=self.notes + tuple((about, line) for line in lines))

    def region(self, kind: RegionKind, backward: bool | None = None) -> Region:
        """Return the one region of `kind`."""
        (found,) = (r for r in self.regions if r.kind == kind and backward in (None, r.backward))
        return found


def initial(state: str) -> str:
    """Return the name of the tensor that holds `state` before the first step of a call."""
    return f"{state}@initial"


def final(state: str) -> str:
    """Return the name of the tensor that holds `state` after the last step of a call."""
    return f"{state}@final"


def during(parameter: str) -> str:
    """Return the name of the sequence that holds, at every step, what has become of `parameter`."""
    return f"{parameter}@run"


def gradient(name: str) -> str:
    """Return the name of the gradient with respect to the tensor `name`."""
    return f"d({name})"
