"""What this machine has of what graphc uses, whether it works, and what to do about what is missing."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphc.ir import GraphcError

Verdict = Literal["ok", "note", "broken"]

VARIABLES = {
    "GRAPHC_CACHE": "folder of built kernels",
    "GRAPHC_DUMP": "stages to print: lower, a pass, passes, schedule, code, all",
    "GRAPHC_DUMP_DIR": "folder that takes what GRAPHC_DUMP prints",
    "GRAPHC_VERIFY": "2 compares numbers before and after every pass",
    "GRAPHC_DATA": "folder of data sets",
    "GRAPHC_CFLAGS": "flags after those of the C target",
    "GRAPHC_OVERRIDE": "folder of hand-edited kernels, which run instead of generated ones",
    "GRAPHC_TUNE_DB": "file of tuned schedules",
    "TRITON_INTERPRET": "1 lets Triton interpret kernels on the CPU, slowly",
    "CC": "C compiler",
    "OMP_NUM_THREADS": "threads of torch and of the C target",
}
"""The environment variables that graphc reads, and what each is for."""

CPU_FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "amx_tile", "asimd", "sve", "sve2")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what.
        found: in words.
        verdict: "ok"; "note" for what is missing without harm; "broken" for what should work and does not.
        hint: what to do.
    """

    about: str
    found: str
    verdict: Verdict = "ok"
    hint: str | None = None


def examine() -> Iterator[Finding]:
    """Yield a finding after the other; what fails is reported, not raised."""
    for about, look in _CHECKS.items():
        try:
            yield from look()
        except (GraphcError, OSError, ImportError, RuntimeError, ValueError) as error:
            message = str(getattr(error, "message", error)) or type(error).__name__
            yield Finding(about, message, "broken", getattr(error, "hint", None))


def _python() -> Iterator[Finding]:
    from graphc import __version__

    yield Finding("graphc", f"{__version__} in {Path(__file__).parent}")
    yield Finding("python", f"{platform.python_version()}, {sys.executable}, {platform.platform()}")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", f"cannot be imported: {error}", "broken", "pip install torch")
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    yield Finding("torch", f"{torch.__version__}, built for {build}, {torch.get_num_threads()} threads")


def _triton() -> Iterator[Finding]:
    interprets = os.environ.get("TRITON_INTERPRET") == "1"
    try:
        version = importlib.import_module("triton").__version__
    except ImportError as error:
        hint = 'pip install "triton>=3.6"' if sys.platform == "linux" else 'use target="c"'
        yield Finding("triton", f"cannot be imported: {error}", "note", hint)
        return
    if interprets:
        hint = "unset TRITON_INTERPRET to build for a GPU"
        yield Finding("triton", f"{version}, interprets kernels on the CPU", "note", hint)
    else:
        yield Finding("triton", f"{version}, builds kernels")


def _cuda() -> Iterator[Finding]:
    import torch

    driver = _driver()
    if not torch.cuda.is_available():
        if driver and torch.version.cuda is None:
            hint = "torch is a CPU build: install one for CUDA to use the GPU"
            yield Finding("cuda", f"driver {driver}, but no device that torch can use", "note", hint)
        else:
            found = f"no device{f', driver {driver}' if driver else ', no driver'}"
            yield Finding("cuda", found, "note", 'target="triton" runs on a CUDA GPU alone; target="c" needs none')
        return
    yield Finding("cuda", f"driver {driver or 'unknown'}, {torch.cuda.device_count()} devices")
    for index in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(index)
        memory = f"{p.total_memory / 2**30:.0f} GiB, {p.multi_processor_count} multiprocessors"
        yield Finding(f"cuda:{index}", f"{p.name}, sm_{p.major}{p.minor}, {memory}")


def _driver() -> str | None:
    """Return the version of the CUDA driver, None where there is none."""
    known = Path("/proc/driver/nvidia/version")
    if not known.exists():
        return None
    words = known.read_text().split("\n")[0].split()
    return next((w for w in words if w[0].isdigit() and "." in w), "of unknown version")


def _compiler() -> Iterator[Finding]:
    from graphc.runtime.compiler import FLAGS, NATIVE, OPENMP, find_compiler, try_compiler

    name = find_compiler()
    try:
        found = try_compiler()
    except OSError as error:
        hint = "name another in the environment variable CC"
        yield Finding("c compiler", f"{' '.join(name)} cannot be started: {error.strerror}", "broken", hint)
        return
    where = shutil.which(found.command[0]) or found.command[0]
    yield Finding("c compiler", f"{' '.join((where, *found.command[1:]))}, {found.version}")
    yield Finding("flags", " ".join((*FLAGS, *found.options)))
    if not set(NATIVE) <= set(found.options):
        yield Finding("flags", f"{' '.join(NATIVE)} is refused: kernels are slower", "note", "use a newer compiler")
    if set(OPENMP) <= set(found.options):
        yield Finding("openmp", "kernels run on several threads")
    else:
        yield Finding("openmp", "refused: kernels run on one thread", "note", "install the compiler's OpenMP runtime")


def _cpu() -> Iterator[Finding]:
    info = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in info.read_text().splitlines()] if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    name = facts.get("model name", platform.processor() or platform.machine())
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    features = [f for f in CPU_FEATURES if f in flags]
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    yield Finding("cpu", f"{name}, {cores} cores, {' '.join(features) or 'features unknown'}")


def _cache() -> Iterator[Finding]:
    from graphc.runtime.cache import entries, location

    path = location()
    if not path.exists():
        yield Finding("cache", f"{path} is not there yet: made at the first build")
        return
    if not path.is_dir():
        yield Finding("cache", f"{path} is no folder", "broken", "set GRAPHC_CACHE to a folder of yours")
        return
    state = path.stat()
    mode = f"{stat.S_IMODE(state.st_mode):04o}"
    if state.st_uid != os.getuid():
        hint = "set GRAPHC_CACHE to a folder of yours"
        yield Finding("cache", f"{path} belongs to another user ({_owner(state.st_uid)})", "broken", hint)
        return
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        hint = f"chmod 700 {path}, after a look into it: what lies there is executed"
        yield Finding("cache", f"others may write into {path}, mode {mode}", "broken", hint)
        return
    if not os.access(path, os.W_OK | os.X_OK):
        yield Finding("cache", f"{path} cannot be written, mode {mode}", "broken", f"chmod 700 {path}")
        return
    found = entries(path)
    size = sum(p.stat().st_size for p, _ in found)
    described = f"{path}, of {_owner(state.st_uid)}, mode {mode}, {len(found)} kernels, {size / 1e6:.1f} MB"
    yield Finding("cache", described)
    if damaged := [p.name for p, whole in found if not whole]:
        names = ", ".join(damaged[:3]) + ", ..." * (len(damaged) > 3)
        hint = "nothing to do: the next use builds them again"
        yield Finding("cache", f"{len(damaged)} of them damaged: {names}", "note", hint)


def _owner(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _database() -> Iterator[Finding]:
    try:
        module: Any = importlib.import_module("graphc.runtime.tune.database")
    except ImportError:
        return
    import sqlite3

    if os.environ.get("GRAPHC_TUNE_DB") == "":
        yield Finding("tuning database", "switched off: GRAPHC_TUNE_DB is empty", "note", "unset it, or name a file")
        return
    hint = "remove the file: graphc tune fills another one"
    try:
        database = module.Database.open(None)
        problems = database.check()
        count = 0 if problems else database.count()
    except (sqlite3.Error, GraphcError, OSError) as error:
        yield Finding("tuning database", str(error), "broken", hint)
        return
    if not problems:
        yield Finding("tuning database", f"{count} entries")
    for problem in problems:
        yield Finding("tuning database", problem, "broken", hint)


def _targets() -> Iterator[Finding]:
    import torch

    yield _run("reference")
    yield _run("c")
    if torch.cuda.is_available():
        yield _run("triton", "cuda")
    elif os.environ.get("TRITON_INTERPRET") == "1":
        yield _run("triton")
    else:
        yield Finding("target triton", "not tried: no CUDA device", "note", "graphc inspect shows its kernels anyway")


def _run(target: str, device: str = "cpu") -> Finding:
    """Compile and run a tiny network, twice, and compare with what it must give."""
    about = f"target {target}"
    try:
        first, again, right = _try_target(target, device)
    except (GraphcError, OSError, RuntimeError, ImportError) as error:
        message = str(getattr(error, "message", error)).splitlines()[0]
        return Finding(about, message, "broken", getattr(error, "hint", None))
    if not right:
        return Finding(about, "runs, but gives wrong numbers", "broken", "graphc verify shows where; report it")
    return Finding(about, f"builds and runs: first call {1e3 * first:.0f} ms, second {1e3 * again:.2f} ms")


def _try_target(target: str, device: str) -> tuple[float, float, bool]:
    """Return the seconds of two training calls, and whether spikes and gradient are those that follow by hand.

    One neuron halves its potential at every step and adds what arrives: 0.75, then 0.375 + 0.75 > 1 is a spike, and the
    derivative of the two spike conditions by the weight is 1 and 1.5.
    """
    import torch

    import graphc as gc

    v, x = gc.state("v"), gc.input("x")
    spike = gc.Spike(v > 1, surrogate=gc.surrogate.StraightThrough())
    neuron = gc.Neuron("Halving", update={v: v / 2 + x}, spike=spike, reset={v: 0})
    net = gc.Network(dt=1.0)
    net.input("x", 1)
    net.population("cell", neuron, 1)
    net.connect("x", "cell", weight=0.75)
    net.output("cell")
    model, times, spikes = gc.compile(net, target=target).to(device), [], None
    for _ in range(2):
        model.zero_grad()
        started = time.perf_counter()
        spikes = model(torch.ones(2, 1, 1, device=device))
        spikes.sum().backward()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    (gradient,) = (p.grad for p in model.parameters())
    assert spikes is not None and gradient is not None
    right = spikes.flatten().tolist() == [0.0, 1.0] and abs(float(gradient) - 2.5) < 1e-6
    return times[0], times[1], right


def _environment() -> Iterator[Finding]:
    for name, about in VARIABLES.items():
        value = os.environ.get(name)
        warned = name == "GRAPHC_OVERRIDE" and value
        hint = "unset it to run what is generated" if warned else None
        yield Finding(name, f"{value or 'not set'} ({about})", "note" if warned else "ok", hint)


_CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "python": _python,
    "torch": _torch,
    "triton": _triton,
    "cuda": _cuda,
    "c compiler": _compiler,
    "cpu": _cpu,
    "cache": _cache,
    "tuning database": _database,
    "targets": _targets,
    "environment": _environment,
}
