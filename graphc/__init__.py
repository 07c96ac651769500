"""Compile neuron models declared in sympy into fused forward and backward kernels."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.ir.errors import (
        DeclarationError,
        GraphcError,
        GraphcWarning,
        NonFiniteError,
        TargetError,
        VerifyError,
    )
    from graphc.runtime import Model

    from . import data, init, learn, nir, surrogate
    from .compile import compile
    from .connectivity import AllButSelf, Blocks, Dense, OneToOne, Sparse
    from .delay import LearnedDelay
    from .distributions import Exponential, LogNormal, Normal, Uniform
    from .functions import clip, exprel, relu, sigmoid, softplus, where
    from .likelihood import log_likelihood
    from .network import Network
    from .neuron import Neuron, Refractory, Spike
    from .plasticity import Plasticity
    from .symbols import (
        at_threshold,
        detach,
        dt,
        input,
        inputs,
        noise,
        param,
        params,
        post,
        pre,
        previous,
        spike,
        state,
        states,
        sum,
        t,
        weight,
    )
    from .tune import Tuning, tune
    from .windows import AvgPool, Conv1d, Conv2d, ConvTranspose, SumPool

__version__ = "0.1.0"

__all__ = [
    "AllButSelf",
    "AvgPool",
    "Blocks",
    "Conv1d",
    "Conv2d",
    "ConvTranspose",
    "DeclarationError",
    "Dense",
    "Exponential",
    "GraphcError",
    "GraphcWarning",
    "LearnedDelay",
    "LogNormal",
    "Model",
    "Network",
    "Neuron",
    "NonFiniteError",
    "Normal",
    "OneToOne",
    "Plasticity",
    "Refractory",
    "Sparse",
    "Spike",
    "SumPool",
    "TargetError",
    "Tuning",
    "Uniform",
    "VerifyError",
    "at_threshold",
    "clip",
    "compile",
    "data",
    "detach",
    "dt",
    "exprel",
    "init",
    "input",
    "inputs",
    "learn",
    "log_likelihood",
    "nir",
    "noise",
    "param",
    "params",
    "post",
    "pre",
    "previous",
    "relu",
    "sigmoid",
    "softplus",
    "spike",
    "state",
    "states",
    "sum",
    "surrogate",
    "t",
    "tune",
    "units",
    "weight",
    "where",
    "zoo",
]

_SOURCES = {
    "graphc.ir.errors": (
        "DeclarationError", "GraphcError", "GraphcWarning", "NonFiniteError", "TargetError", "VerifyError",
    ),
    "graphc.runtime": ("Model",),
    "graphc.compile": ("compile",),
    "graphc.connectivity": ("AllButSelf", "Blocks", "Dense", "OneToOne", "Sparse"),
    "graphc.delay": ("LearnedDelay",),
    "graphc.distributions": ("Exponential", "LogNormal", "Normal", "Uniform"),
    "graphc.functions": ("clip", "exprel", "relu", "sigmoid", "softplus", "where"),
    "graphc.likelihood": ("log_likelihood",),
    "graphc.network": ("Network",),
    "graphc.neuron": ("Neuron", "Refractory", "Spike"),
    "graphc.plasticity": ("Plasticity",),
    "graphc.symbols": (
        "at_threshold", "detach", "dt", "input", "inputs", "noise", "param", "params", "post", "pre", "previous",
        "spike", "state", "states", "sum", "t", "weight",
    ),
    "graphc.tune": ("Tuning", "tune"),
    "graphc.windows": ("AvgPool", "Conv1d", "Conv2d", "ConvTranspose", "SumPool"),
}  # fmt: skip
_LAZY = {name: module for module, names in _SOURCES.items() for name in names}
"""Every public name waits for its first use: the command line shows its help without sympy."""

_LAZY_MODULES = frozenset({"codegen", "data", "init", "learn", "nir", "passes", "runtime", "surrogate", "units", "zoo"})


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name in _LAZY:
        value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
        return value
    if name in _LAZY_MODULES:
        return importlib.import_module(f"graphc.{name}")
    raise AttributeError(f"module 'graphc' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """The type of this module: `graphc.compile` and `graphc.tune` stay functions, although files have these names."""

    def __setattr__(self, name: str, value: object) -> None:
        """Keep the import of a file from hiding the function of its name."""
        if not (name in ("compile", "tune") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
