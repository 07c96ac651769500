"""Networks whose two sides spike when they are told to, joined by one plastic connection."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import graphc as gc

v, teach, x = gc.state("v"), gc.input("teach"), gc.input("x")
RELAY = gc.Neuron("Relay", output=gc.input("x"))
TOLD = gc.Neuron("Told", ode={v: -v / 10}, receive={v: v + x}, spike=gc.Spike(teach > 0.5, edge="level"))
"""Spikes where `teach` says so; `v` integrates what the plastic connection delivers."""

T, B, PRE, POST = 60, 2, 5, 3
DRAW = np.random.default_rng(11)
MASK = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)


def spikes(size: int, rate: float = 0.15, seed: int = 0, steps: int = T, batch: int = B) -> torch.Tensor:
    """Return spike trains (T, B, N) in float64."""
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, size, generator=draw) < rate).double()


def times(trains: torch.Tensor, sample: int, neuron: int, delay: int = 0) -> list[int]:
    """Return the steps at which a spike of one neuron arrives."""
    steps = trains[:, sample, neuron].nonzero().flatten() + delay
    return [int(t) for t in steps if t < len(trains)]


def told(
    rule: gc.Plasticity, *, factors: dict[str, int] | None = None, post: int = POST, **connection: Any
) -> gc.Network:
    """Return inputs "pre" and "post" that say when the two populations spike, and the connection "src_dst" with `rule`.

    `factors` are third factors with the size of the network input that drives each.
    """
    net = gc.Network(dt=1.0)
    net.input("pre", PRE)
    net.input("post", post)
    net.population("src", TOLD, PRE)
    net.population("dst", TOLD, post)
    for side, population in (("pre", "src"), ("post", "dst")):
        one = {"connectivity": gc.OneToOne(), "weight": 1.0, "learn": False}
        net.connect(side, population, target="teach", **one)
    connection = {"weight": 0.5, "target": "x", "name": "src_dst"} | connection
    handle = net.connect("src", "dst", plasticity=rule, **connection)
    for factor, size in (factors or {}).items():
        net.input(factor, size)
        kind = gc.Dense() if size == 1 else gc.OneToOne()
        net.connect(factor, handle, target=factor, weight=1.0, learn=False, connectivity=kind)
    net.output("dst.v")
    return net


def compiled(net: gc.Network, target: str, **options: Any) -> gc.Model:
    """Return a model in float64."""
    return gc.compile(net, target=target, dtype=torch.float64, **options)
