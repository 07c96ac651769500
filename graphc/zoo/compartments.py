"""Neurons of several compartments, in mV, nS, pA, pF and ms."""

from typing import Any

from sympy import Min, Piecewise, exp

import graphc as gc
from graphc.units import ms, mV, nS, pA, pF

L, tau_m, g_cable, E_L = gc.params(L=1.0, tau_m=20 * ms, g_L=5 * nS, E_L=-70 * mV)


def _cable(compartments: int, everywhere: bool) -> dict[str, Any]:
    """Return the arguments of a neuron: a cable in equal parts, of which every one has an input or the first alone."""
    v = gc.state("v", shape=compartments)
    x = gc.input("x", shape=compartments) if everywhere else (gc.input("x"),)
    axial = compartments**2 / (L**2 * tau_m)
    ode = []
    for k, own in enumerate(v):
        near = [v[j] - own for j in (k - 1, k + 1) if 0 <= j < compartments]
        given = compartments * x[k] / (g_cable * tau_m) if k < len(x) else 0
        ode.append((E_L - own) / tau_m + axial * sum(near) + given)
    return {"ode": {v: ode}, "integrator": "implicit_euler", "output": v[-1], "init": {v: E_L}}


PassiveCable = gc.Neuron("PassiveCable", **_cable(5, everywhere=False))
"""Passive cable in five parts, sealed at both ends, of electrotonic length ``L``.

``tau_m v[k]' = E_L - v[k] + (5 / L)^2 (v[k-1] - 2 v[k] + v[k+1])``, at the ends without the missing neighbour, and
``5 x / g_L`` more in the first part.

``x`` is a current (pA) into the first part, ``v[4]``, at the far end, is sent; ``g_L`` is the conductance of the whole
membrane. `gc.zoo.passive_cable` makes cables of other numbers of parts, and with an input to each. Implicit Euler takes
steps that are long for the exchange between neighbours.

Source:
    Rall (1959), Exp. Neurol. 1, 491-527; the sealed cable and its steady state as in Koch (1999), Biophysics of
    Computation, chapter 2.
"""


def passive_cable(compartments: int, everywhere: bool = False) -> gc.Neuron:
    """Return a `PassiveCable` of that many parts; `everywhere` gives each an input, ``x[0]``, ``x[1]`` and so on."""
    return gc.Neuron("PassiveCable", **_cable(compartments, everywhere))


v_s, v_d, h, n, s, c, q, Ca = gc.states("v_s v_d h n s c q Ca")
soma, dend = gc.inputs("soma dend")
C, g_L, g_Na, g_DR, g_Ca, g_AHP, g_C, g_c, p = gc.params(
    C=3 * pF,
    g_L=0.1 * nS,
    g_Na=30 * nS,
    g_DR=15 * nS,
    g_Ca=10 * nS,
    g_AHP=0.8 * nS,
    g_C=15 * nS,
    g_c=2.1 * nS,
    p=0.5,
)
E_Na, E_Ca, E_K = gc.params(E_Na=120 * mV, E_Ca=140 * mV, E_K=-15 * mV)

# r (u - v) / (exp((u - v) / d) - 1) is 0/0 at u; with exprel(y) = (e^y - 1) / y it is r d / exprel((u - v) / d).
alpha_m, beta_m = 1.28 / gc.exprel((13.1 - v_s / mV) / 4), 1.4 / gc.exprel((v_s / mV - 40.1) / 5)
alpha_n, beta_n = 0.08 / gc.exprel((35.1 - v_s / mV) / 5), 0.25 * exp(0.5 - 0.025 * v_s / mV)
alpha_h, beta_h = 0.128 * exp((17 - v_s / mV) / 18), 4 / (1 + exp((40 - v_s / mV) / 5))
alpha_s, beta_s = 1.6 / (1 + exp(-0.072 * (v_d / mV - 65))), 0.1 / gc.exprel((v_d / mV - 51.1) / 5)
falling = 2 * exp((6.5 - v_d / mV) / 27)
rising = exp((v_d / mV - 10) / 11 - (v_d / mV - 6.5) / 27) / 18.975
alpha_c = Piecewise((rising, v_d <= 50 * mV), (falling, True))
total_c = falling  # alpha_c + beta_c, on both sides of 50 mV
alpha_q, beta_q = Min(2e-5 * Ca, 0.01), 0.001
m_inf = alpha_m / (alpha_m + beta_m)
I_Ca = g_Ca * s**2 * (v_d - E_Ca)
I_K = (g_AHP * q + g_C * c * Min(Ca / 250, 1)) * (v_d - E_K)

PinskyRinzel = gc.Neuron(
    "PinskyRinzel",
    ode={
        v_s: (-g_L * v_s - (g_Na * m_inf**2 * h * (v_s - E_Na) + g_DR * n * (v_s - E_K))) / C
        + (g_c * (v_d - v_s) + soma) / (p * C),
        v_d: (-g_L * v_d - I_Ca - I_K) / C + (g_c * (v_s - v_d) + dend) / ((1 - p) * C),
        h: (alpha_h - (alpha_h + beta_h) * h) / ms,
        n: (alpha_n - (alpha_n + beta_n) * n) / ms,
        s: (alpha_s - (alpha_s + beta_s) * s) / ms,
        c: (alpha_c - total_c * c) / ms,
        q: (alpha_q - (alpha_q + beta_q) * q) / ms,
        Ca: -0.13 * I_Ca / (pA * ms) - 0.075 * Ca / ms,
    },
    spike=gc.Spike(v_s > 30 * mV, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    init={v_s: -4.6 * mV, v_d: -4.5 * mV, h: 0.999, n: 0.001, s: 0.009, c: 0.007, q: 0.01, Ca: 0.2},
)
"""Pinsky-Rinzel pyramidal cell of CA3: a soma that spikes and a dendrite whose calcium makes it burst.

``C v_s' = -I_L - I_Na - I_DR + (g_c (v_d - v_s) + soma) / p``,
``C v_d' = -I_L - I_Ca - I_AHP - I_C + (g_c (v_s - v_d) + dend) / (1 - p)``, ``Ca' = -0.13 I_Ca - 0.075 Ca``.

Potentials are measured from rest. Densities are taken over 100 um2 of membrane: 1 mS/cm2 is 1 nS, 1 uA/cm2 is 1 pA;
``p`` is the part of it that is soma. A spike is an upward crossing of 30 mV by the soma. The soma is integrated by
Euler, all else by exponential Euler, which want ``dt`` of 0.05 ms or less.

Source:
    Pinsky & Rinzel (1994), J. Comput. Neurosci. 1, 39-60, with the erratum, J. Comput. Neurosci. 2 (1995), 275.
"""
