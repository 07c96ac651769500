"""Neurons that resonate: damped oscillators with a threshold; dimensionless, time in ms."""

import sympy

import graphc as gc
from graphc.units import ms

v, i = gc.states("v i")
x = gc.input("x")
b, omega, theta = gc.params(b=-0.1 / ms, omega=1 / ms, theta=1.0)

ResonateAndFire = gc.Neuron(
    "ResonateAndFire",
    ode={v: omega * i + b * v, i: b * i - omega * v},
    receive={i: i + x},
    spike=gc.Spike(v >= theta, surrogate=gc.surrogate.SuperSpike(beta=5.0)),
    reset={v: theta, i: 0},
)
"""Resonate-and-fire: ``v' = omega i + b v``, ``i' = b i - omega v``, a spike at ``v >= theta``.

In the source's complex form ``z' = (b + j omega) z`` with ``z = i + j v``. A weight is a jump of the current-like i.
After a spike, ``v = theta`` and ``i = 0``. Pulses that come a period ``2 pi / omega`` apart add up, those half a period
apart cancel.

Source:
    Izhikevich (2001), Neural Netw. 14, 883-894; b = -1 and omega = 10 there, in a unit of time of 10 ms.
"""

u, q = gc.states("u q")
omega_b, b_b, decay, relative = (
    gc.param("omega", 0.1 / ms),
    gc.param("b", 0.01 / ms),
    gc.param("gamma", 0.9),
    gc.param("kappa", 0.01 / ms),
)
q_now = decay * q + gc.previous(gc.spike)
boundary = (sympy.sqrt(1 - (gc.dt * omega_b) ** 2) - 1) / gc.dt
damping = boundary - b_b - relative * q_now

BalancedRF = gc.Neuron(
    "BalancedRF",
    update={
        v: v + gc.dt * (damping * v - omega_b * u + x),
        u: u + gc.dt * (omega_b * v + damping * u),
        q: q_now,
    },
    spike=gc.Spike(v > theta + q, surrogate=gc.surrogate.MultiGaussian(gamma=0.5, sigma=0.5, h=0.15, s=6.0)),
)
"""Balanced resonate-and-fire, in discrete time: a spike at ``v > theta + q``, where q counts recent spikes.

``v + i u`` grows by ``dt ((beta + i omega) (v + i u) + x)`` in a step, ``q[t] = gamma q[t-1] + z[t-1]``.

``beta = p(omega) - b - kappa q``, with ``p(omega) = (sqrt(1 - (dt omega)^2) - 1) / dt`` the boundary beyond which these
steps diverge. Spikes raise the threshold and the damping for a while and reset nothing. The source steps by 0.01 with
omega around 10; the defaults are that for ``dt = 1 ms``, where kappa is the source's step. Needs ``dt omega < 1``. The
source's surrogate has both side lobes in the middle.

Source:
    Higuchi, Kairat, Bohte & Otte (2024), ICML, PMLR 235, 18305-18323, arXiv:2402.14603.
"""

strong = gc.dt * omega_b**2 / 2 + b_b + relative * q_now

BalancedHarmonicRF = gc.Neuron(
    "BalancedHarmonicRF",
    update={
        v: v + gc.dt * (x - 2 * strong * v - omega_b**2 * (u + gc.dt * v)),
        u: u + gc.dt * v,
        q: q_now,
    },
    spike=gc.Spike(v > theta + q, surrogate=gc.surrogate.MultiGaussian(gamma=0.5, sigma=0.5, h=0.15, s=6.0)),
)
"""Balanced resonate-and-fire as a harmonic oscillator, in discrete time: a spike at ``v > theta + q``.

``u[t] = u[t-1] + dt v[t-1]``, ``v[t] = v[t-1] + dt (x - 2 beta v[t-1] - omega^2 u[t])``, ``q[t] = gamma q[t-1] +
z[t-1]``.

``beta = dt omega^2 / 2 + b + kappa q``: at ``b = 0`` explicit Euler steps would neither grow nor decay; these decay.
Spikes raise threshold and damping as in `BalancedRF`, whose units it has; v is the velocity of the oscillator.

Source:
    Higuchi, Kairat, Bohte & Otte (2024), ICML, PMLR 235, 18305-18323, arXiv:2402.14603; after the authors' harmonic
    cell.
"""
