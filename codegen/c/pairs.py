"""Loops over synapses in C: what a synapse has beside what its source and target neurons have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from graphc.codegen.writer import Writer
from graphc.ir.node import Node, Value
from graphc.ir.ops import Pool, Spread

from .address import Addresses, Members
from .layout import Layout, Sink

if TYPE_CHECKING:
    from .step import Step


def write_pairs(
    step: Step, nodes: tuple[Node, ...], loads: list[Value], sinks: list[Sink], sides: Sequence[Spread]
) -> None:
    """Write the loop over the elements `_n` of a row in which some are read of a neuron: the sources `_i` outermost.

    What a source has is a number of the inner loop. The one element of an axis of length 1 is such a number too, and
    then the loop over the neurons of a population is all there is.
    """
    w, layout = step.w, step.layout
    spread = {n.result: n for n in sides}
    made = sides[0].result
    own = [v for v in loads if v.type.axes in (made.type.axes, ())]
    rest = tuple(n for n in nodes if n.result not in spread)
    fixed = [n for n in sides if n.side != "post"]
    with ExitStack() as blocks:
        if sides[0].side == "one":
            for node in fixed:
                step.load(node.result.name, node.operands[0], "0")
            opening = f"for (int64_t _n = 0; _n < {layout.size(made)}; _n++) {{"
        else:
            opening = _sources(step, blocks, sides[0], fixed)
        checked = any(s.kind == "check" for s in sinks)
        w.line("#pragma omp simd" + (" reduction(+:_wrong)" if checked else ""))
        blocks.enter_context(w.block(opening, "}"))
        targets = [n for n in sides if n.side == "post"]
        if targets:
            listed = len(targets[0].operands) > 1
            table = step.at.pointer(layout.inputs[targets[0].operands[2]].source) if listed else ""
            w.line(f"const int64_t _j = {f'{table}[_n]' if listed else '_n - _first'};")
        for node in targets:
            step.load(node.result.name, node.operands[0], "_j")
        step.element(own, rest, sinks)


def _sources(step: Step, blocks: ExitStack, node: Spread, fixed: Sequence[Spread]) -> str:
    """Open the loop over the sources; return the head of the one over the synapses of each."""
    pre, post = (step.layout.schedule.sizes[a] for a in node.ends)
    blocks.enter_context(step.w.block(f"for (int64_t _i = 0; _i < {pre}; _i++) {{", "}"))
    for source in fixed:
        step.load(source.result.name, source.operands[0], "_i")
    if len(node.operands) > 1:
        rows = step.at.pointer(step.layout.inputs[node.operands[1]].source)
        return f"for (int64_t _n = {rows}[_i]; _n < {rows}[_i + 1]; _n++) {{"
    step.w.line(f"const int64_t _first = _i*{post};")
    return f"for (int64_t _n = _first; _n < _first + {post}; _n++) {{"


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
