"""What pages show of generated texts."""

from __future__ import annotations

import difflib
import re

from .blocks import fenced


def innermost_loop(source: str) -> str:
    """Return the innermost loop of a C kernel with most lines of the user's, as Markdown."""
    lines, loops = source.splitlines(), []
    for start, line in enumerate(lines):
        if line.lstrip().startswith("for (") and line.endswith("{"):
            end = lines.index(line[: len(line) - len(line.lstrip())] + "}", start)
            if not any("for (" in inside for inside in lines[start + 1 : end]):
                loops.append(lines[start : end + 1])
    loop = max(loops, key=lambda found: sum(bool(re.search(r"// .+:\d+$", line)) for line in found))
    margin = len(loop[0]) - len(loop[0].lstrip())
    return fenced("{code-block} c", ":class: output alone\n\n" + "\n".join(line[margin:] for line in loop))


def difference(before: str, after: str) -> str:
    """Return what a pass changed as Markdown, or that it changed nothing."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:]
    if not lines:
        return "*It changes nothing here.*"
    parts = ["..." if line.startswith("@@") else line for line in lines]
    return fenced("{code-block} diff", ":class: output alone\n\n" + "\n".join(parts))


def section(source: str, first: str, last: str) -> str:
    """Return the lines of a kernel from one that holds `first` up to one that holds `last`, as Markdown."""
    lines = source.splitlines()
    start = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i, line in enumerate(lines) if i > start and last in line)
    margin = len(lines[start]) - len(lines[start].lstrip())
    return fenced(
        "{code-block} python", ":class: output alone\n\n" + "\n".join(line[margin:] for line in lines[start:end])
    )
