"""Hand-edited kernels: texts of $GRAPHC_OVERRIDE that run in place of generated ones."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from graphc.ir import GraphcError, Schedule
from graphc.ir.errors import GraphcWarning

from .cache import content_hash

SUFFIXES = {"c": "c", "triton": "triton.py"}
ARGUMENTS = {
    "c": re.compile(r"^void \w+\(|\w+ = _p\[\d+\]", re.MULTILINE),
    "triton": re.compile(r"^def [a-z]\w*\(.*", re.MULTILINE),
}
"""What a text says of its kernels and of what they take, by target."""


def override_name(schedule: Schedule, half: str, text: str) -> str:
    """Return the name of the file that replaces `text`: half, target, and a hash of what was generated."""
    return f"{half}-{content_hash(text)[:12]}.{SUFFIXES[schedule.target]}"


def overridden(schedule: Schedule, texts: Mapping[str, str]) -> dict[str, str]:
    """Return `texts` with those replaced for which $GRAPHC_OVERRIDE holds a file.

    A file ``forward.c`` (or ``forward.triton.py``, ``backward...``) replaces that half of every model;
    ``forward-HASH.c``, the name that `override_name` gives, that of one text alone. A file whose kernels take other
    arguments than the generated ones, those of other records for example, is left out with a warning: they would read
    memory that is not theirs.

    Raises:
        GraphcError: the folder is not there.
    """
    chosen = dict(texts)
    home = os.environ.get("GRAPHC_OVERRIDE")
    if not home:
        return chosen
    folder = Path(home)
    if not folder.is_dir():
        raise GraphcError(f"GRAPHC_OVERRIDE names {home}, which is no folder", hint="make it, or unset GRAPHC_OVERRIDE")
    for half, text in texts.items():
        for name in (override_name(schedule, half, text), f"{half}.{SUFFIXES[schedule.target]}"):
            path = folder / name
            if path.is_file():
                edited = path.read_text()
                if not _takes(schedule.target, edited) <= _takes(schedule.target, text):
                    warnings.warn(
                        f"{path} is left out: its kernels take other arguments than the generated {half} kernels",
                        GraphcWarning,
                        stacklevel=2,
                    )
                    continue
                chosen[half] = edited
                warnings.warn(
                    f"{path} runs in place of the generated {half} kernels of target {schedule.target!r}",
                    GraphcWarning,
                    stacklevel=2,
                )
                break
    return chosen


def _takes(target: str, text: str) -> set[str]:
    """Return the kernels of a text with what they take; a kernel may leave out what it does not read."""
    return set(ARGUMENTS[target].findall(text))
