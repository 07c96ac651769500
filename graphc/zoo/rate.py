"""Rate units: no spikes, a smooth output."""

from sympy import tanh

import graphc as gc
from graphc.units import ms

v = gc.state("v")
x = gc.input("x")
tau = gc.param("tau", 10 * ms, learn=True, per="neuron", min=1 * ms)
bias = gc.param("bias", 0.0, learn=True, per="neuron")

CTRNN = gc.Neuron("CTRNN", ode={v: (x + bias - v) / tau}, output=tanh(v))
"""Continuous-time recurrent unit: ``tau v' = -v + x + bias``, sending ``tanh(v)``.

Time constants are learned and stay above 1 ms.

Source:
    Funahashi & Nakamura (1993), Neural Netw. 6, 801-806; learned time constants as in Perez-Nieves et al. (2021),
    Nat. Commun. 12, 5791.
"""
