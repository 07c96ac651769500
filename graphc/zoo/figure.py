"""The figure of a zoo model: response, rate over the drive and phase plane of a neuron, the window of a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphc.ir import GraphcError
from graphc.neuron import Neuron

from . import ALL, RULES
from .characterise import Line, Response, curve, phase_line, plane, respond, surrogate
from .drives import DRIVES
from .texts import texts
from .window import window

BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#d1661b", "#2a8a4a", "#8a8a8a"
COLORS = (BLUE, ORANGE, GREEN, "#7a4fa3", "#a83232", "#3a8f9e", GREY, "black")
KINDS = ("png", "svg", "pdf")


def draw(name: str, path: Path) -> None:
    """Write the figure of a neuron or a rule to `path`.

    Raises:
        GraphcError: matplotlib is missing, the kind of file is unknown, or the rule has no window.
        OSError: the file cannot be written.
    """
    if path.suffix.removeprefix(".") not in KINDS:
        raise GraphcError(f"{path} ends in no kind of figure", hint=f"name it {' or '.join('.' + k for k in KINDS)}")
    if not path.parent.is_dir():
        raise GraphcError(f"there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GraphcError("figures need matplotlib", hint='pip install "graphc[plot]"') from error
    rule = name not in ALL
    figure = Figure(figsize=(6.4, 4.2) if rule else (10, 6), layout="constrained")
    text = texts()[name]
    figure.suptitle(f"{name}: {text.about}\n", fontsize=11)
    figure.text(0.5, 0.955 - 0.01 * rule, text.cited, ha="center", va="top", fontsize=8, color=GREY)
    if rule:
        _window(figure.subplots(), name)
    else:
        _neuron(figure, name)
    figure.savefig(path, dpi=130, metadata={"Software": None} if path.suffix == ".png" else None)


def _neuron(figure: Any, name: str) -> None:
    neuron, drive = ALL[name], DRIVES[name]
    response = respond(name, [drive.size], drive.duration, start=drive.duration / 10)
    groups = _by_unit(neuron)
    heights = [3.0, *([1.8] * (len(groups) - 1)), 1.0]
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    panels = left.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    for panel, names in zip(panels, groups, strict=False):
        _states(panel, neuron, names, response)
    first = neuron.states[0].name
    _ticks(panels[0], response, first)
    panels[-1].plot(response.time, response.drive[:, 0], color=GREY, linewidth=0.9)
    panels[-1].set_ylabel(_with_unit(neuron, neuron.inputs[0].name))
    panels[-1].set_xlabel("time (ms)")
    panels[0].set_title(
        f"response, dt = {drive.dt:g} ms" + "; ticks are spikes" * bool(response.spikes.any()), fontsize=9
    )
    top, bottom = right.subplots(2, 1)
    _curve(top, name)
    if len(neuron.states) == 2:
        _plane(bottom, name, response)
    elif neuron.spike is not None:
        _surrogate(bottom, name)
    elif len(neuron.states) == 1:
        _phase_line(bottom, name, phase_line(name, response))
    else:
        _trajectory(bottom, neuron, response)


def _trajectory(panel: Any, neuron: Neuron, response: Response) -> None:
    first, second = (s.name for s in neuron.states[:2])
    panel.plot(response.states[first][:, 0], response.states[second][:, 0], color=GREY, linewidth=0.9)
    panel.set_xlabel(_with_unit(neuron, first))
    panel.set_ylabel(_with_unit(neuron, second))
    panel.set_title("response, two of its states", fontsize=9)


def unit_of(neuron: Neuron, name: str) -> str:
    """Return the unit of a state, input or parameter; nothing where it has none."""
    found = neuron.dimensions.get(name)
    return "" if found is None else found.unit


def _with_unit(neuron: Neuron, name: str, label: str = "") -> str:
    unit = unit_of(neuron, name)
    return (label or name) + (f" ({unit})" if unit else "")


def _by_unit(neuron: Neuron) -> list[list[str]]:
    """Return the names of states that share a panel: the first alone, the others by unit."""
    first, *others = [s.name for s in neuron.states]
    groups: dict[str, list[str]] = {}
    for name in others:
        groups.setdefault(unit_of(neuron, name), []).append(name)
    return [[first], *groups.values()]


def _states(panel: Any, neuron: Neuron, names: list[str], response: Response) -> None:
    for k, name in enumerate(names):
        color = COLORS[k % len(COLORS)]
        panel.plot(response.time, response.states[name][:, 0], color=color, linewidth=1.0, label=name)
    panel.set_ylabel(_with_unit(neuron, names[0], ", ".join(names)))
    if len(names) > 1:
        panel.legend(fontsize=7, loc="upper right", frameon=False)


def _ticks(panel: Any, response: Response, state: str) -> None:
    values = response.states[state][:, 0]
    when = response.time[response.spikes[:, 0] > 0]
    top = values.max() + 0.12 * np.ptp(values)
    panel.plot(when, np.full(len(when), top), "|", color="black", markersize=8)


def _curve(panel: Any, name: str) -> None:
    neuron, drive, found = ALL[name], DRIVES[name], curve(name)
    panel.plot(found.drives, found.values, color=BLUE, linewidth=1.2, marker=".", markersize=4)
    panel.axvline(drive.size, color=GREY, linewidth=0.8, linestyle=":")
    given = neuron.inputs[0].name
    kind = f"{given}, held" if drive.kind == "held" else f"{given}, once every 10 ms"
    panel.set_xlabel(_with_unit(neuron, given, kind))
    if found.spiking:
        panel.set_title("rate over the drive (dotted: here on the left)", fontsize=9)
        panel.set_ylabel("spikes per s")
    else:
        panel.set_title("output over the drive (dotted: here on the left)", fontsize=9)
        panel.set_ylabel(str(neuron.output))


def _plane(panel: Any, name: str, response: Response) -> None:
    neuron, drive, found = ALL[name], DRIVES[name], plane(name, response)
    first, second = (s.name for s in neuron.states)
    jumps = np.flatnonzero(response.spikes[:, 0] > 0)[: None if neuron.reset else 0]
    path = (np.insert(response.states[name][:, 0], jumps, np.nan) for name in (first, second))
    handles = panel.plot(*path, color=GREY, linewidth=0.7, label="response")
    driven = " driven" if drive.kind == "held" else ""
    for values, color, style, label in (
        (found.flow[0], BLUE, "solid", f"d{first}/dt = 0{driven}"),
        (found.rest[0] if driven else None, BLUE, "dotted", f"d{first}/dt = 0 at rest"),
        (found.flow[1], ORANGE, "solid", f"d{second}/dt = 0"),
        (found.margin, "black", "dashed", "threshold"),
    ):
        if values is not None and values.min() < 0 < values.max():
            panel.contour(found.x, found.y, values, levels=[0], colors=[color], linestyles=style, linewidths=1.1)
            handles += panel.plot([], [], color=color, linestyle=style, linewidth=1.1, label=label)
    panel.set_xlim(found.x[0], found.x[-1])
    panel.set_ylim(found.y[0], found.y[-1])
    panel.set_xlabel(_with_unit(neuron, first))
    panel.set_ylabel(_with_unit(neuron, second))
    panel.set_title("phase plane", fontsize=9)
    panel.legend(handles=handles, fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.22))


def _surrogate(panel: Any, name: str) -> None:
    neuron, found = ALL[name], surrogate(name)
    assert neuron.spike is not None
    panel.plot(found.x, found.curves["surrogate"], color=BLUE, linewidth=1.2)
    panel.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    unit = unit_of(neuron, neuron.states[0].name)
    panel.set_xlabel(f"c = {neuron.spike.margin}" + (f" ({unit})" if unit else ""))
    panel.set_ylabel("dz/dc")
    panel.set_title(f"surrogate derivative: {neuron.spike.surrogate}", fontsize=9)


def _phase_line(panel: Any, name: str, found: Line) -> None:
    neuron = ALL[name]
    state = neuron.states[0].name
    for (label, values), color in zip(found.curves.items(), (BLUE, ORANGE), strict=False):
        panel.plot(found.x, values, color=color, linewidth=1.2, label=label)
    panel.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    panel.set_xlabel(_with_unit(neuron, state))
    panel.set_ylabel(f"d{state}/dt ({unit_of(neuron, state)}/ms)".replace("(/ms)", "(1/ms)"))
    panel.set_title("phase line", fontsize=9)
    panel.legend(fontsize=7, frameon=False)


def _window(panel: Any, name: str) -> None:
    for found, color in zip(window(RULES[name]()), (BLUE, ORANGE), strict=True):
        panel.plot(found.lags, found.changes, color=color, marker=".", markersize=4, linewidth=1.0, label=found.label)
    panel.axhline(0, color=GREY, linewidth=0.8)
    panel.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    panel.set_xlabel("spike of the target after that of the source (ms)")
    panel.set_ylabel("change of the weight per pair")
    panel.set_title("spike-timing window", fontsize=9)
    panel.legend(fontsize=8, frameon=False)
