"""Synapses that change while a network runs: a spike-timing window, competition, and inhibition that finds a rate.

Run ``python examples/plasticity.py``. It writes examples/out/plasticity.png. Nothing here is trained by gradients: the
rules are equations on the synapses and run inside the same time loop as the neurons.

Source:
    Song, Miller & Abbott (2000), Nat. Neurosci. 3, 919-926 (the window, and competition by pair STDP); Vogels,
    Sprekeler, Zenke, Clopath & Gerstner (2011), Science 334, 1569-1573 (inhibitory plasticity).
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch

import graphc as gc
from graphc.units import ms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
LAGS = np.arange(-80, 81, 4)  # ms, of the target's spike after the source's
INPUTS, CORRELATED = 200, 100
RATE = 8.0  # spikes per second that inhibition is to leave
CELLS = 40

v = gc.state("v")
exc, inh, teach = gc.inputs("exc inh teach")

Told = gc.Neuron("Told", ode={v: -v / (10 * ms)}, receive={v: v + exc}, spike=gc.Spike(teach > 0.5, edge="level"))
Cell = gc.Neuron(
    "Cell",
    ode={v: -v / (10 * ms)},
    receive={v: v + exc - inh},
    spike=gc.Spike(v > 1),
    reset={v: 0},
    refractory=5 * ms,
)


def window(rule: gc.Plasticity) -> np.ndarray:
    """Return the change of a weight by one pair of spikes at every lag of `LAGS`."""
    net = gc.Network(dt=1 * ms)
    net.input("before", len(LAGS))
    net.input("after", len(LAGS))
    for name, told in (("pre", "before"), ("post", "after")):
        net.population(name, Told, len(LAGS))
        net.connect(told, name, target="teach", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.connect("pre", "post", target="exc", connectivity=gc.OneToOne(), weight=0.5, plasticity=rule, name="synapses")
    net.output("post")
    steps = 2 * abs(LAGS).max() + 1
    spikes = {name: torch.zeros(steps, 1, len(LAGS)) for name in ("before", "after")}
    for n, lag in enumerate(LAGS):
        spikes["before"][steps // 2 - lag // 2, 0, n] = 1
        spikes["after"][steps // 2 - lag // 2 + lag, 0, n] = 1
    return gc.compile(net, learn=None).run(spikes).state["synapses.weight"][0].numpy() - 0.5


def competition(seconds: int, seed: int) -> np.ndarray:
    """Return the weights (seconds, 200) of a cell whose first 100 inputs are correlated, one row a second."""
    net = gc.Network(dt=1 * ms)
    net.input("x", INPUTS)
    net.population("cell", Cell, 1)
    rule = gc.zoo.PairSTDP(A_plus=0.01, A_minus=0.011, w_max=1.0)
    scaled = gc.weight * gc.pre() / 18
    net.connect("x", "cell", target="exc", transmit=scaled, weight=0.5, plasticity=rule, name="synapses")
    net.output("cell")
    model, draw, rows = gc.compile(net, learn=None), np.random.default_rng(seed), []
    state = model.initial_state(1)
    for _ in range(seconds):
        rate = np.full((1000, INPUTS), 0.015)
        shared = np.repeat(draw.normal(size=1000 // 5), 5)  # a common rate, new every 5 ms
        rate[:, :CORRELATED] *= np.maximum(1 + shared, 0)[:, None]
        spikes = torch.from_numpy(draw.random((1000, 1, INPUTS)) < rate[:, None]).float()
        state = model.run(spikes, state=state).state
        rows.append(state["synapses.weight"][0, :, 0].numpy())
    return np.array(rows)


def balance(seconds: int, seed: int) -> np.ndarray:
    """Return the firing rates (seconds, 40), spikes per second, of cells whose inhibition is plastic."""
    net = gc.Network(dt=1 * ms)
    net.input("excitation", 100)
    net.input("inhibition", 100)
    net.population("cell", Cell, CELLS)
    draw = torch.Generator().manual_seed(seed)
    strength = 0.05 + 0.07 * torch.rand(1, CELLS, generator=draw).expand(100, CELLS)  # cells are driven unequally
    net.connect("excitation", "cell", target="exc", weight=strength.double(), learn=False)
    rule = gc.zoo.InhibitorySTDP(eta=0.0003, rho_0=RATE / 1000, tau=20 * ms, w_max=1.0)
    net.connect("inhibition", "cell", target="inh", weight=0.0, plasticity=rule, name="synapses")
    net.output("cell")
    model, rates = gc.compile(net, learn=None), []
    state = model.initial_state(1)
    for _ in range(seconds):
        spikes = {n: (torch.rand(1000, 1, 100, generator=draw) < 0.02).float() for n in ("excitation", "inhibition")}
        run = model.run(spikes, state=state)
        state = run.state
        rates.append(run.output.sum((0, 1)).numpy())
    return np.array(rates)


def figure(changes: np.ndarray, weights: np.ndarray, rates: np.ndarray, path: Path) -> None:
    """Save the window, the weights, and the rates."""
    shape, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    shape.get_layout_engine().set(w_pad=0.08)
    fine = np.linspace(LAGS[0], LAGS[-1], 400)
    closed = np.where(fine >= 0, 0.01 * np.exp(-abs(fine) / 20), -0.0105 * np.exp(-abs(fine) / 20))
    axes[0].axhline(0, color="k", lw=0.6)
    axes[0].plot(fine, closed, color="0.6", label="closed form")
    axes[0].plot(LAGS, changes, "o", ms=4, color="C0", label="simulated pairs")
    axes[0].set(title="one pair of spikes", xlabel="target after source (ms)", ylabel="change of the weight")
    axes[0].legend(frameon=False, loc="upper left")
    for part, color, name in ((slice(CORRELATED), "C1", "correlated"), (slice(CORRELATED, None), "C0", "independent")):
        axes[1].plot(weights[:, part][:, ::5], color=color, lw=0.4, alpha=0.5)
        axes[1].plot(weights[:, part].mean(1), color=color, lw=2.5, label=f"{name} inputs")
    axes[1].set(title="competition by pair STDP", xlabel="time (s)", ylabel="weight", ylim=(-0.02, 1.4))
    axes[1].legend(frameon=False, loc="upper left")
    axes[2].plot(rates, color="C2", lw=0.4, alpha=0.5)
    axes[2].plot(rates.mean(1), color="C2", lw=2.5, label="mean of 40 cells")
    axes[2].axhline(RATE, color="k", lw=0.8, ls=":", label=f"target, {RATE:g} Hz")
    axes[2].set(title="inhibitory plasticity", xlabel="time (s)", ylabel="rate (Hz)", ylim=(0, None))
    axes[2].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape.savefig(path, dpi=110)


def main() -> None:
    """Simulate, measure, draw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=int, default=80, help="of simulated time")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    started = time.perf_counter()
    changes = window(gc.zoo.PairSTDP(A_plus=0.01, A_minus=0.0105))
    weights = competition(options.seconds, options.seed)
    rates = balance(options.seconds, options.seed)
    groups = weights[-1, :CORRELATED].mean(), weights[-1, CORRELATED:].mean()
    print(f"weights after {options.seconds} s: correlated inputs {groups[0]:.2f}, independent ones {groups[1]:.2f}")
    first, last = rates[0], rates[-max(options.seconds // 6, 1) :].mean(0)
    print(
        f"rates: {first.mean():.1f} +- {first.std():.1f} Hz at first, {last.mean():.1f} +- {last.std():.1f} Hz at last"
    )
    figure(changes, weights, rates, OUT / "plasticity.png")
    print(f"{time.perf_counter() - started:.1f} s; figure: {OUT / 'plasticity.png'}")


if __name__ == "__main__":
    main()
