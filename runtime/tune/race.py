"""Time candidates against each other: in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

ROUNDS = 9
LONG = 2e-3  # seconds that one sample takes at least
SLOWER = {1: 1.6, 2: 1.3, 3: 1.15, 5: 1.05, 7: 1.02}
"""By rounds: from how many times the best, at first the first runner, a candidate is dropped."""


@dataclass
class Runner:
    """A candidate that can run.

    Attributes:
        run: one call; returns the seconds of its two halves.
        halves: (forward, backward) seconds of every round.
        calls: of a round.
    """

    run: Callable[[], tuple[float, float]]
    halves: list[tuple[float, float]] = field(default_factory=list)
    calls: int = 1

    def warm_up(self) -> None:
        """Run until nothing is done for the first time, and see how long a call takes."""
        self.run()
        self.calls = max(1, min(int(LONG / max(sum(self.run()), 1e-7)) + 1, 200))

    def sample(self) -> None:
        """Add one round: the mean of so many calls that the clock's own error does not count."""
        found = [self.run() for _ in range(self.calls)]
        self.halves.append((statistics.fmean(f for f, _ in found), statistics.fmean(b for _, b in found)))

    @property
    def seconds(self) -> float:
        """Median of a call."""
        return statistics.median(f + b for f, b in self.halves)


def race(
    runners: Sequence[Runner],
    order: random.Random,
    deadline: float,
    rounds: int = ROUNDS,
    keep: int = 1,
) -> list[Runner]:
    """Time `runners` in rounds, in a new order each, dropping those that fall behind; return those that stay.

    Args:
        runners: the first ones, `keep` of them, are never dropped.
        order: draws the order of every round.
        deadline: of `time.monotonic`, after which no round begins; one takes place in any case.
        rounds: at most.
        keep: how many are never dropped.
    """
    alive = list(runners)
    for number in range(1, rounds + 1):
        for runner in order.sample(alive, len(alive)):
            runner.sample()
        best = min(ratio(runner, alive[0]) for runner in alive)
        if (limit := SLOWER.get(number)) is not None:
            bar = limit * (best if number > 2 else 1.0)  # a single round says little of who is best
            alive = [r for k, r in enumerate(alive) if k < keep or ratio(r, alive[0]) <= bar]
        if time.monotonic() > deadline:
            break
    return alive


def ratio(runner: Runner, first: Runner, half: int | None = None) -> float:
    """Return how the time of a runner, or of one half, compares with that of `first` in the rounds of both.

    The median of ratios, not the ratio of medians: a slow moment of the machine hits both runs of a round.
    """
    count = min(len(runner.halves), len(first.halves))
    pairs = zip(runner.halves[-count:], first.halves[-count:], strict=True)
    taken = [(sum(a), sum(b)) if half is None else (a[half], b[half]) for a, b in pairs]
    return statistics.median(a / max(b, 1e-12) for a, b in taken)
