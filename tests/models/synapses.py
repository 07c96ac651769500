"""Networks with every kind of synapse, and what they must do, computed step by step in NumPy's spirit by torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import graphc as gc

N, INPUTS = 12, 5
DRAW = np.random.default_rng(7)
MASK = DRAW.random((N, N)) < 0.2
MASK[0, 0] = True
WEIGHT = DRAW.normal(0.0, 0.4, (N, N))
DELAY = DRAW.integers(1, 7, (N, N))
PAIRS = tuple(DRAW.permutation(np.stack(np.nonzero(MASK), 1)).T)

KINDS: dict[str, dict[str, Any]] = {
    "mask": {"connectivity": gc.Sparse(mask=MASK), "weight": WEIGHT * MASK},
    "pairs": {"connectivity": gc.Sparse(indices=PAIRS), "weight": WEIGHT[PAIRS]},
    "matrix with zeros": {"connectivity": gc.Sparse(mask=MASK, layout="dense"), "weight": WEIGHT * MASK},
    "list of a dense mask": {
        "connectivity": gc.Sparse(mask=MASK | (WEIGHT > 0.1), layout="list"),
        "weight": -WEIGHT * (MASK | (WEIGHT > 0.1)),
    },
    "probability": {"connectivity": gc.Sparse(0.15, seed=3)},
    "all but self": {"connectivity": gc.AllButSelf()},
    "blocks": {"connectivity": gc.Blocks(3)},
    "blocks as a list": {"connectivity": gc.Blocks(6)},
}
"""Connectivities of a recurrent population of N."""

DELAYS: dict[str, dict[str, Any]] = {
    "one": {"delay": 3},
    "per synapse": {"delay": DELAY},
}


def recurrent(**connection: Any) -> gc.Network:
    """Return a population that spikes at about a third of the steps, with one recurrent connection."""
    v = gc.state("v")
    x = gc.input("x")
    neuron = gc.Neuron(
        "Leaky",
        update={v: 0.8 * v + x},
        spike=gc.Spike(v > 1, surrogate=gc.surrogate.SuperSpike(beta=2.0)),
        reset={v: v - 1},
    )
    net = gc.Network(dt=1.0)
    net.input("inp", INPUTS)
    net.population("hid", neuron, N)
    net.connect("inp", "hid", weight=gc.Normal(0.35, 0.3))
    net.connect("hid", "hid", **connection)
    net.output("hid")
    return net


def dense_weight(net: gc.Network, model: gc.Model, name: str = "hid_hid") -> torch.Tensor:
    """Return the weights of a connection as a matrix, from the declared list of its synapses."""
    connection = net.connections[name]
    found = connection.synapses
    weight = getattr(model, name).weight.detach().flatten()
    index = np.arange(len(found.pre)) if found.index is None else found.index
    matrix = torch.zeros(connection.source.size, connection.sink.size, dtype=weight.dtype)
    matrix[found.pre, found.post] = weight[index] * connection.connectivity.scale(connection.sink)
    return matrix


def dense_gradient(net: gc.Network, gradient: torch.Tensor, name: str = "hid_hid") -> torch.Tensor:
    """Return the gradient of a dense weight as that of the weights of a connection, shared ones summed."""
    connection = net.connections[name]
    found = connection.synapses
    index = torch.from_numpy(np.arange(len(found.pre)) if found.index is None else found.index)
    each = gradient[found.pre, found.post] * connection.connectivity.scale(connection.sink)
    total = torch.zeros(int(np.prod(connection.weight_shape)), dtype=gradient.dtype)
    return total.index_add(0, index, each).reshape(connection.weight_shape)


def spikes_in(steps: int, batch: int, seed: int = 0) -> torch.Tensor:
    """Return random input spikes, (steps, batch, INPUTS), float64."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, INPUTS, generator=generator) < 0.5).double()
