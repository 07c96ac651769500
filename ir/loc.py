"""Where in the user's files something was declared."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Loc:
    """A line of a user's file; ``str(loc)`` is ``lif.py:12``."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return base name and line."""
        return f"{os.path.basename(self.file)}:{self.line}"

    @staticmethod
    def caller() -> Loc:
        """Return the line of the innermost frame that is not graphc's own code."""
        frame = sys._getframe(1)
        while frame.f_back is not None and is_library(frame.f_globals.get("__name__", "")):
            frame = frame.f_back
        return Loc(frame.f_code.co_filename, frame.f_lineno)

    @property
    def text(self) -> str:
        """The source line, stripped; empty when the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def entry(self, keyword: str, index: int | None = None) -> Loc:
        """Return the line of a keyword argument of the call at this line, or of one key of its dict literal.

        Args:
            keyword: name of the keyword argument.
            index: position of the key in the dict literal; None for the argument itself.

        Returns:
            This very Loc when the source does not say (no file, not a literal, an unpacked mapping).
        """
        calls = [call for call in self._calls() if any(k.arg == keyword for k in call.keywords)]
        if not calls:
            return self
        call = min(calls, key=lambda c: (c.lineno != self.line, (c.end_lineno or c.lineno) - c.lineno))
        value = next(k.value for k in call.keywords if k.arg == keyword)
        if index is None:
            return Loc(self.file, value.lineno)
        if not isinstance(value, ast.Dict) or None in value.keys or index >= len(value.keys):
            return self
        key = value.keys[index]
        return self if key is None else Loc(self.file, key.lineno)

    def _calls(self) -> list[ast.Call]:
        calls = _calls_in("".join(linecache.getlines(self.file)))
        return [call for call in calls if call.lineno <= self.line <= (call.end_lineno or call.lineno)]


@lru_cache(maxsize=16)
def _calls_in(source: str) -> tuple[ast.Call, ...]:
    try:
        return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    except SyntaxError:
        return ()


def is_library(module: str) -> bool:
    """Return whether `module` is graphc's own code; the zoo is not, it declares models as a user does."""
    if module == "graphc.zoo" or module.startswith("graphc.zoo."):
        return False
    return module == "graphc" or module.startswith("graphc.")
