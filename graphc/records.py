"""Names of signals: ``hid``, ``hid.v``, ``hid.v@threshold``, ``x_hid.weight``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .names import did_you_mean
from .shaped import families
from .symbols import spike

if TYPE_CHECKING:
    from .network import Network, Population


@dataclass(frozen=True)
class Record:
    """A signal of a population or connection; `at_threshold` reads it before the reset."""

    owner: str
    signal: str
    at_threshold: bool = False

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.owner}.{self.signal}" + ("@threshold" if self.at_threshold else "")


def resolve_record(network: Network, name: str, loc: Loc) -> Record:
    """Return what a name means, or say which name comes close."""
    if not isinstance(name, str):
        raise DeclarationError(f"{name!r} names no signal", loc, 'names are texts such as "hid.v"')
    path, at, moment = name.partition("@")
    owner, dot, signal = path.partition(".")
    if at and moment != "threshold":
        raise DeclarationError(f"'{name}' names no signal", loc, 'the only "@" is "@threshold"')
    if owner in network.connections:
        rule = network.connections[owner].rule
        names = ["weight", *(s.name for s in rule.states)] if rule is not None else ["weight"]
        if signal not in names or at:
            near = did_you_mean(signal, names) or f"'{owner}.{names[-1]}' is one"
            raise DeclarationError(f"'{name}' names no signal of connection '{owner}'", loc, near)
        return Record(owner, signal)
    if owner not in network.populations:
        hint = did_you_mean(owner, [*network.populations, *network.connections])
        if owner in network.inputs:
            hint = f"'{owner}' is an input, which the caller has already"
        raise DeclarationError(f"'{name}' names no signal: there is no population or connection '{owner}'", loc, hint)
    population = network.populations[owner]
    known = signals(population)
    if dot and signal not in known:
        raise DeclarationError(
            f"'{name}' names no signal of population '{owner}'", loc, _hint(population, owner, signal, known)
        )
    record = Record(owner, signal or "output", bool(at))
    if at and record.signal not in known_before_reset(population):
        message = f"'{name}' has no value before the reset"
        raise DeclarationError(message, loc, "states, inputs and lets without gc.spike have one")
    return record


def families_of(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the names of the parts of every signal that has several, such as "hid.v" and "hid.v@threshold"."""
    found: dict[str, tuple[str, ...]] = {}
    for name, population in network.populations.items():
        for whole, parts in families((*population.neuron.states, *population.neuron.inputs)).items():
            for moment in ("", "@threshold"):
                found[f"{name}.{whole}{moment}"] = tuple(f"{name}.{part}{moment}" for part in parts)
    for name, connection in network.connections.items():
        if connection.rule is not None:
            for whole, parts in families(connection.rule.states).items():
                found[f"{name}.{whole}"] = tuple(f"{name}.{part}" for part in parts)
    return found


def parts_of(network: Network, name: str) -> tuple[str, ...]:
    """Return the records that one name stands for: itself, or those of all parts."""
    return families_of(network).get(name, (name,)) if isinstance(name, str) else (name,)


def signals(population: Population) -> tuple[str, ...]:
    """Return the names that can be recorded of a population."""
    neuron = population.neuron
    special = ["output"] + ["spike"] * (neuron.spike is not None) + ["refractory"] * (neuron.refractory is not None)
    return (*special, *(s.name for s in (*neuron.states, *neuron.inputs)), *neuron.let)


def known_before_reset(population: Population) -> set[str]:
    """Return the names that have a value at threshold."""
    neuron = population.neuron
    lets = {name for name, e in neuron.let.items() if spike not in e.free_symbols}
    return {s.name for s in (*neuron.states, *neuron.inputs)} | lets


def _hint(population: Population, owner: str, signal: str, known: tuple[str, ...]) -> str:
    if signal in population.parameters:
        return f"it is a parameter: read model.{owner}.{signal}"
    if signal in ("spike", "refractory"):
        return f"neuron '{population.neuron.name}' has no {signal}"
    near = did_you_mean(signal, known)
    return near or f"there are {', '.join(known)}"
