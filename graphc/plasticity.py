"""Learning rules as equations on synapses."""

from __future__ import annotations

from typing import Any

from graphc.ir.errors import not_supported
from graphc.ir.loc import Loc


class Plasticity:
    """A learning rule of a connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Refuse: rules on synapses have no implementation."""
        not_supported("gc.Plasticity", Loc.caller(), "train the weights by gradient, learn=True")
