"""Two planar models of excitability that spike without a reset."""

from sympy import cosh, tanh

import graphc as gc
from graphc.units import ms, mV, nS, pF

v, w = gc.states("v w")
x = gc.input("x")
C, g_Ca, g_K, g_L, E_Ca, E_K, E_L, V_1, V_2, V_3, V_4, phi = gc.params(
    C=20 * pF,
    g_Ca=4.4 * nS,
    g_K=8 * nS,
    g_L=2 * nS,
    E_Ca=120 * mV,
    E_K=-84 * mV,
    E_L=-60 * mV,
    V_1=-1.2 * mV,
    V_2=18 * mV,
    V_3=2 * mV,
    V_4=30 * mV,
    phi=0.04 / ms,
)
m_inf = (1 + tanh((v - V_1) / V_2)) / 2
w_inf = (1 + tanh((v - V_3) / V_4)) / 2

MorrisLecar = gc.Neuron(
    "MorrisLecar",
    ode={
        v: (g_Ca * m_inf * (E_Ca - v) + g_K * w * (E_K - v) + g_L * (E_L - v) + x) / C,
        w: phi * cosh((v - V_3) / (2 * V_4)) * (w_inf - w),
    },
    spike=gc.Spike(v > 0 * mV, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    init={v: E_L, w: w_inf},
)
"""Morris-Lecar.

``C v' = g_Ca m_inf(v) (E_Ca - v) + g_K w (E_K - v) + g_L (E_L - v) + x``, ``w' = phi cosh((v - V_3) / (2 V_4))
(w_inf(v) - w)``.

``m_inf = (1 + tanh((v - V_1) / V_2)) / 2``, ``w_inf = (1 + tanh((v - V_3) / V_4)) / 2``. Per 100 um2 of membrane, as
in `HodgkinHuxley`; the parameters are those of the Hopf regime, which oscillates from about 94 to 212 pA. A spike is
an upward crossing of 0 mV.

Source:
    Morris & Lecar (1981), Biophys. J. 35, 193-213; parameters of Rinzel & Ermentrout (1998), in Koch & Segev, Methods
    in Neuronal Modeling, 2nd ed.
"""

a, b, tau = gc.params(a=0.7, b=0.8, tau=12.5)

FitzHughNagumo = gc.Neuron(
    "FitzHughNagumo",
    ode={v: v - v**3 / 3 - w + x, w: (v + a - b * w) / tau},
    spike=gc.Spike(v > 1, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    init={v: -1.1994, w: -0.6243},
)
"""FitzHugh-Nagumo.

``v' = v - v^3 / 3 - w + x``, ``tau w' = v + a - b w``; dimensionless, with one unit of time taken as 1 ms.

It starts at its resting point for ``x = 0`` and oscillates for ``x`` from about 0.33 to 1.42. A spike is an upward
crossing of 1.

Source:
    FitzHugh (1961), Biophys. J. 1, 445-466; Nagumo, Arimoto & Yoshizawa (1962), Proc. IRE 50, 2061-2070.
"""
