"""The first state that is not finite: found by the kernels, raised here."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from graphc.ir import Kernel, Output, Program
from graphc.ir.errors import NonFiniteError
from graphc.passes.schedule import checks


class Watch:
    """Reads what the kernels of one build found: at once on a CPU; on a GPU when it has arrived, without waiting."""

    def __init__(self, names: Sequence[Sequence[str]], device: torch.device, program: Program) -> None:
        """Remember the states of `program` that each kernel checks, or each part of a stepwise kernel."""
        self._names, self._device, self._program = names, device, program
        self._pending: collections.deque[tuple[torch.cuda.Event, torch.Tensor]] = collections.deque()

    def words(self) -> torch.Tensor:
        """Return four zeroed words per row of names: 1 + number of the check, step, sample, neuron."""
        return torch.zeros((len(self._names), 4), dtype=torch.int64, device=self._device)

    def read(self, words: torch.Tensor) -> None:
        """Raise what a call found, or on a GPU ask for it to be copied."""
        if self._device.type == "cpu":
            self._look(words)
        elif not torch.cuda.is_current_stream_capturing():
            host = torch.empty(words.shape, dtype=words.dtype, pin_memory=True)
            host.copy_(words, non_blocking=True)
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
            self._pending.append((event, host))

    def poll(self, wait: bool = False) -> None:
        """Raise what an earlier call on a GPU found, if it has arrived; with `wait`, also if it has not yet."""
        if not self._pending or (not wait and torch.cuda.is_current_stream_capturing()):
            return
        while self._pending:
            event, host = self._pending[0]
            if wait:
                event.synchronize()
            elif not event.query():
                return
            self._pending.popleft()
            self._look(host)

    def _look(self, words: torch.Tensor) -> None:
        if not words.any():
            return
        found = [
            (step, sample, neuron, names[check - 1])
            for (check, step, sample, neuron), names in zip(words.tolist(), self._names, strict=True)
            if check
        ]
        step, sample, neuron, name = min(found, key=lambda entry: entry[0])
        raise_not_finite(self._program, name, step, sample, neuron)


def rows_of_checks(kernel: Kernel) -> list[list[str]]:
    """Return the names of the states that a kernel checks, by row of words: one, or one per part with checks."""
    parts = [part for part in kernel.parts if part.checks] if kernel.parts else [kernel]
    return [[name for _, name in part.checks] for part in parts]


def watched(program: Program) -> Program:
    """Return `program` with the states before their resets among the sequences that its forward loops write."""
    regions = []
    for region in program.regions:
        if region.kind == "steps" and not region.backward:
            found = tuple(Output(_watched(name), value, "sequence") for value, name in checks(region.graph))
            region = replace(region, graph=replace(region.graph, outputs=region.graph.outputs + found))
        regions.append(region)
    return program.with_regions(regions)


def check_watched(program: Program, env: Mapping[str, torch.Tensor], start: int) -> None:
    """Raise for the first state that is not finite in what the interpreter wrote for a `watched` program."""
    found = []
    for tensor in program.states:
        value = env.get(_watched(tensor.name))
        if value is not None and not (finite := torch.isfinite(value)).all():
            step, *place = (~finite).nonzero()[0].tolist()
            found.append((step, place[0] if len(place) > 1 else 0, place[-1] if place else 0, tensor.name))
    if found:
        step, sample, neuron, name = min(found, key=lambda entry: entry[0])
        raise_not_finite(program, name, start + step, sample, neuron)


def _watched(name: str) -> str:
    return f"{name}@watched"


def raise_not_finite(program: Program, name: str, step: int, sample: int, neuron: int) -> None:
    """Raise the error that names population, state and step, on the line of the population."""
    population, _, state = name.partition(".")
    raise NonFiniteError(
        f"state '{state}' of population '{population}' is not finite from step {step} on "
        f"(sample {sample}, neuron {neuron})",
        next((t.loc for t in program.states if t.name == name), None),
        hint="look for NaN in the input, a dt that is too large, or a weight that grew without bound",
    )
