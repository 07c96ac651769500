"""``graphc tune``: search for a schedule, and keep the database of what was found."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import INTERRUPTED, Command, console, refuse, show, wants
from .network import NETWORK, load
from .options import compiled_as, dtype_of, inputs_of, learning, run_on

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.runtime.tune.database import Database, Entry
    from graphc.runtime.tune.search import Search, Tried
    from graphc.tune import Tuning

FILE = click.Path(dir_okay=False, path_type=Path)
SHOWN = 12  # candidates of the table
DRY = 40.0  # seconds that a dry run builds candidates at most


@click.command(cls=Command)
@click.argument("network", type=NETWORK, metavar="[NETWORK]", required=False)
@compiled_as
@run_on
@click.option("--device", help="cpu, cuda or cuda:1; the CPU by default, a GPU for target triton.")
@click.option("--budget", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, help="Seconds.")
@click.option("--dry-run", is_flag=True, help="Rank candidates by a model and by building them; time nothing.")
@click.option("--arch", help="What a dry run is for: sm_80, sm_90 or gfx942.")
@click.option("--no-save", is_flag=True, help="Write nothing to the database.")
@click.option("--database", type=FILE, metavar="FILE", help="The database; the one that gc.compile reads by default.")
@click.option("--list", "listed", is_flag=True, help="List the entries of the database.")
@click.option("--show", "shown", type=int, metavar="ID", help="Show an entry.")
@click.option("--drop", type=int, multiple=True, metavar="ID", help="Remove an entry; may be repeated.")
@click.option("--export", type=FILE, metavar="FILE", help="Write all entries to a JSON file.")
@click.option("--import", "imported", type=FILE, metavar="FILE", help="Add the entries of such a file.")
def tune(
    network: str | None,
    target: str,
    learn: str,
    dtype: str,
    precision: str,
    steps: int | None,
    batch: int,
    rate: float,
    seed: int,
    inputs: Path | None,
    device: str | None,
    budget: float,
    dry_run: bool,
    arch: str | None,
    no_save: bool,
    database: Path | None,
    listed: bool,
    shown: int | None,
    drop: tuple[int, ...],
    export: Path | None,
    imported: Path | None,
) -> None:
    """Find the schedule with which NETWORK runs fastest here, and keep it for gc.compile.

    Candidates are timed in alternation with the defaults on inputs of the given size and rate, checked to compute the
    same numbers, and kept in the tuning database where they are faster. Ctrl-C keeps what is known.
    """
    asked = [listed, shown is not None, bool(drop), export is not None, imported is not None]
    if sum(asked) + (network is not None) != 1:
        raise click.UsageError("name a NETWORK, or one of --list, --show, --drop, --export and --import")
    if arch is not None and not dry_run:
        raise click.UsageError("--arch is for --dry-run; tuning uses the device at hand")
    if network is None:
        _keep(database, listed, shown, drop, export, imported)
        return
    loaded = load(network)
    given = inputs_of(loaded, steps, batch, rate, seed, inputs)
    length = int(next(iter(given.values())).shape[0]) if given else steps or loaded.steps
    samples = int(next(iter(given.values())).shape[1]) if given else batch
    if dry_run:
        _dry_run(loaded.network, target, learn, dtype, precision, length, samples, budget, arch or "sm_90")
        return
    from graphc.runtime.products import NARROW
    from graphc.tune import tune as tune_network

    where = device or ("cuda" if target == "triton" else "cpu")
    check_device(where)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    kind = NARROW.get(precision, dtype_of(dtype))
    with _Live(budget) as live:
        found = tune_network(
            loaded.network,
            {name: x.to(where, kind) for name, x in given.items()} if given else None,
            learn=learning(learn),
            target=target,
            dtype=dtype_of(dtype),
            precision=precision,
            device=where,
            steps=length,
            batch_size=samples,
            budget=budget,
            seed=seed,
            database=database,
            save=not no_save,
            name=loaded.name,
            progress=live.told,
        )
    show(_document(found, loaded.name), lambda out: _print(out, found))
    if found.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)


def check_device(name: str) -> None:
    """Refuse a device that is not there."""
    import torch

    try:
        wanted: torch.device | None = torch.device(name)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda"):
        refuse(f"{name!r} is no device that graphc runs on", "use cpu, cuda or cuda:1")
    if wanted.type == "cuda" and (not torch.cuda.is_available() or (wanted.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        hint = "use --target c, or --dry-run --arch sm_90, which needs no GPU"
        refuse(f"there is no device {name}: torch finds {count} GPUs", hint)


class _Live:
    """Progress on stderr: seconds left, candidates, and the best so far; nothing where nobody watches."""

    def __init__(self, budget: float) -> None:
        self.budget = budget

    def __enter__(self) -> _Live:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=console(stderr=True), disable=wants("json") or not sys.stderr.isatty())
        self.task = self.bar.add_task("building the defaults", total=self.budget)
        self.bar.start()
        return self

    def told(self, search: Search, tried: Tried) -> None:
        """Show one more candidate."""
        best = _words(search.best) if search.best else "the defaults"
        what = f"{len(search.tried)} tried, best {search.gain:.2f}x: {best}"
        self.bar.update(self.task, description=what, completed=self.budget - max(search.left, 0))

    def __exit__(self, *error: object) -> None:
        self.bar.stop()


def _words(options: Any) -> str:
    from graphc.runtime.tune.database import options_in_words

    return options_in_words(options)


def _document(found: Tuning, name: str) -> dict[str, Any]:
    return {
        "network": name,
        "schedule": dict(found.schedule),
        "gain": found.gain,
        "ms": found.ms,
        "default_ms": found.default_ms,
        "interrupted": found.interrupted,
        "entry": found.entry.id if found.entry else None,
        "tried": [{"options": t.options, "why": t.why, "ratio": t.ratio, "ms": t.ms} for t in found.tried],
    }


def _print(out: Console, found: Tuning) -> None:
    from rich.table import Table

    timed = sorted((t for t in found.tried if t.ratio is not None), key=lambda t: t.ratio or 0.0)
    table = Table("options", "ms", "of the defaults' time", "", box=None)
    for t in timed[:SHOWN]:
        table.add_row(_words(t.options), f"{t.ms:.3g}", f"{t.ratio:.3f}", "" if not t.why else "given up")
    out.print(table)
    if len(timed) > SHOWN:
        out.print(f"and {len(timed) - SHOWN} slower ones")
    for why, options in _by_reason(found.tried).items():
        out.print(f"not timed, {len(options)}: {why}")
    ended = "interrupted; " if found.interrupted else ""
    out.print(f"{ended}defaults {found.default_ms:.3g} ms, best {found.ms:.3g} ms, {found.gain:.2f}x")
    out.print(f"schedule: {_words(found.schedule)}")
    if found.entry is not None:
        out.print(f"entry {found.entry.id} of the tuning database; gc.compile uses it for calls of this size")


def _by_reason(tried: Iterable[Tried]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for t in tried:
        if t.ratio is None:
            found.setdefault(t.why, []).append(t.options)
    return found


def _dry_run(
    network: Any, target: str, learn: str, dtype: str, precision: str, steps: int, batch: int, budget: float, arch: str
) -> None:
    """Rank Triton candidates for a device that need not be here."""
    from graphc.tune import rank

    if target not in ("auto", "triton"):
        raise click.UsageError("--dry-run ranks candidates of target triton")
    with _Live(min(budget, DRY)) as live:
        done: list[Any] = []

        def told(one: Any) -> None:
            done.append(one)
            live.bar.update(live.task, description=f"{len(done)} built", advance=1)

        ranked = rank(
            network,
            learn=learning(learn),
            dtype=dtype,
            precision=precision,
            arch=arch,
            steps=steps,
            batch_size=batch,
            budget=min(budget, DRY),
            told=told,
        )
    rows = [
        {"options": r.options, "predicted_ms": r.ms, "why": r.why, "registers": r.registers, "shared": r.shared}
        for r in ranked
    ]

    def render(out: Console) -> None:
        from rich.table import Table

        table = Table("options", "predicted ms", "registers", "shared", "why it died", box=None)
        for one in ranked:
            ms = "" if one.ms is None else f"{one.ms:.4g}"
            built = (str(one.registers), f"{one.shared / 1024:.0f} KB") if one.registers else ("", "")
            table.add_row(_words(one.options), ms, *built, one.why)
        out.print(table)
        alive = sum(r.alive for r in ranked)
        out.print(f"{len(ranked)} candidates for {arch}, T={steps}, B={batch}: {alive} built and alive")

    show({"arch": arch, "steps": steps, "batch": batch, "candidates": rows}, render)


def _keep(
    database: Path | None,
    listed: bool,
    shown: int | None,
    drop: tuple[int, ...],
    export: Path | None,
    imported: Path | None,
) -> None:
    """Do what is asked of the database."""
    from graphc.runtime.tune.database import Database

    file = Database.open(database)
    if listed:
        _list(file)
    elif shown is not None:
        _show_entry(file.get(shown))
    elif drop:
        count = file.drop(drop)
        if count < len(set(drop)):
            refuse(f"dropped {count} of {len(set(drop))} entries: the others are not there", "graphc tune --list")
        show({"dropped": count}, lambda out: out.print(f"dropped {count} entries"))
    elif export is not None:
        document = file.export()
        export.write_text(json.dumps(document, indent=1) + "\n")
        count = len(document["entries"])
        show({"exported": count, "file": str(export)}, lambda out: out.print(f"{count} entries in {export}"))
    elif imported is not None:
        try:
            document = json.loads(imported.read_text())
        except ValueError as error:
            refuse(f"{imported} is no JSON file: {error}", "graphc tune --export FILE makes one")
        count = file.take(document)
        show({"imported": count}, lambda out: out.print(f"{count} new entries in {file.path}"))


def _list(file: Database) -> None:
    from graphc.runtime.tune.database import plain

    entries = file.entries()

    def render(out: Console) -> None:
        from rich.table import Table

        table = Table("id", "network", "target", "device", "T", "B", "gain", "ms", "schedule", "made (UTC)", box=None)
        for e in entries:
            i = e.identity
            size = (str(i.steps), str(i.batch))
            times = (f"{e.gain:.2f}x", f"{e.ms:.3g}")
            table.add_row(str(e.id), e.network, i.target, i.device, *size, *times, _words(e.schedule), e.made)
        out.print(table if entries else f"{file.path} has no entries")

    show({"database": str(file.path), "entries": [plain(e) for e in entries]}, render)


def _show_entry(entry: Entry) -> None:
    from graphc.runtime.tune.database import plain

    document = plain(entry)

    def render(out: Console) -> None:
        for name, value in document.items():
            out.print(f"{name:12} {_words(value) if name == 'schedule' else value}")

    show(document, render)
