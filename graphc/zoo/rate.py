"""Rate units: no spikes, a smooth output."""

import sympy
from sympy import exp, tanh

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

a = gc.state("a")
tau_u, tau_a = gc.params(tau=10 * ms, tau_a=1 * ms)

Prospective = gc.Neuron(
    "Prospective",
    ode={v: ((1 + tau_u / tau_a) * x - a - v) / tau_u, a: (tau_u / tau_a * x - a) / tau_a},
)
"""Leaky unit with an adaptive current that undoes its lag.

``tau v' = -v + (1 + tau / tau_a) x - a``, ``tau_a a' = -a + (tau / tau_a) x``. Its output is ``v``.

``v`` is x filtered by ``(1 + s (tau + tau_a)) / ((1 + s tau) (1 + s tau_a))``: as tau_a goes to 0, it follows x at
once, however slow the membrane is.

Source:
    Brandt, Petrovici, Senn, Wilmes & Benitez (2024), arXiv:2405.14810, on adaptation that makes a response prospective;
    the form is reconstructed from its transfer function.
"""

r = gc.state("r")
k, n, tau_r = gc.params(k=0.04, n=2.0, tau=20 * ms)

SSN = gc.Neuron("SSN", ode={r: (k * gc.where(x > 0, sympy.Max(x, 1e-30) ** n, 0) - r) / tau_r})
"""Unit of a supralinear stabilised network: ``tau r' = -r + k [x]+^n``. Its output is the rate r, in Hz.

``x`` is the summed input in mV, that of inhibitory units with a minus sign (``sign="inhibitory"``). The sources give
inhibitory units half the time constant, 10 ms.

Source:
    Ahmadian, Rubin & Miller (2013), Neural Comput. 25, 1994-2037; Rubin, Van Hooser & Miller (2015), Neuron 85,
    402-417.
"""

E, I = gc.states("E I")  # noqa: E741 (the names of the source)
P, Q = gc.inputs("P Q")
c_1, c_2, c_3, c_4, a_e, theta_e, a_i, theta_i, r_e, r_i, tau_wc = gc.params(
    c_1=16.0, c_2=12.0, c_3=15.0, c_4=3.0, a_e=1.3, theta_e=4.0, a_i=2.0, theta_i=3.7, r_e=1.0, r_i=1.0, tau=8 * ms
)
S_e = gc.sigmoid(a_e * (c_1 * E - c_2 * I + P - theta_e)) - 1 / (1 + exp(a_e * theta_e))
S_i = gc.sigmoid(a_i * (c_3 * E - c_4 * I + Q - theta_i)) - 1 / (1 + exp(a_i * theta_i))
k_e, k_i = 1 - 1 / (1 + exp(a_e * theta_e)), 1 - 1 / (1 + exp(a_i * theta_i))

WilsonCowan = gc.Neuron(
    "WilsonCowan",
    ode={E: ((k_e - r_e * E) * S_e - E) / tau_wc, I: ((k_i - r_i * I) * S_i - I) / tau_wc},
)
"""Wilson-Cowan: the activities of an excitatory and an inhibitory population. Its output is ``E``.

``tau E' = -E + (k_e - r_e E) S_e(c_1 E - c_2 I + P)``, ``tau I' = -I + (k_i - r_i I) S_i(c_3 E - c_4 I + Q)``.

``S(y) = 1 / (1 + exp(-a (y - theta))) - 1 / (1 + exp(a theta))``, and k is the largest value of S. The parameters are
those of the source's limit cycle, which ``P`` from about 1.1 to 2.2 drives.

Source:
    Wilson & Cowan (1972), Biophys. J. 12, 1-24, figure 11.
"""

A, bias_l, tau_l = gc.param("A", 1.0), gc.param("bias", 0.0), gc.param("tau", 10 * ms)
gain = gc.sigmoid(x + bias_l)

LTC = gc.Neuron("LTC", ode={v: -v / tau_l + gain * (A - v) / ms})
"""Liquid time constant: ``v' = -v / tau + f (A - v)``, ``f = sigmoid(x + bias)`` in 1/ms. Its output is ``v``.

What arrives sets the target of v and the time constant ``tau / (1 + tau f)`` at once. With x held over a step the step
is exact.

Source:
    Hasani, Lechner, Amini, Rus & Grosu (2021), AAAI 35, 7657-7666, equation 1.
"""

exc, inh, shunt = gc.inputs("exc inh shunt")
tau_d, bias_d = gc.params(tau=10 * ms, bias=0.0)

DaleRate = gc.Neuron("DaleRate", ode={v: (exc / (1 + shunt) - inh + bias_d - v) / tau_d}, output=gc.relu(v))
"""Rate unit with subtractive and divisive inhibition: ``tau v' = -v + exc / (1 + shunt) - inh + bias``.

It sends ``max(v, 0)``. All weights are meant to be positive, ``sign="excitatory"``, so that what a source does is
decided by the input it arrives at; `dale` makes such a network. ``inh`` shifts the response, ``shunt`` scales it.

Source:
    Cornford, Kalajdzievski, Leite, Lamarquette, Kullmann & Richards (2021), ICLR, for Dale's law; Carandini & Heeger
    (2012), Nat. Rev. Neurosci. 13, 51-62, for division.
"""
