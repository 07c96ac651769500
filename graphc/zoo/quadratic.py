"""The normal form of a neuron at a saddle-node bifurcation; dimensionless, time in ms.

`QIF` lives on the line, `Theta` on the circle.
"""

import sympy

import graphc as gc
from graphc.units import ms

v, phase = gc.states("v theta")
x = gc.input("x")
tau, v_peak, v_r = gc.params(tau=10 * ms, v_peak=10.0, v_r=-10.0)

QIF = gc.Neuron(
    "QIF",
    ode={v: (v**2 + x) / tau},
    spike=gc.Spike(v >= v_peak, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: v_r},
    init={v: -1.0},
)
"""Quadratic integrate-and-fire: ``tau v' = v^2 + x``; at ``v >= v_peak``, ``v = v_r``.

Under a constant ``x > 0`` the period is ``tau (atan(v_peak / sqrt(x)) - atan(v_r / sqrt(x))) / sqrt(x)``. At rest
(``x = 0``) it stays below 0.

Source:
    Ermentrout & Kopell (1986), SIAM J. Appl. Math. 46, 233-253; Latham et al. (2000), J. Neurophysiol. 83, 808-827.
"""

Theta = gc.Neuron(
    "Theta",
    ode={phase: ((1 - sympy.cos(phase)) + (1 + sympy.cos(phase)) * x) / tau},
    spike=gc.Spike(phase >= sympy.pi, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    reset={phase: phase - 2 * sympy.pi},
)
"""Theta neuron.

``tau theta' = (1 - cos theta) + (1 + cos theta) x``; a spike as ``theta`` passes pi, where it wraps round to -pi.

It is `QIF` seen through ``v = tan(theta / 2)``, with ``v_peak`` and ``-v_r`` at infinity. Under a constant ``x > 0``
the period is ``pi tau / sqrt(x)``.

Source:
    Ermentrout & Kopell (1986), SIAM J. Appl. Math. 46, 233-253; Ermentrout (1996), Neural Comput. 8, 979-1001.
"""
