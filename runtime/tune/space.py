"""What may be tried: changes of one option of a schedule, from those that the kernels at hand listen to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graphc.codegen.c import is_event_driven
from graphc.ir import DeviceSpec, Kernel, Project, ProjectTransposed, Schedule
from graphc.passes.footprint import bytes_of

Options = dict[str, int | str]
LARGE = 1 << 20  # bytes of a sequence from which it matters whether it goes past the cache


@dataclass(frozen=True, slots=True)
class Call:
    """What is tuned: a schedule with the defaults, and the call it serves.

    Attributes:
        plan: the default schedule.
        device: what it runs on.
        steps: T.
        batch: B.
        threads: of the CPU.
        vector: bits of the CPU's widest vectors.
        learns: whether there is a backward half.
        online: whether an online rule cuts calls into chunks.
        ruled: whether the user said how memory is kept, which the tuner leaves alone.
    """

    plan: Schedule
    device: DeviceSpec
    steps: int
    batch: int
    threads: int = 1
    vector: int = 256
    learns: bool = True
    online: bool = False
    ruled: bool = False


def changes(call: Call) -> list[Options]:
    """Return what is tried first: one option changed, or a few that belong together."""
    found = list(_c(call) if call.plan.target == "c" else _triton(call))
    found += _of_call(call)
    kept: list[Options] = []
    for options in found:
        if options not in kept and not _is_default(call, options):
            kept.append(options)
    return kept


def neighbours(options: Options) -> Iterator[Options]:
    """Yield what lies one step away: a number doubled or halved, an option given up."""
    for name, value in options.items():
        rest = {n: v for n, v in options.items() if n != name}
        if rest:
            yield rest
        if isinstance(value, int) and value > 1 and name.rpartition(".")[2] not in ("vector", "packed", "stream"):
            yield {**rest, name: 2 * value}
            yield {**rest, name: value // 2}


def _loops(plan: Schedule) -> list[Kernel]:
    return [k for k in plan.kernels if k.kind != "product"]


def _each(name: str, values: Iterable[int | str]) -> Iterator[Options]:
    for value in values:
        yield {name: value}


def _c(call: Call) -> Iterator[Options]:
    """Yield changes of C kernels, the most promising first."""
    loops, plan = _loops(call.plan), call.plan
    if any(_is_dense(k) for k in loops):
        for tile in (6, 4, 8):
            for count in (4, 2, 1):
                if tile * count <= 2 * call.batch:
                    yield {"packed": 1, "dense_rows": tile, "rows": tile * count}
        yield {"packed": 1}
    if any(bytes_of(plan, b, call.steps, call.batch) > LARGE for b in plan.buffers.values() if b.kind == "sequence"):
        yield from _each("stream", (0, 1))
    yield from _each("rows", (r for r in (16, 4, 32, 2, 24, 8, 64, 1) if r <= max(2 * call.batch, 2)))
    if any(k.kind == "product" and is_event_driven(plan, k) for k in plan.kernels):
        yield from _each("dense", (10, 50, 5, 100))
    if any("chunk" in k.options for k in loops):
        yield from _each("neurons", (512, 2048, 256, 4096))
    yield from _each("threads", sorted({1, max(call.threads // 2, 1)} - {call.threads}))
    yield from _each("vector", (v for v in (256, 128) if v < call.vector))
    if any(b.storage == "uint8" for b in plan.buffers.values()):
        yield {"spikes": "numbers"}
    yield from _each("tile_time", (t for t in (4, 8, 2, 1) if any(k.tile > t for k in loops)))


def _is_dense(kernel: Kernel) -> bool:
    """Whether a loop multiplies rows of numbers, not of spikes, with a matrix."""
    products = [n for n in kernel.graph.nodes if isinstance(n, (Project, ProjectTransposed))]
    return any(isinstance(n, ProjectTransposed) or n.operands[0].type.dtype != "bool" for n in products)


def _triton(call: Call) -> Iterator[Options]:
    """Yield changes of Triton kernels: strategies with their tiles, then tiles of loops without products."""
    loops = _loops(call.plan)
    mixing = [k for k in loops if k.strategy != "elementwise"]
    if mixing:
        for rows in (16, 32, 64):
            yield from ({"strategy": "resident", "rows": rows, "warps": warps} for warps in (4, 8, 16))
            for warps in (4, 8):
                split: Options = {"strategy": "cooperative", "rows": rows, "warps": warps}
                yield from ({**split, "columns": columns} for columns in (16, 32, 64, 128))
                yield from ({**split, "ahead": ahead} for ahead in (1, 2, 8))
        yield from ({"strategy": "stepwise", "block": block} for block in (128, 256, 512))
    if any(k.strategy == "elementwise" for k in loops):
        for block in (128, 256, 512, 1024):
            for unroll in (1, 2, 4, 8):
                tile: Options = {"block": block, "unroll": unroll}
                if mixing:  # "warps" is an option of all loops, and left to those that multiply
                    yield tile
                else:
                    yield from ({**tile, "warps": warps} for warps in (2, 4, 8) if block >= 32 * warps)
        yield from _each("stages", (2, 4))
    if any(b.storage in ("bits", "uint8") for b in call.plan.buffers.values()):
        yield from _each("spikes", ("bytes", "numbers"))
    yield from _each("tile_time", (t for t in (1, 2, 4, 8) if any(k.tile > t for k in loops)))


def _of_call(call: Call) -> Iterator[Options]:
    """Yield what is no kernel's option: what backward reads, and how the call is cut."""
    if not call.learns:
        return
    yield {"recompute": 0}
    if call.online:
        yield from _each("chunk", (k for k in (8, 16, 32, 64, 128) if k < call.steps))
    elif not call.ruled:
        yield from _each("checkpoint", sorted({-(-call.steps // n) for n in (2, 4, 8)} - {call.steps, 1}))


def _is_default(call: Call, options: Options) -> bool:
    """Whether the loops have these values anyway."""
    loops = _loops(call.plan)
    known = [{**k.options, "strategy": k.strategy} for k in loops]
    return bool(known) and all(name in own and own[name] == value for own in known for name, value in options.items())
