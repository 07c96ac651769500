"""Exponential integrate-and-fire neurons, in mV, nS, pA, pF and ms.

The exponent is clipped at 15. There the upstroke is already so steep (1e5 mV/ms and more) that the rest of it takes
less than 1e-3 ms, and neither the value nor its derivative overflows in float32 when a step lands far beyond the
peak.
"""

import sympy

import graphc as gc
from graphc.units import ms, mV, nS, pA, pF

STEEPEST = 15

v, w = gc.states("v w")
x = gc.input("x")
C, g_L, E_L, V_T, Delta_T, V_peak, V_r, a, tau_w, b = gc.params(
    C=281 * pF,
    g_L=30 * nS,
    E_L=-70.6 * mV,
    V_T=-50.4 * mV,
    Delta_T=2 * mV,
    V_peak=20 * mV,
    V_r=-70.6 * mV,
    a=4 * nS,
    tau_w=144 * ms,
    b=80.5 * pA,
)

AdEx = gc.Neuron(
    "AdEx",
    ode={
        v: (g_L * (E_L - v) + g_L * Delta_T * sympy.exp(sympy.Min((v - V_T) / Delta_T, STEEPEST)) + x - w) / C,
        w: (a * (v - E_L) - w) / tau_w,
    },
    spike=gc.Spike(v > V_peak, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: V_r, w: w + b},
    init={v: E_L},
)
"""Adaptive exponential integrate-and-fire.

``C v' = g_L (E_L - v) + g_L Delta_T exp((v - V_T) / Delta_T) + x - w``, ``tau_w w' = a (v - E_L) - w``.

At ``v > V_peak``: ``v = V_r`` and ``w`` grows by ``b``. ``x`` is a current in pA, held over the step.

Source:
    Brette & Gerstner (2005), J. Neurophysiol. 94, 3637-3642.
"""

C_eif, g_eif, E_eif, T_eif, D_eif, peak_eif, r_eif, t_ref = (
    gc.param("C", 100 * pF),
    gc.param("g_L", 10 * nS),
    gc.param("E_L", -65 * mV),
    gc.param("V_T", -59.9 * mV),
    gc.param("Delta_T", 3.48 * mV),
    gc.param("V_peak", -30 * mV),
    gc.param("V_r", -68 * mV),
    gc.param("t_ref", 1.7 * ms),
)

EIF = gc.Neuron(
    "EIF",
    ode={v: (g_eif * (E_eif - v) + g_eif * D_eif * sympy.exp(sympy.Min((v - T_eif) / D_eif, STEEPEST)) + x) / C_eif},
    spike=gc.Spike(v > peak_eif, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: r_eif},
    refractory=t_ref,
    init={v: E_eif},
)
"""Exponential integrate-and-fire.

``C v' = g_L (E_L - v) + g_L Delta_T exp((v - V_T) / Delta_T) + x``; at ``v > V_peak``, ``v = V_r`` for ``t_ref``.

The densities of the source (1 uF/cm2, 0.1 mS/cm2) are taken over 10^4 um2 of membrane, so that a current of 1 uA/cm2
is 100 pA.

Source:
    Fourcaud-Trocme, Hansel, van Vreeswijk & Brunel (2003), J. Neurosci. 23, 11628-11640.
"""
