"""Traces of real-time recurrent learning: of every state of every neuron by every coefficient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from graphc.ir import Program, Trace

from . import trace_products as products
from .traces import Rows, Sensitivity


class FullStep:
    """The traces (B, N, pre, post) of one program over a chunk; the work grows with the square of the neurons."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def run(
        self,
        sources: Rows,
        learning: Sensitivity | None,
        onward: Mapping[str, Sequence[Sensitivity]],
        carried: Rows,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the gradients by coefficient, and the traces after the chunk by name.

        Args:
            sources: by name, the sequences (T, B, pre) that weights multiply.
            learning: of the loss; None where no gradient is asked for.
            onward: by the label of a state, what it depends on, neuron by neuron; empty where traces stay.
            carried: the traces before the chunk.
        """
        gradients: dict[str, torch.Tensor] = {}
        after: dict[str, torch.Tensor] = {}
        for driver in self._program.drivers:
            traces = [t for t in self._program.traces if t.driver is driver]
            source = None if driver.source is None else sources[driver.source]
            for trace in traces if onward else ():
                rows = [self._after(s, traces, source, carried) for s in onward[trace.state.label]]
                after[trace.name] = torch.stack(rows, 1)
            if learning is not None:
                total = self._after(learning, traces, source, carried).sum(0)
                name = driver.coefficient
                gradients[name] = gradients[name] + total if name in gradients else total
        return gradients, after

    def _after(
        self, sensitivity: Sensitivity, traces: Sequence[Trace], source: torch.Tensor | None, carried: Rows
    ) -> torch.Tensor:
        """Return, per sample, the derivative by the coefficient of what `sensitivity` is the gradient of."""
        drive = sensitivity.drives[traces[0].driver.drive]
        total = drive.sum(0) if source is None else products.each(source, drive)
        for trace in traces:
            if (row := sensitivity.rows.get(trace.state.label)) is not None:
                total = total + torch.einsum("bn,bn...->b...", row, carried[trace.name])
        return total
