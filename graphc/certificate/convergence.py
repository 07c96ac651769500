"""Convergence in dt: whether the error of every integrator falls as fast as the integrator promises.

Each population's neuron is taken alone, as its equations are between spikes: no reset, no refractory time, no synapse,
its inputs held. It starts from states of the run, a few steps before which nothing spikes, and is advanced over the
same time with dt, dt/2, dt/4 and so on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc import symbols as gs
from graphc.connectivity import OneToOne
from graphc.ir.functions import previous
from graphc.network import Network, Population
from graphc.neuron import Neuron
from graphc.population_values import ParameterValue
from graphc.shaped import identifier

from .declared_step import ORDERS, integrate, integrators
from .recorded import Recorded
from .table import Certificate, Row, not_applicable
from .walk import Array, NotCovered, walk

HORIZON = 4  # steps of dt over which errors grow
LEVELS = 7  # dt, dt/2, ... dt/64
FINE = 128  # substeps per dt of the solution that errors are measured against
NEURONS = 8
SLACK = 0.35  # of an order
EXACT = 1e-9  # float64, relative to the range of a state


@dataclass(frozen=True)
class _Alone:
    """Some neurons of a population as they were at some steps of a run: arrays (N,) by symbol."""

    population: Population
    neuron: Neuron
    values: dict[Any, Any]
    count: int
    dt: float


def check_convergence(run: Recorded) -> Certificate:
    """Measure the order of every state that has an equation in time."""
    rows = [row for p in run.network.populations.values() for row in _population(run, p)]
    if not rows:
        rows = [not_applicable("every population", "order", "no state has an equation in time")]
    return Certificate(f"convergence as dt = {run.network.dt:g} ms is halved", tuple(rows))


def _population(run: Recorded, population: Population) -> list[Row]:
    neuron = population.neuron
    names = {s: f"{population.name}.{s.name}" for s in neuron.ode}
    why = ""
    if any(e.atoms(gs.Noise) for e in neuron.ode.values()):
        why = "the equations are stochastic"
    elif any(e.atoms(previous) for e in neuron.ode.values()):
        why = "the equations read earlier steps"
    elif any(e.has(gs.dt) for e in neuron.ode.values()):
        why = "the equations read dt"
    if why:
        return [not_applicable(name, "order", why) for name in names.values()]
    try:
        return _measure(_alone(run, population), names) if names else []
    except NotCovered as error:
        return [not_applicable(name, "order", str(error)) for name in names.values()]


def _alone(run: Recorded, population: Population) -> _Alone:
    """Return neurons of `population` that do not spike over the horizon, where there are such."""
    neuron, name = population.neuron, population.name
    shape = run.records[f"{name}.output"].shape
    quiet = np.ones(shape, bool)
    if neuron.spike is not None:
        z = run.records[f"{name}.spike"] > 0
        for back in range(min(2 * HORIZON + 1, shape[0])):
            quiet[: shape[0] - back] &= ~z[back:]
    picks = np.argwhere(quiet if quiet.any() else np.ones(shape, bool))
    picks = picks[np.linspace(0, len(picks) - 1, min(NEURONS, len(picks))).astype(int)]
    t, b, n = picks.T
    values: dict[Any, Any] = {}
    for p, value in run.parameters(population).items():
        values[p] = np.broadcast_to(value, (population.size,))[n]
    for s in (*neuron.states, *neuron.inputs):
        values[s] = run.records[f"{name}.{s.name}"][t, b, n]
    bare: Neuron = object.__new__(Neuron)
    first = next(iter(neuron.ode))
    nothing = {"receive": {}, "reset": {}, "update": {s: s for s in neuron.update}, "let": {}}
    bare.__dict__.update({**neuron.__dict__, **nothing, "spike": None, "refractory": None, "output": first})
    return _Alone(population, bare, values, len(picks), run.network.dt)


def _measure(alone: _Alone, names: Mapping[Any, str]) -> list[Row]:
    """Return a row per state, at the network's dt or, where errors are too large to have an order yet, at less."""
    rows = _measured_at(alone, names)
    for part in (4, 16):
        if all(row.ok for row in rows):
            break
        rows = _measured_at(replace(alone, dt=alone.dt / part), names)
    return rows


def _measured_at(alone: _Alone, names: Mapping[Any, str]) -> list[Row]:
    truth, unsure = _fine(alone)
    promises = _promises(alone)
    scales = {s: max(float(np.abs(truth[s]).max()), 1e-30) for s in names}
    errors: dict[Any, list[float]] = {s: [] for s in names}
    for level in range(LEVELS):
        found = _advanced(alone, level)
        for s in names:
            errors[s].append(float(np.abs(found[s] - truth[s]).max()))
        if level >= 2 and all(_enough(errors[s], promises[s], max(unsure[s], EXACT * scales[s])) for s in names):
            break
    return [_row(names[s], promises[s], errors[s], scales[s], unsure[s]) for s in names]


def _enough(errors: list[float], promise: tuple[str, int | None], floor: float) -> bool:
    order = promise[1]
    return order is None or errors[-1] <= floor or math.log2(errors[-2] / errors[-1]) >= order - SLACK / 2


def _row(name: str, promise: tuple[str, int | None], errors: list[float], scale: float, unsure: float) -> Row:
    integrator, order = promise
    worst = max(errors)
    if order is None:
        found = f"exact: error {worst / scale:.1e} of the range at every dt"
        return Row(name, "order", found, worst <= max(EXACT * scale, 10 * unsure))
    floor = max(1e-12 * scale, 20 * unsure)
    usable = [e for e in errors if e > floor]
    if len(usable) < 2:
        found = f"{integrator}: errors of {worst / scale:.1e} of the range are rounding"
        return Row(name, "order", found, worst <= EXACT / 100 * scale)
    pairs = [math.log2(a / b) for a, b in itertools.pairwise(usable)]
    measured = max(pairs[-2:])
    found = f"{integrator}: measured {measured:.2f}, promises {order}; error {errors[0] / scale:.1e} of the range at dt"
    return Row(name, "order", found, measured >= order - SLACK)


def _network(alone: _Alone, dt: float) -> Network:
    """Return the bare neurons with another step, each input from a line of its own."""
    net = Network(dt=dt)
    population, count = alone.population, alone.count
    values = {
        p.name: ParameterValue(p.name, alone.values[p], False, "neuron", None, None) for p in alone.neuron.parameters
    }
    init = {s: alone.values[s] for s in alone.neuron.states}
    net.populations["n"] = Population("n", alone.neuron, count, (count,), values, init, population.loc)
    for i in alone.neuron.inputs:
        own = identifier(i.name)
        net.input(f"held_{own}", count)
        net.connect(f"held_{own}", "n", target=i.name, connectivity=OneToOne(), weight=1.0, name=f"line_{own}")
    net.output("n")
    return net


def _advanced(alone: _Alone, level: int) -> dict[Any, Array]:
    """Return the states after the horizon, by the compiler's solvers with dt / 2**level."""
    import torch

    from graphc.ir.interpret import Mode, interpret, run_once
    from graphc.lower import lower
    from graphc.passes.discretize import Discretize

    net, steps = _network(alone, alone.dt / 2**level), HORIZON * 2**level
    program = Discretize().run(lower(net))
    with torch.no_grad():
        env = {}
        for p in (*program.parameters, *program.draws):
            shape = tuple(program.sizes[a] for a in p.type.axes)
            env[p.name] = torch.as_tensor(np.asarray(p.value, float)).expand(shape)
        run_once(program.initial, env, Mode())
        for tensor in program.states:
            env[f"{tensor.name}@initial"] = env[f"{tensor.name}@initial"].expand(1, alone.count)
        for i in alone.neuron.inputs:
            env[f"held_{identifier(i.name)}"] = torch.as_tensor(alone.values[i]).expand(steps, 1, alone.count)
        env |= {"@t": torch.tensor(0), "@T": torch.tensor(steps), "@B": torch.tensor(1)}
        done = interpret(program, env)
    return {s: done[f"n.{s.name}@final"].numpy()[0] for s in alone.neuron.ode}


def _promises(alone: _Alone) -> dict[Any, tuple[str, int | None]]:
    """Return the integrator that is declared for every state, or that "auto" stands for, and the order it promises."""
    found: dict[Any, tuple[str, int | None]] = {}
    for s, name in integrators(alone.neuron).items():
        order = ORDERS[name]
        found[s] = (name, 1 if order is None and alone.neuron.ode[s].has(gs.t) else order)  # time is held over a step
    return found


def _fine(alone: _Alone) -> tuple[dict[Any, Array], dict[Any, float]]:
    """Return the states after the horizon by small Runge-Kutta steps, extrapolated, and how far that is unsure.

    What is linear with constant coefficients is solved by a matrix exponential over the whole horizon.
    """
    coarse, fine = (_runge_kutta(alone, n) for n in (FINE // 2, FINE))
    truth = {s: fine[s] + (fine[s] - coarse[s]) / 15 for s in fine}
    unsure = {s: float(np.abs(truth[s] - fine[s]).max()) for s in fine}
    if not any(e.has(gs.t) for e in alone.neuron.ode.values()):
        kinds = integrators(alone.neuron)
        exact = integrate(alone.neuron, alone.values, HORIZON * alone.dt)
        for s in (s for s in fine if kinds[s] == "exact"):
            truth[s], unsure[s] = exact[s], 0.0
    if not all(np.isfinite(x).all() for x in truth.values()):
        raise NotCovered("the states of the run leave for infinity within the horizon")
    return truth, unsure


def _runge_kutta(alone: _Alone, parts: int) -> dict[Any, Array]:
    h, rates = alone.dt / parts, alone.neuron.ode
    state: dict[Any, Any] = {s: np.asarray(alone.values[s], float) for s in rates}

    def slope(at: Mapping[Any, Any], t: float) -> dict[Any, Any]:
        env = {**alone.values, **at, gs.t: t}
        return {s: np.asarray(walk(rate, env), float) for s, rate in rates.items()}

    with np.errstate(all="ignore"):
        for k in range(HORIZON * parts):
            t = k * h
            k1 = slope(state, t)
            k2 = slope({s: state[s] + h / 2 * k1[s] for s in rates}, t + h / 2)
            k3 = slope({s: state[s] + h / 2 * k2[s] for s in rates}, t + h / 2)
            k4 = slope({s: state[s] + h * k3[s] for s in rates}, t + h)
            state = {s: state[s] + h / 6 * (k1[s] + 2 * k2[s] + 2 * k3[s] + k4[s]) for s in rates}
    return state
