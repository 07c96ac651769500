"""The squid axon, in mV, nS, pA, pF and ms.

The densities of the source are taken over 100 um2 of membrane: 1 uF/cm2 is then 1 pF, 1 mS/cm2 is 1 nS and 1 uA/cm2
is 1 pA.
"""

from sympy import exp

import graphc as gc
from graphc.units import ms, mV, nS, pF

v, m, h, n = gc.states("v m h n")
x = gc.input("x")
C, g_Na, g_K, g_L, E_Na, E_K, E_L = gc.params(
    C=1 * pF,
    g_Na=120 * nS,
    g_K=36 * nS,
    g_L=0.3 * nS,
    E_Na=50 * mV,
    E_K=-77 * mV,
    E_L=-54.387 * mV,
)

# 0.1 (v + 40) / (1 - exp(-(v + 40) / 10)) is 0/0 at -40 mV; with exprel(y) = (e^y - 1) / y it is smooth.
alpha_m = 1 / gc.exprel(-(v + 40 * mV) / (10 * mV)) / ms
beta_m = 4 * exp(-(v + 65 * mV) / (18 * mV)) / ms
alpha_h = 0.07 * exp(-(v + 65 * mV) / (20 * mV)) / ms
beta_h = 1 / (1 + exp(-(v + 35 * mV) / (10 * mV))) / ms
alpha_n = 0.1 / gc.exprel(-(v + 55 * mV) / (10 * mV)) / ms
beta_n = 0.125 * exp(-(v + 65 * mV) / (80 * mV)) / ms

HodgkinHuxley = gc.Neuron(
    "HodgkinHuxley",
    ode={
        v: (g_Na * m**3 * h * (E_Na - v) + g_K * n**4 * (E_K - v) + g_L * (E_L - v) + x) / C,
        m: alpha_m * (1 - m) - beta_m * m,
        h: alpha_h * (1 - h) - beta_h * h,
        n: alpha_n * (1 - n) - beta_n * n,
    },
    spike=gc.Spike(v > 0 * mV, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    init={
        v: -65 * mV,
        m: alpha_m / (alpha_m + beta_m),
        h: alpha_h / (alpha_h + beta_h),
        n: alpha_n / (alpha_n + beta_n),
    },
)
"""Hodgkin-Huxley.

``C v' = g_Na m^3 h (E_Na - v) + g_K n^4 (E_K - v) + g_L (E_L - v) + x``, ``s' = alpha_s(v) (1 - s) - beta_s(v) s``.

``v`` is the membrane potential itself (rest at -65 mV), not its deviation from rest as in the source. A spike is an
upward crossing of 0 mV; nothing is reset. The gates start at their steady state for the initial ``v``. Exponential
Euler wants ``dt`` of 0.05 ms or less.

Source:
    Hodgkin & Huxley (1952), J. Physiol. 117, 500-544; in this convention Gerstner et al. (2014), Neuronal Dynamics,
    section 2.2.
"""
