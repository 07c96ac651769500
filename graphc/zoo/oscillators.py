"""Models of excitability and bursting in few variables, which spike without a reset."""

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

y, z = gc.states("y z")
a_hr, b_hr, c_hr, d_hr, r, s, v_r = (
    gc.param("a", 1.0),
    gc.param("b", 3.0),
    gc.param("c", 1.0),
    gc.param("d", 5.0),
    gc.param("r", 0.006),
    gc.param("s", 4.0),
    gc.param("v_r", -1.6),
)

HindmarshRose = gc.Neuron(
    "HindmarshRose",
    ode={
        v: y - a_hr * v**3 + b_hr * v**2 - z + x,
        y: c_hr - d_hr * v**2 - y,
        z: r * (s * (v - v_r) - z),
    },
    spike=gc.Spike(v > 1, edge="rising", surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    init={v: -1.6, y: c_hr - d_hr * 1.6**2, z: 0.0},
    integrator="rk4",
)
"""Hindmarsh-Rose, which bursts.

``v' = y - a v^3 + b v^2 - z + x``, ``y' = c - d v^2 - y``, ``z' = r (s (v - v_r) - z)``.

Dimensionless, with one unit of time taken as 1 ms. It rests for ``x`` below about 1.3 and bursts beyond, with ever more
spikes in a burst; from about 3 to 3.4 bursts are irregular, and beyond spikes are regular. A spike is an upward
crossing of 1. Wants ``dt`` of 0.05 or less.

Source:
    Hindmarsh & Rose (1984), Proc. R. Soc. Lond. B 221, 87-102.
"""
