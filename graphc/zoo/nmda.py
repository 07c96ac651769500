"""A neuron whose NMDA receptors are blocked by magnesium, in mV, nS, pF and ms."""

from sympy import exp

import graphc as gc
from graphc.units import ms, mV, nS, pF

v, g_a, g_n, r = gc.states("v g_a g_n r")
ampa, nmda = gc.inputs("ampa nmda")
C, g_L, E_L, E_e, V_T, V_r, t_ref = gc.params(
    C=500 * pF, g_L=25 * nS, E_L=-70 * mV, E_e=0 * mV, V_T=-50 * mV, V_r=-55 * mV, t_ref=2 * ms
)
tau_a, tau_rise, tau_decay, Mg = gc.params(tau_a=2 * ms, tau_rise=2 * ms, tau_decay=100 * ms, Mg=1.0)

open_ = 1 / (1 + Mg / 3.57 * exp(-0.062 * v / mV))

NMDA = gc.Neuron(
    "NMDA",
    ode={
        v: (g_L * (E_L - v) + (g_a + g_n * open_) * (E_e - v)) / C,
        g_a: -g_a / tau_a,
        g_n: r / tau_rise - g_n / tau_decay,
        r: -r / tau_rise,
    },
    receive={r: r + nmda, g_a: g_a + ampa},
    integrator="implicit_euler",
    spike=gc.Spike(v > V_T, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: V_r},
    refractory=t_ref,
    init={v: E_L},
)
"""LIF with AMPA conductances and NMDA conductances that magnesium blocks at rest.

``C v' = g_L (E_L - v) + (g_a + g_n B(v)) (E_e - v)`` with ``B(v) = 1 / (1 + Mg / 3.57 exp(-0.062 v / mV))``,
``tau_a g_a' = -g_a``, ``g_n' = r / tau_rise - g_n / tau_decay``, ``tau_rise r' = -r``.

Weights into ``ampa`` and ``nmda`` are in nS and meant to be positive: an arrival lets g_a jump by the weight, and g_n
rise to nearly that. ``Mg`` is the concentration outside, in mM.

Source:
    Jahr & Stevens (1990), J. Neurosci. 10, 3178-3182: the block; the numbers of the neuron and its time constants as in
    Brunel & Wang (2001), J. Comput. Neurosci. 11, 63-85.
"""
