"""``graphc data``: data sets that are known, fetched when asked for by name, and checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .command import FAILED, Command, Group, console, refuse, show, wants

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.data.catalog import DataSet, File

STATED = ", as tonic and SpikingJelly state it"
"""Who says what the checksum of an archive is."""


class SetName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """The name of a data set; completion knows them all."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with `incomplete`."""
        from graphc.data.catalog import SETS

        return [CompletionItem(s.name, help=s.about) for s in SETS if s.name.startswith(incomplete)]


@click.group(cls=Group, short_help="List, fetch and check data sets.")
def data() -> None:
    """List, fetch and check the data sets that graphc.data reads.

    They are kept in $GRAPHC_DATA. Nothing is downloaded but by `graphc data fetch`.
    """


@data.command(cls=Command, name="list", short_help="List data sets, where they come from, and which are here.")
def list_() -> None:
    """List data sets, where they come from, under which licence, and which of their files are here."""
    from graphc.data.catalog import SETS, root

    document = {"folder": str(root()), "sets": [_told(s, root()) for s in SETS]}
    show(document, lambda console: _print_sets(console, document))


@data.command(cls=Command, short_help="Compare the files that are here with their checksums.")
@click.argument("names", type=SetName(), nargs=-1, metavar="[NAME]...")
def check(names: tuple[str, ...]) -> None:
    """Compare the files of data sets that are here with their SHA-256, and open what has none.

    Status 1 where a file is another one, or one of a set that was named is absent.
    """
    from graphc.data.catalog import SETS, named, root

    sets = [named(name) for name in names] or list(SETS)
    found = [_checked(s, f, root(), bool(names)) for s in sets for f in s.files]
    is_ok = all(row["verdict"] != "wrong" for row in found)
    show({"ok": is_ok, "folder": str(root()), "files": found}, lambda console: _print_checks(console, found))
    if not is_ok:
        raise click.exceptions.Exit(FAILED)


@data.command(cls=Command, short_help="Download a data set, asked for by name, and verify it.")
@click.argument("name", type=SetName())
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="Instead of $GRAPHC_DATA."
)
@click.option("--yes", is_flag=True, help="Download without asking.")
def fetch(name: str, to: Path | None, yes: bool) -> None:
    """Say what would be downloaded, from where and under which licence; ask; download, verify and unpack it.

    A download that ended early goes on where it stopped. A file appears in one piece, after its checksum was found
    right. Where the source states no SHA-256, that of the first download is kept beside the file.
    """
    from graphc.data.catalog import named, root

    found = named(name)
    if not found.is_fetched:
        refuse(f"{name} cannot be downloaded as it is read", f"its source is {found.source}")
    where = to or root()
    if not wants("json"):
        _print_plan(console(), found, where)
    if not yes:
        _ask(name)
    rows = [{"file": str(found.path(f, where)), "sha256": _fetched(found, f, where)} for f in found.files]
    document = {"name": name, "licence": found.licence, "source": found.source, "files": rows}
    show(document, lambda console: _print_fetched(console, rows))


def _told(found: DataSet, where: Path) -> dict[str, Any]:
    files = [
        {
            "file": f.name,
            "here": found.path(f, where).is_file(),
            "sha256": f.sha256,
            "url": f.archive,
            "md5_of_archive": f.md5,
        }
        for f in found.files
    ]
    return {
        "name": found.name,
        "about": found.about,
        "source": found.source,
        "licence": found.licence,
        "here": all(f["here"] for f in files),
        "files": files,
    }


def _checked(found: DataSet, file: File, where: Path, is_asked_for: bool) -> dict[str, Any]:
    """Return the verdict on one file: ok, note or wrong."""
    from graphc.data import fetch
    from graphc.ir.errors import GraphcError

    path = found.path(file, where)
    row: dict[str, Any] = {"set": found.name, "file": str(path)}
    if not path.is_file():
        return row | {"verdict": "wrong" if is_asked_for else "note", "found": "absent"}
    try:
        if (sha256 := fetch.check(file, path)) is not None:
            return row | {"verdict": "ok", "found": f"SHA-256 {sha256}"}
        from graphc.data.heidelberg import Heidelberg

        opened = Heidelberg(path)
        opened.close()
    except GraphcError as error:
        return row | {"verdict": "wrong", "found": error.message.removeprefix(f"{path}").lstrip(": ")}
    return row | {"verdict": "note", "found": f"{len(opened)} samples; no SHA-256 is known or was kept"}


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _ask(name: str) -> None:
    """Return when the user has typed the name of the set; else end the command."""
    if wants("json") or not _is_terminal():
        refuse("nothing was downloaded: nobody can be asked here", "--yes downloads without asking")
    try:
        answer = input(f"type {name} to download it: ")
    except EOFError:
        answer = ""
    if answer.strip() != name:
        refuse("nothing was downloaded")


def _fetched(found: DataSet, file: File, where: Path) -> str:
    from graphc.data import fetch

    if wants("json"):
        return fetch.fetch(found, file, where)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(file.name, total=None)
        return fetch.fetch(found, file, where, lambda done, total: bar.update(task, completed=done, total=total))


def _print_sets(console: Console, document: dict[str, Any]) -> None:
    for row in document["sets"]:
        state = "here" if row["here"] else "absent"
        console.print(f"[bold]{row['name']}[/] ({state}, {row['licence']}): {row['about']}")
        console.print(f"  {row['source']}", markup=False)
    console.print(f"\nthey are kept in {document['folder']}", markup=False)
    fetched = [row["name"] for row in document["sets"] if any(f["url"] for f in row["files"])]
    console.print(f"graphc data fetch NAME downloads {' and '.join(fetched)}")


def _print_checks(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.text import Text

    styles = {"ok": "green", "note": "yellow", "wrong": "bold red"}
    for row in rows:
        verdict = row["verdict"]
        console.print(Text.assemble((f"{verdict:5}", styles[verdict]), f"  {row['file']}  {row['found']}"))


def _print_plan(console: Console, found: DataSet, where: Path) -> None:
    console.print(f"{found.about}\nsource   {found.source}\nlicence  {found.licence}", markup=False)
    for file in found.files:
        path = found.path(file, where)
        if path.exists():
            console.print(f"\n{path} is here", markup=False)
            continue
        console.print(f"\nfrom     {file.archive}\nto       {path}", markup=False)
        console.print(f"archive  MD5 {file.md5 or 'not known'}{STATED if file.md5 else ''}", markup=False)
        console.print(f"file     SHA-256 {file.sha256 or 'not published: kept when it comes first'}", markup=False)
    console.print()


def _print_fetched(console: Console, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        console.print(f"{row['file']}\n  SHA-256 {row['sha256']}", markup=False)
