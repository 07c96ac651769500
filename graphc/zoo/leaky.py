"""Leaky integrators: the units that most spiking networks are trained with.

The membrane potential is dimensionless with threshold 1 and rest 0, time is in ms. A current ``x`` is held over the
step, so `LIF` and the current-based neurons have a resistance of 10: at ``tau_mem = 10 ms`` and ``dt = 1 ms`` a
weight of 1 then moves ``v`` by about 1, which is what the default weights (uniform, +-1/sqrt(fan_in)) are made for.
"""

import graphc as gc
from graphc.units import ms

v, i, y = gc.states("v i y")
x = gc.input("x")
tau_mem, tau_syn, theta, v_r, E, R, t_ref = gc.params(
    tau_mem=10 * ms, tau_syn=5 * ms, theta=1.0, v_r=0.0, E=0.0, R=10.0, t_ref=0 * ms
)

LIF = gc.Neuron(
    "LIF",
    ode={v: (E - v + R * x) / tau_mem},
    spike=gc.Spike(v >= theta, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    reset={v: v_r},
    refractory=t_ref,
)
"""Leaky integrate-and-fire: ``tau_mem v' = -(v - E) + R x``; at ``v >= theta``, ``v = v_r`` for ``t_ref``.

Under a constant current with ``v_inf = E + R x > theta`` it fires at ``f = 1 / (t_ref + tau_mem ln((v_inf - v_r) /
(v_inf - theta)))``.

Source:
    Lapicque (1907), J. Physiol. Pathol. Gen. 9, 620-635; Gerstner et al. (2014), Neuronal Dynamics, section 1.3.
"""

CuBaLIF = gc.Neuron(
    "CuBaLIF",
    ode={v: (R * i - v) / tau_mem, i: -i / tau_syn},
    receive={i: i + x},
    spike=gc.Spike(v > theta, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    reset={v: v_r},
)
"""LIF with current-based exponential synapses: ``tau_syn i' = -i`` jumping by the weight, ``tau_mem v' = -v + R i``.

Source:
    Rotter & Diesmann (1999), Biol. Cybern. 81, 381-402; Neftci, Mostafa & Zenke (2019), IEEE Signal Process. Mag. 36,
    51-63.
"""

AlphaLIF = gc.Neuron(
    "AlphaLIF",
    ode={v: (R * i - v) / tau_mem, i: (y - i) / tau_syn, y: -y / tau_syn},
    receive={y: y + x},
    spike=gc.Spike(v > theta, surrogate=gc.surrogate.SuperSpike(beta=10.0)),
    reset={v: v_r},
)
"""LIF with alpha-function synapses.

``tau_syn y' = -y`` jumping by the weight, ``tau_syn i' = y - i``, ``tau_mem v' = -v + R i``.

Source:
    Rall (1967), J. Neurophysiol. 30, 1138-1168; Rotter & Diesmann (1999), Biol. Cybern. 81, 381-402.
"""

tau_out = gc.param("tau_mem", 20 * ms)

LI = gc.Neuron("LI", ode={v: -v / tau_out}, receive={v: v + x})
"""Leaky integrator without a spike, a readout: ``tau_mem v' = -v`` jumping by the weight. Its output is ``v``.

Source:
    Neftci, Mostafa & Zenke (2019), IEEE Signal Process. Mag. 36, 51-63.
"""
