"""What a machine can do at best: measured on this CPU, from data sheets for GPUs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from graphc.runtime.ahead import architecture

from .report import Machine

ARCHITECTURES: dict[str, tuple[str, float, float]] = {
    "sm_70": ("V100 SXM2", 900, 15_700),
    "sm_75": ("T4", 320, 8_100),
    "sm_80": ("A100 SXM 80 GB", 2_039, 19_500),
    "sm_86": ("A40", 696, 37_400),
    "sm_89": ("L40S", 864, 91_600),
    "sm_90": ("H100 SXM", 3_352, 66_900),
    "sm_100": ("B200", 8_000, 80_000),
    "gfx90a": ("MI250X, one die", 1_638, 23_900),
    "gfx942": ("MI300X", 5_300, 163_400),
}
"""By architecture: a device of it, GB/s of its memory and GFLOP/s in float32 outside matrix units, as published."""


def gpu(arch: str) -> Machine:
    """Return the machine that stands for an architecture; an unknown one is taken for sm_90."""
    number = architecture(arch)
    name = number if isinstance(number, str) else f"sm_{number}"
    known = name if name in ARCHITECTURES else "sm_90"
    device, gbytes, gflop = ARCHITECTURES[known]
    source = "published for this device" if known == name else f"published for this device; {name} is not in the table"
    return Machine(f"{device} ({known})", gbytes, gflop, source)


@lru_cache(maxsize=1)
def cpu() -> Machine:
    """Return this CPU, measured in a tenth of a second: a copy past its caches and a product of matrices."""
    import torch

    ring = [torch.ones(1 << 23) for _ in range(4)]
    a, b, out = torch.randn(512, 512), torch.randn(512, 512), torch.empty(512, 512)

    def copy() -> None:
        ring[1].copy_(ring[0])
        ring[3].copy_(ring[2])

    gbytes = 4 * ring[0].nbytes / 1e9 / _best(copy, 3)
    gflop = 2 * 512**3 / 1e9 / _best(lambda: torch.mm(a, b, out=out), 20)
    threads = torch.get_num_threads()
    source = "measured here: torch's copy of 32 MB arrays, and its product of 512 x 512 matrices in float32"
    return Machine(f"{_model()}, {threads} thread{'s' * (threads > 1)}", gbytes, gflop, source)


def _best(run: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times + 1):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found[1:])


def _model() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else "this CPU"
