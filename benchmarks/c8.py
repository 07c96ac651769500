"""c8: what compiling costs. Every figure comes from fresh processes.

Cold: an empty cache, from the declaration of c3's network to its first gradients, imports excluded; warm: the same
with the cache that the cold process filled. The import of graphc is compared with that of sympy; ``graphc --help`` is
taken by its CPU time.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

COMPILE = """
import json, time
import networkx, numpy, sympy, torch, graphc, graphc.runtime
from benchmarks import c3
graphc.compile
x = torch.zeros(c3.WORK.steps, c3.WORK.batch, c3.WORK.inputs)
torch.zeros(2, requires_grad=True).sum().backward()
started = time.perf_counter()
model = graphc.compile(c3.make_network(), learn="bptt", target="c")
compiled = time.perf_counter()
model(x).sum().backward()
print(json.dumps({"declare_s": compiled - started, "total_s": time.perf_counter() - started}))
"""

# In float32 the resident strategy holds the weights of at most 128 neurons.
AHEAD = """
import dataclasses, json, time
import networkx, numpy, sympy, torch, triton, graphc, graphc.runtime
from benchmarks import c3
graphc.compile
started = time.perf_counter()
network = c3.make_network(dataclasses.replace(c3.WORK, neurons=128))
model = graphc.compile(network, learn="bptt", target="triton")
for kernel in ("forward", "backward"):
    assert ".visible .entry" in model.source(kernel, "ptx", gradients=True)
print(json.dumps({"total_s": time.perf_counter() - started}))
"""

IMPORT = """
import json, sys, time
started = time.perf_counter()
import {name}
print(json.dumps({{"seconds": time.perf_counter() - started, "torch": "torch" in sys.modules}}))
"""


def run_fresh(code: str, cache: str = "") -> dict[str, float]:
    """Run `code` in a fresh process with its cache in `cache`; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRAPHC_CACHE": cache, "TRITON_CACHE_DIR": f"{cache}/triton"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT.parent, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"a fresh process failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_compile(code: str, repeats: int = 3) -> tuple[float, float]:
    """Return the median seconds of a cold and of a warm start."""
    cold, warm = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(run_fresh(code, cache)["total_s"])
            warm.append(run_fresh(code, cache)["total_s"])
    return statistics.median(cold), statistics.median(warm)


def measure_imports(repeats: int = 7) -> dict[str, float]:
    """Return the median seconds of importing sympy and graphc, alternated, and whether graphc brings torch in."""
    times: dict[str, list[dict[str, float]]] = {"sympy": [], "graphc": []}
    for _ in range(repeats):
        for name, found in times.items():
            found.append(run_fresh(IMPORT.format(name=name)))
    medians = {name: statistics.median(one["seconds"] for one in found) for name, found in times.items()}
    return {**medians, "torch": float(any(one["torch"] for one in times["graphc"]))}


def measure_help(repeats: int = 7) -> float:
    """Return the median seconds of CPU that ``graphc --help`` takes, the start of Python included."""
    taken = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "graphc", "--help"], cwd=ROOT.parent, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)
