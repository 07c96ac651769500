"""Draw the response of every zoo neuron to a current step: ``python docs/zoo_figure.py`` writes docs/zoo.png."""

from pathlib import Path

import matplotlib
import numpy as np

import graphc as gc
from graphc.zoo.characterise import respond
from graphc.zoo.drives import DRIVES

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    """Write the figure."""
    figure, panels = plt.subplots(-(-len(DRIVES) // 6), 6, figsize=(18, 14), constrained_layout=True)
    for panel, name in zip(panels.flat, DRIVES, strict=False):
        drive = DRIVES[name]
        found = respond(name, [drive.size], drive.duration, start=drive.duration / 10)
        state, spikes = found.states[gc.zoo.ALL[name].states[0].name][:, 0], found.spikes[:, 0]
        panel.plot(found.time, state, linewidth=0.9)
        top = state.max() + 0.12 * np.ptp(state)
        panel.plot(found.time[spikes > 0], np.full(int(spikes.sum()), top), "|", color="black", markersize=7)
        panel.set_title(name, fontsize=10)
        panel.set_ylabel(gc.zoo.ALL[name].states[0].name)
        panel.set_xlabel("ms", fontsize=8)
    for panel in panels.flat[len(DRIVES) :]:
        panel.axis("off")
    figure.savefig(Path(__file__).with_suffix("").with_name("zoo.png"), dpi=110)


if __name__ == "__main__":
    main()
