"""Build Triton kernels ahead of time, on a machine without a GPU, and report what they use."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.codegen.triton import plan, signature
from graphc.ir import Schedule, TargetError

from .load_triton import import_text, interpreting


@dataclass(frozen=True, slots=True)
class KernelReport:
    """What one kernel uses.

    Attributes:
        registers: per thread.
        spills: bytes of stack per thread; 0 when every value stays in a register.
        local: instructions that read or write the stack.
        shared: bytes of shared memory per program.
        atomics: atomic instructions on floating-point numbers.
        wide: loads and stores of global memory of 8 bytes or more per thread, and all of them.
        assembly: text of the machine code, where the toolchain shows it.
    """

    name: str
    registers: int
    spills: int
    local: int
    shared: int
    atomics: int
    wide: tuple[int, int]
    assembly: str


def compile_ahead(
    schedule: Schedule, texts: Mapping[str, str], arch: int | str, checks: bool = True
) -> list[KernelReport]:
    """Build every kernel of `texts` that has a time loop and return what each uses.

    Args:
        schedule: what `texts` was emitted from.
        texts: of `graphc.codegen.triton.emit`.
        arch: compute capability times ten, such as 90, or the name of an AMD architecture, such as "gfx942".
        checks: build the kernels that look for values not finite.

    Raises:
        TargetError: Triton interprets kernels in this process.
    """
    if interpreting():
        raise TargetError(
            "Triton interprets kernels in this process and cannot build them", None, "unset TRITON_INTERPRET"
        )
    reports = []
    for half, text in texts.items():
        module = import_text(text)
        for kernel in schedule.half(half == "backward"):
            if kernel.kind != "product":
                built = signature(plan(schedule, kernel), checks)
                reports.append(_report(kernel.name, _compile(getattr(module, kernel.name), built, arch), arch))
    return reports


def ptx(schedule: Schedule, text: str, backward: bool, arch: int = 90) -> dict[str, str]:
    """Return the PTX of every kernel with a time loop in one half, by name; `text` is that half's.

    Raises:
        TargetError: Triton interprets kernels in this process.
    """
    if interpreting():
        raise TargetError(
            "Triton interprets kernels in this process and cannot build them", None, "unset TRITON_INTERPRET"
        )
    module = import_text(text)
    loops = [kernel for kernel in schedule.half(backward) if kernel.kind != "product"]
    built = {k.name: _compile(getattr(module, k.name), signature(plan(schedule, k)), arch) for k in loops}
    return {name: str(compiled.asm["ptx"]) for name, compiled in built.items()}


def _compile(function: Any, built: Any, arch: int | str) -> Any:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("hip", arch, 64) if isinstance(arch, str) else GPUTarget("cuda", arch, 32)
    source = ASTSource(function, built.types, built.constants, built.attributes)
    return triton.compile(source, target=target, options=built.options)


def _report(name: str, compiled: Any, arch: int | str) -> KernelReport:
    shared = int(compiled.metadata.shared)
    if isinstance(arch, str):
        return _amd_report(name, str(compiled.asm["amdgcn"]), shared)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(compiled.asm["cubin"])
        usage = _run("cuobjdump", "-res-usage", str(path))
        assembly = _run("nvdisasm", "-c", str(path))
    accesses = re.findall(r"\b(?:LDG|STG)(\S*)", assembly)
    return KernelReport(
        name=name,
        registers=_number(r"REG:(\d+)", usage),
        spills=_number(r"STACK:(\d+)", usage),
        local=len(re.findall(r"\b(?:LDL|STL)\b", assembly)),
        shared=shared,
        atomics=len(re.findall(r"\b(?:ATOMG?|RED)\S*\.F\d\d", assembly)),
        wide=(sum(".64" in a.replace(".E.64", ".64", 1) or ".128" in a for a in accesses), len(accesses)),
        assembly=assembly,
    )


def _amd_report(name: str, assembly: str, shared: int) -> KernelReport:
    accesses = re.findall(r"\b(?:global|buffer)_(?:load|store)_(\w+)", assembly)
    return KernelReport(
        name=name,
        registers=_number(r"\.vgpr_count:\s*(\d+)", assembly),
        spills=_number(r"\.private_segment_fixed_size:\s*(\d+)", assembly),
        local=len(re.findall(r"\bscratch_(?:load|store)", assembly)),
        shared=shared,
        atomics=len(re.findall(r"\batomic_(?:add|min|max)_f\d\d", assembly)),
        wide=(sum("x" in a for a in accesses), len(accesses)),
        assembly=assembly,
    )


def _run(tool: str, *arguments: str) -> str:
    """Return what a tool of Triton's own package prints."""
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / tool
    return subprocess.run([str(path), *arguments], check=True, capture_output=True, text=True).stdout


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
