"""The neurons of NIR, each in each dialect: what the specification says in continuous time, in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from graphc import symbols as gs
from graphc.neuron import Neuron, Spike

from .dialect import Dialect

SPIKING = frozenset({"IF", "LIF", "CubaLIF", "Threshold"})
TWO_STATES = frozenset({"CubaLI", "CubaLIF"})
PER_SECOND = sympy.Rational(1, 1000)  # in 1/ms

v, i = gs.states("v i")
x = gs.input("x")


def cell(kind: str, dialect: Dialect, biases: Mapping[str, gs.Per] = {}) -> Neuron:
    """Return the neuron of a NIR node; times are in ms, all else is as in the file.

    Args:
        kind: the type of the node, or "Sum" for a unit that sends what it receives.
        dialect: how it is run in steps.
        biases: names of learned parameters that are added to the input, and whether there is one per neuron or channel.
    """
    u = x + sympy.Add(*(gs.param(name, 0.0, learn=True, per=per) for name, per in biases.items()))
    if kind == "Sum":
        return Neuron("Sum", output=u)
    if kind == "Threshold":
        return Neuron("Threshold", spike=Spike(u > gs.param("threshold", 0.0)))
    spiking: dict[str, Any] = {}
    if kind in SPIKING:
        v_threshold, v_reset = gs.param("v_threshold", 1.0), gs.param("v_reset", 0.0)
        jump = v_reset if dialect.reset == "value" else v - (v_threshold - v_reset)
        spiking = {"spike": Spike(v > v_threshold), "reset": {v: jump}}
    return Neuron(kind, **_dynamics(kind, dialect, u), **spiking, output=gs.spike if spiking else v)


def _dynamics(kind: str, dialect: Dialect, u: Any) -> dict[str, Any]:
    """Return the equations: a differential one where an integrator of graphc does the step, else the step itself."""
    r = gs.param("r", 1.0)
    if kind in ("I", "IF"):
        return {"ode": {v: r * u * PER_SECOND}, "integrator": "euler"}  # exact, too: v does not act on itself
    leak = gs.param("v_leak", 0.0)
    if kind in ("LI", "LIF"):
        tau = gs.param("tau", 10.0)
        if dialect.method == "exponential" and dialect.input == "impulse":
            decay = sympy.exp(-gs.dt / tau)
            return {"update": {v: decay * v + (1 - decay) * leak + r * u * gs.dt / tau}}
        if dialect.method == "exact" and dialect.input == "impulse":
            return {"ode": {v: (leak - v) / tau}, "receive": {v: v + r * u * gs.dt / tau}, "integrator": "exact"}
        method = "euler" if dialect.method == "euler" else "exact"
        return {"ode": {v: (leak - v + r * u) / tau}, "integrator": method}
    return _two_states(dialect, u, r, leak)


def _two_states(dialect: Dialect, u: Any, r: Any, leak: Any) -> dict[str, Any]:
    tau_syn, tau_mem, w_in = gs.param("tau_syn", 5.0), gs.param("tau_mem", 10.0), gs.param("w_in", 1.0)
    impulse = dialect.input == "impulse"
    if dialect.method == "exact":
        drive = 0 if impulse else w_in * u
        received = {"receive": {i: i + w_in * u * gs.dt / tau_syn}} if impulse else {}
        ode = {v: (leak - v + r * i) / tau_mem, i: (drive - i) / tau_syn}
        return {"ode": ode, **received, "integrator": "exact"}
    if dialect.method == "euler" and dialect.current == "old":
        return {"ode": {v: (leak - v + r * i) / tau_mem, i: (w_in * u - i) / tau_syn}, "integrator": "euler"}
    if dialect.method == "euler":
        new = i + gs.dt * (w_in * u - i) / tau_syn
        return {"update": {v: v + gs.dt * (leak - v + r * new) / tau_mem, i: new}}
    keep_syn, keep_mem = sympy.exp(-gs.dt / tau_syn), sympy.exp(-gs.dt / tau_mem)
    new = keep_syn * i + (w_in * u * gs.dt / tau_syn if impulse else (1 - keep_syn) * w_in * u)
    current = new if dialect.current == "new" else i
    return {"update": {v: keep_mem * v + (1 - keep_mem) * (leak + r * current), i: new}}
