"""What a neuron of the zoo does: its response to the drive of `drives`, its rate over the drive, its phase plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
import torch
from numpy.typing import NDArray

import graphc as gc
from graphc.ir import TargetError
from graphc.ir.evaluate import evaluate
from graphc.ir.functions import detach, previous
from graphc.symbols import State

from . import ALL
from .drives import DRIVES, Drive

Array = NDArray[np.float64]
CURVE, GRID, TRANSIENT = 41, 201, 1 / 3
"""Drives of a curve, points per axis of a phase plane, and the part of the time that a rate leaves out."""


@dataclass(frozen=True)
class Response:
    """What a neuron does in time, one column per drive.

    Attributes:
        time: in ms, at the end of every step, shape (T,).
        drive: what it received, (T, B).
        states: after every step, (T, B) by name.
        output: (T, B).
        spikes: 1 where it spiked, (T, B); nothing but 0 where it has none.
    """

    time: Array
    drive: Array
    states: dict[str, Array]
    output: Array
    spikes: Array


def respond(name: str, sizes: Sequence[float], duration: float, start: float = 0.0, states: bool = True) -> Response:
    """Return the response of a zoo neuron to drives of its kind.

    Args:
        name: of the neuron.
        sizes: of the drives, in the unit of its first input.
        duration: in ms.
        start: of the drive, in ms.
        states: whether to record the states.
    """
    neuron, drive = ALL[name], DRIVES[name]
    net = gc.Network(dt=drive.dt)
    net.input("drive", 1)
    net.population("unit", neuron, 1)
    net.connect("drive", "unit", target=neuron.inputs[0].name, weight=1.0, learn=False)
    net.output("unit")
    steps, first = round(duration / drive.dt), round(start / drive.dt)
    given = torch.zeros(steps, len(sizes), 1)
    every = 1 if drive.kind == "held" else round(10 / drive.dt)
    given[first::every] = torch.tensor(sizes, dtype=torch.float32)[:, None]
    spikes = ["unit.spike"] * (neuron.spike is not None)
    records = [f"unit.{s.name}" for s in neuron.states] * states + spikes
    run = gc.compile(net, learn=None, target=target()).run(given, record=records, seed=0)
    found = {n: r.detach()[:, :, 0].double().numpy() for n, r in run.records.items()}
    output = run.output.detach()[:, :, 0].double().numpy()
    return Response(
        (np.arange(steps, dtype=np.float64) + 1) * drive.dt,
        given[:, :, 0].double().numpy(),
        {s.name: found[f"unit.{s.name}"] for s in neuron.states} if states else {},
        output,
        found["unit.spike"] if spikes else np.zeros_like(output),
    )


def target() -> str:
    """Return "c", or "reference" on a machine without a C compiler."""
    from graphc.runtime.compiler import find_compiler

    try:
        find_compiler()
    except TargetError:
        return "reference"
    return "c"


@dataclass(frozen=True)
class Curve:
    """The rate in spikes per s over the drive; for a neuron without spikes its output."""

    drives: Array
    values: Array
    spiking: bool


def curve(name: str) -> Curve:
    """Return the rate of a neuron, or its mean output, under drives from none to twice that of its response."""
    drive, spiking = DRIVES[name], ALL[name].spike is not None
    duration = _lasting(drive)
    sizes = np.linspace(0, 2 * drive.size, CURVE)
    response = respond(name, sizes.tolist(), duration, states=False)
    late = slice(round(TRANSIENT * len(response.time)), None)
    if spiking:
        seconds = 1e-3 * drive.dt * len(response.time[late])
        return Curve(sizes, response.spikes[late].sum(0) / seconds, True)
    return Curve(sizes, response.output[late].mean(0), False)


def _lasting(drive: Drive) -> float:
    """Return how long a rate is counted, in ms: some spikes even of a slow neuron, in at most 60,000 steps."""
    return min(max(4 * drive.duration, 1000.0), 60_000 * drive.dt)


@dataclass(frozen=True)
class Plane:
    """The phase plane of a neuron of two states.

    Attributes:
        x: of the first state, (G,).
        y: of the second state, (G,).
        flow: change of both states per ms under the drive, (G, G) each, rows along `y`.
        rest: the same without drive.
        margin: what is above 0 where it spikes, None where it never does.
    """

    x: Array
    y: Array
    flow: tuple[Array, Array]
    rest: tuple[Array, Array]
    margin: Array | None


def plane(name: str, response: Response) -> Plane:
    """Return the phase plane of a neuron of two states around where `response` went."""
    neuron, drive = ALL[name], DRIVES[name]
    first, second = neuron.states
    x, y = (_around(response.states[s.name]) for s in (first, second))
    grid = dict(zip((first.name, second.name), np.meshgrid(x, y), strict=True))
    held = drive.size if drive.kind == "held" else 0.0
    flow, rest = (
        tuple(_on(_rate(neuron, s, drive.dt), neuron, grid, size) for s in (first, second)) for size in (held, 0.0)
    )
    margin = None if neuron.spike is None or neuron.escapes else _on(_now(neuron.spike.margin), neuron, grid, held)
    return Plane(x, y, (flow[0], flow[1]), (rest[0], rest[1]), margin)


@dataclass(frozen=True)
class Line:
    """A curve of one variable: the surrogate derivative over the condition, or the change of a state over itself."""

    x: Array
    curves: dict[str, Array]


def surrogate(name: str) -> Line:
    """Return dz/dc of the neuron's surrogate, out to where it is a twentieth of its peak."""
    spike = ALL[name].spike
    assert spike is not None
    c = sympy.Symbol("c", real=True)
    derivative = spike.surrogate.derivative(c)

    def at(points: Array) -> Array:
        return _evaluate(derivative, {"c": points})

    wide = 0.1
    while wide < 1e3 and at(np.array([wide]))[0] > 0.05 * at(np.linspace(-wide, wide, GRID)).max():
        wide *= 1.25
    points = np.linspace(-wide, wide, 2 * GRID + 1)
    return Line(points, {"surrogate": at(points)})


def phase_line(name: str, response: Response) -> Line:
    """Return the change per ms of the only state of a neuron over that state, with and without drive."""
    neuron, drive = ALL[name], DRIVES[name]
    (state,) = neuron.states
    x = _around(response.states[state.name])
    sizes = {"driven": drive.size, "at rest": 0.0} if drive.kind == "held" else {"between jumps": 0.0}
    rate = _rate(neuron, state, drive.dt)
    return Line(x, {label: _on(rate, neuron, {state.name: x}, size) for label, size in sizes.items()})


def hazard(name: str, response: Response) -> Line:
    """Return the escape rate of a neuron over its first state, the others where they were at first."""
    neuron = ALL[name]
    assert neuron.spike is not None
    x = _around(response.states[neuron.states[0].name])
    rest = {s.name: np.full_like(x, response.states[s.name][0, 0]) for s in neuron.states[1:]}
    rate = _on(_now(neuron.spike.escape), neuron, rest | {neuron.states[0].name: x}, 0.0)
    return Line(x, {"rate": rate})


def _around(values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    margin = 0.15 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, GRID)


def _rate(neuron: gc.Neuron, state: State, dt: float) -> Any:
    """Return the change of `state` per ms; that of a discrete-time map is over one step."""
    if state in neuron.ode:
        return _now(neuron.ode[state])
    return _now((neuron.update[state] - state) / gc.dt).subs(gc.dt, dt)


def _now(e: Any) -> Any:
    """Return an expression between spikes: earlier spikes are none, earlier values the present ones."""
    plain = e.replace(detach, lambda a: a)
    return plain.replace(previous, lambda a, delay: sympy.S.Zero if a == gc.spike else a)


def _on(e: Any, neuron: gc.Neuron, grid: dict[str, Array], size: float) -> Array:
    """Return `e` on a grid of states; the first input is `size`, the others 0."""
    shape = next(iter(grid.values())).shape
    fixed = {p.name: p.default for p in neuron.parameters}
    inputs = {i.name: size if i == neuron.inputs[0] else 0.0 for i in (*neuron.inputs, *neuron.noises)}
    known = {n: np.broadcast_to(np.asarray(v, float), shape) for n, v in (fixed | inputs).items()}
    return np.broadcast_to(_evaluate(e, known | grid), shape)


def _evaluate(e: Any, values: dict[str, Array]) -> Array:
    tensors = {name: torch.tensor(np.ascontiguousarray(v)) for name, v in values.items()}
    found: Array = evaluate(e, tensors, torch.float64, None).numpy()
    return found
