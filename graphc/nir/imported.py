"""What an imported network remembers of its NIR graph, so that it can be written as it was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.network import Network

from .dialect import Dialect
from .file import Tree

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Slot:
    """One array of a NIR node, and the parameter that holds it.

    Attributes:
        node: name of the node.
        field: of the node.
        owner: population or connection.
        attribute: parameter of it.
        layout: "same", "ms" (seconds there), "transposed" or "blocks" (batched matrices there).
        value: what the import made of the array.
    """

    node: str
    field: str
    owner: str
    attribute: str
    layout: str
    value: Array


INTO: dict[str, Callable[[Array], Array]] = {
    "same": lambda a: a,
    "ms": lambda a: a * 1000.0,
    "transposed": lambda a: a.T,
    "blocks": lambda a: a.reshape(-1, *a.shape[-2:]).transpose(0, 2, 1),
}
"""From the array of a NIR node to that of a parameter."""

BACK: dict[str, Callable[[Array], Array]] = {
    "same": lambda a: a,
    "ms": lambda a: a / 1000.0,
    "transposed": lambda a: a.T,
    "blocks": lambda a: a.transpose(0, 2, 1),
}
"""The other way round."""


class ImportedNetwork(Network):
    """A network that was read from a NIR graph.

    Attributes:
        dialect: how the graph is run in steps.
        names: the population, connection or input of every NIR node that has one.
        tree: the graph as it was read.
        slots: which parameter holds which array of it.
        shape_at_import: the names of its parts, to see whether any was added.
    """

    def __init__(self, dt: Any, dialect: Dialect, tree: Tree) -> None:
        """Start empty, with the choices of the dialect on the semantics card."""
        super().__init__(dt)
        self.dialect, self.tree = dialect, tree
        self.names: dict[str, str] = {}
        self.slots: list[Slot] = []
        self.notes = dialect.lines
        self.shape_at_import: tuple[Any, ...] = ()

    @property
    def parts(self) -> tuple[Any, ...]:
        """The names of everything in it."""
        return tuple(self.inputs), tuple(self.populations), tuple(self.connections), self.outputs
