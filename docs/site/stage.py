"""The pages as Sphinx reads them: run, completed by those that are generated, with the figures they show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import blocks, zoo

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REST = "<!-- the other pages -->"


def stage(to: Path, few: bool, only: Sequence[str] | None = None) -> dict[str, float]:
    """Write the sources of the site into `to`; return the seconds of CPU that each page took.

    Args:
        to: the folder; files of an earlier call that are not written again are removed.
        few: what CI builds: one model of each family of the zoo, and figures left blank.
        only: the pages whose code runs; all of them by default.
    """
    blocks.style()
    seconds, kept = {}, set()

    def write(name: str, content: str | bytes) -> None:
        path = to / name
        kept.add(path)
        data = content.encode() if isinstance(content, str) else content
        if not path.exists() or path.read_bytes() != data:  # Sphinx reads again what is newer than its result
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    drawn = to / "figures"
    shutil.rmtree(drawn, ignore_errors=True)
    for path in sorted(DOCS.glob("*.md")):
        started = cpu()
        text = path.read_text(encoding="utf-8")
        if REST in text:
            text = text.replace(REST, "\n".join(others(text)))
        if only is None or path.stem in only:
            text = blocks.expand(text, blocks.Session(path, drawn, few))
        write(path.name, text)
        seconds[path.stem] = cpu() - started
    for path in DOCS.glob("*.png"):
        write(path.name, path.read_bytes())
    started = cpu()
    for name, content in zoo.pages(ROOT / "build" / "docs-figures", few):
        write(name, content)
    seconds["zoo pages"] = cpu() - started
    for path in to.rglob("*"):
        if path.is_file() and path not in kept and drawn not in path.parents:
            path.unlink()
    return seconds


def cpu() -> float:
    """Return the seconds of CPU that this process has taken, with the compilers that it called."""
    return sum(os.times()[:4])


def others(index: str) -> Iterator[str]:
    """Yield the pages that the index does not name, so that a new file is in the menu."""
    for path in sorted(DOCS.glob("*.md")):
        if f"\n{path.stem}\n" not in index and path.stem != "index":
            yield path.stem
