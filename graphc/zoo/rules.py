"""What the rules of the zoo share: numbers that become parameters of the connection."""

from typing import Any

import sympy

import graphc as gc


def value(name: str, given: Any) -> Any:
    """Return a parameter called `name`, ``model.<connection>.<name>``; a gc.param is taken as it is."""
    return given if isinstance(given, sympy.Symbol) else gc.param(name, given)
