"""Compile neuron models declared in sympy into fused forward and backward kernels."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from graphc.ir.errors import (
    DeclarationError,
    GraphcError,
    GraphcWarning,
    NonFiniteError,
    TargetError,
    VerifyError,
)

from . import learn, surrogate
from .connectivity import AllButSelf, Blocks, Dense, OneToOne, Sparse
from .delay import LearnedDelay
from .distributions import LogNormal, Normal, Uniform
from .functions import clip, exprel, relu, sigmoid, softplus, where
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
from .windows import AvgPool, Conv1d, Conv2d, ConvTranspose

if TYPE_CHECKING:
    from graphc.runtime import Model

    from .compile import compile

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
    "TargetError",
    "Uniform",
    "VerifyError",
    "at_threshold",
    "clip",
    "compile",
    "detach",
    "dt",
    "exprel",
    "init",
    "input",
    "inputs",
    "learn",
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
    "units",
    "weight",
    "where",
    "zoo",
]

# What imports torch, or units, waits for its first use.
_LAZY = {"Model": "graphc.runtime", "compile": "graphc.compile"}
_LAZY_MODULES = frozenset({"codegen", "init", "passes", "runtime", "units", "zoo"})


def __getattr__(name: str) -> Any:
    """Import on first use what `import graphc` leaves out."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _LAZY_MODULES:
        return importlib.import_module(f"graphc.{name}")
    raise AttributeError(f"module 'graphc' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """The type of this module: `graphc.compile` stays the function, although the file it lives in has the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        """Keep the import of graphc/compile.py from hiding the function."""
        if not (name == "compile" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
