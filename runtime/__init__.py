"""The runtime: a compiled network as a torch module."""

from .build import Options
from .module import Model, Run

__all__ = ["Model", "Options", "Run"]
