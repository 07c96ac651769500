"""``graphc doctor``: what this machine has, what works, and what to do about the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .command import FAILED, Command, show

if TYPE_CHECKING:
    from rich.console import Console

    from graphc.doctor import Finding

STYLES = {"ok": "green", "note": "yellow", "broken": "bold red"}


@click.command(cls=Command, short_help="Look at this machine: devices, compiler, cache, targets.")
def doctor() -> None:
    """Look at Python, torch, Triton, devices, the C compiler and the cache, and run every target once.

    Status 1 where something that should work does not; a machine without a GPU is no failure.
    """
    from dataclasses import asdict

    from graphc.doctor import examine

    found = list(examine())
    broken = [f for f in found if f.verdict == "broken"]
    show({"ok": not broken, "findings": [asdict(f) for f in found]}, lambda console: _print(console, found))
    if broken:
        raise click.exceptions.Exit(FAILED)


def _print(console: Console, found: list[Finding]) -> None:
    from rich.text import Text

    wide = max(len(f.about) for f in found)
    for f in found:
        console.print(Text.assemble((f"{f.verdict:6}", STYLES[f.verdict]), "  ", f"{f.about:{wide}}", "  ", f.found))
        if f.hint:
            console.print(Text(f"{'':{wide + 10}}{f.hint}", style="dim"))
    broken = sum(f.verdict == "broken" for f in found)
    console.print(f"\n{broken} of {len(found)} broken" if broken else "\neverything that should work does")
