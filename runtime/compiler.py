"""The system's C compiler: which one, its flags, and a shared library from a text."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from graphc.ir import TargetError

from .cache import content_hash, fetch

# Never -ffast-math: NaN and the order of sums are part of what a kernel promises. These two only drop errno and traps.
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off")
NATIVE = ("-march=native",)
OPENMP = ("-fopenmp", "-Wl,--as-needed")
HINT = 'install gcc or clang (or name one in the environment variable CC), or use target="reference"'


def build(text: str) -> Path:
    """Return the shared library of a C `text`, from the cache or built now.

    Raises:
        TargetError: there is no C compiler, or it refuses the text.
    """
    compiler = find_compiler()
    flags = (*FLAGS, *NATIVE, *OPENMP, *_openmp_libraries(), *_extra())
    key = content_hash(text, version_of(compiler), " ".join(flags), _cpu())
    return fetch(key, ".so", lambda path: _compile(compiler, text, path))


@dataclass(frozen=True, slots=True)
class Found:
    """A compiler that has just built a kernel: its command, its version, and the options it takes beside `FLAGS`."""

    command: tuple[str, ...]
    version: str
    options: tuple[str, ...]


def try_compiler() -> Found:
    """Return the compiler after it built a text now, past the cache.

    Raises:
        TargetError: there is none, or it builds nothing.
        OSError: it cannot be started.
    """
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as scratch:
        _compile(compiler, "int answer(void) { return 42; }\n", Path(scratch) / "answer.so")
    lines = version_of(compiler).splitlines()
    return Found(compiler, lines[1] if len(lines) > 1 else "unknown", _options(compiler)[0])


def assembly(text: str) -> str:
    """Return the assembly that the C compiler makes of a C `text`, with the very flags of `build`.

    Raises:
        TargetError: there is no C compiler, or it refuses the text.
    """
    compiler = find_compiler()
    key = content_hash("assembly", text, version_of(compiler), " ".join((*FLAGS, *_extra())), _cpu())
    return fetch(key, ".s", lambda path: _assemble(compiler, text, path)).read_text()


def _assemble(compiler: tuple[str, ...], text: str, path: Path) -> None:
    _translate(compiler, text, path, "-S", "-fno-asynchronous-unwind-tables")


def find_compiler() -> tuple[str, ...]:
    """Return the command of the C compiler: $CC, or the first of gcc, clang and cc that is installed."""
    wanted = os.environ.get("CC")
    for command in [shlex.split(wanted)] if wanted else [["gcc"], ["clang"], ["cc"]]:
        if command and shutil.which(command[0]):
            return tuple(command)
    what = f"the C compiler {wanted!r}, which CC names, is not installed" if wanted else "there is no C compiler"
    raise TargetError(f"target 'c' cannot build kernels: {what}", hint=HINT)


def _compile(compiler: tuple[str, ...], text: str, path: Path) -> None:
    _translate(compiler, text, path, *_options(compiler)[1], "-lm")


def _translate(compiler: tuple[str, ...], text: str, path: Path, *last: str) -> None:
    source = path.with_suffix(".c")
    source.write_text(text)
    done = _run(compiler, *FLAGS, *_options(compiler)[0], *_extra(), str(source), "-o", str(path), *last)
    if done.returncode != 0:
        raise TargetError(f"{' '.join(compiler)} cannot build a kernel:\n{done.stderr.strip()}", hint=HINT)


def _extra() -> tuple[str, ...]:
    """Return the flags of GRAPHC_CFLAGS, which come after our own: -O1 halves the time that a build takes."""
    return tuple(shlex.split(os.environ.get("GRAPHC_CFLAGS", "")))


@functools.lru_cache(maxsize=8)
def _options(compiler: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options and libraries for this machine and for OpenMP that `compiler` knows.

    What it lacks costs speed, never the result: without OpenMP a kernel runs on one thread.
    """
    libraries = _openmp_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        source, built = Path(scratch) / "probe.c", Path(scratch) / "probe.so"
        source.write_text(
            "#include <stdlib.h>\nint probe(int n) {\n#pragma omp parallel num_threads(n)\n    abs(n);\n return n;\n}\n"
        )
        for options, linked in (((*NATIVE, *OPENMP), libraries), (NATIVE, ()), (OPENMP, libraries)):
            if _run(compiler, *FLAGS, *options, str(source), "-o", str(built), *linked).returncode == 0:
                return options, linked
    return (), ()


def _run(compiler: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*compiler, *arguments], capture_output=True, text=True, check=False)


@functools.lru_cache(maxsize=8)
def version_of(compiler: tuple[str, ...]) -> str:
    """Return the command, and on the next lines what it says of its version."""
    return f"{' '.join(compiler)}\n{_run(compiler, '--version').stdout}"


@functools.lru_cache(maxsize=1)
def _cpu() -> str:
    """Return what -march=native depends on."""
    lines = [platform.machine(), platform.processor()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        wanted = ("flags", "Features", "model name", "CPU part", "cpu family", "model\t")
        kept = dict.fromkeys(line for line in info.read_text().splitlines() if line.startswith(wanted))
        lines += kept
    return "\n".join(lines)


@functools.lru_cache(maxsize=1)
def _openmp_libraries() -> tuple[str, ...]:
    """Return torch's own OpenMP runtime: two of them in a process would compete for its cores."""
    bundled = sorted(Path(torch.__file__).parent.joinpath("lib").glob("libgomp*.so*"))
    return tuple(str(p) for p in bundled[:1])
