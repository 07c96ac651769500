"""What a model asks of the declaration, which the runtime does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from graphc.ir import Program
from graphc.passes import Request

if TYPE_CHECKING:
    from .module import Model


class Inspection(Protocol):
    """Answers about one model."""

    def graph(self, stage: str, **key: Any) -> str:
        """Return the IR after a stage."""
        ...

    def source(self, half: str, what: str | None, **key: Any) -> str:
        """Return a generated text."""
        ...

    def explain(self, **key: Any) -> str:
        """Return what the model computes and how."""
        ...

    def verify(self, inputs: Any, *, steps: int | None, batch_size: int | None) -> Any:
        """Return how the target compares with the reference."""
        ...


class Compiler(Protocol):
    """What turns a request into a program; the runtime does not know the declaration."""

    def lowered(self, records: tuple[str, ...]) -> Program:
        """Return the declared program that writes `records`."""
        ...

    def program(self, request: Request) -> Program:
        """Return the program of one request."""
        ...

    def inspect(self, model: Model) -> Inspection:
        """Return what answers questions about `model`."""
        ...
