"""Initial weights from the neuron's own response."""

from __future__ import annotations

from typing import NoReturn

from graphc.ir.errors import not_supported
from graphc.ir.loc import Loc


def __getattr__(name: str) -> NoReturn:
    """Refuse every scheme: weights are drawn uniformly or from the distribution given to `connect`."""
    if name.startswith("__"):
        raise AttributeError(name)
    not_supported(f"gc.init.{name}", Loc.caller(), "give weight=gc.Normal(...) or gc.Uniform(...) to net.connect")
