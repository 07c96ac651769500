"""What built kernels use: registers, shared memory and spills on a GPU; vectors and stack in target C."""

from __future__ import annotations

import re

from graphc.ir import Schedule
from graphc.runtime.ahead import architecture, compile_ahead
from graphc.runtime.compiler import assembly

from .report import KernelResources

_VECTORS = {"512": r"%zmm\d+", "256": r"%ymm\d+", "128": r"%xmm\d+"}
_SCALAR = re.compile(r"^\s*v?\w+s[sd]\b|^\s*v?mov[dq]\b")


def resources_of(schedule: Schedule, half: str, text: str, arch: str) -> tuple[KernelResources, ...]:
    """Return what the kernels of one half use, by building them.

    Args:
        schedule: what `text` was emitted from.
        half: "forward" or "backward".
        text: of this half.
        arch: for which target Triton builds.

    Raises:
        TargetError: they cannot be built here.
    """
    if schedule.target == "c":
        names = {k.name for k in schedule.half(half == "backward")}
        return tuple(_of_assembly(half, name, body) for name, body in functions_of(assembly(text)) if name in names)
    reports = compile_ahead(schedule, {half: text}, architecture(arch))
    return tuple(
        KernelResources(
            r.name, half, "triton", arch, r.registers, r.spills, r.shared, None, len(r.assembly.splitlines()), {}
        )
        for r in reports
    )


def functions_of(text: str) -> list[tuple[str, str]]:
    """Return the functions of an assembly text; the parts that a compiler splits off count to theirs."""
    found: dict[str, list[str]] = {}
    current = None
    for line in text.splitlines():
        label = re.match(r"([A-Za-z_]\w*)((?:\.\w+)*):", line)
        if label:
            current = label[1]
        elif re.match(r"\s*\.size\s", line):
            current = None
        elif current is not None:
            found.setdefault(current, []).append(line)
    return [(name, "\n".join(lines)) for name, lines in found.items()]


def _of_assembly(half: str, name: str, body: str) -> KernelResources:
    lines = [line for line in body.splitlines() if re.match(r"\s+[a-z]", line)]
    vectors = {
        bits: sum(bool(re.search(pattern, line)) and not _SCALAR.match(line) for line in lines)
        for bits, pattern in _VECTORS.items()
    }
    stacks = [int(n, 0) for n in re.findall(r"sub[lq]?\s+\$(\d+|0x[0-9a-f]+), %[re]sp", body)]
    return KernelResources(name, half, "c", "this CPU", None, None, None, sum(stacks), len(lines), vectors)
