"""The floor of a call: what this device copies per second, measured with arrays that no cache holds."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

SMALLEST, LARGEST = 64 << 20, 512 << 20
"""Bytes of an array that is copied: eight times the last cache, within these."""


def copy_bandwidth(device: torch.device, repeats: int = 7) -> float:
    """Return the bytes per second, read plus written, of torch's copy on `device`.

    Args:
        device: where to measure.
        repeats: copies, of which the median counts, after one of warm-up.
    """
    count = _array_bytes(device) // 4
    source = torch.ones(count, dtype=torch.float32, device=device)
    copy = torch.zeros_like(source)
    times = []
    for _ in range(repeats + 1):
        synchronize(device)
        started = time.perf_counter()
        copy.copy_(source)
        synchronize(device)
        times.append(time.perf_counter() - started)
    return 2 * 4 * count / statistics.median(times[1:])


def synchronize(device: torch.device) -> None:
    """Wait until everything that was launched on `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def last_cache() -> int | None:
    """Return the bytes of this processor's largest cache, None where the system does not tell."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        number, unit = text[:-1], {"K": 10, "M": 20, "G": 30}.get(text[-1:])
        if unit is not None and number.isdigit():
            sizes.append(int(number) << unit)
    return max(sizes, default=None)


def _array_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return LARGEST
    return min(max(8 * (last_cache() or 0), SMALLEST), LARGEST)
