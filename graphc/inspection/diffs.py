"""Two texts of a program side by side: lines that define the same value stand in one row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from .markup import Markup, join, tag

AROUND = 2
_VALUE = re.compile(r"^\s*%(\w+):")
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Row:
    """A row: numbers and lines of both sides, None where a side has nothing."""

    old: tuple[int, str] | None
    new: tuple[int, str] | None

    @property
    def same(self) -> bool:
        """Whether both sides say the same."""
        return self.old is not None and self.new is not None and self.old[1] == self.new[1]


def rows_of(old: Sequence[str], new: Sequence[str]) -> list[Row]:
    """Return all rows, those that did not change among them."""
    found: list[Row] = []
    for op, a0, a1, b0, b1 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        left, right = [(k + 1, old[k]) for k in range(a0, a1)], [(k + 1, new[k]) for k in range(b0, b1)]
        if op == "equal":
            found += [Row(x, y) for x, y in zip(left, right, strict=True)]
        else:
            found += _paired(left, right)
    return found


def _paired(left: list[tuple[int, str]], right: list[tuple[int, str]]) -> Iterator[Row]:
    """Yield rows of a block that changed, in the order of the new text."""
    named = {m[1]: k for k, (_, line) in enumerate(left) if (m := _VALUE.match(line))}
    at = 0
    for number, line in right:
        match = _VALUE.match(line)
        other = named.get(match[1]) if match else None
        if other is not None and other >= at:
            yield from (Row(x, None) for x in left[at:other])
            yield Row(left[other], (number, line))
            at = other + 1
        else:
            yield Row(None, (number, line))
    yield from (Row(x, None) for x in left[at:])


def shown(rows: Sequence[Row]) -> Iterator[Row | int]:
    """Yield the rows that changed and `AROUND` of them, and how many rows are left out between."""
    keep: set[int] = set()
    for k, row in enumerate(rows):
        if not row.same:
            keep.update(range(k - AROUND, k + AROUND + 1))
    skipped = 0
    for k, row in enumerate(rows):
        if k in keep:
            if skipped:
                yield skipped
            skipped = 0
            yield row
        else:
            skipped += 1
    if skipped:
        yield skipped


def words(old: str, new: str) -> tuple[Markup, Markup]:
    """Return two lines with what they do not have in common marked."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    left: list[object] = []
    right: list[object] = []
    for op, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        x, y = "".join(a[a0:a1]), "".join(b[b0:b1])
        left.append(x if op == "equal" or not x else tag("del", x))
        right.append(y if op == "equal" or not y else tag("ins", y))
    return join(left), join(right)
