"""Rows of checks, and the tables that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """One line: what was checked, what was found, and whether that is as it must be.

    Attributes:
        about: the quantity, such as "hid.v" or "x_hid.weight".
        what: the kind of check.
        found: numbers in words; for a check that does not apply, why.
        ok: whether it is as it must be.
        applies: whether anything was checked.
    """

    about: str
    what: str
    found: str
    ok: bool = True
    applies: bool = True

    @property
    def status(self) -> Literal["ok", "FAIL", "n/a"]:
        """The verdict in one word."""
        return "n/a" if not self.applies else "ok" if self.ok else "FAIL"


def not_applicable(about: str, what: str, why: str) -> Row:
    """Return the row of a check that does not apply."""
    return Row(about, what, f"not applicable: {why}", applies=False)


@dataclass(frozen=True)
class Certificate:
    """One group of checks; `ok` when every row is, and printed it is a table.

    Attributes:
        title: what was checked.
        rows: the checks.
        fault: the quantity that is wrong first, in the order in which a step computes, and where; None where none is.
    """

    title: str
    rows: tuple[Row, ...]
    fault: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every row is as it must be."""
        return all(row.ok for row in self.rows)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that are not as they must be."""
        return tuple(row for row in self.rows if not row.ok)

    @property
    def first(self) -> str | None:
        """Where to look first: the fault, else the first failed row."""
        if self.ok:
            return None
        row = self.failed[0]
        return self.fault or f"{row.what} of {row.about}: {row.found}"

    def __str__(self) -> str:
        """Return the table."""
        wide = max((len(row.about) for row in self.rows), default=0)
        kind = max((len(row.what) for row in self.rows), default=0)
        lines = [f"  {r.status:4}  {r.what:{kind}}  {r.about:{wide}}  {r.found}" for r in self.rows]
        first = [f"first fault: {self.first}"] if not self.ok else []
        return "\n".join([self.title, *lines, *first, f"certificate: {'ok' if self.ok else 'FAILED'}"])

    def as_json(self) -> dict[str, Any]:
        """Return what --json prints."""
        rows = [{"what": r.what, "about": r.about, "status": r.status, "found": r.found} for r in self.rows]
        return {"title": self.title, "ok": self.ok, "fault": self.first, "rows": rows}
