"""Draw the response of every zoo neuron to a current step: ``python docs/zoo_figure.py`` writes docs/zoo.png."""

from pathlib import Path

import matplotlib
import numpy as np
import torch

import graphc as gc
from graphc.zoo.drives import DRIVES

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def response(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time in ms, the first state and the spikes; the drive starts after a tenth of the time."""
    neuron, driven = gc.zoo.ALL[name], DRIVES[name]
    dt, steps = driven.dt, driven.steps
    network = gc.Network(dt=dt)
    network.input("drive", 1)
    network.population("unit", neuron, 1)
    network.connect("drive", "unit", target=neuron.inputs[0].name, weight=1.0)
    network.output("unit")
    drive = torch.zeros(steps, 1, 1)
    drive[steps // 10 :: 1 if driven.kind == "held" else round(10 / dt)] = driven.size
    state = f"unit.{neuron.states[0].name}"
    records = [state] if neuron.spike is None else [state, "unit.spike"]
    run = gc.compile(network, learn=None).run(drive, record=records)
    curves = [run.records[record].detach()[:, 0, 0].numpy() for record in records]
    return (np.arange(steps) + 1) * dt, curves[0], curves[1] if len(curves) > 1 else np.zeros(steps)


def main() -> None:
    """Write the figure."""
    figure, panels = plt.subplots(6, 3, figsize=(11, 12), constrained_layout=True)
    for panel, name in zip(panels.flat, DRIVES, strict=False):
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
