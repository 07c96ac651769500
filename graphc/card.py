"""The semantics card: every choice that decides what a model's numbers are, in one text with a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import sympy

from graphc.ir import Precision, Program

from .connection import DEFAULT, Connection
from .delay import Taps
from .lower import evaluation_order
from .network import Network, Population
from .neuron import Spike
from .plasticity import Plasticity, ThirdFactor

_SPIKES = "spikes of one target are those of another up to rounding"
NUMERICS = {
    "float32": f"fast: sums in any order, no contraction outside products, IEEE products, no flush of NaN; {_SPIKES}",
    "tf32": f"loose: factors of products rounded to tf32, products summed in float32; else as fast; {_SPIKES}",
} | {
    narrow: f"loose: sequences, inputs and outputs among them, and factors of products rounded to {narrow}; products "
    f"summed in float32, states and coefficients in float32, spikes from conditions that were not rounded; {_SPIKES}"
    for narrow in ("bfloat16", "float16")
}
"""The level of numerics by precision, and what is rounded."""

ORDER = "deliver, receive, integrate and update, threshold, reset, output and record"
RULE_ORDER = "on_pre after deliver; third factors, on_post, equations after all populations; arrivals before spikes"
PLACES = {"pre": "source neuron", "post": "target neuron", "synapse": "synapse"}
DELAYS = "a spike of step t acts from the start of step t + d; before step 0 spikes, inputs and drives are 0"


@dataclass(frozen=True)
class Card:
    """What decides a model's numbers, as lines of (about, text)."""

    lines: tuple[tuple[str, str], ...]

    @property
    def hash(self) -> str:
        """The identity of these choices: 12 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """One line per choice."""
        return "\n".join(f"{about}: {text}" for about, text in self.lines)

    def __str__(self) -> str:
        """Return hash and lines."""
        return f"semantics card {self.hash}\n" + "\n".join(f"  {line}" for line in self.text.splitlines())


def card_of(network: Network, program: Program, dtype: str, precision: Precision = "float32") -> Card:
    """Return the card of `network`.

    Args:
        network: what was declared.
        program: the same after `discretize`, whose notes say how every state is integrated.
        dtype: of the states.
        precision: of sequences and of the factors of products.
    """
    order = evaluation_order(network)
    lines = [
        ("dt", f"{network.dt!r} ms"),
        ("dtype", dtype),
        ("precision", precision),
        ("numerics", NUMERICS[precision]),
        ("update order", f"{ORDER}; populations in the order {', '.join(order)}"),
        ("delays", DELAYS),
        *network.notes,
    ]
    integrators = dict(line.split(": ", 1) for about, line in program.notes if about == "integrator")
    for name in order:
        lines += _population(network.populations[name], network.dt, integrators)
    for c in network.connections.values():
        lines.append((f"connection {c.name}", _connection(c)))
        lines += [] if c.rule is None else _rule(c.name, c.rule)
    return Card(tuple(lines))


def _population(population: Population, dt: float, integrators: dict[str, str]) -> Iterable[tuple[str, str]]:
    neuron, owner = population.neuron, population.name
    yield owner, f"neuron {neuron.name}, output {neuron.output}"
    for state in neuron.states:
        how = integrators.get(f"{owner}.{state.name}", "discrete-time map, as declared")
        yield f"{owner}.{state.name}", how
    for xi in neuron.noises:
        yield f"{owner}.{xi}", "noise, Philox4x32-10 of seed, step, sample and neuron; white in equations of ode"
    spike = neuron.spike
    if spike is None:
        return
    if spike.escape is not None:
        yield f"{owner} threshold", f"none: a spike with probability 1 - exp(-rate dt), rate = {spike.escape} per ms"
        yield (
            f"{owner} surrogate",
            "the derivative of the probability"
            if spike.condition is None
            else (f"{spike.surrogate!r} of {spike.margin}"),
        )
    else:
        yield from _threshold(owner, spike)
    if neuron.reset:
        jumps = [
            f"{s} -> {e}{' (detached)' if s in spike.detached else ' (attached)'}" for s, e in neuron.reset.items()
        ]
        yield f"{owner} reset", ", ".join(jumps)
    else:
        yield f"{owner} reset", "none"
    yield f"{owner} refractory", _refractory(population, dt)


def _threshold(owner: str, spike: Spike) -> Iterable[tuple[str, str]]:
    """Yield when a spike is certain, and what stands for its derivative."""
    at_equality = "no spike at equality" if spike.strict else "spike at equality"
    edge = "level" if spike.edge != "rising" else "rising edge, the initial state counts as the step before the first"
    condition = (
        spike.condition if isinstance(spike.condition, sympy.core.relational.Relational) else f"{spike.margin} > 0"
    )
    yield f"{owner} threshold", f"{condition}, {edge}, {at_equality}"
    yield f"{owner} surrogate", repr(spike.surrogate)


def _refractory(population: Population, dt: float) -> str:
    rule = population.neuron.refractory
    if rule is None:
        return "none: a spike is possible at every step"
    duration = sympy.sympify(rule.duration)
    steps = f"{round(float(duration) / dt)} steps" if duration.is_Number and duration.is_finite else f"{duration} ms"
    steps = "for ever" if duration == sympy.oo else steps
    held = ", ".join(s.name for s in rule.hold)
    return f"{steps} after the step of the spike; holds {held or 'no state'}"


def _rule(owner: str, rule: Plasticity) -> Iterable[tuple[str, str]]:
    """Yield what a learning rule does, and how it acts on the weight."""
    yield f"{owner} rule", f"{rule.name}; {RULE_ORDER}"
    for group, equations in rule.groups.items():
        if equations:
            shown = ", ".join(f"{key}{chr(39) * (group == 'ode')} = {e}" for key, e in equations.items())
            yield f"{owner} {group}", shown
    places = ", ".join(f"{state} per {PLACES[place]}" for state, place in rule.places().items())
    yield f"{owner} states", places or "the weight alone"
    if rule.changes_weight:
        clipped = "" if rule.bounds is None else f", within {rule.bounds[0]} and {rule.bounds[1]}"
        own = "one per sample" if rule.reduction is None else f"one, changed by the {rule.reduction} over the batch"
        kept = own if rule.apply == "weight" else "stays; minus its change is added to .grad"
        yield f"{owner} weight", f"{kept}{clipped}"


def _connection(connection: Connection) -> str:
    first, last = connection.delays[0], connection.delays[-1]
    delay = f"delay {first} step{'s' * (first != 1)}"
    if last != first:
        delay = f"{'learned ' * isinstance(connection.delay, Taps)}delays {first} to {last} steps"
    kind = type(connection.connectivity).__name__
    shared = f", weight of {connection.shared}" if connection.shared else ""
    sign = "" if connection.sign is None else ", signed"
    told = (
        ""
        if set(connection.transmit.values()) == {DEFAULT}
        else f", transmits {', '.join(map(str, connection.transmit.values()))}"
    )
    end = connection.post if isinstance(connection.sink, ThirdFactor) else f"{connection.post}.{connection.target}"
    return f"{connection.pre} -> {end}, {kind}, {delay}{shared}{sign}{told}"
