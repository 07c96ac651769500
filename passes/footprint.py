"""Predict the memory of one training call from its schedule: what is alive at every launch, and what loops move."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from graphc.ir import Buffer, Kernel, Schedule, Type

POOLED = 1 << 16
"""Bytes from which a CPU keeps memory for the next tensor of that size."""

_KEPT_RINGS = 2  # histories deeper than this may live in scratch memory


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that one call allocates; what the caller passes (inputs, weights, gradients of outputs) is not among them.

    Attributes:
        outputs: outputs and records.
        saved: kept between the halves beside inputs and outputs.
        forward: most that is allocated at once during the forward half.
        backward: the same for the backward half, with what the forward half left.
        largest: of one tensor.
    """

    outputs: int
    saved: int
    forward: int
    backward: int
    largest: int

    @property
    def peak(self) -> int:
        """Most that is allocated at once."""
        return max(self.forward, self.backward)


@dataclass(frozen=True, slots=True)
class Chunks:
    """A call cut into chunks of steps, from whose first states the backward half runs the forward half again.

    Attributes:
        plain: the forward half that saves nothing.
        again: the forward half that saves, and the backward half that takes and returns gradients of states.
        every: steps of a chunk.
    """

    plain: Schedule
    again: Schedule
    every: int


def last_uses(kernels: Sequence[Kernel], kept: Collection[str]) -> list[tuple[str, ...]]:
    """Return, per kernel, the buffers that it is the last to read and that the caller does not keep."""
    found: list[tuple[str, ...]] = []
    later = set(kept)
    for kernel in reversed(kernels):
        found.append(tuple(name for name in dict.fromkeys(kernel.reads) if name not in later))
        later.update(kernel.arguments)
    return found[::-1]


def bytes_of(schedule: Schedule, buffer: Buffer, steps: int, batch: int) -> int:
    """Return the size of `buffer` in one call."""
    lead = {"sequence": steps, "history": buffer.depth, "fixed": 1}[buffer.kind]
    return lead * _row(schedule, buffer.type, buffer.storage, batch)


def _row(schedule: Schedule, type: Type, storage: str, batch: int = 1) -> int:
    """Return the bytes of one step of a value."""
    shape = [schedule.sizes[axis] for axis in type.axes]
    if storage == "bits":
        shape[-1] = -(-shape[-1] // 32)
    real = 8 if schedule.dtype == "float64" else 4
    element = {"real": real, "narrow": 2, "condition": 2, "uint8": 1, "bits": 4, "int32": 4}[storage]
    return element * math.prod(shape) * (batch if type.batched else 1)


def footprint(
    schedule: Schedule,
    results: Collection[str],
    steps: int,
    batch: int,
    chunks: Chunks | None = None,
    pooled: bool = True,
) -> Footprint:
    """Return the bytes of one training call.

    Args:
        schedule: both halves of a call that saves what its backward half reads.
        results: names that the caller gets of either half: outputs, records, gradients of inputs.
        steps: T.
        batch: B.
        chunks: how the call is cut; None where it is not.
        pooled: memory that is given up serves tensors of the same size alone, as it does on a CPU.
    """
    memory = _Memory(pooled)
    states = _states(schedule, batch)
    for size in states.values():
        memory.take(size)
    if chunks is None or chunks.every >= steps:
        saved = _whole(memory, schedule, results, steps, batch)
    else:
        saved = _chunked(memory, chunks, results, steps, batch)
    outputs = sum(
        bytes_of(schedule, schedule.buffers[n], steps, batch) for n in _written(schedule.half(False)) & {*results}
    )
    return Footprint(outputs, saved, memory.forward, memory.peak, memory.largest)


@dataclass
class _Memory:
    """Allocations in order, and the most that was taken."""

    pooled: bool
    held: int = 0
    peak: int = 0
    forward: int = 0
    largest: int = 0
    free: Counter[int] = field(default_factory=Counter)

    def take(self, size: int) -> None:
        """Allocate, from what was given up where there is a tensor of this size."""
        self.largest = max(self.largest, size)
        if self.pooled and self.free[size]:
            self.free[size] -= 1
            return
        self.held += size
        self.peak = max(self.peak, self.held)

    def give(self, size: int) -> None:
        """Give memory back."""
        if self.pooled and size >= POOLED:
            self.free[size] += 1
        else:
            self.held -= size

    def halfway(self) -> None:
        """The forward half is over."""
        self.forward = self.peak


def _states(schedule: Schedule, batch: int) -> dict[str, int]:
    """Return the sizes of the initial states."""
    forward = schedule.half(False)
    starts = {c.init for k in forward for c in k.graph.carries} | {h.init for k in forward for h in k.graph.histories}
    return {n: bytes_of(schedule, schedule.buffers[n], 1, batch) for n in starts - _written(forward) if n}


def _written(kernels: Iterable[Kernel]) -> set[str]:
    return {name for k in kernels for name in k.writes}


def _run(
    memory: _Memory,
    schedule: Schedule,
    backward: bool,
    given: Collection[str],
    kept: Collection[str],
    extent: tuple[int, int],
    alive: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, int]:
    """Go through the launches of one half and return what is left of `alive` and of the tensors that it made.

    `given` are made already by the caller, `kept` are not given up after their last use, `extent` is T and B.
    """
    kernels = schedule.half(backward)
    alive = dict(alive)
    for kernel, dead in zip(kernels, last_uses(kernels, kept), strict=True):
        for name in kernel.writes:
            if name not in given and name not in alive:
                alive[name] = bytes_of(schedule, schedule.buffers[name], *extent)
                memory.take(alive[name])
        scratch = temporaries(schedule, kernel, *extent)
        for size in scratch:
            memory.take(size)
        for size in scratch:
            memory.give(size)
        for name in dead:
            if name in alive:
                memory.give(alive.pop(name))
    return alive


def _whole(memory: _Memory, schedule: Schedule, results: Collection[str], steps: int, batch: int) -> int:
    extent = (steps, batch)
    kept = {*results, *schedule.saved, *_ends(schedule, False)}
    alive = _run(memory, schedule, False, (), kept, extent)
    memory.halfway()
    for name in _ends(schedule, False):
        memory.give(alive.pop(name, 0))
    _run(memory, schedule, True, (), {*results, *schedule.saved, *_ends(schedule, True)}, extent)
    return sum(size for name, size in alive.items() if name not in results)


def _chunked(memory: _Memory, chunks: Chunks, results: Collection[str], steps: int, batch: int) -> int:
    plain, again, extent = chunks.plain, chunks.again, (chunks.every, batch)
    count = -(-steps // chunks.every)
    outputs = _written(plain.half(False)) & {*results}
    gradients = _written(again.half(True)) & {*results}
    for name in outputs:
        memory.take(bytes_of(plain, plain.buffers[name], steps, batch))
    states = _states(plain, batch)
    for size in states.values():
        memory.take(size * (count - 1))
    ends: dict[str, int] = {}
    for _ in range(min(count, 3)):
        following = _run(memory, plain, False, outputs, {*results, *_ends(plain, False)}, extent)
        _give_all(memory, ends, outputs)
        ends = following
    memory.halfway()
    _give_all(memory, ends, outputs)
    for name in gradients:
        memory.take(bytes_of(again, again.buffers[name], steps, batch))
    totals = {o.name for k in again.half(True) for o in k.graph.outputs if o.kind == "sum"}
    arriving: dict[str, int] = {}
    for index in range(min(count, 3)):
        kept = {*results, *again.saved, *_ends(again, False)}
        alive = _run(memory, again, False, (), kept, extent)
        saved = {name: alive[name] for name in again.saved if name in alive}
        _give_all(memory, alive, saved)
        left = _run(memory, again, True, gradients, {*gradients, *_ends(again, True)}, extent, saved)
        _give_all(memory, arriving, ())
        arriving = {name: left.pop(name) for name in _ends(again, True) - totals if name in left}
        _give_all(memory, left, () if index else totals)
    return sum(states.values()) * (count - 1)


def _give_all(memory: _Memory, tensors: dict[str, int], but: Collection[str]) -> None:
    for name, size in tensors.items():
        if name not in but:
            memory.give(size)


def _ends(schedule: Schedule, backward: bool) -> set[str]:
    """Return the tensors without an axis of time that a half writes: final states, sums."""
    return {n for n in _written(schedule.half(backward)) if schedule.buffers[n].kind != "sequence"}


def temporaries(schedule: Schedule, kernel: Kernel, steps: int, batch: int) -> list[int]:
    """Return the sizes of what is allocated for the time of one launch."""
    if schedule.target == "c":
        return []
    if kernel.kind != "product":
        rings = [
            (h.depth + 1) * _row(schedule, h.value.type, "real", batch)
            for h in kernel.graph.histories
            if h.depth > _KEPT_RINGS or 1 < kernel.tile <= h.depth
        ]
        handed = [_row(schedule, b.type, b.storage, batch) for b in kernel.buffers]
        return rings + _heard(schedule, kernel, batch) + handed
    if kernel.strategy == "sum":
        return []
    factor = "narrow" if schedule.precision in ("bfloat16", "float16") else "real"
    copied = [i for i in kernel.graph.inputs if schedule.buffers[i.source].storage != factor]
    return [_row(schedule, i.value.type, factor, batch) * (steps if i.kind == "sequence" else 1) for i in copied]


def _heard(schedule: Schedule, kernel: Kernel, batch: int) -> list[int]:
    """Return the sizes of what programs tell each other of more than the step and the next."""
    if kernel.tile == 1:
        return []
    heard = dict.fromkeys(n.operands[0] for phase in kernel.phases for n in phase.products)
    wide = "narrow" if schedule.precision in ("bfloat16", "float16") else "real"
    byte = schedule.precision == "float32"
    return [
        kernel.heard_slots(v) * _row(schedule, v.type, "uint8" if byte and v.type.dtype == "bool" else wide, batch)
        for v in heard
    ]


def traffic(schedule: Schedule, kernel: Kernel) -> int:
    """Return the bytes of sequences that a time loop moves per step and sample."""
    moved = [schedule.buffers[name] for name in dict.fromkeys(kernel.arguments)]
    return sum(_row(schedule, b.type, b.storage) for b in moved if b.kind == "sequence")
