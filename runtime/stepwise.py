"""Run a stepwise kernel: a few launches per step, on a GPU recorded once and replayed.

A step is the same list of launches every time, on the same tensors: its number stands in device memory. So one step is
captured in a CUDA graph, and the host asks for a whole step at once. Nothing here waits for the device.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import torch

from graphc.codegen.triton import options, plan
from graphc.codegen.triton.step import advance_name
from graphc.ir import Kernel, ProjectTransposed, Schedule, StepBuffer, Synapses, Type, Value
from graphc.ir.interpret_synapses import run_synapses

from .products import matmul_into, store_final

Launch = Callable[[], None]
Tensors = Mapping[str, torch.Tensor]

KEPT = 4
"""Recorded steps that a kernel keeps, with their tensors; of a further one the least recently used is given up."""

WORTH = 3
"""Fewer steps are not recorded."""


class Replay(Protocol):
    """A recorded step."""

    def replay(self) -> None:
        """Launch it on the current stream."""
        ...


@dataclass(slots=True)
class Scratch:
    """What a kernel keeps on the device from step to step; a recorded step knows its addresses.

    Attributes:
        buffers: by name of the StepBuffer.
        rings: rows of a history, by its name: depth + 1 of them, the row of iteration k at k % (depth + 1).
        weights: rounded to the type of the factors, by name of the parameter; empty where they are used as they are.
        clock: the number of iterations made, T, the absolute number of the first step; and a seed where noise is drawn.
        bad: four words per part with checks for the first value that is not finite.
        recorded: one step, once it has been captured.
    """

    buffers: dict[str, torch.Tensor]
    rings: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    clock: torch.Tensor
    bad: torch.Tensor | None
    recorded: Replay | None = None


class Stepwise:
    """The launcher of one stepwise kernel.

    Attributes:
        launched: how many launches the device was asked for, replayed ones included.
    """

    def __init__(self, schedule: Schedule, kernel: Kernel, module: ModuleType, interpreted: bool) -> None:
        """Take the functions of the parts from `module`."""
        self.schedule, self.kernel = schedule, kernel
        self.launched = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], Scratch] = OrderedDict()
        self._plans = {p.name: plan(schedule, p) for p in kernel.parts if p.kind != "product"}
        self._functions = {name: getattr(module, name) for name in self._plans}
        self._advance = getattr(module, advance_name(kernel))
        self._draws = any(p.draws for p in self._plans.values())
        self._options = {
            name: {**p.constants, **({} if interpreted else options(p))} for name, p in self._plans.items()
        }
        real = getattr(torch, schedule.dtype)
        narrow = getattr(torch, schedule.precision) if schedule.precision in ("bfloat16", "float16") else real
        self._types = {"real": real, "narrow": narrow, "int32": torch.int32}
        self._rows = _rows_of_checks(kernel)
        graphs = [p.graph for p in kernel.parts]
        read = [i.source for g in graphs for i in g.inputs if i.kind != "step"]
        written = [o.name for g in graphs for o in g.outputs if o.kind != "step"]
        self._given = tuple(dict.fromkeys((*read, *written)))  # whose addresses a recorded step knows
        made = [p for p in kernel.parts if p.kind == "product" and p.strategy != "synapses"]
        self._weights = {p.graph.inputs[1].source for p in made}
        self._early = _read_before_written(kernel)

    def __call__(
        self,
        tensors: Sequence[torch.Tensor],
        steps: int,
        batch: int,
        start: int,
        bad: torch.Tensor | None,
        seed: int = 0,
    ) -> None:
        """Run all steps on the current stream of the tensors' device.

        Args:
            tensors: in the order of ``kernel.arguments``; those that it writes are allocated.
            steps: T, at least 1.
            batch: B.
            start: absolute step of the first row.
            bad: four int64 words per part with checks, or None not to look.
            seed: of noise.
        """
        given = dict(zip(self.kernel.arguments, tensors, strict=True))
        device = tensors[0].device
        with self._lock:
            keeps = recordable(device) and steps >= WORTH
            scratch = self._scratch(given, batch, device, bad is not None, keeps)
            self._begin(scratch, given, steps, start, seed)
            launches = self.step(scratch, given, batch)
            if keeps:
                self._replay(scratch, launches, steps, device)
            else:
                for _ in range(steps):
                    self._make(launches)
            self._end(scratch, given, steps, bad)

    # The step.

    def step(self, scratch: Scratch, given: Tensors, batch: int) -> list[Launch]:
        """Return the launches of one step, in order."""
        launches = [
            self._product(part, scratch, given) if part.kind == "product" else self._part(part, scratch, given, batch)
            for part in self.kernel.parts
        ]
        return [*launches, lambda: self._advance[(1,)](scratch.clock)]

    def _part(self, part: Kernel, scratch: Scratch, given: Tensors, batch: int) -> Launch:
        plan, function, built = self._plans[part.name], self._functions[part.name], self._options[part.name]
        arguments: list[Any] = []
        for pointer, name in zip(plan.pointers, plan.kernel.arguments, strict=True):
            tensor = scratch.buffers[name] if pointer.kind == "step" else given[name]
            arguments += (tensor, *tensor.stride()[: len(pointer.strides)])
        arguments += (scratch.rings[name] for name in plan.rings)
        row = self._rows.get(part.name)
        words = None if scratch.bad is None or row is None else scratch.bad[row]
        arguments += (scratch.clock, words, batch, *plan.extent.values())
        grid = plan.grid(batch)

        def launch() -> None:
            function[grid](*arguments, **built)

        return launch

    def _product(self, part: Kernel, scratch: Scratch, given: Tensors) -> Launch:
        (node,) = part.graph.nodes
        if isinstance(node, Synapses):
            return self._synapses(part, node, scratch, given)
        source, weight = (i.source for i in part.graph.inputs)
        factor = scratch.weights.get(weight, given[weight])
        if isinstance(node, ProjectTransposed):
            factor = factor.t()
        left, result = scratch.buffers[source], scratch.buffers[part.graph.outputs[0].name]
        precision = self.schedule.precision

        def launch() -> None:
            matmul_into(left, factor, result, precision)

        return launch

    def _synapses(self, part: Kernel, node: Synapses, scratch: Scratch, given: Tensors) -> Launch:
        """Return a sum per synapse: a number per sample and pair of neurons, for as long as it takes."""
        real = self._types["real"]
        tensors = {
            i.value: scratch.buffers[i.source] if i.kind == "step" else given[i.source] for i in part.graph.inputs
        }
        result = scratch.buffers[part.graph.outputs[0].name]

        def launch() -> None:
            args = [tensors[v].to(real) for v in node.operands]
            result.copy_(run_synapses(node, args, tuple(result.shape[1:]), real, False))

        return launch

    def _make(self, launches: Sequence[Launch]) -> None:
        for launch in launches:
            launch()
        self.launched += len(launches)

    def _replay(self, scratch: Scratch, launches: Sequence[Launch], steps: int, device: torch.device) -> None:
        """Replay the recorded step; the first call makes a step before, so that all is built, and then records one."""
        if scratch.recorded is None:
            scratch.recorded = record(device, lambda: self._make(launches), lambda: [x() for x in launches])
            steps -= 1
        for _ in range(steps):
            scratch.recorded.replay()
        self.launched += steps * len(launches)

    # Before and after the steps.

    def _scratch(self, given: Tensors, batch: int, device: torch.device, checks: bool, keeps: bool) -> Scratch:
        """Return the tensors of a call: those of an earlier call whose recorded step serves this one, or new ones."""
        if not keeps:  # an outer capture takes its memory from a pool of its own
            return self._allocate(given, batch, device, checks)
        key = (
            device,
            stream_of(device),
            batch,
            checks,
            *((given[name].data_ptr(), given[name].stride(), given[name].dtype) for name in self._given),
        )
        if key not in self._kept:
            self._kept[key] = self._allocate(given, batch, device, checks)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _allocate(self, given: Tensors, batch: int, device: torch.device, checks: bool) -> Scratch:
        sizes = self.schedule.sizes

        def empty(type: Type, storage: str, *lead: int) -> torch.Tensor:
            shape = (*lead, *([batch] if type.batched else ()), *(sizes[axis] for axis in type.axes))
            return torch.empty(shape, dtype=self._types[storage], device=device)

        histories = {h.name: h for p in self.kernel.parts for h in p.graph.histories}
        narrow = self._types["narrow"]
        return Scratch(
            buffers={b.name: empty(b.type, b.storage) for b in self.kernel.buffers},
            rings={name: empty(h.value.type, "real", h.depth + 1) for name, h in histories.items()},
            weights={
                name: torch.empty_like(given[name], dtype=narrow)
                for name in sorted(self._weights)
                if given[name].dtype != narrow
            },
            clock=torch.empty(4 if self._draws else 3, dtype=torch.int64, device=device),
            bad=torch.empty((len(self._rows), 4), dtype=torch.int64, device=device) if checks else None,
        )

    def _begin(self, scratch: Scratch, given: Tensors, steps: int, start: int, seed: int = 0) -> None:
        for word, value in zip(scratch.clock, (0, steps, start, seed)[: len(scratch.clock)], strict=True):
            word.fill_(value)
        if scratch.bad is not None:
            scratch.bad.zero_()
        for name, weight in scratch.weights.items():
            weight.copy_(given[name])
        for buffer in self.kernel.buffers:
            _start(buffer, scratch.buffers[buffer.name], given, buffer.name in self._early)
        for history in self.kernel.graph.histories:
            if (ring := scratch.rings.get(history.name)) is not None:
                if history.init:
                    ring[1:].copy_(given[history.init][: history.depth])
                else:
                    ring[1:].zero_()

    def _end(self, scratch: Scratch, given: Tensors, steps: int, bad: torch.Tensor | None) -> None:
        for buffer in self.kernel.buffers:
            if buffer.final:
                given[buffer.final].copy_(scratch.buffers[buffer.name])
        done = {buffer.final for buffer in self.kernel.buffers}
        for history in self.kernel.graph.histories:
            if not history.final or history.final in done:
                continue
            ring = scratch.rings.get(history.name)
            if ring is None:
                store_final(history, self._sequence(history.value, given), given, steps)
                continue
            last = given[history.final]
            oldest = (steps + 1) % (history.depth + 1)
            kept = min(history.depth, history.depth + 1 - oldest)
            last[:kept].copy_(ring[oldest : oldest + kept])
            if kept < history.depth:
                last[kept : history.depth].copy_(ring[: history.depth - kept])
        if bad is not None and scratch.bad is not None:
            bad.reshape(-1, 4).copy_(scratch.bad)

    def _sequence(self, value: Value, given: Tensors) -> torch.Tensor:
        graph = self.kernel.graph
        rows = {o.value: o.name for o in graph.outputs if o.kind == "sequence"}
        rows |= {i.value: i.source for i in graph.inputs if i.kind == "sequence"}
        return given[rows[value]]


def _start(buffer: StepBuffer, tensor: torch.Tensor, given: Tensors, read: bool) -> None:
    """Write what the first step finds in a buffer, unless it writes it before it reads it."""
    if buffer.init is not None:
        tensor.copy_(given[buffer.init] if buffer.row is None else given[buffer.init][buffer.row])
    elif read:
        tensor.zero_()


def _read_before_written(kernel: Kernel) -> set[str]:
    """Return the step buffers in which a step finds what an earlier one left."""
    read: set[str] = set()
    written: set[str] = set()
    for part in kernel.parts:
        read |= {i.source for i in part.graph.inputs if i.kind == "step"} - written
        written |= {o.name for o in part.graph.outputs if o.kind == "step"}
    return read | {b.name for b in kernel.buffers if b.final and b.name not in written}


def _rows_of_checks(kernel: Kernel) -> dict[str, int]:
    """Return the row of words of every part with checks."""
    return {name: row for row, name in enumerate(p.name for p in kernel.parts if p.checks)}


def stream_of(device: torch.device) -> int:
    """Return the handle of the current stream."""
    handle: int = torch.cuda.current_stream(device).cuda_stream
    return handle


def recordable(device: torch.device) -> bool:
    """Return whether a step can be captured: on a GPU, unless the caller is capturing already."""
    return device.type == "cuda" and not torch.cuda.is_current_stream_capturing()


_streams: dict[torch.device, torch.cuda.Stream] = {}
_recording = threading.Lock()  # what another thread launches on the stream of a capture would be part of it


def record(device: torch.device, first: Callable[[], object], step: Callable[[], object]) -> Replay:
    """Return a recording of `step`, after `first` ran, which has to build and allocate all that a step needs.

    Both run on a stream of their own, as a capture must; what the current stream does next waits for them. A capture
    runs nothing, and only calls of this thread that do not fit one can spoil it.

    cuBLAS keeps its workspace per stream, and a recording its address: so that no other recording or call may free or
    write it, a capture starts without one, takes one from the memory of its graph, and leaves none.
    """
    with _recording, torch.cuda.device(device):
        if device not in _streams:
            _streams[device] = torch.cuda.Stream(device)
        side = _streams[device]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            first()
            torch._C._cuda_clearCublasWorkspaces()
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
                torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.current_stream(device).wait_stream(side)
    return graph
