"""Writer: indented lines of source text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphc.ir.loc import Loc


class Writer:
    """Collects lines; ``block`` indents, and a `note` ends a line as a comment."""

    def __init__(self, comment: str = "//", indent: str = "    ") -> None:
        """Start empty; `comment` opens a comment that ends with its line, `indent` is one level of indentation."""
        self._comment, self._indent = comment, indent
        self._level = 0
        self._lines: list[str] = []

    def line(self, text: str = "", note: Loc | str | None = None) -> None:
        """Append one line; `note` is the user's line, or words."""
        tail = f"  {self._comment} {note}" if note is not None and str(note) else ""
        self._lines.append((self._indent * self._level + text + tail).rstrip())

    def lines(self, text: str) -> None:
        """Append a text of several lines at the current indentation."""
        for line in text.splitlines():
            self.line(line)

    def comment(self, text: str) -> None:
        """Append a line that is a comment."""
        self.line(f"{self._comment} {text}")

    @contextmanager
    def block(self, head: str, tail: str = "", note: Loc | str | None = None) -> Iterator[None]:
        """Append `head`, indent what is written inside, and append `tail` unless it is empty."""
        self.line(head, note)
        with self.indented():
            yield
        if tail:
            self.line(tail)

    @contextmanager
    def indented(self) -> Iterator[None]:
        """Indent what is written inside."""
        self._level += 1
        try:
            yield
        finally:
            self._level -= 1

    def text(self) -> str:
        """Return everything written, ending in a newline."""
        return "\n".join(self._lines) + "\n" if self._lines else ""
