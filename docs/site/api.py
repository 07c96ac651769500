"""The API reference: every public name, by the part of graphc that it belongs to."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import sympy

import graphc

TITLES = {
    "graphc.symbols": "Symbols",
    "graphc.functions": "Functions of expressions",
    "graphc.neuron": "Neurons",
    "graphc.network": "Networks",
    "graphc.connectivity": "Connectivity",
    "graphc.windows": "Convolutions and pooling",
    "graphc.delay": "Delays",
    "graphc.distributions": "Distributions",
    "graphc.plasticity": "Plasticity",
    "graphc.compile": "Compile",
    "graphc.runtime": "The model",
    "graphc.tune": "Tuning",
    "graphc.ir.errors": "Errors",
}
"""Files in the order of the page; others follow under their own names."""
MODULES = {
    "learn": "Learning: `gc.learn`",
    "surrogate": "Surrogates: `gc.surrogate`",
    "init": "Initial weights: `gc.init`",
    "data": "Data: `gc.data`",
    "nir": "NIR: `gc.nir`",
    "units": "Units: `graphc.units`",
}
"""Modules that are public as a whole."""


WITH_METHODS = ("graphc.network", "graphc.runtime", "graphc.tune", "graphc.data", "graphc.nir", "graphc.symbols")
"""Where the classes are whose methods users call; of others the constructor says everything."""
MEANINGS = {
    "t": "The time of the step in ms.",
    "dt": "The length of a step in ms.",
    "spike": "The neuron's own spike, in `reset` and `output`.",
    "weight": "The weight of a synapse, in `transmit` and in learning rules.",
}


def reference() -> str:
    """Return the page in Markdown, with the directives that read docstrings."""
    parts = []
    for file in sorted(graphc._SOURCES, key=lambda name: (name not in TITLES, [*TITLES, name].index(name))):
        parts.append(f"## {TITLES.get(file, file.removeprefix('graphc.').capitalize())}")
        parts.append(_directives("graphc", graphc._SOURCES[file]))
    for name, title in MODULES.items():
        module = importlib.import_module(f"graphc.{name}")
        public = getattr(module, "__all__", None) or [
            n for n, value in vars(module).items()
            if n[0].isupper() and inspect.isclass(value) and value.__module__ == module.__name__
        ]  # fmt: skip
        parts.append(f"## {title}")
        parts.append((module.__doc__ or "").partition("\n\n")[0])
        parts.append("`" + "`, `".join(public) + "`" if name == "units" else _directives(f"graphc.{name}", public))
    return "\n\n".join(parts)


def _directives(module: str, names: tuple[str, ...] | list[str]) -> str:
    lines = ["```{eval-rst}"]
    for name in names:
        lines += [*_directive(module, name, getattr(importlib.import_module(module), name)), ""]
    return "\n".join([*lines, "```"])


def _directive(module: str, name: str, value: Any) -> list[str]:
    if isinstance(value, sympy.Symbol):
        return [f".. py:data:: {module}.{name}", "", f"   {MEANINGS.get(name, type(value).__doc__)}"]
    if isinstance(value, dict):
        return [f".. py:data:: {module}.{name}", "", f"   By name: ``{'``, ``'.join(value)}``."]
    if inspect.isclass(value) and issubclass(value, sympy.Function):
        return [
            f".. py:function:: {module}.{name}(x)",
            "",
            *(f"   {line}" for line in (value.__doc__ or "").splitlines()),
        ]
    if inspect.isclass(value):
        return [f".. autoclass:: {module}.{name}", *["   :members:"] * (value.__module__.startswith(WITH_METHODS))]
    return [f".. autofunction:: {module}.{name}"]
