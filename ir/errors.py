"""The errors of graphc: what is wrong, on which line, and what to do about it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from .loc import Loc


class GraphcError(Exception):
    """Base of every error that graphc raises on purpose.

    Args:
        message: what is wrong.
        loc: the user's line.
        hint: what to do about it.
    """

    def __init__(self, message: str, loc: Loc | None = None, hint: str | None = None) -> None:
        """Keep the three parts."""
        super().__init__(message, loc, hint)
        self.message, self.loc, self.hint = message, loc, hint

    def __str__(self) -> str:
        """Return line, message, source line and hint."""
        lines = [self.message if self.loc is None else f"{self.loc}: {self.message}"]
        if self.loc is not None and self.loc.text:
            lines.append(f"    {self.loc.text}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    if sys.version_info < (3, 11):

        def add_note(self, note: str) -> None:
            """Attach `note`, as exceptions of Python 3.11 and later do by themselves."""
            self.__notes__ = [*getattr(self, "__notes__", ()), note]


class DeclarationError(GraphcError):
    """The declared model is wrong."""


class DeclarationErrors(DeclarationError):
    """Several errors of one declaration, raised together."""

    def __init__(self, errors: Sequence[DeclarationError]) -> None:
        """Keep the errors; message, line and hint are those of the first."""
        first = errors[0]
        super().__init__(first.message, first.loc, first.hint)
        self.args = (tuple(errors),)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        """Return the texts of all."""
        return "\n".join([f"{len(self.errors)} errors", *(str(error) for error in self.errors)])


class VerifyError(GraphcError):
    """A program of the compiler breaks its own rules: a defect of graphc, not of the model."""


class TargetError(GraphcError):
    """The requested target cannot run this program, or not on this machine."""


class NonFiniteError(GraphcError):
    """A state became NaN or infinite during a run."""


class StaleError(GraphcError, RuntimeError):
    """Something that the backward half of a call reads was changed after its forward half."""


class GraphcWarning(UserWarning):
    """Something legal that is rarely meant."""


def raise_all(errors: Sequence[DeclarationError]) -> None:
    """Raise the collected `errors` as one, or return when there are none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DeclarationErrors(errors)


def warn(message: str, loc: Loc) -> None:
    """Warn about the user's line `loc`."""
    warnings.warn_explicit(message, GraphcWarning, loc.file, loc.line)


def not_supported(what: str, loc: Loc | None = None, hint: str | None = None) -> NoReturn:
    """Refuse a declared name that has no implementation."""
    raise DeclarationError(f"{what} is not supported yet", loc, hint)
