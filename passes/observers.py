"""Observers of a pipeline: texts of every stage, times, and the check that a pass keeps the numbers."""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphc.ir import GraphcError, Program, VerifyError, show

from .base import Observer, Request
from .pipeline import pipeline

LOWER = "lower"  # pass 0: the program as declared
STAGES = ("schedule", "code")


def observers_from_environment(environment: Mapping[str, str] | None = None) -> tuple[Observer, ...]:
    """Return the observers that GRAPHC_DUMP, GRAPHC_DUMP_DIR and GRAPHC_VERIFY ask for."""
    environment = os.environ if environment is None else environment
    dump = Dump.from_environment(environment)
    found: list[Observer] = [] if dump is None else [dump]
    if environment.get("GRAPHC_VERIFY") == "2":
        found.append(SameNumbers())
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Dump:
    """Write the text of the stages in `names`, to numbered files in `folder` or to stderr.

    Attributes:
        names: "lower", names of passes, "passes" (all of them), "schedule", "code", or "all".
        folder: where ``00-lower.ir`` and so on go; None for stderr. A later compilation overwrites.
    """

    names: frozenset[str]
    folder: Path | None = None

    @staticmethod
    def from_environment(environment: Mapping[str, str] | None = None) -> Dump | None:
        """Return what GRAPHC_DUMP and GRAPHC_DUMP_DIR ask for.

        Raises:
            GraphcError: GRAPHC_DUMP holds a name of nothing.
        """
        environment = os.environ if environment is None else environment
        names = frozenset(environment.get("GRAPHC_DUMP", "").replace(",", " ").split())
        if not names:
            return None
        known = [LOWER, *dict.fromkeys(p.name for p in pipeline(Request())), "passes", *STAGES, "all"]
        for name in sorted(names - set(known)):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"names are {', '.join(known)}"
            raise GraphcError(f"GRAPHC_DUMP names {name!r}, which is no stage", hint=hint)
        folder = environment.get("GRAPHC_DUMP_DIR")
        return Dump(names, Path(folder) if folder else None)

    def wants(self, name: str, a_pass: bool = False) -> bool:
        """Return whether the text of stage `name` is asked for."""
        return name in self.names or "all" in self.names or (a_pass and "passes" in self.names)

    def after(self, index: int, name: str, before: Program, after: Program) -> None:
        """Write the program after a pass."""
        if self.wants(name, a_pass=index > 0):
            self.write(index, f"{name}.ir", "(unchanged)" if index and after is before else show(after))

    def failed(self, index: int, name: str, before: Program) -> None:
        """Write what a failing pass was given, whatever names were asked for."""
        self.write(index, f"{name}.failed.ir", show(before))

    def write(self, index: int, name: str, text: str) -> None:
        """Write one numbered text."""
        title = f"{index:02}-{name}"
        if self.folder is None:
            sys.stderr.write(f"=== {title}\n{text}\n")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / title).write_text(text + "\n")

    def write_kernels(self, schedule: Any, texts: Mapping[str, str]) -> None:
        """Write a schedule and the texts emitted from it, numbered after the passes."""
        number = len(pipeline(Request())) + 1
        if self.wants("schedule"):
            self.write(number, "schedule.txt", show(schedule))
        if self.wants("code"):
            suffix = {"triton": "triton.py"}.get(schedule.target, schedule.target)
            for offset, (half, text) in enumerate(texts.items(), start=1):
                self.write(number + offset, f"{half}.{suffix}", text)


@dataclass
class Timings:
    """Seconds spent in every pass, verification included, in order: ``times`` holds (name, seconds)."""

    times: list[tuple[str, float]] = field(default_factory=list)
    _last: float = field(default_factory=time.perf_counter, repr=False)

    def after(self, index: int, name: str, before: Program, after: Program) -> None:
        """Add one pass; pass 0, the lowering, starts the clock."""
        now = time.perf_counter()
        if index > 0:
            self.times.append((name, now - self._last))
        self._last = now

    def failed(self, index: int, name: str, before: Program) -> None:
        """Add the pass that failed."""
        self.after(index, name, before, before)

    def __str__(self) -> str:
        """Return one line per pass."""
        return "\n".join(f"{1000 * seconds:8.1f} ms  {name}" for name, seconds in self.times)


@dataclass
class Stages:
    """Keep the program after every pass: ``programs`` holds (name, program), the declared one first."""

    programs: list[tuple[str, Program]] = field(default_factory=list)

    def after(self, index: int, name: str, before: Program, after: Program) -> None:
        """Keep one program."""
        self.programs.append((name, after))

    def failed(self, index: int, name: str, before: Program) -> None:
        """Keep nothing."""


RULED = ("localize", "adjoint")
"""Passes after which gradients are those of a learning rule, not of the program before: tests/test_online.py."""


@dataclass
class SameNumbers:
    """Refuse a pass that changes a number: run the program before and after it on seeded random inputs and compare.

    Outputs, final states and gradients that both have are compared, in float64. Nothing can be run before `discretize`.
    """

    seed: int = 0
    _last: tuple[Program, Any] | None = field(default=None, repr=False)

    def after(self, index: int, name: str, before: Program, after: Program) -> None:
        """Compare the runs of two programs.

        Raises:
            VerifyError: they differ by more than rounding.
        """
        if after is before or after.stage == "declared":
            return
        from graphc.ir.interpret_compare import differences, random_run  # torch, only when asked for

        run = random_run(after, self.seed)
        if before.stage != "declared":
            kept = self._last[1] if self._last is not None and self._last[0] is before else None
            last = random_run(before, self.seed) if kept is None else kept
            if name in RULED and any(about == "learning" for about, _ in after.notes):
                last = {key: value for key, value in last.items() if not key.startswith("autograd ")}
            wrong = differences(last, run)
            if wrong:
                raise VerifyError(f"pass {index} {name!r} changes numbers: " + "; ".join(wrong))
        self._last = (after, run)

    def failed(self, index: int, name: str, before: Program) -> None:
        """Compare nothing."""
