"""What was declared, as plain data."""

from __future__ import annotations

from typing import Any

import sympy

from graphc.connection import Connection
from graphc.connectivity import Dense, Sparse
from graphc.network import Network, Population

from .report import ConnectionInfo, NetworkInfo, PopulationInfo, Where


def network_of(network: Network) -> NetworkInfo:
    """Return populations, connections, sizes and delays."""
    return NetworkInfo(
        network.dt,
        {name: given.size for name, given in network.inputs.items()},
        tuple(_population(p) for p in network.populations.values()),
        tuple(_connection(c) for c in network.connections.values()),
        network.outputs,
    )


def _population(population: Population) -> PopulationInfo:
    parameters = tuple(
        f"{name} = {_value(p.value)}{', learned' if p.learn else ''}" for name, p in population.parameters.items()
    )
    states = tuple(s.name for s in population.neuron.states)
    neuron = population.neuron.name
    return PopulationInfo(population.name, neuron, population.size, states, parameters, Where.of(population.loc))


def _value(value: Any) -> str:
    if isinstance(value, (int, float, sympy.Number)):
        return f"{float(value):.6g}"
    shape = getattr(value, "shape", None)
    return f"array {tuple(shape)}" if shape else str(value)


def _connection(c: Connection) -> ConnectionInfo:
    rule = None if c.rule is None else c.rule.name
    kind = type(c.connectivity).__name__
    delays = (c.delays[0], c.delays[-1])
    where = Where.of(c.loc)
    return ConnectionInfo(
        c.name, c.pre, c.post, c.target, kind, _synapses(c), delays, rule, c.learn, where
    )  # fmt: skip


def _synapses(c: Connection) -> int:
    """Return how many synapses there are; of those drawn at every spike, how many on average."""
    pairs = int(c.source.size) * int(c.sink.size)
    if isinstance(c.connectivity, Dense):
        return pairs
    if isinstance(c.connectivity, Sparse) and c.connectivity.procedural:
        return round(pairs * (c.connectivity.probability or 0.0))
    return len(c.synapses.pre)
