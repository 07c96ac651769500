"""What pages show of generated texts."""

from __future__ import annotations

import difflib
import re

from .blocks import fenced


def innermost_loop(source: str) -> str:
    """Return the longest innermost loop of a C kernel as Markdown."""
    loops = re.findall(r"^( *)for \([^\n]*\{\n(.*?)\n\1\}", source, re.MULTILINE | re.DOTALL)
    inner = max((body for _, body in loops if "for (" not in body), key=len)
    lines = inner.splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return fenced("{code-block} c", ":class: output\n\n" + "\n".join(line[margin:] for line in lines))


def difference(before: str, after: str) -> str:
    """Return what a pass changed as Markdown, or that it changed nothing."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:]
    if not lines:
        return "*It changes nothing here.*"
    parts = ["..." if line.startswith("@@") else line for line in lines]
    return fenced("{code-block} diff", ":class: output\n\n" + "\n".join(parts))
