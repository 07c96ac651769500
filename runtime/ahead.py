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


@dataclass(frozen=True, slots=True)
class KernelReport:
    """What one kernel uses.

    Attributes:
        registers: per thread.
        spills: bytes of stack per thread; 0 when every value stays in a register.
        local: instructions that read or write the stack in the longest loop with arithmetic in it.
        shared: bytes of shared memory per program.
        atomics: atomic instructions on floating-point numbers.
        wide: loads and stores of global memory of 8 bytes or more per thread, and all of them.
        loop: loads and stores of global memory in that loop.
        loop_loads: bytes per thread that those loads read.
        assembly: text of the machine code.
    """

    name: str
    registers: int
    spills: int
    local: int
    shared: int
    atomics: int
    wide: tuple[int, int]
    loop: int
    loop_loads: int
    assembly: str


@dataclass(frozen=True, slots=True)
class _Machine:
    """How one kind of assembly reads: labels, jumps, arithmetic; loads and stores, of the stack and by their widths."""

    label: re.Pattern[str]
    jump: re.Pattern[str]
    arithmetic: re.Pattern[str]
    loads: re.Pattern[str]
    stores: re.Pattern[str]
    stack: re.Pattern[str]
    widths: Mapping[str, int]

    def width(self, suffix: str) -> int:
        """Return the bytes per thread of an access; 4 where nothing is said."""
        return max((self.widths[s] for s in re.split(r"[._]", suffix) if s in self.widths), default=4)

    def longest_loop(self, assembly: str) -> str:
        """Return the longest loop with arithmetic in it, "" where there is none."""
        lines = assembly.splitlines()
        labels = {m[1]: n for n, line in enumerate(lines) if (m := self.label.match(line))}
        jumps = [(labels.get(m[1], n), n) for n, line in enumerate(lines) if (m := self.jump.search(line))]
        bodies = ["\n".join(lines[start:end]) for start, end in jumps if end > start]
        return max((b for b in bodies if self.arithmetic.search(b)), key=len, default="")


_SASS = _Machine(
    label=re.compile(r"(\.L_x_\d+):"),
    jump=re.compile(r"BRA.*`\((\.L_x_\d+)\)"),
    arithmetic=re.compile(r"\b(?:[FD](?:FMA|MUL|ADD)|\w*MMA)\b"),
    loads=re.compile(r"\bLDG(\S*)"),
    stores=re.compile(r"\bSTG(\S*)"),
    stack=re.compile(r"\b(?:LDL|STL)\b"),
    widths={"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16},
)
_GCN = _Machine(
    label=re.compile(r"(\.LBB\w+):"),
    jump=re.compile(r"\bs_c?branch\w*\s+(\.LBB\w+)"),
    arithmetic=re.compile(r"\bv_\w*(?:add|mul|fma)_f\d\d|\bv_mfma"),
    loads=re.compile(r"\b(?:global|buffer)_load_(\w+)"),
    stores=re.compile(r"\b(?:global|buffer)_store_(\w+)"),
    stack=re.compile(r"\bscratch_(?:load|store)"),
    widths={"ubyte": 1, "byte": 1, "sbyte": 1, "ushort": 2, "short": 2, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16},
)


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


TEXTS = ("ttir", "ttgir", "llir", "ptx", "sass", "amdgcn")
"""What Triton makes of a kernel, one after the other; the machine code is "sass", of an AMD device "amdgcn"."""


def architecture(name: str) -> int | str:
    """Return an architecture as Triton takes it: 90 for "sm_90", "gfx942" for itself.

    Raises:
        TargetError: it is none.
    """
    if found := re.fullmatch(r"sm_(\d{2,3})a?", name):
        return int(found[1])
    if re.fullmatch(r"gfx[0-9a-f]{3,4}", name):
        return name
    raise TargetError(f"there is no architecture {name!r}", hint='use one such as "sm_80", "sm_90" or "gfx942"')


def texts_ahead(schedule: Schedule, text: str, backward: bool, what: str, arch: int | str = 90) -> dict[str, str]:
    """Return one of `TEXTS` of every kernel of a half that Triton builds, by name.

    Args:
        schedule: what `text` was emitted from.
        text: of that half.
        backward: which half.
        what: one of `TEXTS`.
        arch: see `architecture`.

    Raises:
        TargetError: the architecture has no such text, or Triton interprets kernels in this process.
    """
    amd = isinstance(arch, str)
    if what in (("ptx", "sass") if amd else ("amdgcn",)):
        other = 'ask for "amdgcn"' if amd else 'ask with arch="gfx942"'
        raise TargetError(f"{arch if amd else f'sm_{arch}'} has no text {what!r}", hint=other)
    built = _compile(schedule, text, backward, arch, True)
    return {n: _disassembly(c)[1] if what == "sass" else str(c.asm[what]) for n, c in built.items()}


def _compile(schedule: Schedule, text: str, backward: bool, arch: int | str, checks: bool) -> dict[str, Any]:
    try:
        import triton
    except ImportError as absent:
        raise TargetError(
            "Triton is not installed, so that it cannot build kernels", hint="pip install triton"
        ) from absent
    if interpreting():
        raise TargetError(
            "Triton interprets kernels in this process and cannot build them", None, "unset TRITON_INTERPRET"
        )
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    amd = isinstance(arch, str)
    target = GPUTarget("hip", arch, 64) if amd else GPUTarget("cuda", arch, 32)
    module, compiled = import_text(text), {}
    for name, built in signatures(schedule, backward, checks).items():
        constants = {**built.constants, **({"_device": 2} if amd and "_device" in built.constants else {})}
        source = ASTSource(getattr(module, name), built.types, constants, built.attributes)
        compiled[name] = triton.compile(source, target=target, options=built.options)
    return compiled


def _report(name: str, compiled: Any, arch: int | str) -> KernelReport:
    shared = int(compiled.metadata.shared)
    if isinstance(arch, str):
        return _amd_report(name, str(compiled.asm["amdgcn"]), shared)
    usage, assembly = _disassembly(compiled)
    return KernelReport(
        name=name,
        registers=_number(r"REG:(\d+)", usage),
        spills=_number(r"STACK:(\d+)", usage),
        shared=shared,
        atomics=len(re.findall(r"\b(?:ATOMG?|RED)\S*\.F\d\d", assembly)),
        **_accesses(_SASS, assembly),
        assembly=assembly,
    )


def _disassembly(compiled: Any) -> tuple[str, str]:
    """Return what a kernel for NVIDIA uses, as its tools print it, and its machine code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(compiled.asm["cubin"])
        return _run("cuobjdump", "-res-usage", str(path)), _run("nvdisasm", "-c", str(path))


def _amd_report(name: str, assembly: str, shared: int) -> KernelReport:
    return KernelReport(
        name=name,
        registers=_number(r"\.vgpr_count:\s*(\d+)", assembly),
        spills=_number(r"\.private_segment_fixed_size:\s*(\d+)", assembly),
        shared=shared,
        atomics=len(re.findall(r"\batomic_(?:add|min|max)_f\d\d", assembly)),
        **_accesses(_GCN, assembly),
        assembly=assembly,
    )


def _accesses(machine: _Machine, assembly: str) -> dict[str, Any]:
    """Return what a report says of memory."""
    widths = [machine.width(s) for s in machine.loads.findall(assembly) + machine.stores.findall(assembly)]
    body = machine.longest_loop(assembly)
    loads = machine.loads.findall(body)
    return {
        "local": len(machine.stack.findall(body)),
        "wide": (sum(width >= 8 for width in widths), len(widths)),
        "loop": len(loads) + len(machine.stores.findall(body)),
        "loop_loads": sum(map(machine.width, loads)),
    }


def _run(tool: str, *arguments: str) -> str:
    """Return what a tool of Triton's own package prints."""
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / tool
    return subprocess.run([str(path), *arguments], check=True, capture_output=True, text=True).stdout


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
