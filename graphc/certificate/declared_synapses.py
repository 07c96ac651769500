"""What arrives at a population by the declared connections, from recorded signals of all steps at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.connection import DEFAULT, Connection
from graphc.delay import Taps
from graphc.symbols import Signal, weight
from graphc.symbols import dt as step_length

from .walk import Array, NotCovered, walk

LARGEST = 1 << 24  # elements of a matrix, or synapses times steps and samples, that are worth the memory

Read = Callable[[str, str, int], Array]
"""Population or input, signal, and steps back: the recorded sequence (T, B, N)."""


def drive(
    connections: list[Connection], goal: str, read: Read, tensors: Mapping[str, Any], size: int, dt: float
) -> Array | float:
    """Return the sum of what `connections` deliver to the input `goal`, (T, B, N); 0 without any.

    Raises:
        NotCovered: a connection has something that has no rule here.
    """
    parts = [_part(c, goal, read, tensors, size, dt) for c in connections if goal in c.transmit]
    return sum(parts[1:], parts[0]) if parts else 0.0


def _part(c: Connection, goal: str, read: Read, tensors: Mapping[str, Any], size: int, dt: float) -> Array:
    if c.rule is not None:
        raise NotCovered(f"the learning rule of '{c.name}' changes its synapses")
    if isinstance(c.delay, Taps):
        raise NotCovered(f"the delays of '{c.name}' are learned")
    stored = tensors.get(f"{c.shared or c.name}.weight")
    if stored is None or c.connectivity.procedural:
        raise NotCovered(f"the weights of '{c.name}' are not stored")
    found = c.synapses
    flat = np.asarray(stored, float).ravel()
    strength = (flat if found.index is None else flat[found.index]) * c.connectivity.scale(c.sink)
    delays = np.broadcast_to(np.asarray(c.delay), found.pre.shape)
    expr = c.transmit[goal]
    total: Any = 0.0
    for d in np.unique(delays):
        chosen = np.flatnonzero(delays == d)
        pre, post, w = found.pre[chosen], found.post[chosen], strength[chosen]
        if expr == DEFAULT:
            total = total + _product(read(c.pre, "output", int(d)), pre, post, w, size, c.name)
        else:
            total = total + _synapse_by_synapse(c, expr, read, tensors, chosen, (pre, post, w), int(d), size, dt)
    return np.asarray(total)


def _product(sent: Array, pre: Any, post: Any, w: Array, size: int, name: str) -> Array:
    if sent.shape[-1] * size > LARGEST:
        raise NotCovered(f"'{name}' is large")
    matrix = np.zeros((sent.shape[-1], size))
    np.add.at(matrix, (pre, post), w)
    return np.asarray(sent @ matrix)


def _synapse_by_synapse(
    c: Connection,
    expr: Any,
    read: Read,
    tensors: Mapping[str, Any],
    chosen: Any,
    synapses: tuple[Any, Any, Array],
    delay: int,
    size: int,
    dt: float,
) -> Array:
    pre, post, w = synapses
    values: dict[Any, Any] = {weight: w, step_length: dt}
    for s in expr.atoms(Signal):
        owner, at, back = (c.pre, pre, delay) if s.side == "pre" else (c.post, post, 1)
        sent = read(owner, s.signal, back)
        if sent.shape[0] * sent.shape[1] * len(chosen) > LARGEST:
            raise NotCovered(f"'{c.name}' is large")
        values[s] = sent[..., at]
    for p in c.parameters:
        each = np.asarray(tensors[f"{c.name}.{p.name}"], float).ravel()
        index = c.synapses.index
        values[p] = each if each.size == 1 else (each if index is None else each[index])[chosen]
    delivered = np.asarray(walk(expr, values), float)
    order = np.argsort(post, kind="stable")
    goals, first = np.unique(post[order], return_index=True)
    total = np.zeros((*delivered.shape[:-1], size))
    total[..., goals] = np.add.reduceat(delivered[..., order], first, axis=-1)
    return total
