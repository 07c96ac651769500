"""Generated texts, and which value and which line of the user every one of their lines is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from graphc.ir import Kernel, Schedule

from .report import SourceInfo, SourceLine, scoped

LANGUAGE = {"c": "c", "triton": "python"}
_NOTE = re.compile(r"(?://|#) (\S[^/]*\.\w+:\d+)$")
_ASSIGNED = re.compile(r"^\s*(?:const )?(?:(?:float|double|real|int|int32_t|int64_t|uint8_t|_v\w*|vec\w*) )?(\w+) = ")
_INTO = re.compile(r"(?:now_|->)(\w+)\[")


def source_of(schedule: Schedule, half: str, text: str, override: str) -> SourceInfo:
    """Return one generated text with the values that its lines define."""
    backward = half == "backward"
    known = {v for kernel in schedule.half(backward) for v in _values(kernel)}
    lines = tuple(_lines(text, known, backward))
    return SourceInfo(schedule.target, half, LANGUAGE[schedule.target], text, lines, override)


def plain(target: str, half: str, text: str) -> SourceInfo:
    """Return a text about whose lines nothing is known."""
    return SourceInfo(target, half, LANGUAGE[target], text, (), "")


def _values(kernel: Kernel) -> Iterator[str]:
    yield from (v.name for v in kernel.graph.values)
    for part in kernel.parts:
        yield from _values(part)
    for stage in kernel.stages:
        yield from (v.name for v in stage.graph.values)


def _lines(text: str, known: set[str], backward: bool) -> Iterator[SourceLine]:
    for number, line in enumerate(text.splitlines(), start=1):
        note = _NOTE.search(line)
        values = tuple(scoped(name, backward) for name in _defined(line, known, note is not None))
        if values or note:
            yield SourceLine(number, values, note[1] if note else None)


def _defined(line: str, known: set[str], noted: bool) -> list[str]:
    """Return the values that a line defines: what it assigns, or what a product of the user's line is added into."""
    if (assigned := _ASSIGNED.match(line)) is not None:
        return [assigned[1]] if assigned[1] in known else []
    return list(dict.fromkeys(n for n in _INTO.findall(line) if n in known)) if noted else []


def lines_of(source: SourceInfo) -> Mapping[int, SourceLine]:
    """Return the lines that something is known about, by number."""
    return {line.number: line for line in source.lines}
