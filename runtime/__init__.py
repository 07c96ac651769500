"""The runtime: a compiled network as a torch module."""

from .module import Model, Run

__all__ = ["Model", "Run"]
