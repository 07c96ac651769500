"""The memory that a call of a given size takes and that its loops move, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir import Kernel, Schedule, TargetError
from graphc.passes.footprint import traffic

if TYPE_CHECKING:
    from graphc.runtime.build import Build


def memory(build: Build, steps: int, batch: int) -> list[str]:
    """Return what a call allocates, how it is cut into chunks and why, and the bytes that every time loop moves."""
    if build.schedule is None:
        return ["not predicted: the reference target interprets the program"]
    try:
        found = build.footprint(steps, batch)
    except TargetError as refused:  # a budget that no choice stays within
        return [f"refused: {refused.message}"]
    assert found is not None
    backward = any(k.backward for k in build.schedule.kernels)
    lines = [
        f"outputs and records: {found.outputs:,} bytes",
        f"kept for backward beside inputs and outputs: {found.saved:,} bytes",
        f"most at once: {found.forward:,} bytes in forward"
        + (f", {found.backward:,} bytes in backward" if backward else "")
        + f"; the largest tensor: {found.largest:,} bytes",
    ]
    if backward:
        lines.append(_checkpoints(build, steps, batch))
    return lines + [_traffic(build.schedule, k) for k in build.schedule.kernels if k.kind != "product"]


def _checkpoints(build: Build, steps: int, batch: int) -> str:
    """Return how the call is cut, and why.

    To save a value and load it moves it twice; to compute it again reads the input once more and keeps the value of a
    short chunk in cache. So chunks cost one forward half, and memory decides.
    """
    options = build.key.options
    budget = f"memory_budget={options.memory_budget:,}" if options.memory_budget is not None else ""
    every = build.every(steps, batch)
    if every < steps:
        count = -(-steps // every)
        why = f"checkpoint={every}" if isinstance(options.checkpoint, int) else f"the fewest that stay within {budget}"
        return (
            f"checkpoints: {count} chunks of {every} steps, {why}; the state at each of the {count - 1} borders is "
            "kept, and backward runs the forward half of a chunk again"
        )
    if options.checkpoint == "none":
        return 'checkpoints: none, checkpoint="none"'
    if isinstance(options.checkpoint, int):
        return f"checkpoints: none, a chunk has {options.checkpoint} steps"
    return f"checkpoints: none, everything stays within {budget}" if budget else "checkpoints: none, no memory_budget"


def _traffic(schedule: Schedule, kernel: Kernel) -> str:
    moved = traffic(schedule, kernel)
    axes = dict.fromkeys(a for n in kernel.graph.nodes for a in n.result.type.axes if n.result.type.batched)
    neurons = sum(schedule.sizes[a] for a in axes)
    each = f", {moved / neurons:.4g} per neuron" if neurons else ""
    return f"{kernel.name} moves {moved:,} bytes per step and sample{each}"
