"""Astrocytes: concentrations are numbers in uM, time is in ms.

Calcium leaves the endoplasmic reticulum through channels that open with IP3 and calcium and close slowly with more
calcium; pumps bring it back. The rates of the sources are per s.
"""

import sympy
from sympy import log, tanh

import graphc as gc
from graphc.units import ms

C, h, p = gc.states("C h p")
x = gc.input("x")
v_1, v_2, v_3, c_0, c_1, k_3, a_2, d_1, d_2, d_3, d_5 = gc.params(
    v_1=6e-3 / ms,
    v_2=0.11e-3 / ms,
    v_3=0.9e-3 / ms,
    c_0=2,
    c_1=0.185,
    k_3=0.1,
    a_2=0.2e-3 / ms,
    d_1=0.13,
    d_2=1.049,
    d_3=0.9434,
    d_5=0.08234,
)


def change_of_calcium(ip3: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    """Return C' and h' at a concentration of IP3."""
    Q_2 = d_2 * (ip3 + d_1) / (ip3 + d_3)
    opened = ip3 / (ip3 + d_1) * C / (C + d_5) * h
    store = (c_0 - C) / c_1 - C
    flow = c_1 * (v_1 * opened**3 + v_2) * store - v_3 * C**2 / (C**2 + k_3**2)
    return flow, a_2 * (Q_2 * (1 - h) - C * h)


p_0 = gc.param("p_0", 0.4)
flow, closing = change_of_calcium(p_0 + x)

LiRinzel = gc.Neuron("LiRinzel", ode={C: flow, h: closing}, init={C: 0.1, h: 0.8})
"""Calcium of an astrocyte at given IP3, ``p = p_0 + x``. Its output is the calcium ``C``.

``C' = c_1 (v_1 m^3 n^3 h^3 + v_2) (C_ER - C) - v_3 C^2 / (C^2 + k_3^2)``, ``h' = a_2 (Q_2 (1 - h) - C h)``.

``m = p / (p + d_1)``, ``n = C / (C + d_5)``, ``Q_2 = d_2 (p + d_1) / (p + d_3)``, ``C_ER = (c_0 - C) / c_1``. Calcium
oscillates with a period of 11 to 13 s for p from about 0.36 to 0.64 uM. Steps of 10 ms will do.

Source:
    Li & Rinzel (1994), J. Theor. Biol. 166, 461-473.
"""

p_rest, tau_p, I_s, C_th = gc.params(p_rest=0.16, tau_p=7142 * ms, I_s=2.11, C_th=0.19669)
flow_nj, closing_nj = change_of_calcium(p)

NadkarniJung = gc.Neuron(
    "NadkarniJung",
    ode={C: flow_nj, h: closing_nj, p: (p_rest - p) / tau_p},
    receive={p: p + x},
    output=I_s * log(sympy.Max(1000 * (C - C_th), 1)),
    init={C: 0.0731, h: 0.7863, p: p_rest},
)
"""Astrocyte that spikes of neurons excite, and that sends a slow inward current, ``I_s [ln y]+``, y in nM.

`LiRinzel` with IP3 as a state: ``tau_p p' = p_rest - p`` jumping by the weight, in uM. ``y = 1000 (C - C_th)``.

The current of the source is in uA/cm2. Its IP3 grows by 7.2 nM per ms of a neuron above 50 mV, which is a jump of about
as much for each spike. It starts at rest.

Source:
    Nadkarni & Jung (2003), Phys. Rev. Lett. 91, 268101.
"""

v, a = gc.states("v a")
mod = gc.input("mod")
tau, tau_a, w_a, bias = gc.params(tau=10 * ms, tau_a=500 * ms, w_a=1.0, bias=0.0)

AstrocyteModulated = gc.Neuron(
    "AstrocyteModulated",
    ode={v: ((1 + a) * x + bias - v) / tau, a: (w_a * tanh(v) + mod - a) / tau_a},
    output=tanh(v),
)
"""Rate unit whose synaptic drive an astrocyte scales: ``tau v' = -v + (1 + a) x + bias``.

``tau_a a' = -a + w_a r + mod``, and it sends ``r = tanh(v)``. The astrocyte senses its own unit by ``w_a``, and others
through ``mod``: ``net.connect("hid", "hid", target="mod", delay=1)`` is ``W_a r``. At a = 0 it is `CTRNN`.

Source:
    De Pitta & Brunel (2016), Neural Plast. 2016, 7607924, where the gain is that of the release of synapses.
"""
