"""Models on the device that a test runs on, and what their kernels cost there: builds and launches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import graphc as gc
from tests.oracles import networks
from tests.oracles.networks import SCALES, Case, build

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

STRATEGIES: dict[str, dict[str, int | str]] = {
    "elementwise": {},
    "resident": {"strategy": "resident"},
    "cooperative": {"strategy": "cooperative", **({"columns": 16} if DEVICE == "cuda" else {})},
    "stepwise": {"strategy": "stepwise"},
}
"""What `schedule=` of gc.compile forces each strategy; loops that multiply nothing are elementwise anyway.

Programs of 16 neurons share out a loop on a GPU; interpreted ones cannot wait for each other, so one holds them all.
"""

v = gc.state("v")
x = gc.input("x")

DYADIC = gc.Neuron(
    "Dyadic",
    update={v: v / 2 + x},
    spike=gc.Spike(v > 0.75, surrogate=gc.surrogate.SuperSpike(beta=2.0)),
    reset={v: v - 1},
)
"""Its numbers lie on a dyadic grid: with + - * alone no target rounds them in the first steps, and none differently."""


def dyadic_network(strategy: str, size: int, inputs: int = 12, delay: int = 1) -> gc.Network:
    """Return a layer with weights on a grid of 1/8; recurrent, with an own weight each, unless elementwise."""
    draw = torch.Generator().manual_seed(size)

    def weights(rows: int, spread: float) -> torch.Tensor:
        return (torch.randn(rows, size, generator=draw) * spread * 8).round().div(8)

    net = gc.Network(dt=1.0)
    net.input("x", inputs)
    net.population("hid", DYADIC, size)
    net.connect("x", "hid", weight=weights(inputs, 0.5).numpy())
    if strategy != "elementwise":
        net.connect("hid", "hid", weight=weights(size, 1.5 / math.sqrt(size)).numpy(), delay=delay)
    net.output("hid")
    return net


def dyadic_synapses(kind: str, size: int, inputs: int = 12) -> gc.Network:
    """Return `dyadic_network` with another recurrence: a list, delays per synapse, a gap junction, learned delays."""
    net = dyadic_network("elementwise", size, inputs)
    draw = np.random.default_rng(size)
    mask = draw.random((size, size)) < 0.2
    weight = np.round(draw.normal(0, 3 / np.sqrt(size), (size, size)) * 8) / 8
    delays = draw.integers(1, 4, (size, size))
    options: dict[str, dict[str, Any]] = {
        "list": {"connectivity": gc.Sparse(mask=mask), "weight": weight * mask, "delay": 2},
        "delays": {"connectivity": gc.Sparse(mask=mask), "weight": weight * mask, "delay": delays},
        "gap": {"weight": weight / 8, "delay": 1, "transmit": gc.weight * (gc.pre("v") - gc.post("v"))},
        "per synapse": {"weight": weight - 1, "delay": 2, "transmit": gc.relu(gc.weight - gc.post("v")) * gc.pre()},
        "learned": {"weight": weight, "delay": gc.LearnedDelay(max=3, min=1, init=1 + delays % 3 / 2)},
    }
    net.connect("hid", "hid", **options[kind])
    return net


def dyadic_input(steps: int, batch: int, inputs: int = 12, seed: int = 0) -> torch.Tensor:
    """Return numbers on a grid of 1/4, (T, B, inputs); rows are the same for every T and B."""
    rows = [torch.Generator().manual_seed(1000 * seed + b) for b in range(batch)]
    columns = [torch.randint(-3, 6, (steps, inputs), generator=row) for row in rows]
    return torch.stack(columns, 1).float() / 4


def wide(name: str, topology: str, size: int) -> Case:
    """Return the network of `build` with populations of `size` neurons, each driven as in the small one."""
    scale = SCALES[name]
    narrow = replace(scale, between=scale.between * math.sqrt(6 / size))
    with patch.dict(networks.SIZES, hid=size, top=size), patch.dict(SCALES, {name: narrow}):
        return build(name, topology)


@dataclass(frozen=True)
class Trained:
    """Records and final states of one run, still differentiable, and the leaves they depend on."""

    records: Mapping[str, torch.Tensor]
    leaves: Mapping[str, torch.Tensor]

    def gradients(self, steps: int) -> dict[str, torch.Tensor]:
        """Return the gradients of one random weighting of the first `steps` rows of every record."""
        loss = torch.zeros((), dtype=torch.float64)
        draw = torch.Generator().manual_seed(0)
        for record in self.records.values():
            weight = torch.randn(record.shape, generator=draw, dtype=torch.float64)
            loss = loss + (weight * record.cpu().double())[:steps].sum()
        found = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True, retain_graph=True)
        return {
            name: torch.zeros_like(leaf, device="cpu", dtype=torch.float64) if g is None else g.cpu().double()
            for (name, leaf), g in zip(self.leaves.items(), found, strict=True)
        }


def train(model: gc.Model, case: Case) -> Trained:
    """Run `model` on the inputs of `case` and record states and spikes."""
    names = []
    for title, population in case.populations.items():
        neuron = gc.zoo.ALL[population.neuron]
        names += [f"{title}.{state.name}" for state in neuron.states] + [f"{title}.spike"] * (neuron.spike is not None)
    inputs = {k: torch.as_tensor(a).to(model._like.device, model.dtype) for k, a in case.inputs.items()}
    inputs = {k: a.requires_grad_() for k, a in inputs.items()}
    run = model.run(inputs, record=names)
    return Trained(dict(run.records), {**dict(model.named_parameters()), **inputs})


def same_steps(want: Trained, got: Trained) -> int:
    """Return the number of steps on which every spike is the same."""
    spikes = [name for name in want.records if name.endswith(".spike")]
    steps = len(next(iter(want.records.values())))
    equal = torch.ones(steps, dtype=torch.bool)
    for name in spikes:
        equal &= ((want.records[name] > 0) == (got.records[name].cpu() > 0)).flatten(1).all(1)
    return steps if equal.all() else int((~equal).nonzero()[0])


@contextmanager
def counted_builds() -> Iterator[Counter[str]]:
    """Count how often Triton builds each kernel, or fetches it from disk; its interpreter builds nothing."""
    import triton

    built: Counter[str] = Counter()
    runtime = triton.knobs.runtime
    before = runtime.jit_post_compile_hook

    def count(*args: object, **told: object) -> None:
        built[str(getattr(told.get("fn"), "name", "a kernel")).rpartition(".")[2]] += 1

    runtime.jit_post_compile_hook = count
    try:
        yield built
    finally:
        runtime.jit_post_compile_hook = before
