"""Draw the response of every zoo neuron to a current step: ``python docs/zoo_figure.py`` writes docs/zoo.png."""

from pathlib import Path

import matplotlib
import numpy as np
import torch

import graphc as gc

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# neuron: step in ms, duration in ms, drive, how it arrives (held: a current; volley: one jump every 10 ms)
STEPS: dict[str, tuple[float, float, float, str]] = {
    "LIF": (0.1, 100, 0.15, "held"),
    "CuBaLIF": (0.1, 100, 0.6, "volley"),
    "AlphaLIF": (0.1, 100, 0.6, "volley"),
    "CoBaLIF": (0.1, 100, 20.0, "volley"),
    "ALIF": (1.0, 400, 0.2, "held"),
    "AdaptiveThreshold": (0.1, 100, 0.25, "held"),
    "LI": (0.1, 100, 1.0, "volley"),
    "AdEx": (0.02, 200, 1000.0, "held"),
    "EIF": (0.02, 100, 80.0, "held"),
    "QIF": (0.02, 100, 1.0, "held"),
    "Theta": (0.02, 100, 1.0, "held"),
    "Izhikevich": (0.05, 300, 10.0, "held"),
    "IzhikevichPublished": (1.0, 300, 10.0, "held"),
    "HodgkinHuxley": (0.02, 100, 10.0, "held"),
    "MorrisLecar": (0.05, 500, 120.0, "held"),
    "FitzHughNagumo": (0.05, 200, 0.5, "held"),
    "CTRNN": (0.1, 100, 1.0, "held"),
}


def response(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time in ms, the first state and the spikes; the drive starts after a tenth of the time."""
    dt, duration, size, kind = STEPS[name]
    neuron, steps = gc.zoo.ALL[name], round(duration / dt)
    network = gc.Network(dt=dt)
    network.input("drive", 1)
    network.population("unit", neuron, 1)
    network.connect("drive", "unit", target=neuron.inputs[0].name, weight=1.0)
    network.output("unit")
    drive = torch.zeros(steps, 1, 1)
    drive[steps // 10 :: 1 if kind == "held" else round(10 / dt)] = size
    state = f"unit.{neuron.states[0].name}"
    records = [state] if neuron.spike is None else [state, "unit.spike"]
    run = gc.compile(network, learn=None).run(drive, record=records)
    curves = [run.records[record].detach()[:, 0, 0].numpy() for record in records]
    return (np.arange(steps) + 1) * dt, curves[0], curves[1] if len(curves) > 1 else np.zeros(steps)


def main() -> None:
    """Write the figure."""
    figure, panels = plt.subplots(6, 3, figsize=(11, 12), constrained_layout=True)
    for panel, name in zip(panels.flat, STEPS, strict=False):
        time, state, spikes = response(name)
        panel.plot(time, state, linewidth=0.9)
        top = state.max() + 0.12 * np.ptp(state)
        panel.plot(time[spikes > 0], np.full(int(spikes.sum()), top), "|", color="black", markersize=7)
        panel.set_title(name, fontsize=10)
        panel.set_ylabel(gc.zoo.ALL[name].states[0].name)
        panel.set_xlabel("ms", fontsize=8)
    panels.flat[-1].axis("off")
    figure.savefig(Path(__file__).with_suffix("").with_name("zoo.png"), dpi=110)


if __name__ == "__main__":
    main()
