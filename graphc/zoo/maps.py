"""A neuron that is a map of its own, not the steps of an equation in time."""

import sympy

import graphc as gc

v, y = gc.states("v y")
x = gc.input("x")
alpha, mu, sigma, beta = gc.params(alpha=4.5, mu=0.001, sigma=0.05, beta=0.133)

up = y + beta * x
rest = gc.where(v < alpha + up, gc.where(gc.previous(v) <= 0, alpha + up, -1), -1)

Rulkov = gc.Neuron(
    "Rulkov",
    update={
        v: gc.where(v <= 0, alpha / (1 - sympy.Min(v, 0)) + up, rest),
        y: y - mu * (v + 1 - sigma - x),
    },
    spike=gc.Spike(v > 0, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    init={v: -1.0, y: -3.25},
)
"""Rulkov's map, which rests, spikes or bursts; one iteration a step, whatever dt is.

``v[t] = f(v[t-1], y[t-1] + beta x)``, ``y[t] = y[t-1] - mu (v[t-1] + 1 - sigma - x)``.

``f(v, u)`` is ``alpha / (1 - v) + u`` for ``v <= 0``, ``alpha + u`` for ``0 < v < alpha + u`` at the first step above
0, and -1 otherwise. For ``alpha < 4`` it rests or spikes, beyond it can burst; ``sigma`` is its excitation. A spike is
an upward crossing of 0.

Source:
    Rulkov (2002), Phys. Rev. E 65, 041922; inputs, and the peak of a single step, as in Rulkov, Timofeev & Bazhenov
    (2004), J. Comput. Neurosci. 17, 203-223.
"""
