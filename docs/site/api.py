"""The API reference: every public name, by the part of graphc that it belongs to."""

from __future__ import annotations

import importlib
import inspect

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
        value = getattr(importlib.import_module(module), name)
        if inspect.isclass(value):
            lines += [f".. autoclass:: {module}.{name}", "   :members:", "   :show-inheritance:" * _derived(value)]
        elif callable(value) and not hasattr(value, "free_symbols"):
            lines += [f".. autofunction:: {module}.{name}"]
        elif isinstance(value, dict):
            lines += [f".. py:data:: {module}.{name}", "", f"   By name: ``{'``, ``'.join(value)}``."]
        else:
            lines += [f".. autodata:: {module}.{name}", "   :no-value:"]
        lines.append("")
    return "\n".join([*lines, "```"])


def _derived(value: type) -> bool:
    return value.__base__ is not object and value.__base__.__module__.startswith("graphc")
