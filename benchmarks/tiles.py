"""The tile rows of c5: recurrent layers with one delay of 20 steps, steps together against step by step."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import sympy
import torch

import graphc as gc
from benchmarks.layers import make_neuron
from benchmarks.peers.worker import measure
from benchmarks.report import Row, spread, time_alternately
from benchmarks.works import C2

DELAY, STEPS = 20, 200
OFF = "step by step"


def make_network(kind: str, neurons: int) -> gc.Network:
    """Return a recurrent layer of spiking neurons, or of rates: a dense source, whose product reads every weight."""
    if kind == "CuBa-LIF":
        neuron = make_neuron(C2)
    else:
        v = gc.state("v")
        neuron = gc.Neuron("Rate", update={v: 0.9 * v + gc.input("x")}, output=sympy.tanh(v))
    net = gc.Network(dt=C2.dt)
    net.input("x", neurons)
    net.population("hid", neuron, neurons)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.connect("hid", "hid", delay=DELAY, weight=gc.Normal(0, 0.5 / neurons**0.5))
    net.output("hid")
    return net


def make_runs(kind: str, neurons: int, batch: int) -> dict[str, Callable[[], None]]:
    """Return forward plus backward with and without steps that go together, checked to do the same."""
    generator = torch.Generator().manual_seed(0)
    x = 0.35 + 1.5 * torch.randn(STEPS, batch, neurons, generator=generator)
    g = torch.randn(STEPS, batch, neurons, generator=generator)
    runs: dict[str, Callable[[], None]] = {}
    found: list[torch.Tensor] = []
    weights: dict[str, torch.Tensor] = {}
    for name, schedule in (("ours", {}), (OFF, {"tile_time": 1})):
        model = gc.compile(make_network(kind, neurons), target="c", schedule=schedule)
        model.load_state_dict(weights or model.state_dict())
        weights = model.state_dict()

        def run(model: gc.Model = model) -> None:
            torch.autograd.backward(model(x), g)

        runs[name] = run
        with torch.no_grad():
            found.append(model(x))
        run()
    same = float((found[0] - found[1]).abs().le(1e-3).float().mean())
    if same < 0.999:
        raise RuntimeError(f"c5: steps together agree with step by step in {100 * same:.2f} % only")
    return runs


def measure_tiles(rounds: int) -> list[Row]:
    """Return one row per layer; the peer is the same model with ``schedule={"tile_time": 1}``."""
    rows = []
    for kind, neurons, batch in (("CuBa-LIF", 1024, 8), ("rate", 1024, 8), ("rate", 1024, 1)):
        runs = make_runs(kind, neurons, batch)
        timers = {name: (lambda count, run=run: [measure(run) for _ in range(count)]) for name, run in runs.items()}
        times = time_alternately(timers, rounds, runs=1)
        medians = {name: statistics.median(found) for name, found in times.items()}
        ours = medians.pop("ours")
        ratio = medians[OFF] / ours
        title = f"recurrent {kind} layer, T={STEPS} B={batch} N={neurons}, delay {DELAY}: {DELAY} steps at once"
        target = "faster than step by step"
        rows.append(Row("c5", title, ours, spread(times["ours"]), target, ratio > 1, ratio, medians))
    return rows
