"""Graph: one time step, or one block of code without time, in single-assignment form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from .node import Node, Value
from .ops import Read
from .types import Type

if TYPE_CHECKING:
    import networkx

InputKind = Literal["sequence", "fixed", "step"]
OutputKind = Literal["sequence", "sum", "fixed", "step"]


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """A tensor that the graph reads.

    A `sequence` (T, ...) is read at the step's own index, a `fixed` tensor is the same at every step, and one of kind
    `step` is what another part of the same step left: only the parts of a scheduled kernel have these.
    """

    source: str
    value: Value
    kind: InputKind


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A tensor that the graph writes: the value at every step, their `sum`, the one value, or one for other parts."""

    name: str
    value: Value
    kind: OutputKind


@dataclass(frozen=True, slots=True, eq=False)
class Carry:
    """A state, `current` before a step and `next` after it. `init` and `final` name tensors; no init is zero.

    A `virtual` one exists for gradients only: no value but its own next depends on it.
    """

    name: str
    current: Value
    next: Value
    init: str | None
    final: str | None
    virtual: bool = False

    @property
    def given(self) -> str | None:
        """The tensor it starts from; None where it starts from zero."""
        return None if self.virtual else self.init


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The last `depth` values of `value`, read by Read nodes.

    `init` names the tensor (depth, ...), oldest first, of what came before the loop; `final` the one of what it leaves.
    """

    name: str
    value: Value
    depth: int
    init: str | None
    final: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Inputs, nodes in order, outputs, carries and histories.

    `next` of every carry and the value of every history count as outputs for liveness, order and verification.
    """

    name: str
    inputs: tuple[Input, ...] = ()
    nodes: tuple[Node, ...] = ()
    outputs: tuple[Output, ...] = ()
    carries: tuple[Carry, ...] = ()
    histories: tuple[History, ...] = ()

    @property
    def arguments(self) -> tuple[Value, ...]:
        """The values defined by no node: inputs and the current values of carries."""
        return tuple(i.value for i in self.inputs) + tuple(c.current for c in self.carries)

    @property
    def results(self) -> tuple[Value, ...]:
        """The values that must be computed."""
        return (
            tuple(o.value for o in self.outputs)
            + tuple(c.next for c in self.carries)
            + tuple(h.value for h in self.histories)
        )

    @property
    def values(self) -> Iterator[Value]:
        """Every value, arguments first."""
        yield from self.arguments
        for node in self.nodes:
            yield node.result

    def history(self, name: str) -> History:
        """Return the history called `name`."""
        return next(h for h in self.histories if h.name == name)

    def definition(self) -> dict[Value, Node]:
        """Return the node that defines each value."""
        return {node.result: node for node in self.nodes}

    def users(self) -> dict[Value, list[Node]]:
        """Return the nodes that read each value."""
        users: dict[Value, list[Node]] = {v: [] for v in self.values}
        for node in self.nodes:
            for operand in dict.fromkeys(node.operands):
                users[operand].append(node)
        return users

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """Return this graph with other nodes; itself when they are the same objects."""
        new = tuple(nodes)
        same = len(new) == len(self.nodes) and all(a is b for a, b in zip(new, self.nodes, strict=True))
        return self if same else replace(self, nodes=new)

    def substitute_results(self, new: Mapping[Value, Value]) -> Graph:
        """Return this graph with `new[v]` in place of v in outputs, carries and histories."""
        return replace(
            self,
            outputs=tuple(replace(o, value=new.get(o.value, o.value)) for o in self.outputs),
            carries=tuple(replace(c, next=new.get(c.next, c.next)) for c in self.carries),
            histories=tuple(replace(h, value=new.get(h.value, h.value)) for h in self.histories),
        )

    def to_networkx(self, across_steps: bool = True) -> networkx.DiGraph:
        """Return the dependences between values; with `across_steps` also next -> current and history -> Read."""
        import networkx

        dependences = networkx.DiGraph()
        dependences.add_nodes_from(self.values)
        for node in self.nodes:
            dependences.add_edges_from((operand, node.result) for operand in node.operands)
            if across_steps and isinstance(node, Read):
                dependences.add_edge(self.history(node.history).value, node.result)
        if across_steps:
            dependences.add_edges_from((c.next, c.current) for c in self.carries)
        return dependences


class Names:
    """Unique identifiers for the values of one graph."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def fresh(self, wanted: str) -> str:
        """Return `wanted` made an identifier and, where taken, numbered."""
        base = "".join(ch if ch.isalnum() else "_" for ch in wanted).strip("_") or "value"
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def value(self, wanted: str, type: Type, like: Value | None = None, loc: object = None) -> Value:
        """Return a new value with a name like `wanted`, and the location of `like`."""
        return Value(self.fresh(wanted), type, loc if loc is not None else (like.loc if like else None))  # type: ignore[arg-type]
