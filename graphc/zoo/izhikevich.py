"""Izhikevich's simple model, twice: integrated accurately, and by the scheme of the published program.

The numbers of the model are fitted with ``v`` in mV and time in ms, so it is declared without units. The two neurons
differ in nothing but the integration, and that is part of the model: the same parameters give other spike counts.
"""

import graphc as gc

v, u = gc.states("v u")
x = gc.input("x")
a, b, c, d = gc.params(a=0.02, b=0.2, c=-65.0, d=8.0)

Izhikevich = gc.Neuron(
    "Izhikevich",
    ode={v: 0.04 * v**2 + 5 * v + 140 - u + x, u: a * (b * v - u)},
    spike=gc.Spike(v >= 30, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: c, u: u + d},
    init={v: -65.0, u: b * v},
    integrator="rk4",
)
"""Izhikevich's model by RK4.

``v' = 0.04 v^2 + 5 v + 140 - u + x``, ``u' = a (b v - u)``; at ``v >= 30``, ``v = c`` and ``u`` grows by ``d``. Wants
``dt`` of 0.1 ms or less.

Source:
    Izhikevich (2003), IEEE Trans. Neural Netw. 14, 1569-1572.
"""

half = gc.dt / 2
v_half = v + half * (0.04 * v**2 + 5 * v + 140 - u + x)
v_full = v_half + half * (0.04 * v_half**2 + 5 * v_half + 140 - u + x)

IzhikevichPublished = gc.Neuron(
    "IzhikevichPublished",
    update={v: v_full, u: u + gc.dt * a * (b * v_full - u)},
    spike=gc.Spike(v >= 30, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: c, u: u + d},
    init={v: -65.0, u: b * v},
)
"""Izhikevich's model as its published program steps it, meant for ``dt = 1 ms``.

Two half steps of ``v``, then one step of ``u`` that reads the new ``v``; the jump at ``v >= 30`` is the same.

The program looks for spikes at the start of a step and graphc at the end of one, which is the same instant; its
connections have ``delay=1``.

Source:
    Izhikevich (2003), IEEE Trans. Neural Netw. 14, 1569-1572, the MATLAB program of its last page.
"""

IZHIKEVICH_CLASSES = {
    "RS": {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0},
    "IB": {"a": 0.02, "b": 0.2, "c": -55.0, "d": 4.0},
    "CH": {"a": 0.02, "b": 0.2, "c": -50.0, "d": 2.0},
    "FS": {"a": 0.1, "b": 0.2, "c": -65.0, "d": 2.0},
    "LTS": {"a": 0.02, "b": 0.25, "c": -65.0, "d": 2.0},
}
"""Cortical classes of the 2003 paper.

Regular spiking, intrinsically bursting, chattering, fast spiking, low-threshold spiking.

Use: ``net.population("fs", gc.zoo.Izhikevich, 100, **gc.zoo.IZHIKEVICH_CLASSES["FS"])``.
"""
