"""The spike-timing window of a learning rule: the change of a weight by pairs of spikes, over their lag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import graphc as gc
from graphc.ir import GraphcError
from graphc.units import ms

from .characterise import target

START, PAIRS, PERIOD = 0.5, 20, 50
"""The weight before, the pairs of a train, and the time between them in ms: 20 a second."""

v = gc.state("v")
heard, teach = gc.inputs("heard teach")
Told = gc.Neuron("Told", ode={v: -v / (10 * ms)}, receive={v: v + heard}, spike=gc.Spike(teach > 0.5, edge="level"))


@dataclass(frozen=True)
class Window:
    """The change of a weight per pair of spikes, over the time in ms from source to target spike."""

    label: str
    lags: NDArray[np.int64]
    changes: NDArray[np.float64]


def window(rule: gc.Plasticity) -> tuple[Window, Window]:
    """Return the windows of one pair of spikes, and of a train of pairs at 20 Hz.

    Raises:
        GraphcError: spikes alone do not say how the weight changes.
    """
    _check(rule)
    alone, train = np.arange(-80, 81, 4), np.arange(-24, 25, 2)
    return (
        Window("one pair", alone, _changes(rule, alone, 1)),
        Window(f"{PAIRS} pairs at {1000 // PERIOD} Hz", train, _changes(rule, train, PAIRS)),
    )


def _check(rule: gc.Plasticity) -> None:
    why = None
    if not rule.carries_weight:
        why = "it does not change the weight while it runs"
    elif rule.inputs:
        why = f"its weight waits for the third factor {rule.inputs[0].name!r}"
    elif rule.signals:
        why = f"it reads {', '.join(sorted(str(s) for s in rule.signals))}, not spike times alone"
    if why is not None:
        raise GraphcError(
            f"{rule.name} has no spike-timing window: {why}",
            hint="PairSTDP, TripletSTDP, CalciumRule, InhibitorySTDP and BennaFusi have one",
        )


def _changes(rule: gc.Plasticity, lags: NDArray[np.int64], pairs: int) -> NDArray[np.float64]:
    """Return the change of the weight per pair; one synapse for every lag, all of them side by side."""
    count, reach = len(lags), int(abs(lags).max())
    net = gc.Network(dt=1 * ms)
    for name in ("pre", "post"):
        net.input(f"{name}_spikes", count)
        net.population(name, Told, count)
        net.connect(f"{name}_spikes", name, target="teach", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.connect(
        "pre", "post", target="heard", connectivity=gc.OneToOne(), weight=START, plasticity=rule, name="synapses"
    )
    net.output("post")
    steps = 2 * reach + PERIOD * (pairs - 1) + 200  # what goes on after the last pair counts as well
    given = {f"{name}_spikes": torch.zeros(steps, 1, count) for name in ("pre", "post")}
    for n, lag in enumerate(lags):
        for pair in range(pairs):
            before = reach - lag // 2 + PERIOD * pair
            given["pre_spikes"][before, 0, n] = 1
            given["post_spikes"][before + lag, 0, n] = 1
    run = gc.compile(net, learn=None, dtype=torch.float64, target=target()).run(
        {k: x.double() for k, x in given.items()}
    )
    found: NDArray[np.float64] = run.state["synapses.weight"].reshape(-1).numpy()
    return (found - START) / pairs
