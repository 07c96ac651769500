"""The system's C compiler: which one, its flags, and a shared library from a text."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

import torch

from graphc.ir import TargetError

from .cache import content_hash, fetch

# Never -ffast-math: NaN and the order of sums are part of what a kernel promises. These two only drop errno and traps.
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off")
HINT = 'install gcc or clang (or name one in the environment variable CC), or use target="reference"'


def build(text: str) -> Path:
    """Return the shared library of a C `text`, from the cache or built now.

    Raises:
        TargetError: there is no C compiler, or it refuses the text.
    """
    compiler = find_compiler()
    key = content_hash(text, _version(compiler), " ".join(FLAGS), _cpu(), " ".join(_openmp()))
    return fetch(key, ".so", lambda path: _compile(compiler, text, path))


def find_compiler() -> tuple[str, ...]:
    """Return the command of the C compiler: $CC, or the first of gcc, clang and cc that is installed."""
    wanted = os.environ.get("CC")
    for command in [shlex.split(wanted)] if wanted else [["gcc"], ["clang"], ["cc"]]:
        if command and shutil.which(command[0]):
            return tuple(command)
    what = f"the C compiler {wanted!r}, which CC names, is not installed" if wanted else "there is no C compiler"
    raise TargetError(f"target 'c' cannot build kernels: {what}", hint=HINT)


def _compile(compiler: tuple[str, ...], text: str, path: Path) -> None:
    source = path.with_suffix(".c")
    source.write_text(text)
    tail = (str(source), "-o", str(path))
    # Not every compiler knows this machine or has OpenMP: what it refuses costs speed, never the result.
    for extra in (("-march=native", *_openmp()), ("-march=native",), ()):
        libraries = [a for a in extra if not a.startswith("-")]
        options = [a for a in extra if a.startswith("-")]
        done = subprocess.run(
            [*compiler, *FLAGS, *options, *tail, *libraries, "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
    raise TargetError(f"{' '.join(compiler)} cannot build a kernel:\n{done.stderr.strip()}", hint=HINT)


@functools.lru_cache(maxsize=8)
def _version(compiler: tuple[str, ...]) -> str:
    done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False)
    return f"{' '.join(compiler)}\n{done.stdout}"


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
def _openmp() -> tuple[str, ...]:
    """Return the options for OpenMP, with torch's own runtime: two of them in a process compete for its cores."""
    bundled = sorted(Path(torch.__file__).parent.joinpath("lib").glob("libgomp*.so*"))
    return ("-fopenmp", "-Wl,--as-needed", *(str(p) for p in bundled[:1]))
