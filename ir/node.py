"""Value and Node: what a graph is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar

from .errors import VerifyError
from .loc import Loc
from .types import Type


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One value of a graph, compared by identity. `name` is a unique identifier; `loc` is the line the user wrote."""

    name: str
    type: Type
    loc: Loc | None = None

    def __repr__(self) -> str:
        return f"%{self.name}"


Self = TypeVar("Self", bound="Node")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operation: `result` from `operands`."""

    result: Value
    operands: tuple[Value, ...] = ()

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        raise NotImplementedError

    def verify(self) -> None:
        """Raise a VerifyError where this node breaks a rule of its class."""
        if (inferred := self.infer_type()) != self.result.type:
            self.fail(f"has type {self.result.type} but its operands make {inferred}")

    def substitute(self: Self, new: Mapping[Value, Value]) -> Self:
        """Return this node reading `new[v]` wherever it reads v; the same object when nothing changes."""
        if not any(v in new for v in self.operands):
            return self
        return replace(self, operands=tuple(new.get(v, v) for v in self.operands))

    def fail(self, message: str) -> NoReturn:
        """Raise a VerifyError about this node."""
        raise VerifyError(f"%{self.result.name} ({type(self).__name__}) {message}", self.result.loc)
