"""Integrate-and-fire neurons with an adapting threshold."""

import sympy

import graphc as gc
from graphc.units import ms, mV

v, b = gc.states("v b")
x = gc.input("x")
tau_mem, tau_adapt, theta, beta = gc.params(tau_mem=20 * ms, tau_adapt=200 * ms, theta=1.0, beta=0.17)

ALIF = gc.Neuron(
    "ALIF",
    update={
        v: sympy.exp(-gc.dt / tau_mem) * v + x - theta * gc.detach(gc.previous(gc.spike)),
        b: sympy.exp(-gc.dt / tau_adapt) * b + gc.previous(gc.spike),
    },
    spike=gc.Spike(v - theta - beta * b > 0, surrogate=gc.surrogate.Triangle(dampening=0.3)),
)
"""Adaptive LIF of the LSNN, in discrete time.

``v[t] = alpha v[t-1] + x[t] - theta z[t-1]``, ``b[t] = rho b[t-1] + z[t-1]``; a spike at ``v > theta + beta b``.

``alpha = exp(-dt / tau_mem)``, ``rho = exp(-dt / tau_adapt)``; everything is dimensionless but time (ms). The
gradient does not pass through the subtractive reset; it does pass through the adaptation, which is what eligibility
traces live on.

Source:
    Bellec et al. (2018), NeurIPS 31, arXiv:1803.09574; Bellec et al. (2020), Nat. Commun. 11, 3625.
"""

threshold = gc.state("theta")
tau_v, tau_theta, theta_0, jump = gc.params(tau_v=10 * ms, tau_theta=15 * ms, theta_0=10 * mV, jump=3 * mV)

AdaptiveThreshold = gc.Neuron(
    "AdaptiveThreshold",
    ode={v: -v / tau_v, threshold: (theta_0 - threshold) / tau_theta},
    receive={v: v + x},
    spike=gc.Spike(v > threshold, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: 0, threshold: threshold + jump},
    init={threshold: theta_0},
)
"""LIF whose threshold jumps at every spike and relaxes, in mV and ms.

``v' = -v / tau_v``, ``theta' = (theta_0 - theta) / tau_theta``; at ``v > theta``: ``v = 0`` and ``theta`` grows by
``jump``. A weight is a jump of ``v`` in mV.

Source:
    Fuortes & Mantegazzini (1962), J. Gen. Physiol. 45, 1163-1179; the form and its numbers are those of Brian's
    adaptive-threshold example, Stimberg et al. (2019), eLife 8, e47314.
"""
