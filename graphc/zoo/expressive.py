"""The ELM neuron: leaky synapses, a small network inside the neuron, leaky memories; as a neuron and as populations."""

from typing import Any

from sympy import cos, exp, tanh

import graphc as gc
from graphc.units import ms

TAU_S, LAMBDA = 5 * ms, 5.0


def _unit(branches: int, hidden: int, memories: int) -> dict[str, Any]:
    """Return the arguments of one neuron, its weights written out as parameters."""
    s, m, x = gc.state("s", shape=branches), gc.state("m", shape=memories), gc.input("x", shape=branches)
    tau_s, lam = gc.params(tau_s=TAU_S, lam=LAMBDA)
    tau = [gc.param(f"tau_m{k}", 10.0**k * 3 * ms) for k in range(memories)]

    def weights(name: str, rows: int, columns: int) -> list[list[Any]]:
        """Return learned parameters with a fixed pattern of values."""
        size = columns**-0.5
        each = [[size * float(cos(1 + 2 * r + 3 * c)) for c in range(columns)] for r in range(rows)]
        return [[gc.param(f"{name}_{r}_{c}", w, learn=True) for c, w in enumerate(row)] for r, row in enumerate(each)]

    def layer(matrix: list[list[Any]], biases: list[Any], given: list[Any]) -> list[Any]:
        return [sum((w * e for w, e in zip(row, given, strict=True)), b) for row, b in zip(matrix, biases, strict=True)]

    now = [exp(-gc.dt / tau_s) * own + arriving for own, arriving in zip(s, x, strict=True)]
    kept = [exp(-gc.dt / t) * own for t, own in zip(tau, m, strict=True)]
    biases = [
        [gc.param(f"{name}_{r}", 0.1, learn=True) for r in range(n)] for name, n in (("a", hidden), ("b", memories))
    ]
    inside = [gc.relu(e) for e in layer(weights("A", hidden, branches + memories), biases[0], [*now, *kept])]
    change = [tanh(e) for e in layer(weights("B", memories, hidden), biases[1], inside)]
    after = [k + (1 - exp(-gc.dt * lam / t)) * d for k, t, d in zip(kept, tau, change, strict=True)]
    (readout,) = weights("y", 1, memories)
    return {"update": {s: now, m: after}, "output": sum(w * own for w, own in zip(readout, m, strict=True))}


ELM = gc.Neuron("ELM", **_unit(branches=2, hidden=2, memories=2))
"""Expressive leaky memory neuron of two branches, two hidden units and two memories.

``s[t] = k_s s[t-1] + x[t]``, ``m[t] = k_m m[t-1] + (1 - k_l) tanh(B relu(A (s[t], k_m m[t-1]) + a) + b)`` with
``k = exp(-dt / tau)`` and ``k_l = exp(-dt lam / tau_m)``, sending ``y m``.

This small one has its weights as parameters of one number each, with values that mean nothing before learning. For more
than a few units use `gc.zoo.elm`, which puts the parts into populations joined by learned matrices.

Source:
    Spieler, Rahaman, Martius, Schoelkopf & Levina (2024), The expressive leaky memory neuron, ICLR.
"""


def elm(
    network: gc.Network,
    name: str,
    source: Any,
    units: int = 1,
    *,
    branches: int,
    memories: int,
    hidden: int | None = None,
    tau_m: Any = None,
    delay: Any = None,
) -> Any:
    """Add ELM neurons to `network` and return the population of their memories, to be read out by a connection.

    A matrix product inside a neuron is a connection without delay: the populations `name`_branch, `name`_hidden and
    `name`_memory hold the parts of all neurons, joined by one learned block per neuron. The synapses are the connection
    from `source` to the branches, dense, positive at first.

    Args:
        network: where they are added.
        name: of the populations.
        source: an input or a population.
        units: the number of neurons.
        branches: leaky sums of synapses per neuron.
        memories: per neuron.
        hidden: units of the hidden layer per neuron; twice the memories by default.
        tau_m: time constants of the memories, one number, quantity or distribution for all, or an array of
            ``units * memories``; learned, from 1 to 150 ms, spread evenly over that range by default.
        delay: of the synapses.

    Source:
        Spieler, Rahaman, Martius, Schoelkopf & Levina (2024), The expressive leaky memory neuron, ICLR.
    """
    import numpy as np

    s, m, x = gc.state("s"), gc.state("m"), gc.input("x")
    tau_s, lam = gc.params(tau_s=TAU_S, lam=LAMBDA)
    bias = gc.param("bias", 0.0, learn=True, per="neuron")
    time = gc.param("tau_m", 30 * ms, learn=True, per="neuron", min=1 * ms, max=150 * ms)
    branch = gc.Neuron("ELMBranch", update={s: exp(-gc.dt / tau_s) * s + x})
    inside = gc.Neuron("ELMHidden", output=gc.relu(x + bias))
    kept = exp(-gc.dt / time) * m
    memory = gc.Neuron(
        "ELMMemory", update={m: kept + (1 - exp(-gc.dt * lam / time)) * tanh(x + bias)}, let={"kept": kept}
    )
    if tau_m is None:
        tau_m = np.tile(1 + 149 * (np.arange(memories) + 0.5) / memories, units)
    blocks = gc.Blocks(units)
    layers = ((branch, branches), (inside, hidden or 2 * memories), (memory, memories))
    first, second, third = (
        network.population(f"{name}_{neuron.name.removeprefix('ELM').lower()}", neuron, units * count)
        if neuron is not memory
        else network.population(f"{name}_memory", neuron, units * count, tau_m=tau_m)
        for neuron, count in layers
    )
    size = source.size if hasattr(source, "size") else (network.inputs | network.populations)[source].size
    network.connect(source, first, weight=gc.Uniform(0.0, 2.0 / size), delay=delay)
    network.connect(first, second, connectivity=blocks)
    network.connect(third, second, connectivity=blocks, delay=1, transmit=gc.weight * gc.pre("kept"))
    network.connect(second, third, connectivity=blocks)
    return third
