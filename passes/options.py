"""What `schedule=` of gc.compile may hold, and what a tuner may choose: names, limits, and who knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.ir import Loc, TargetError

Tuned = Mapping[str, int | str]
"""Options by name; a name such as "backward.rows" is for the kernels of one half."""

STRATEGIES = ("elementwise", "resident", "cooperative", "stepwise")
HALVES = ("forward", "backward")


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        targets: that know it.
        least: of a number.
        most: of a number.
        values: that it may have, a text or one of few numbers; empty for a number within limits.
        half: each half of a call may have its own.
    """

    targets: tuple[str, ...]
    least: int = 1
    most: int = 1
    values: tuple[int | str, ...] = ()
    half: bool = True


BOTH, C, TRITON = ("c", "triton"), ("c",), ("triton",)
OPTIONS: Mapping[str, Option] = {
    "strategy": Option(TRITON, values=STRATEGIES),  # of loops that multiply
    "rows": Option(BOTH, 1, 128),  # samples that go together
    "columns": Option(TRITON, 16, 256),  # neurons of a cooperative program
    "warps": Option(TRITON, 1, 32),  # of a program
    "stages": Option(TRITON, 1, 8),  # of the pipelines that Triton makes of loads
    "unroll": Option(TRITON, 1, 16),  # steps whose inputs are loaded at once
    "block": Option(TRITON, 16, 8192),  # neurons of an elementwise program
    "ahead": Option(TRITON, 1, 8),  # tiles of other programs' spikes that are on their way
    "tile_time": Option(BOTH, 1, 32),  # most steps that go together where delays allow it
    "neurons": Option(C, 64, 1 << 20),  # of a chunk whose states stay in cache
    "packed": Option(C, 0, 1),  # matrices of dense products are copied, so that their columns lie together
    "dense_rows": Option(C, 1, 8),  # rows of a dense product that are kept in registers
    "vector": Option(C, values=(128, 256, 512)),  # bits
    "stream": Option(C, 0, 1),  # large outputs are written past the cache
    "dense": Option(C, 0, 100),  # percent of non-zero elements from which a product over all steps is dense
    "threads": Option(C, 1, 1024),  # at most
    "spikes": Option(BOTH, values=("bits", "bytes", "numbers"), half=False),  # how kernels hand spikes on
    "recompute": Option(BOTH, 0, 1, half=False),  # backward computes again what that makes cheaper, else saves all
    "checkpoint": Option(BOTH, 1, 1 << 30, half=False),  # as of gc.learn.BPTT
    "chunk": Option(BOTH, 1, 1 << 30, half=False),  # as of gc.learn.BlockDiagonal
}


def for_half(tuned: Tuned, backward: bool) -> dict[str, int | str]:
    """Return the options of one half: its own before those of both."""
    own = f"{HALVES[backward]}."
    shared = {name: value for name, value in tuned.items() if "." not in name}
    return shared | {name.removeprefix(own): value for name, value in tuned.items() if name.startswith(own)}


def check_options(tuned: Tuned, loc: Loc | None = None) -> None:
    """Raise a TargetError for an option that nothing has, or a value that it cannot have."""
    for name, value in tuned.items():
        half, dot, short = name.rpartition(".")
        option = OPTIONS.get(short)
        if option is None or (dot and (half not in HALVES or not option.half)):
            raise TargetError(f"schedule= has no option {name!r}", loc, f"options are {', '.join(OPTIONS)}")
        if option.values:
            if value not in option.values or isinstance(value, (bool, float)):
                what = "strategy" if short == "strategy" else f"value of {short}"
                raise TargetError(
                    f"there is no {what} {value!r}", loc, f"use one of {', '.join(map(str, option.values))}"
                )
        elif not isinstance(value, int) or isinstance(value, bool) or value < option.least:
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                _limits(name, value, option, loc)
            what = "positive int" if option.least else "int from 0 on"
            raise TargetError(f"{name}={value!r} of schedule= is no {what}", loc, f"such as {name}={_such(option)}")
        elif value > option.most:
            _limits(name, value, option, loc)


def _limits(name: str, value: int, option: Option, loc: Loc | None) -> None:
    message = f"{name}={value} of schedule= is not within {option.least} to {option.most}"
    raise TargetError(message, loc, f"such as {name}={_such(option)}")


def _such(option: Option) -> int:
    return min(max(16, option.least), option.most)


def unknown_to(target: str, tuned: Tuned) -> list[str]:
    """Return the options that a target does not know."""
    return sorted(name for name in tuned if target not in OPTIONS[name.rpartition(".")[2]].targets)
