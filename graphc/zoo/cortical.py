"""Spiking neurons of cortex and hippocampus with sodium and potassium currents, in mV, nS, pA, pF and ms."""

from sympy import exp

import graphc as gc
from graphc.units import ms, mV, nS, pF

v, m, h, n = gc.states("v m h n")
x = gc.input("x")
C, g_Na, g_K, g_L, E_Na, E_K, E_L, V_T = gc.params(
    C=200 * pF,
    g_Na=20000 * nS,
    g_K=6000 * nS,
    g_L=10 * nS,
    E_Na=50 * mV,
    E_K=-90 * mV,
    E_L=-65 * mV,
    V_T=-63 * mV,
)

# a u / (exp(u / k) - 1) is 0/0 at u = 0; as a k / exprel(u / k), with exprel(y) = (e^y - 1) / y, it is smooth.
u = v - V_T
alpha_m = 1.28 / gc.exprel((13 * mV - u) / (4 * mV)) / ms
beta_m = 1.4 / gc.exprel((u - 40 * mV) / (5 * mV)) / ms
alpha_h = 0.128 * exp((17 * mV - u) / (18 * mV)) / ms
beta_h = 4 / (1 + exp((40 * mV - u) / (5 * mV))) / ms
alpha_n = 0.16 / gc.exprel((15 * mV - u) / (5 * mV)) / ms
beta_n = 0.5 * exp((10 * mV - u) / (40 * mV)) / ms

TraubMiles = gc.Neuron(
    "TraubMiles",
    ode={
        v: (g_Na * m**3 * h * (E_Na - v) + g_K * n**4 * (E_K - v) + g_L * (E_L - v) + x) / C,
        m: alpha_m * (1 - m) - beta_m * m,
        h: alpha_h * (1 - h) - beta_h * h,
        n: alpha_n * (1 - n) - beta_n * n,
    },
    spike=gc.Spike(v > -20 * mV, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    init={
        v: E_L,
        m: alpha_m / (alpha_m + beta_m),
        h: alpha_h / (alpha_h + beta_h),
        n: alpha_n / (alpha_n + beta_n),
    },
)
"""Hippocampal pyramidal cell of Traub and Miles, reduced to a point.

``C v' = g_Na m^3 h (E_Na - v) + g_K n^4 (E_K - v) + g_L (E_L - v) + x``, ``s' = alpha_s(v) (1 - s) - beta_s(v) s``.

``V_T`` shifts all rates along the voltage. A spike is an upward crossing of -20 mV; nothing is reset. Of the 20,000
um2 of membrane that the benchmark has, with 100 mS/cm2 of sodium, 30 mS/cm2 of potassium and 50 uS/cm2 of leak.

Source:
    Traub & Miles (1991), Neuronal Networks of the Hippocampus; rates and parameters of the COBAHH benchmark, Brette et
    al. (2007), J. Comput. Neurosci. 23, 349-398.
"""

C_wb, Na_wb, K_wb, L_wb, E_Na_wb, E_K_wb, E_L_wb, phi = (
    gc.param("C", 1 * pF),
    gc.param("g_Na", 35 * nS),
    gc.param("g_K", 9 * nS),
    gc.param("g_L", 0.1 * nS),
    gc.param("E_Na", 55 * mV),
    gc.param("E_K", -90 * mV),
    gc.param("E_L", -65 * mV),
    gc.param("phi", 5.0),
)
a_m = 1 / gc.exprel(-(v + 35 * mV) / (10 * mV))
b_m = 4 * exp(-(v + 60 * mV) / (18 * mV))
a_h = 0.07 * exp(-(v + 58 * mV) / (20 * mV)) / ms
b_h = 1 / (1 + exp(-(v + 28 * mV) / (10 * mV))) / ms
a_n = 0.1 / gc.exprel(-(v + 34 * mV) / (10 * mV)) / ms
b_n = 0.125 * exp(-(v + 44 * mV) / (80 * mV)) / ms

WangBuzsaki = gc.Neuron(
    "WangBuzsaki",
    ode={
        v: (Na_wb * (a_m / (a_m + b_m)) ** 3 * h * (E_Na_wb - v) + K_wb * n**4 * (E_K_wb - v) + L_wb * (E_L_wb - v) + x)
        / C_wb,
        h: phi * (a_h * (1 - h) - b_h * h),
        n: phi * (a_n * (1 - n) - b_n * n),
    },
    spike=gc.Spike(v > 0 * mV, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    init={v: -64 * mV, h: a_h / (a_h + b_h), n: a_n / (a_n + b_n)},
)
"""Fast-spiking interneuron, whose sodium activation follows the potential at once.

``C v' = g_Na m_inf(v)^3 h (E_Na - v) + g_K n^4 (E_K - v) + g_L (E_L - v) + x``, ``s' = phi (alpha_s(v) (1 - s) -
beta_s(v) s)``.

Per 100 um2 of membrane, as in `HodgkinHuxley`. A spike is an upward crossing of 0 mV. From about 0.16 pA on it fires,
arbitrarily slowly at first, with 56 spikes/s at 1 pA and 155 at 4 pA.

Source:
    Wang & Buzsaki (1996), J. Neurosci. 16, 6402-6413.
"""
