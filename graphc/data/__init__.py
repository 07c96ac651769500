"""Data for spiking networks: event streams, ragged batches, encoders, and readers of recorded data sets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import folder
    from .encode import delta, latency, level_crossing, population, rate
    from .events import Events, dense_to_events, events_to_dense
    from .heidelberg import Heidelberg, Spoken
    from .ragged import Batch, pad
    from .recordings import Clamp, Ecg, braille, current_clamp, ecg

_SOURCES = {
    "catalog": ("folder",),
    "encode": ("delta", "latency", "level_crossing", "population", "rate"),
    "events": ("Events", "dense_to_events", "events_to_dense"),
    "heidelberg": ("Heidelberg", "Spoken"),
    "ragged": ("Batch", "pad"),
    "recordings": ("Clamp", "Ecg", "braille", "current_clamp", "ecg"),
}
_LAZY = {name: module for module, names in _SOURCES.items() for name in names}
"""Every name waits for its first use: the command line lists data sets without torch."""

__all__ = [
    "Batch",
    "Clamp",
    "Ecg",
    "Events",
    "Heidelberg",
    "Spoken",
    "braille",
    "current_clamp",
    "delta",
    "dense_to_events",
    "ecg",
    "events_to_dense",
    "folder",
    "latency",
    "level_crossing",
    "pad",
    "population",
    "rate",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'graphc.data' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"graphc.data.{_LAZY[name]}"), name)
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})
