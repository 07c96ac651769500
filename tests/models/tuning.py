"""Networks, entries and trials that tests of the tuner share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

import graphc as gc
from graphc.runtime.tune.database import Entry
from graphc.runtime.tune.identity import Identity

HERE = Identity("g", "c", "cpu", "x86", "float32", True, 64, 32, "0.1", "gcc 12", "")


def network() -> gc.Network:
    """Return a small recurrent network whose backward half multiplies with a matrix at every step."""
    net = gc.Network(dt=1)
    net.input("x", 8)
    net.population("hid", gc.zoo.LIF, 24)
    net.population("out", gc.zoo.LI, 3)
    net.connect("x", "hid", weight=gc.Uniform(0, 0.5))
    net.connect("hid", "hid", delay=1, weight=gc.Uniform(-0.2, 0.2))
    net.connect("hid", "out", weight=gc.Uniform(0, 0.5))
    net.output("out")
    return net


def spikes(steps: int = 20, batch: int = 8) -> torch.Tensor:
    """Return inputs of `network` that make it spike."""
    return (torch.rand(steps, batch, 8, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def entry(schedule: dict[str, Any] | None = None, made: str = "2026-01-01 00:00:00", **changed: Any) -> Entry:
    """Return an entry of `HERE`, with some of its identity changed."""
    return Entry(replace(HERE, **changed), "net", schedule or {"rows": 4}, 1.0, 1.5, 10, 0, made)
