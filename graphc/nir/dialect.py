"""Dialects: what a simulator decides about a NIR graph, because the graph does not say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.names import did_you_mean

Edges = tuple[tuple[str, str], ...]
CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("euler", "exponential", "exact"),
    "reset": ("value", "subtract"),
    "input": ("held", "impulse"),
    "current": ("new", "old"),
    "cycle": ("back", "all"),
}


@dataclass(frozen=True)
class Dialect:
    """How a NIR graph is run in steps; immutable, `dataclasses.replace` makes another.

    Args:
        method: "euler"; "exponential": every state by its own exponential, all others held; "exact": the solution of
            all states together.
        reset: "value": ``v = v_reset``; "subtract": ``v = v - (v_threshold - v_reset)``.
        input: "held": an input is a current that is constant over the step; "impulse": it is its integral over the
            step, and acts at once: ``v`` jumps by ``r x dt/tau`` after the decay of the step, before the threshold, and
            with "exact" at the start of the step. For "euler" both are the same.
        current: whether the membrane of CubaLIF and CubaLI reads the synaptic current of the end ("new") or of the
            start ("old") of the step; "exact" integrates both together and needs no such choice.
        cycle: where the delay of one step of a cycle sits: "back": on its connections that lead back, to a node that is
            not farther from the inputs; "all": on every connection inside a cycle; or on these edges, pairs of names.
    """

    method: Literal["euler", "exponential", "exact"] = "euler"
    reset: Literal["value", "subtract"] = "value"
    input: Literal["held", "impulse"] = "held"
    current: Literal["new", "old"] = "new"
    cycle: Any = "back"

    def __post_init__(self) -> None:
        """Refuse unknown choices."""
        loc = Loc.caller()
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if name == "cycle" and not isinstance(value, str):
                object.__setattr__(self, "cycle", _edges(value, loc))
            elif value not in known:
                hint = did_you_mean(str(value), known) or f"use one of {', '.join(map(repr, known))}"
                raise DeclarationError(f"{name} of graphc.nir.Dialect is {value!r}", loc, hint)

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The choices in words, for the semantics card."""
        placed = "at the start of the step" if self.method == "exact" else "after the decay of the step"
        step = {
            "euler": "forward Euler",
            "exponential": "each state by its own exponential, the others held",
            "exact": "exact for all states of a neuron together",
        }
        reset = {"value": "v = v_reset", "subtract": "v = v - (v_threshold - v_reset)"}
        current = f"the membrane reads the {self.current} synaptic current of the step"
        cycle = {
            "back": "on the connections that lead back to a node not farther from the inputs",
            "all": "on every connection inside a cycle",
        }
        held = "held over the step" if self.input == "held" else f"an impulse {placed}"
        where = cycle[self.cycle] if isinstance(self.cycle, str) else ", ".join(f"{a} -> {b}" for a, b in self.cycle)
        return (
            ("NIR method", step[self.method]),
            ("NIR reset", f"{reset[self.reset]}, in the step of the spike"),
            ("NIR input", "held over the step or an impulse, the same for Euler" if self.method == "euler" else held),
            ("NIR current", "integrated with the membrane" if self.method == "exact" else current),
            ("NIR cycle", f"a delay of one step {where}"),
            ("NIR initial state", "0 everywhere"),
        )


DIALECTS: dict[str, Dialect] = {
    "euler": Dialect(),
    "impulse": Dialect("exponential", "subtract", "impulse"),
    "exact": Dialect("exact"),
}
"""Dialects by name.

"euler" gives the response that the NIR paper publishes for a neuron run by Norse, snnTorch and Nengo, "impulse" the one
of Sinabs and Rockpool; for other neurons each of them has conventions of its own.
"""


def dialect_of(given: Any, loc: Loc) -> Dialect:
    """Return the dialect that `given` is or names."""
    if isinstance(given, Dialect):
        return given
    if given is None:
        names = ", ".join(map(repr, DIALECTS))
        raise DeclarationError(
            "a NIR graph does not say how it is run in steps",
            loc,
            f"say dialect=, one of {names}, or a graphc.nir.Dialect(...)",
        )
    if isinstance(given, str) and given in DIALECTS:
        return DIALECTS[given]
    near = did_you_mean(str(given), DIALECTS) or f"known are {', '.join(map(repr, DIALECTS))}"
    raise DeclarationError(f"dialect={given!r} is none of graphc.nir", loc.entry("dialect"), near)


def _edges(given: Any, loc: Loc) -> Edges:
    pairs = tuple(tuple(pair) for pair in given) if isinstance(given, Iterable) else ()
    if not pairs or any(len(pair) != 2 or not all(isinstance(end, str) for end in pair) for pair in pairs):
        hint = 'use "back", "all", or edges of the graph: [("rec", "lif")]'
        raise DeclarationError(f"cycle of graphc.nir.Dialect is {given!r}", loc, hint)
    return pairs
