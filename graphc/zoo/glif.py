"""The generalised leaky integrate-and-fire neurons of the Allen Institute, in mV, nS, pA, pF and ms.

Five levels, each with the mechanisms of some below it: a leak (1), resets and a threshold that depend on the spikes
(2), currents after spikes (3), both (4), and a threshold that follows the potential as well (5). All jumps happen at
the spike; the potential waits for `t_ref`, while currents and thresholds go on decaying.
"""

import graphc as gc
from graphc.units import ms, mV, nS, pA, pF

v, I_1, I_2, theta_s, theta_v = gc.states("v I_1 I_2 theta_s theta_v")
x = gc.input("x")
C, g, E_L, theta, v_r, t_ref = gc.params(
    C=58.72 * pF, g=9.43 * nS, E_L=-78.85 * mV, theta=-51.68 * mV, v_r=-78.85 * mV, t_ref=3.75 * ms
)
k_1, k_2, dI_1, dI_2 = gc.params(k_1=0.003 / ms, k_2=0.1 / ms, dI_1=-9.18 * pA, dI_2=-198.94 * pA)
f_v, dv, b_s, d_theta = gc.params(f_v=0.2, dv=18.51 * mV, b_s=0.009 / ms, d_theta=0.37 * mV)
a_v, b_v = gc.params(a_v=0.005 / ms, b_v=0.09 / ms)

smooth = gc.surrogate.SuperSpike(beta=1.0)
jump = E_L + f_v * (v - E_L) + dv

GLIF1 = gc.Neuron(
    "GLIF1",
    ode={v: (g * (E_L - v) + x) / C},
    spike=gc.Spike(v > theta, surrogate=smooth),
    reset={v: v_r},
    refractory=t_ref,
    init={v: E_L},
)
"""Leaky integrate-and-fire: ``C v' = g (E_L - v) + x``; at ``v > theta``, ``v = v_r`` for ``t_ref``.

The parameters of all five levels are those of one cell of the mouse's primary visual cortex (NEST's defaults).

Source:
    Teeter et al. (2018), Nat. Commun. 9, 709.
"""

GLIF2 = gc.Neuron(
    "GLIF2",
    ode={v: (g * (E_L - v) + x) / C, theta_s: -b_s * theta_s},
    spike=gc.Spike(v > theta + theta_s, surrogate=smooth),
    reset={v: jump, theta_s: theta_s + d_theta},
    refractory=gc.Refractory(t_ref, hold=(v,)),
    init={v: E_L},
)
"""Leaky integrate-and-fire with resets that remember: ``v = E_L + f_v (v - E_L) + dv`` at ``v > theta + theta_s``.

``C v' = g (E_L - v) + x``; ``theta_s' = -b_s theta_s`` jumps by ``d_theta`` at a spike.

Source:
    Teeter et al. (2018), Nat. Commun. 9, 709.
"""

GLIF3 = gc.Neuron(
    "GLIF3",
    ode={v: (g * (E_L - v) + x + I_1 + I_2) / C, I_1: -k_1 * I_1, I_2: -k_2 * I_2},
    spike=gc.Spike(v > theta, surrogate=smooth),
    reset={v: v_r, I_1: I_1 + dI_1, I_2: I_2 + dI_2},
    refractory=gc.Refractory(t_ref, hold=(v,)),
    init={v: E_L},
)
"""Leaky integrate-and-fire with currents after spikes: ``C v' = g (E_L - v) + x + I_1 + I_2``.

``I_j' = -k_j I_j`` jumps by ``dI_j`` at a spike, where ``v = v_r``.

Source:
    Teeter et al. (2018), Nat. Commun. 9, 709.
"""

GLIF4 = gc.Neuron(
    "GLIF4",
    ode={
        v: (g * (E_L - v) + x + I_1 + I_2) / C,
        I_1: -k_1 * I_1,
        I_2: -k_2 * I_2,
        theta_s: -b_s * theta_s,
    },
    spike=gc.Spike(v > theta + theta_s, surrogate=smooth),
    reset={v: jump, I_1: I_1 + dI_1, I_2: I_2 + dI_2, theta_s: theta_s + d_theta},
    refractory=gc.Refractory(t_ref, hold=(v,)),
    init={v: E_L},
)
"""Leaky integrate-and-fire with resets and threshold of `GLIF2` and currents of `GLIF3`.

Source:
    Teeter et al. (2018), Nat. Commun. 9, 709.
"""

GLIF5 = gc.Neuron(
    "GLIF5",
    ode={
        v: (g * (E_L - v) + x + I_1 + I_2) / C,
        I_1: -k_1 * I_1,
        I_2: -k_2 * I_2,
        theta_s: -b_s * theta_s,
        theta_v: a_v * (v - E_L) - b_v * theta_v,
    },
    spike=gc.Spike(v > theta + theta_s + theta_v, surrogate=smooth),
    reset={v: jump, I_1: I_1 + dI_1, I_2: I_2 + dI_2, theta_s: theta_s + d_theta},
    refractory=gc.Refractory(t_ref, hold=(v,)),
    init={v: E_L},
)
"""`GLIF4` whose threshold also follows the potential: ``theta_v' = a_v (v - E_L) - b_v theta_v``.

A spike at ``v > theta + theta_s + theta_v`` leaves theta_v as it is.

Source:
    Teeter et al. (2018), Nat. Commun. 9, 709.
"""
