"""Build Triton kernels ahead of time, on a machine without a GPU, and report what they use."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.codegen.triton import Signature, plan, signature
from graphc.ir import Kernel, Schedule, TargetError

from .load_triton import import_text, interpreting

_MATH = re.compile(r"\b(?:FFMA|FMUL|FADD|DFMA|DMUL|DADD|\w*MMA)\b")
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}  # bytes by suffix; 4 without one


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
        loop_loads: bytes per thread that one pass through the longest loop reads of global memory; 0 for AMD.
        assembly: text of the machine code.
    """

    name: str
    registers: int
    spills: int
    local: int
    shared: int
    atomics: int
    wide: tuple[int, int]
    loop_loads: int
    assembly: str


def built_kernels(schedule: Schedule, backward: bool) -> list[Kernel]:
    """Return the kernels of one half that Triton builds: loops, or the parts of a step; products are torch's."""
    kernels = [part for kernel in schedule.half(backward) for part in (kernel.parts or (kernel,))]
    return [kernel for kernel in kernels if kernel.kind != "product"]


def signatures(schedule: Schedule, backward: bool, checks: bool = True) -> dict[str, Signature]:
    """Return what every kernel of one half is built with, by name; `checks` looks for values not finite."""
    return {k.name: signature(plan(schedule, k), checks) for k in built_kernels(schedule, backward)}


def compile_ahead(
    schedule: Schedule, texts: Mapping[str, str], arch: int | str, checks: bool = True
) -> list[KernelReport]:
    """Build every kernel of `texts` and return what each uses.

    Args:
        schedule: what `texts` was emitted from.
        texts: of `graphc.codegen.triton.emit`, or one half of them.
        arch: compute capability times ten, such as 90, or the name of an AMD architecture, such as "gfx942".
        checks: build the kernels that look for values not finite.

    Raises:
        TargetError: Triton interprets kernels in this process.
    """
    return [
        _report(name, compiled, arch)
        for half, text in texts.items()
        for name, compiled in _compile(schedule, text, half == "backward", arch, checks).items()
    ]


def ptx(schedule: Schedule, text: str, backward: bool, arch: int = 90) -> dict[str, str]:
    """Return the PTX of every kernel of one half that Triton builds, by name; `text` is that half's.

    Raises:
        TargetError: Triton interprets kernels in this process.
    """
    return {name: str(compiled.asm["ptx"]) for name, compiled in _compile(schedule, text, backward, arch, True).items()}


def _compile(schedule: Schedule, text: str, backward: bool, arch: int | str, checks: bool) -> dict[str, Any]:
    if interpreting():
        raise TargetError(
            "Triton interprets kernels in this process and cannot build them", None, "unset TRITON_INTERPRET"
        )
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("hip", arch, 64) if isinstance(arch, str) else GPUTarget("cuda", arch, 32)
    module, compiled = import_text(text), {}
    for name, built in signatures(schedule, backward, checks).items():
        source = ASTSource(getattr(module, name), built.types, built.constants, built.attributes)
        compiled[name] = triton.compile(source, target=target, options=built.options)
    return compiled


def _report(name: str, compiled: Any, arch: int | str) -> KernelReport:
    shared = int(compiled.metadata.shared)
    if isinstance(arch, str):
        return _amd_report(name, str(compiled.asm["amdgcn"]), shared)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(compiled.asm["cubin"])
        usage = _run("cuobjdump", "-res-usage", str(path))
        assembly = _run("nvdisasm", "-c", str(path))
    accesses = [_width(a) for a in re.findall(r"\b(?:LDG|STG)(\S*)", assembly)]
    return KernelReport(
        name=name,
        registers=_number(r"REG:(\d+)", usage),
        spills=_number(r"STACK:(\d+)", usage),
        local=len(re.findall(r"\b(?:LDL|STL)\b", assembly)),
        shared=shared,
        atomics=len(re.findall(r"\b(?:ATOMG?|RED)\S*\.F\d\d", assembly)),
        wide=(sum(width >= 8 for width in accesses), len(accesses)),
        loop_loads=_loop_loads(assembly),
        assembly=assembly,
    )


def _width(suffixes: str) -> int:
    """Return the bytes per thread of an access, from what follows the name of its instruction."""
    return max((_WIDTHS[s] for s in suffixes.split(".") if s in _WIDTHS), default=4)


def _loop_loads(assembly: str) -> int:
    """Return the bytes per thread that one pass through the longest loop with arithmetic in it loads."""
    lines = assembly.splitlines()
    labels = {m[1]: n for n, line in enumerate(lines) if (m := re.match(r"(\.L_x_\d+):", line))}
    jumps = ((labels[m[1]], n) for n, line in enumerate(lines) if (m := re.search(r"BRA.* `\((\.L_x_\d+)\)", line)))
    bodies = [lines[start:end] for start, end in jumps if end > start]
    body = max((b for b in bodies if any(map(_MATH.search, b))), key=len, default=[])
    return sum(_width(m[1]) for line in body if (m := re.search(r"\bLDG(\S*)", line)))


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
        loop_loads=0,
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
