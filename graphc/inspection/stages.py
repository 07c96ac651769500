"""The program after every pass, and what each pass changed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from graphc.ir import Program, show
from graphc.passes import pipeline
from graphc.passes.base import Request

from .graphs import graphs_of
from .report import StageInfo

LOWERED = "The network as a dataflow graph of one time step, its equations still differential."


def stages_of(programs: Sequence[tuple[str, Program]], request: Request) -> tuple[StageInfo, ...]:
    """Return every stage of `NetworkCompiler.stages`, the declared program first."""
    abouts = [LOWERED, *(_first_line(type(p)) for p in pipeline(request))]
    found: list[StageInfo] = []
    before: Program | None = None
    for index, (name, program) in enumerate(programs):
        text = show(program)
        old = "" if before is None else found[-1].text
        diff = [] if before is None else list(unified(old, text, programs[index - 1][0], name))
        known = set() if before is None else set(before.notes)
        found.append(
            StageInfo(
                index=index,
                name=name,
                about=abouts[index],
                changed=before is None or before is not program,
                nodes=sum(len(r.graph.nodes) for r in program.regions),
                added=sum(line.startswith("+") for line in diff[2:]),
                removed=sum(line.startswith("-") for line in diff[2:]),
                notes=tuple(f"{about}: {line}" for about, line in program.notes if (about, line) not in known),
                text=text,
                diff="\n".join(diff),
                graphs=graphs_of(program) if before is not program else (),
            )
        )
        before = program
    return tuple(found)


def unified(old: str, new: str, before: str, after: str) -> Sequence[str]:
    """Return a unified diff as lines."""
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), before, after, lineterm="", n=2))


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0].replace("`", "")
