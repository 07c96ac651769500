"""How each tensor that kernels hand on is stored: in how many bits, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from graphc.ir import (
    Buffer,
    Graph,
    History,
    Input,
    Kernel,
    Output,
    Precision,
    Program,
    Read,
    Region,
    Reset,
    Spike,
    Storage,
    Test,
    Type,
    Value,
    gradient,
)

NARROW: tuple[Precision, ...] = ("bfloat16", "float16")
"""Precisions whose sequences take two bytes an element."""

WORD = 32  # neurons of a word of bits


def keep_exact(program: Program, precision: Precision) -> Program:
    """Return `program` with a copy of every state that leaves it rounded and is read again by a time loop.

    before:  steps    sequence hid.v <- %v           after:  steps    sequence hid.v <- %v
             reverse  %v = sequence hid.v                             sequence exact hid.v <- %v
                                                             reverse  %v = sequence exact hid.v

    Loops compute with all digits of what loops made; what a caller or a product over all steps gets is rounded.
    """
    if precision not in NARROW:
        return program
    made = {
        o.name: o.value
        for r in program.regions
        if r.kind == "steps" and not r.backward
        for o in r.graph.outputs
        if o.kind == "sequence" and o.value.type.dtype != "bool"
    }
    factors = {i.source for r in program.regions if r.kind == "all_steps" for i in r.graph.inputs}
    rounded = {*program.outputs, *factors}
    again = {i.source for r in program.regions if r.kind in ("steps", "reverse") for i in r.graph.inputs}
    copies = {name: f"exact {name}" for name in made if name in rounded and name in again}
    if not copies:
        return program
    return program.with_regions(replace(r, graph=_read_copies(r, copies)) for r in program.regions)


def _read_copies(region: Region, copies: Mapping[str, str]) -> Graph:
    graph = region.graph
    if region.kind not in ("steps", "reverse"):
        return graph
    outputs = list(graph.outputs)
    for output in graph.outputs:
        if output.name in copies and not region.backward:
            outputs.append(Output(copies[output.name], output.value, "sequence"))
    inputs = tuple(Input(copies[i.source], i.value, i.kind) if i.source in copies else i for i in graph.inputs)
    return replace(graph, inputs=inputs, outputs=tuple(outputs))


@dataclass
class _Tensor:
    """A tensor, and the kernels that write and read it with the value that it is there."""

    name: str
    type: Type
    kind: Literal["sequence", "fixed", "history"]
    depth: int
    written: list[tuple[Kernel, Value]] = field(default_factory=list)
    read: list[tuple[Kernel, Value]] = field(default_factory=list)

    @property
    def kernels(self) -> list[Kernel]:
        """All kernels that touch it."""
        return [k for k, _ in (*self.written, *self.read)]


def buffers_of(
    program: Program,
    kernels: Sequence[Kernel],
    target: str,
    precision: Precision = "float32",
    spikes: int | str | None = None,
) -> dict[str, Buffer]:
    """Return every tensor that a kernel reads or writes, by name; `spikes` is how loops hand these on where told."""
    visible = {*program.outputs, *(t.name for t in program.inputs)}
    if target == "triton":
        visible |= {gradient(name) for name in visible}
    found: dict[str, Buffer] = {}
    for tensor in _tensors(program, kernels).values():
        storage: Storage = "int32" if tensor.type.dtype == "int" and tensor.kind != "sequence" else "real"
        reason = ""
        if tensor.kind == "sequence" and target == "triton":
            traced = next((True for d in program.drivers if tensor.name in (d.source, d.drive)), False)
            storage, reason = _Choice(tensor, tensor.name in visible, traced, precision, program.sizes, spikes).made()
        elif tensor.kind == "sequence" and tensor.type.dtype == "bool" and tensor.name not in visible:
            storage = "real" if spikes == "numbers" else "uint8"
        found[tensor.name] = Buffer(tensor.name, tensor.type, tensor.kind, storage, tensor.depth, reason)
    return found


def _tensors(program: Program, kernels: Iterable[Kernel]) -> dict[str, _Tensor]:
    found: dict[str, _Tensor] = {}

    def of(name: str, type: Type, kind: Literal["sequence", "fixed", "history"], depth: int = 0) -> _Tensor:
        return found.setdefault(name, _Tensor(name, type, kind, depth))

    for kernel in kernels:
        graph = kernel.graph
        for i in graph.inputs:
            kind: Literal["sequence", "fixed"] = "sequence" if i.kind == "sequence" else "fixed"
            of(i.source, i.value.type, kind).read.append((kernel, i.value))
        for o in graph.outputs:
            kind = "sequence" if o.kind == "sequence" else "fixed"
            of(o.name, o.value.type, kind).written.append((kernel, o.value))
        for c in graph.carries:
            for end in (c.init, c.final):
                if end:
                    of(end, c.current.type, "fixed")
        for h in graph.histories:
            for end in (h.init, h.final):
                if end:
                    of(end, h.value.type, "history", _depth(program, h))
    return found


def _depth(program: Program, history: History) -> int:
    return max((t.depth or 0 for t in program.states if t.name == history.name), default=0) or history.depth


@dataclass(frozen=True)
class _Choice:
    """How the Triton target stores one sequence."""

    tensor: _Tensor
    visible: bool
    traced: bool
    precision: Precision
    sizes: Mapping[str, int]
    spikes: int | str | None

    def made(self) -> tuple[Storage, str]:
        """Return the storage and its reason."""
        narrow = self.precision in NARROW
        factor: Storage = "narrow" if narrow else "real"
        multiplied = any(k.kind == "product" and k.strategy != "sum" for k in self.tensor.kernels)
        if self.traced:
            return ("uint8" if self.tensor.type.dtype == "bool" else "real"), "eligibility traces accumulate it"
        if self.tensor.type.dtype == "bool":
            if self.visible:
                return factor, "what a caller sees is a number"
            if multiplied:
                return factor, "a factor of a product over all steps, read as it is"
            if self.spikes == "numbers":
                return factor, "asked for"
            if self.spikes == "bytes":
                return "uint8", "asked for"
            if (why := self._not_bits()) is None:
                return "bits", "read by time loops alone"
            return "uint8", why
        if not narrow:
            return "real", "states keep all of their digits"
        if self.visible:
            return "narrow", "what a caller sees"
        if multiplied:
            return "narrow", "it enters or leaves a product over all steps"
        if self._is_condition():
            return "condition", "the backward half makes the spike and its slope of it"
        return "real", "time loops read it and need all of its digits"

    def _not_bits(self) -> str | None:
        """Return why the spikes are not kept as bits."""
        tensor = self.tensor
        if len(tensor.type.axes) != 1 or not tensor.type.batched or self.sizes[tensor.type.axes[0]] < WORD:
            return f"fewer than the {WORD} neurons of a word of bits"
        if any(k.strategy != "elementwise" for k in tensor.kernels):
            return "a recurrent step would wait for the packing"
        if any(h.value is v for k, v in (*tensor.written, *tensor.read) for h in k.graph.histories):
            return "its last rows are the history of the next call"
        if any(k.options.get("block", WORD) < WORD for k in tensor.kernels):
            return f"a program has fewer than {WORD} neurons"
        return None

    def _is_condition(self) -> bool:
        """Return whether backward loops make spikes and their slopes of a saved value, and no state of the step."""
        tensor = self.tensor
        if not tensor.read or not all(k.backward and k.kind == "reverse" for k, _ in tensor.read):
            return False
        if any(h.value is v for k, v in tensor.written for h in k.graph.histories):
            return False
        every = [(k.graph, v) for k, v in (*tensor.written, *tensor.read)]
        if not any(isinstance(n, Spike) and n.operands[0] is v for graph, v in every for n in graph.nodes):
            return False
        forward = {n.result for k, _ in tensor.written for n in k.graph.nodes}
        states = [n for k, v in tensor.read for n in k.graph.nodes if v in n.operands and n.result in forward]
        return all(isinstance(n, Spike) for n in states) and all(_compared_as_it_is(k.graph, v) for k, v in tensor.read)


def _compared_as_it_is(graph: Graph, value: Value) -> bool:
    """Return whether no comparison depends on `value` but those of `value` itself, whose sign is kept."""
    depends = {value}
    while True:
        before = len(depends)
        for node in graph.nodes:
            if isinstance(node, (Spike, Test)):
                if any(v in depends for v in node.operands if v is not value):
                    return False
            elif isinstance(node, Reset) and node.operands[1] in depends:
                return False
            elif isinstance(node, Read):
                if graph.history(node.history).value in depends:
                    depends.add(node.result)
            elif any(v in depends for v in node.operands):
                depends.add(node.result)
        depends |= {c.current for c in graph.carries if c.next in depends}
        if len(depends) == before:
            return True
