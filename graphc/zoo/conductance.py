"""Integrate-and-fire with synaptic conductances, in mV, nS, pF and ms."""

import graphc as gc
from graphc.units import ms, mV, nS, pF

v, g_e, g_i = gc.states("v g_e g_i")
exc, inh = gc.inputs("exc inh")
C, g_L, E_L, E_e, E_i, tau_e, tau_i, V_T, V_r, t_ref = gc.params(
    C=200 * pF,
    g_L=10 * nS,
    E_L=-60 * mV,
    E_e=0 * mV,
    E_i=-80 * mV,
    tau_e=5 * ms,
    tau_i=10 * ms,
    V_T=-50 * mV,
    V_r=-60 * mV,
    t_ref=5 * ms,
)

CoBaLIF = gc.Neuron(
    "CoBaLIF",
    ode={
        v: (g_L * (E_L - v) + g_e * (E_e - v) + g_i * (E_i - v)) / C,
        g_e: -g_e / tau_e,
        g_i: -g_i / tau_i,
    },
    receive={g_e: g_e + exc, g_i: g_i + inh},
    spike=gc.Spike(v > V_T, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: V_r},
    refractory=t_ref,
    init={v: E_L},
)
"""LIF with exponential conductances.

``C v' = g_L (E_L - v) + g_e (E_e - v) + g_i (E_i - v)``, ``tau_x g_x' = -g_x`` jumping by the weight.

Weights into ``exc`` and ``inh`` are in nS and meant to be positive.

Source:
    Vogels & Abbott (2005), J. Neurosci. 25, 10786-10795; parameters of the benchmark in Brette et al. (2007), J.
    Comput. Neurosci. 23, 349-398.
"""
