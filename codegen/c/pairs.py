"""Loops over synapses in C: what a synapse has beside what its source and target neurons have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphc.codegen.writer import Writer
from graphc.ir.node import Node, Value
from graphc.ir.ops import Pool, Reset, Spread

from .address import Addresses, Members
from .layout import Layout, Sink

if TYPE_CHECKING:
    from .step import Step

SCATTERED = 8
"""An element on its own costs as much as so many in a loop over all."""


def write_pairs(
    step: Step, nodes: tuple[Node, ...], loads: list[Value], sinks: list[Sink], sides: Sequence[Spread]
) -> None:
    """Write the loop over the elements `_n` of a row in which some are read of a neuron: the sources `_i` outermost.

    What a source has is a number of the inner loop. The one element of an axis of length 1 is such a number too, and
    then the loop over the neurons of a population is all there is. Where synapses do nothing but jump, those of a
    source whose spike arrives are gone through, and of the others those to targets that spike.
    """
    pairs = _Pairs(step, nodes, loads, sinks, sides)
    if sides[0].side == "one":
        for node in pairs.fixed:
            step.load(node.result.name, node.operands[0], "0")
        pairs.elements(f"for (int64_t _n = 0; _n < {step.layout.size(sides[0].result)}; _n++) {{")
    else:
        pairs.write()


class _Pairs:
    """One such loop while it is written."""

    def __init__(
        self, step: Step, nodes: tuple[Node, ...], loads: list[Value], sinks: list[Sink], sides: Sequence[Spread]
    ) -> None:
        self.step, self.w, self.sinks = step, step.w, sinks
        self.fixed = [n for n in sides if n.side != "post"]
        self.targets = [n for n in sides if n.side == "post"]
        self.listed = len(sides[0].operands) > 1
        self.own = [v for v in loads if v.type.axes in (sides[0].result.type.axes, ())]
        spread = {n.result for n in sides}
        self.rest = tuple(n for n in nodes if n.result not in spread)
        self.node = sides[0]
        self.flags = _jumps(self.rest, sinks, sides)

    def write(self) -> None:
        """Write the loop over the sources, and over the synapses of each."""
        step, w, node = self.step, self.w, self.node
        pre, post = (step.layout.schedule.sizes[a] for a in node.ends)
        zero = step.at.zero
        arrives = [n for n in self.fixed if n.result in (self.flags or ())]
        spikes = [n for n in self.targets if n.result in (self.flags or ())]
        some = " || ".join(f"_row_{n.operands[0].name}[_j] > {zero}" for n in spikes)
        if spikes:
            step.members.add_plain(f"events_{node.result.name}[{post}]", "uint32_t")
            w.line(f"uint32_t *_spiked = _m->events_{node.result.name};")
            w.line("int64_t _count = 0;")
            w.line(f"for (int64_t _j = 0; _j < {post}; _j++) if ({some}) _spiked[_count++] = (uint32_t)_j;")
        with w.block(f"for (int64_t _i = 0; _i < {pre}; _i++) {{", "}"):
            for source in self.fixed:
                step.load(source.result.name, source.operands[0], "_i")
            names = step.printer.dialect.identifier
            hears = " || ".join(f"{names(n.result.name)} > {zero}" for n in arrives)
            if self.flags is not None and self.listed:
                quiet = " && ".join([*([f"!({hears})"] if hears else []), *(["!_count"] if spikes else [])])
                w.line(f"if ({quiet}) continue;")
            if self.listed:
                rows = step.at.pointer(step.layout.inputs[node.operands[1]].source)
                self.elements(f"for (int64_t _n = {rows}[_i]; _n < {rows}[_i + 1]; _n++) {{")
                return
            w.line(f"const int64_t _first = _i*{post};")
            whole = f"for (int64_t _n = _first; _n < _first + {post}; _n++) {{"
            if self.flags is None:
                self.elements(whole)
                return
            if spikes:  # of many targets all are gone through: vectors are faster than single elements
                hears = " || ".join([*([hears] if hears else []), f"{SCATTERED}*_count > {post}"])
            with w.block(f"if ({hears}) {{", "" if spikes else "}"):
                self.elements(whole)
            if spikes:
                w.line("} else {")
                with w.block("for (int64_t _e = 0; _e < _count; _e++) {", "}"):
                    w.line("const int64_t _n = _first + _spiked[_e];")
                    self._element()
                w.line("}")

    def elements(self, opening: str) -> None:
        """Write the inner loop."""
        checked = any(s.kind == "check" for s in self.sinks)
        self.w.line("#pragma omp simd" + (" reduction(+:_wrong)" if checked else ""))
        with self.w.block(opening, "}"):
            self._element()

    def _element(self) -> None:
        if self.targets:
            table = self.step.at.pointer(self.step.layout.inputs[self.node.operands[2]].source) if self.listed else ""
            self.w.line(f"const int64_t _j = {f'{table}[_n]' if self.listed else '_n - _first'};")
        for node in self.targets:
            self.step.load(node.result.name, node.operands[0], "_j")
        self.step.element(self.own, self.rest, self.sinks)


def _jumps(nodes: tuple[Node, ...], sinks: list[Sink], sides: Sequence[Spread]) -> set[Value] | None:
    """Return the spikes without which no synapse changes, or None where they change without."""
    flags = {n.result for n in sides if n.result.type.dtype == "bool"}
    made = {n.result: n for n in nodes}
    carried = {s.value for s in sinks if s.kind == "carry"}
    used: set[Value] = set()
    for sink in sinks:
        value = sink.value
        while isinstance(node := made.get(value), Reset) and node.operands[1] in flags:
            used.add(node.operands[1])
            value = node.operands[0]
        if sink.value not in carried or sink.kind not in ("carry", "check"):
            return None
        if value in made or (sink.kind == "carry" and value.name != sink.name):
            return None
    return used or None


def write_pool(w: Writer, layout: Layout, at: Addresses, members: Members, node: Pool) -> None:
    """Write the sum or mean over the batch, all rows of which this block has: the kernel is not called with more."""
    result, size = node.result.name, layout.size(node.result)
    members.add(f"now_{result}", node.result, at.real)
    w.line(f"__builtin_memset(_m->now_{result}[0], 0, sizeof _m->now_{result}[0]);")
    with w.block("for (int64_t _r = 0; _r < _rows; _r++) {", "}"):
        w.line(f"const {at.c_type(at.kind(node.operands[0]))} *_row = {at.row(node.operands[0], '_r')};")
        w.line(f"for (int64_t _n = 0; _n < {size}; _n++) _m->now_{result}[0][_n] += _row[_n];", node.result.loc)
    if node.mean:
        w.line(f"for (int64_t _n = 0; _n < {size}; _n++) _m->now_{result}[0][_n] /= _rows;")
    copy = f"__builtin_memcpy(_m->now_{result}[_r], _m->now_{result}[0], sizeof _m->now_{result}[0]);"
    w.line(f"for (int64_t _r = 1; _r < _rows; _r++) {copy}")
