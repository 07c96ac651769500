"""One step of the declared equations of a population, written from the step semantics: no IR, no pass, no kernel.

Every function works on arrays whose leading axes are free: (T, B, N) checks all steps of a run at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import sympy

from graphc.neuron import Neuron
from graphc.symbols import State
from graphc.symbols import dt as step_length

from .walk import Array, NotCovered, Values, expm, walk

Rates: TypeAlias = "Mapping[State, sympy.Expr]"
ORDERS = {"exact": None, "exponential_euler": 1, "euler": 1, "heun": 2, "rk4": 4, "implicit_euler": 1}
"""What every integrator promises: the power of dt with which its error falls; None for no error."""


def integrators(neuron: Neuron) -> dict[State, str]:
    """Return how every state of `ode` is advanced: as declared, or what "auto" stands for.

    "auto" is exact for the largest set of states that is linear with constant coefficients and reads no state outside
    it, exponential Euler for what is linear in itself, and Euler for the rest.
    """
    rates, wanted = neuron.ode, neuron.integrator
    if wanted in ("euler", "heun", "rk4", "implicit_euler"):
        return dict.fromkeys(rates, wanted)
    linear = _linear(neuron) if wanted in ("auto", "exact") else []
    found = {}
    for state, rate in rates.items():
        alone = not sympy.diff(rate, state).has(state)
        found[state] = "exact" if state in linear else "exponential_euler" if alone else "euler"
    return found


def _linear(neuron: Neuron) -> list[State]:
    rates, constant = neuron.ode, {*neuron.parameters, step_length}
    inside = list(rates)
    while True:
        outside = set(rates) - set(inside)
        kept = [
            s
            for s in inside
            if not rates[s].free_symbols & outside and all(_atoms(sympy.diff(rates[s], o)) <= constant for o in inside)
        ]
        if kept == inside:
            return kept
        inside = kept


def _atoms(e: sympy.Expr) -> set[Any]:
    from graphc.ir.functions import previous

    return set(e.free_symbols) | set(e.atoms(previous))


def integrate(neuron: Neuron, values: Values, h: float, still: Sequence[State] = (), t: Any = None) -> dict[State, Any]:
    """Return every state of `ode` after one step of `h` ms, with the derivative of `still` set to 0.

    Args:
        neuron: whose equations.
        values: arrays by symbol: states after `receive`, inputs, parameters.
        h: step length.
        still: the states that stand still.
        t: the symbol of time, which stages of Heun and Runge-Kutta advance; None where the equations do not read it.
    """
    rates = {s: sympy.S.Zero if s in still else rate for s, rate in neuron.ode.items()}
    kinds = integrators(neuron)
    methods = set(kinds.values())
    if methods == {"implicit_euler"}:
        return _implicit(rates, values, h)
    if methods & {"heun", "rk4"}:
        return _stages(rates, values, h, methods.pop(), t)
    exact = [s for s in rates if kinds[s] == "exact"]
    new: dict[State, Any] = _exact({s: rates[s] for s in exact}, values, h) if exact else {}
    for state, rate in rates.items():
        if kinds[state] == "euler":
            new[state] = values[state] + h * walk(rate, values)
        elif kinds[state] == "exponential_euler":
            slope = np.asarray(walk(sympy.diff(rate, state), values), float)
            new[state] = values[state] + h * walk(rate, values) * _phi(h * slope)
    return {s: new[s] for s in rates}


def _phi(x: Array) -> Array:
    near = np.abs(x) < 1e-5
    safe = np.where(near, 1.0, x)
    return np.asarray(np.where(near, 1 + x / 2 + x * x / 6, np.expm1(safe) / safe))


def _exact(rates: Rates, values: Values, h: float) -> dict[State, Any]:
    """Return the solution of x' = A x + u at h, with u held: the exponential of ((A, u), (0, 0)) h."""
    states = list(rates)
    k = len(states)
    zero = {**values, **dict.fromkeys(states, 0.0)}
    slopes = [[walk(sympy.diff(rates[r], c), zero) for c in states] for r in states]
    forcing = [np.asarray(walk(rates[s], zero), float) for s in states]
    shape = np.broadcast_shapes(*(np.shape(e) for row in slopes for e in row))
    a = np.zeros((*shape, 2 * k, 2 * k))
    for r in range(k):
        a[..., r, k + r] = 1.0
        for c in range(k):
            a[..., r, c] = slopes[r][c]
    grown = expm(a * h)
    new: dict[State, Any] = {}
    for r, state in enumerate(states):
        terms = [grown[..., r, c] * values[s] for c, s in enumerate(states)]
        terms += [grown[..., r, k + c] * u for c, u in enumerate(forcing)]
        new[state] = sum(terms[1:], terms[0])
    return new


def _implicit(rates: Rates, values: Values, h: float) -> dict[State, Any]:
    """Return x + d, where d solves (1 - h J) d = h f as one system of all states."""
    slopes = [[walk(sympy.diff(r, s), values) for s in rates] for r in rates.values()]
    forces = [walk(r, values) for r in rates.values()]
    shape = np.broadcast_shapes(*(np.shape(e) for e in (*forces, *(e for row in slopes for e in row))))
    matrix = np.stack([np.stack([np.broadcast_to(e, shape) for e in row], -1) for row in slopes], -2)
    right = np.stack([np.broadcast_to(f, shape) for f in forces], -1)[..., None]
    moved = np.linalg.solve(np.eye(len(rates)) - h * matrix, h * right)[..., 0]
    return {s: values[s] + moved[..., k] for k, s in enumerate(rates)}


def _stages(rates: Rates, values: Values, h: float, method: str, t: Any) -> dict[State, Any]:
    def slopes(moved: Mapping[State, Any], offset: float) -> dict[State, Any]:
        at = {**values, **moved}
        if t is not None:
            at[t] = values[t] + offset
        return {s: walk(rate, at) for s, rate in rates.items()}

    def along(k: Mapping[State, Any], step: float) -> dict[State, Any]:
        return {s: values[s] + step * k[s] for s in rates}

    k1 = slopes({}, 0.0)
    if method == "heun":
        k2 = slopes(along(k1, h), h)
        return {s: values[s] + h / 2 * (k1[s] + k2[s]) for s in rates}
    k2 = slopes(along(k1, h / 2), h / 2)
    k3 = slopes(along(k2, h / 2), h / 2)
    k4 = slopes(along(k3, h), h)
    return {s: values[s] + h / 6 * (k1[s] + 2 * k2[s] + 2 * k3[s] + k4[s]) for s in rates}


def parameter_arrays(neuron: Neuron, read: Mapping[str, Any]) -> dict[sympy.Basic, Any]:
    """Return the parameters of a population by symbol, from arrays by name.

    Raises:
        NotCovered: one is missing.
    """
    missing = [p.name for p in neuron.parameters if p.name not in read]
    if missing:
        raise NotCovered(f"parameter '{missing[0]}' is no tensor of the model")
    return {p: np.asarray(read[p.name], float) for p in neuron.parameters}
