"""A dendrite that learns to predict its soma: the neuron and its rule, potentials without a unit, times in ms."""

from typing import Any

from sympy import exp

import graphc as gc
from graphc.units import ms

from .rules import value

u, v, i = gc.states("u v i")
x, exc, inh = gc.inputs("x exc inh")
g_L, g_D, tau_L, tau_s = gc.params(g_L=0.1 / ms, g_D=2 / ms, tau_L=10 * ms, tau_s=3 * ms)
E_E, E_I, phi_max, k, beta, theta = gc.params(E_E=14 / 3, E_I=-1 / 3, phi_max=0.15, k=0.5, beta=5.0, theta=1.0)

UrbanczikSenn = gc.Neuron(
    "UrbanczikSenn",
    ode={
        u: -g_L * u + g_D * (v - u) + (exc * (E_E - u) + inh * (E_I - u)) / ms,
        v: (i - v) / tau_L,
        i: -i / tau_s,
    },
    receive={i: i + x * ms / tau_s},
    output=phi_max / (1 + k * exp(beta * (theta - u))),
)
"""Soma and dendrite of Urbanczik and Senn, sending the rate of the soma.

``u' = -g_L u + g_D (v - u) + exc (E_E - u) + inh (E_I - u)``, ``tau_L v' = i - v``, ``tau_s i' = -i``, sending
``phi_max / (1 + k exp(beta (theta - u)))`` in spikes per ms.

The dendrite ``v`` sums post-synaptic potentials of its input ``x``; conductances ``exc`` and ``inh`` (1/ms) to the soma
teach. `gc.zoo.DendriticPrediction` moves the weights of ``x`` so that the dendrite alone makes that rate.

Source:
    Urbanczik & Senn (2014), Neuron 81, 521-528.
"""


def DendriticPrediction(
    eta: Any = 0.1,
    tau_Delta: Any = 100.0,
    tau_s: Any = 3.0,
    tau_L: Any = 10.0,
    g_D: Any = 2.0,
    g_L: Any = 0.1,
    phi_max: Any = 0.15,
    k: Any = 0.5,
    beta: Any = 5.0,
    theta: Any = 1.0,
    **options: Any,
) -> gc.Plasticity:
    """Return the rule of dendritic prediction: ``w' = eta Delta``, the filtered error times the synapse's potential.

    ``tau_Delta Delta' = (y - phi(v*)) h(v*) psp - Delta``, where y is what the target sends, its rate or its spikes,
    ``v* = g_D / (g_D + g_L) v`` is what the dendrite "v" alone would make of the soma, ``phi(v) = phi_max / (1 + k
    exp(beta (theta - v)))`` and ``h = phi' / phi``. `psp` is the potential of the synapse for a weight of 1. The target
    is a `UrbanczikSenn` with the same numbers, or any neuron with a state "v".

    Source:
        Urbanczik & Senn (2014), Neuron 81, 521-528, equations 2, 9 and 10.
    """
    current, psp = gc.states("current psp", on="pre")
    delta = gc.state("Delta", on="synapse")
    rise, fall = value("tau_s", tau_s), value("tau_L", tau_L)
    to_soma, leak = value("g_D", g_D), value("g_L", g_L)
    top, slope = value("phi_max", phi_max), value("beta", beta)
    alone = to_soma / (to_soma + leak) * gc.post("v")
    share = 1 / (1 + value("k", k) * exp(slope * (value("theta", theta) - alone)))  # of phi_max
    error = (gc.post() - top * share) * slope * (1 - share) * psp
    return gc.Plasticity(
        "DendriticPrediction",
        ode={
            current: -current / rise,
            psp: (current - psp) / fall,
            delta: (error - delta) / value("tau_Delta", tau_Delta),
            gc.weight: value("eta", eta) * delta,
        },
        on_pre={current: current + gc.pre() / rise},
        **options,
    )
