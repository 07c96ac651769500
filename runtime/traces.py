"""Eligibility traces over one chunk of steps: what they add to gradients, and what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from graphc.ir import Driver, Program, Trace

from . import trace_kernels as kernels
from . import trace_products as products
from . import trace_triton as triton
from .buffers import Arena

Rows = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Sensitivity:
    """What the reverse half of a chunk yields for one gradient at its end, or for that of its outputs.

    Attributes:
        rows: by the label of a state, the gradient before the chunk (B, post).
        drives: by name, the gradient of each drive at each step (T, B, post).
    """

    rows: Rows
    drives: Rows


@dataclass(frozen=True)
class Chunk:
    """One chunk as traces see it.

    Attributes:
        sources: by name, the sequences (T, B, pre) that weights multiply.
        learning: of the loss; None where no gradient is asked for.
        onward: of each state after the chunk, by its label; empty where traces stay.
    """

    sources: Rows
    learning: Sensitivity | None
    onward: Mapping[str, Sensitivity]


class TraceStep:
    """The traces of one program, advanced and contracted by a target's own kernels or by torch."""

    def __init__(self, program: Program, target: str, dtype: torch.dtype, arena: Arena) -> None:
        self._program, self._target, self._dtype, self._arena = program, target, dtype, arena
        self._by_driver = [(d, [t for t in program.traces if t.driver is d]) for d in program.drivers]

    def run(
        self, chunk: Chunk, carried: Mapping[str, torch.Tensor], reuse: bool
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the gradients by coefficient, and the traces after the chunk by name.

        Args:
            chunk: what happened.
            carried: the traces before it; none at all counts as zero.
            reuse: the traces after it may take the memory of those before it.
        """
        gradients: dict[str, torch.Tensor] = {}
        after: dict[str, torch.Tensor] = {}
        for driver, traces in self._by_driver:
            known = [t for t in traces if t.name in carried]
            if driver.source is None:
                total = self._of_neurons(driver, known, chunk, carried, after)
            elif self._has_kernel(chunk.sources[driver.source], known):
                total = self._by_kernel(driver, known, chunk, carried, after, reuse)
            else:
                total = self._by_torch(driver, known, chunk, carried, after)
            if total is not None:
                name = driver.coefficient
                gradients[name] = gradients[name] + total if name in gradients else total
        return gradients, after

    def _has_kernel(self, source: torch.Tensor, traces: Sequence[Trace]) -> bool:
        if self._target == "triton":
            return triton.fits(source, self._dtype)
        return self._target == "c" and kernels.fits(source, len(traces))

    def _of_neurons(
        self, driver: Driver, traces: Sequence[Trace], chunk: Chunk, carried: Rows, after: dict[str, torch.Tensor]
    ) -> torch.Tensor | None:
        """Advance the traces of a coefficient of neurons, and return its gradient per neuron."""
        for trace in traces if chunk.onward else ():
            onward = chunk.onward[trace.state.label]
            total = onward.drives[driver.drive].sum(0)
            for other in traces:
                if other.state.label in trace.reads:
                    total = total + onward.rows[other.state.label] * carried[other.name]
            after[trace.name] = total
        if chunk.learning is None:
            return None
        total = chunk.learning.drives[driver.drive].sum((0, 1))
        for trace in traces:
            if (row := chunk.learning.rows.get(trace.state.label)) is not None:
                total = total + (carried[trace.name] * row).sum(0)
        return total

    def _by_torch(
        self, driver: Driver, traces: Sequence[Trace], chunk: Chunk, carried: Rows, after: dict[str, torch.Tensor]
    ) -> torch.Tensor | None:
        """Advance the traces of weights, and return their gradient."""
        assert driver.source is not None
        source = chunk.sources[driver.source]
        for trace in traces if chunk.onward else ():
            onward = chunk.onward[trace.state.label]
            before = {t.state.label: (t, carried[t.name]) for t in traces if t.state.label in trace.reads}
            after[trace.name] = products.advance(trace, before, onward.rows, source, onward.drives[driver.drive])
        if chunk.learning is None:
            return None
        total = products.correlate(source, chunk.learning.drives[driver.drive])
        for trace in traces:
            if (row := chunk.learning.rows.get(trace.state.label)) is not None:
                total = total + products.contract(trace, carried[trace.name], row)
        return total

    def _by_kernel(
        self,
        driver: Driver,
        traces: Sequence[Trace],
        chunk: Chunk,
        carried: Rows,
        after: dict[str, torch.Tensor],
        reuse: bool,
    ) -> torch.Tensor | None:
        """Do the same in one pass over the traces."""
        assert driver.source is not None
        source, signals = chunk.sources[driver.source], None
        terms = [kernels.Term(carried[t.name], t.kind == "shared") for t in traces]
        if chunk.learning is not None:
            signals = chunk.learning.drives[driver.drive]
            for term, trace in zip(terms, traces, strict=True):
                term.row = chunk.learning.rows.get(trace.state.label)
        for term, trace in zip(terms, traces, strict=True) if chunk.onward else ():
            onward = chunk.onward[trace.state.label]
            before = {t.state.label: (t, carried[t.name]) for t in traces if t.state.label in trace.reads}
            if trace.kind == "shared":
                after[trace.name] = products.advance(trace, before, onward.rows, source, onward.drives[driver.drive])
                continue
            term.after = term.trace if reuse else self._arena.empty(term.trace.shape, self._dtype, term.trace.device)
            after[trace.name] = term.after
            term.drive = onward.drives[driver.drive]
            term.jacobian = tuple(onward.rows[t.state.label] if t.state.label in trace.reads else None for t in traces)
        post = self._program.sizes[driver.axes[-1]]
        if self._target == "triton":
            return triton.chunk(source, signals, terms, post)
        return kernels.chunk(source, signals, terms, post, self._dtype)
