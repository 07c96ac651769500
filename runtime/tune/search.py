"""The search: single changes first, then the best of them together, then their neighbours, until the time is up."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import torch

from graphc.ir import GraphcError, TargetError
from graphc.passes import check_options
from graphc.passes.options import OPTIONS

from .database import options_in_words
from .race import ROUNDS, Runner, race, ratio
from .space import Options, neighbours

GAIN = 0.98  # of the defaults' time, from which a change counts as one
SURE = 0.97  # of the defaults' time in the last comparison, from which the defaults are given up
FEW = 4  # rounds of that comparison after Ctrl-C
TOGETHER = 6  # candidates of one race, beside the defaults and the best
HALF = {0: "forward", 1: "backward"}

Results = Mapping[str, torch.Tensor]


class Trial(Protocol):
    """A candidate, compiled."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Return what distinguishes its kernels from those of another."""
        ...

    def prepare(self) -> None:
        """Build its kernels; may be called by several threads for several trials."""
        ...

    def results(self) -> Results:
        """Return outputs and gradients by name, on given inputs."""
        ...

    def run(self) -> tuple[float, float]:
        """Call it once; return the seconds of its halves, the second 0 where it does not learn."""
        ...


@dataclass
class Tried:
    """What became of a candidate.

    Attributes:
        options: that it has beside the defaults.
        why: it was given up, or "" where it was timed to the end.
        ratio: its time over that of the defaults, None where it was not timed.
        ms: median milliseconds of a call.
        predicted_ms: by the resource model, None where there is none.
    """

    options: Options
    why: str = ""
    ratio: float | None = None
    ms: float | None = None
    predicted_ms: float | None = None


@dataclass
class Search:
    """A search in progress; whatever ends it, `best` and `tried` hold what is known.

    Attributes:
        make: returns the trial of a candidate.
        agree: returns what is wrong with results, compared with those of the defaults; "" where nothing is.
        seed: of the order of trials.
        budget: seconds, from the moment on at which the defaults are built and timed.
        report: is told of every candidate that ends.
    """

    make: Callable[[Options], Trial]
    agree: Callable[[Results, Results], str]
    seed: int = 0
    budget: float = 60.0
    report: Callable[[Search, Tried], None] = lambda search, tried: None
    tried: list[Tried] = field(default_factory=list)
    best: Options = field(default_factory=dict)
    gain: float = 1.0
    ms: float = 0.0
    default_ms: float = 0.0
    interrupted: bool = False

    def run(self, first: Sequence[Options]) -> None:
        """Search; Ctrl-C ends it early."""
        self._order = random.Random(self.seed)
        self._seen: dict[tuple[str, ...], Options] = {}
        self._runners: dict[str, Runner] = {}
        self._default = self.make({})
        self._default.prepare()
        self._wanted = dict(self._default.results())
        self._first = Runner(self._default.run)
        self._first.warm_up()
        self._first.sample()
        self.default_ms = self.ms = 1e3 * self._first.seconds
        self._seen[self._default.texts] = {}
        self._started = time.monotonic()
        try:
            self._generations(first)
            self._decide()
        except KeyboardInterrupt:
            self.interrupted = True
            with contextlib.suppress(KeyboardInterrupt):  # who asks twice gets what is known
                self._decide(FEW, 2.0)

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget - (time.monotonic() - self._started)

    def _generations(self, first: Sequence[Options]) -> None:
        """Try generation after generation, until the time is up or two of them found nothing better."""
        known: list[Options] = [{}]
        queue, idle = list(first), 0
        while queue and idle < 2:
            known += queue
            before = self.gain
            for at in range(0, len(queue), TOGETHER):
                if self.left <= 0.1 * self.budget:
                    return
                self._try(queue[at : at + TOGETHER])
            idle = 0 if self.gain > 1.005 * before else idle + 1
            queue = [o for o in self._merged() if o not in known] or [
                o for o in neighbours(self.best) if o not in known and is_allowed(o)
            ]

    def _try(self, batch: Sequence[Options]) -> None:
        """Build, check and time a few candidates."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            built = [(o, trial) for o, trial in zip(batch, pool.map(self._built, batch), strict=True) if trial]
        racing: list[tuple[Options, Runner]] = []
        for options, trial in built:
            if (other := self._seen.get(trial.texts)) is not None:
                self._end(Tried(options, f"the same kernels as {options_in_words(other)}"))
                continue
            self._seen[trial.texts] = options
            try:
                wrong = self.agree(trial.results(), self._wanted)
            except GraphcError as error:
                wrong = f"it fails: {error.message}"
            if wrong:
                self._end(Tried(options, wrong))
                continue
            runner = Runner(trial.run)
            runner.warm_up()
            racing.append((options, runner))
        deadline = time.monotonic() + max(self.left, 0.0)
        leader = self._runners.get(str(self.best))
        held = [self._first] + ([leader] if leader else [])
        alive = race([*held, *(r for _, r in racing)], self._order, deadline, keep=len(held))
        for options, runner in racing:
            mine = ratio(runner, self._first)
            fell = "" if runner in alive else f"{mine:.2f}x the defaults' time after {len(runner.halves)} rounds"
            self._runners[str(options)] = runner
            if not fell and mine < min(GAIN, 1 / self.gain):
                self.best, self.gain, self.ms = options, 1 / mine, 1e3 * runner.seconds
            self._end(Tried(options, fell, mine, 1e3 * runner.seconds))

    def _built(self, options: Options) -> Trial | None:
        try:
            trial = self.make(options)
            trial.prepare()
        except GraphcError as error:
            self._end(Tried(options, error.message))
            return None
        return trial

    def _end(self, tried: Tried) -> None:
        self.tried.append(tried)
        self.report(self, tried)

    def _merged(self) -> Iterator[Options]:
        """Yield the best changes together, those of each half by its own time; first two, then three, and so on."""
        halves: list[list[tuple[float, Options]]] = [[], []]
        for tried in self.tried:
            runner = self._runners.get(str(tried.options))
            if tried.ratio is None or runner is None:
                continue
            for half in HALF:
                if runner.halves[0][half] > 0 and (own := _of_half(tried.options, half)):
                    halves[half].append((ratio(runner, self._first, half), own))
        merged: Options = dict(self.best)
        chosen = [sorted((pair for pair in half if pair[0] < GAIN), key=lambda pair: pair[0]) for half in halves]
        for ranked in chosen:
            taken: Options = {}
            for _, own in ranked:
                if not set(own) & set(taken):
                    taken |= own
                    yield _simple({**_without(merged, taken), **taken})
            merged = _simple({**_without(merged, taken), **taken})
        yield merged

    def _decide(self, rounds: int = 2 * ROUNDS, seconds: float = 1.0) -> None:
        """Compare the best with the defaults once more; what is not surely faster is not kept."""
        leader = self._runners.get(str(self.best)) if self.best else None
        if leader is None:
            self.best, self.gain, self.ms = {}, 1.0, self.default_ms
            return
        mine, other = Runner(leader.run, calls=leader.calls), Runner(self._first.run, calls=self._first.calls)
        race([other, mine], self._order, time.monotonic() + max(self.left, seconds), rounds=rounds, keep=2)
        found = ratio(mine, other)
        self.default_ms = 1e3 * other.seconds
        if found > SURE:
            self.best, self.gain, self.ms = {}, 1.0, self.default_ms
        else:
            self.gain, self.ms = 1 / found, found * self.default_ms


def is_allowed(options: Options) -> bool:
    """Return whether every option has a value that it may have."""
    try:
        check_options(options)
    except TargetError:
        return False
    return True


def _of_half(options: Options, half: int) -> Options:
    """Return the options under the names of one half; those of both halves keep theirs."""
    own: Options = {}
    for name, value in options.items():
        place, _, short = name.rpartition(".")
        if place in ("", HALF[half]):
            own[f"{HALF[half]}.{short}" if OPTIONS[short].half else short] = value
    return own


def _without(options: Options, taken: Options) -> Options:
    """Return `options` without what `taken` replaces; an option of both halves is split."""
    split: Options = {}
    for name, value in options.items():
        if "." not in name and OPTIONS[name].half:
            split |= {f"{half}.{name}": value for half in HALF.values()}
        else:
            split[name] = value
    return {name: value for name, value in split.items() if name not in taken}


def _simple(options: Options) -> Options:
    """Return `options` with one name where both halves have the same value."""
    found: Options = {}
    for name, value in sorted(options.items()):
        short = name.rpartition(".")[2]
        both = all(options.get(f"{half}.{short}") == value for half in HALF.values())
        found[short if both else name] = value
    return found
