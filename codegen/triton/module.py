"""Schedule -> one module text per half: the functions that its kernels call, then the kernels in their order."""

from __future__ import annotations

from graphc.ir import Kernel, Read, Schedule

from . import math, step
from .cooperative import CooperativeEmitter
from .kernel import KernelEmitter
from .plan import plan
from .tiled import TiledEmitter


def emit(schedule: Schedule) -> dict[str, str]:
    """Return one module text per half of `schedule`: "forward", and "backward" where it has such kernels."""
    texts = {}
    for half, backward in (("forward", False), ("backward", True)):
        if kernels := schedule.half(backward):
            texts[half] = _module(schedule, kernels)
    return texts


def _module(schedule: Schedule, kernels: tuple[Kernel, ...]) -> str:
    used: set[str] = set()
    bodies: list[str] = []
    for kernel in kernels:
        if kernel.kind == "product":
            bodies.append(_describe_product(kernel, "over all steps"))
        elif kernel.strategy == "stepwise":
            bodies += _parts(schedule, kernel, used)
        else:
            bodies.append(_emitter(kernel)(plan(schedule, kernel), used).text())
    functions = [f"@triton.jit\n{text}\n" for text in math.define(used, schedule.dtype, schedule.precision)]
    return "\n\n".join(["import triton\nimport triton.language as tl\n", *functions, *bodies])


def _emitter(kernel: Kernel) -> type[KernelEmitter]:
    if kernel.strategy != "cooperative":
        return KernelEmitter
    return TiledEmitter if kernel.tile > 1 else CooperativeEmitter


def _parts(schedule: Schedule, kernel: Kernel, used: set[str]) -> list[str]:
    """Return the texts of what a stepwise kernel launches at every step, in that order."""
    bodies = [
        _describe_product(part, "at every step") if part.kind == "product" else step.text(plan(schedule, part), used)
        for part in kernel.parts
    ]
    return [*bodies, step.advance(kernel)]


def _describe_product(kernel: Kernel, when: str) -> str:
    """Return the comment that stands for a product that torch makes."""
    lines = [f"# {kernel.name}: {when}, by torch"]
    for node in kernel.graph.nodes:
        args = ", ".join(v.name for v in node.operands)
        read = f"{node.history}, {node.delay} steps earlier" if isinstance(node, Read) else args
        lines.append(f"#   {node.result.name} = {type(node).__name__}({read})")
    return "\n".join(lines) + "\n"
