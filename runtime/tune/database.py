"""The tuning database: one SQLite file to which every run of the tuner adds rows, and from which models read."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from graphc.ir import GraphcError
from graphc.passes import check_options
from graphc.runtime.cache import tuning_file

from .identity import COLUMNS, Identity

LOG = logging.getLogger("graphc.tune")
FORMAT = 1
WAIT, READ = 60.0, 5.0  # seconds that a writer and a reader wait for others
NEAR = 2  # doublings of T and of B between a call and the entry that serves it

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    graph TEXT NOT NULL, target TEXT NOT NULL, device TEXT NOT NULL, capability TEXT NOT NULL, dtype TEXT NOT NULL,
    learns INTEGER NOT NULL, steps INTEGER NOT NULL, batch INTEGER NOT NULL,
    graphc TEXT NOT NULL, compiler TEXT NOT NULL, driver TEXT NOT NULL,
    network TEXT NOT NULL, schedule TEXT NOT NULL, ms REAL NOT NULL, default_ms REAL NOT NULL,
    tried INTEGER NOT NULL, seed INTEGER NOT NULL, made TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_graph ON entries (graph);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one run of the tuner found.

    Attributes:
        identity: what it is valid for.
        network: how the network was named.
        schedule: the options that were fastest; empty where the defaults were.
        ms: milliseconds of a call with them.
        default_ms: of a call with the defaults, measured in alternation.
        tried: candidates that were timed.
        seed: of the search.
        made: when, in UTC.
        id: number of the row, 0 for one that is not in a database.
    """

    identity: Identity
    network: str
    schedule: Mapping[str, int | str]
    ms: float
    default_ms: float
    tried: int
    seed: int
    made: str = ""
    id: int = 0

    @property
    def gain(self) -> float:
        """How many times faster than the defaults."""
        return self.default_ms / self.ms

    def __str__(self) -> str:
        """Return a line for people."""
        size = f"T up to {self.identity.steps}, B up to {self.identity.batch}"
        return (
            f"entry {self.id} of {self.made}, {size}: {options_in_words(self.schedule)}, {self.gain:.2f}x the defaults"
        )


def options_in_words(schedule: Mapping[str, int | str]) -> str:
    """Return options as people read them."""
    return ", ".join(f"{name} {value}" for name, value in schedule.items()) or "the defaults"


class Database:
    """A file of entries; rows are added, and dropped by request alone, so that concurrent writers lose none."""

    def __init__(self, path: Path) -> None:
        """Remember the file; it is made by the first `add`."""
        self.path = path

    @classmethod
    def open(cls, path: Path | None = None) -> Database:
        """Return the database at `path`, or the one that models read.

        Raises:
            GraphcError: GRAPHC_TUNE_DB is set to nothing.
        """
        found = path or tuning_file()
        if found is None:
            raise GraphcError("GRAPHC_TUNE_DB is empty: there is no tuning database", hint="unset it, or name a file")
        return cls(found)

    def add(self, entries: Iterable[Entry]) -> list[int]:
        """Add rows, all or none, and return their numbers."""
        names = (*COLUMNS, "network", "schedule", "ms", "default_ms", "tried", "seed", "made")
        line = f"INSERT INTO entries ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        added: list[int] = []
        self.prepare()
        with self._writing() as connection:
            for entry in entries:
                made = entry.made or datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
                own = (entry.network, json.dumps(dict(entry.schedule)), entry.ms, entry.default_ms)
                values = (*entry.identity.row(), *own, entry.tried, entry.seed, made)
                added.append(int(connection.execute(line, values).lastrowid or 0))
        return added

    def entries(self, graph: str | None = None) -> list[Entry]:
        """Return the rows, of one network or of all, the oldest first; those that make no sense are left out."""
        if not self.path.exists():
            return []
        with self._reading() as connection:
            if not _made(connection):
                return []
            where, values = ("WHERE graph = ?", (graph,)) if graph else ("", ())
            rows = connection.execute(f"SELECT * FROM entries {where} ORDER BY id", values).fetchall()
        return [entry for row in rows if (entry := _read(row)) is not None]

    def get(self, number: int) -> Entry:
        """Return one row.

        Raises:
            GraphcError: there is no such row.
        """
        for entry in self.entries():
            if entry.id == number:
                return entry
        raise GraphcError(f"{self.path} has no entry {number}", hint="graphc tune --list shows them")

    def drop(self, numbers: Iterable[int]) -> int:
        """Remove rows and return how many there were."""
        if not self.path.exists():
            return 0
        with self._writing() as connection:
            if not _made(connection):
                return 0
            return sum(
                connection.execute("DELETE FROM entries WHERE id = ?", (n,)).rowcount
                for n in numbers
                if abs(n) < 1 << 63
            )

    def count(self) -> int:
        """Return the number of rows."""
        return len(self.entries())

    def export(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {"format": FORMAT, "entries": [plain(entry) for entry in self.entries()]}

    def take(self, document: Any) -> int:
        """Add the rows of an exported document that are not there yet, and return how many these were.

        Raises:
            GraphcError: it is no such document.
        """
        rows = document.get("entries") if isinstance(document, dict) and document.get("format") == FORMAT else None
        if not isinstance(rows, list):
            raise GraphcError("this is no export of a tuning database", hint="graphc tune --export FILE makes one")
        here = {_content(entry) for entry in self.entries()}
        given = [_from_plain(item) for item in rows]
        return len(self.add([entry for entry in given if _content(entry) not in here]))

    def check(self) -> list[str]:
        """Return what is wrong with the file, a line each."""
        if not self.path.exists():
            return []
        try:
            with self._reading() as connection:
                found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
                total = connection.execute("SELECT count(*) FROM entries").fetchone()[0] if _made(connection) else 0
        except GraphcError as error:
            return [error.message]
        unread = total - self.count()
        wrong = [line for line in found if line != "ok"]
        return wrong + ([f"{unread} entries cannot be read"] if unread else [])

    def lookup(self, wanted: Identity, sized: bool = True) -> Entry | None:
        """Return the entry for a call: made on this device by these tools, of the nearest size, of equals the newest.

        What was made elsewhere or by other versions is passed over with a line in the log; so is a damaged file.

        Args:
            wanted: the identity of the call.
            sized: whether its size is known; else the newest entry serves.
        """
        try:
            rows = self.entries(wanted.graph)
        except GraphcError as error:
            LOG.warning("%s", error)
            return None
        best: tuple[float, int, Entry] | None = None
        for entry in rows:
            made = entry.identity
            if made.place != wanted.place:
                LOG.info("entry %d of %s is for another device or use: %s", entry.id, self.path, made.place)
                continue
            if made.tools != wanted.tools:
                LOG.warning(
                    "entry %d of %s is stale: made by %s", entry.id, self.path, ", ".join(filter(None, made.tools))
                )
                continue
            apart = _doublings(made.steps, wanted.steps), _doublings(made.batch, wanted.batch)
            if sized and max(apart) > NEAR:
                continue
            rank = (float(-sum(apart)) if sized else 0.0, entry.id, entry)
            best = rank if best is None or rank[:2] > best[:2] else best
        return best[2] if best else None

    def prepare(self) -> None:
        """Make the file where it is not there.

        Raises:
            GraphcError: it cannot be written, or is no database.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GraphcError(f"cannot make the folder of the tuning database {self.path}: {error}") from error
        with self._writing() as connection:
            if not _made(connection):
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open the file; what happens inside is one transaction."""
        with self._guarded(), self._connection(self.path, uri=False) as connection, connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file to read; not read-only, which could not roll back what a killed writer left half done."""
        address = self.path.resolve().as_uri() + "?mode=rw"
        with self._guarded(), self._connection(address, uri=True) as connection:
            yield connection

    @contextmanager
    def _connection(self, address: Path | str, uri: bool) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(address, timeout=READ if uri else WAIT, uri=uri)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise GraphcError(
                f"the tuning database {self.path} cannot be used: {error}",
                hint="move it away, or name another file in GRAPHC_TUNE_DB",
            ) from error


def _made(connection: sqlite3.Connection) -> bool:
    """Return whether the tables are there; a writer may have been killed before it made them."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, FORMAT):
        raise sqlite3.DatabaseError(f"it is of format {version}, and this version of graphc reads {FORMAT}")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("it holds other tables than those of a tuning database")
    return bool(version)


def _doublings(a: int, b: int) -> int:
    return abs(a.bit_length() - b.bit_length())


def _read(row: sqlite3.Row) -> Entry | None:
    """Return a row as an entry, None where it holds what no entry can."""
    try:
        plain = {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a row gives its values
        plain["schedule"] = json.loads(plain["schedule"])
        return _from_plain(plain)
    except (GraphcError, TypeError, ValueError):
        LOG.warning("entry %s of the tuning database cannot be read", row["id"])
        return None


def plain(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain data."""
    found = asdict(entry)
    identity: dict[str, Any] = found.pop("identity")
    return identity | found


def _content(entry: Entry) -> str:
    return json.dumps({k: v for k, v in plain(entry).items() if k != "id"}, sort_keys=True)


def _from_plain(item: Any) -> Entry:
    """Return an entry of plain data.

    Raises:
        GraphcError: something is missing, or a number is none.
    """
    try:
        kinds: dict[str, Any] = dict.fromkeys(COLUMNS, str) | {"learns": bool, "steps": int, "batch": int}
        values: dict[str, Any] = {name: kind(item[name]) for name, kind in kinds.items()}
        identity = Identity(**values)
        schedule = dict(item["schedule"])
        check_options(schedule)
        ms, default_ms = float(item["ms"]), float(item["default_ms"])
        if not (0 < ms < float("inf") and 0 < default_ms < float("inf")):
            raise ValueError("a time is not positive")
        numbers = [int(item[name]) for name in ("tried", "seed", "id")]
        if any(not -(1 << 63) <= n < 1 << 63 for n in (*numbers, identity.steps, identity.batch)):
            raise ValueError("a number has more than 64 bits")
        texts = str(item["network"]), str(item["made"])
        for text in (*texts, *(v for v in identity.row() if isinstance(v, str))):
            text.encode()
        tried, seed, number = numbers
        return Entry(identity, texts[0], schedule, ms, default_ms, tried, seed, texts[1], number)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise GraphcError(f"this is no entry of a tuning database: {error}") from error
