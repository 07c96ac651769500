"""Neurons that fire at random: noise in the membrane, or an escape rate. In mV, nS, pA, pF and ms."""

import sympy

import graphc as gc
from graphc.units import ms, mV, nS, pA, pF

STEEPEST = 15

v, s = gc.states("v s")
x = gc.input("x")
xi = gc.noise("xi")
tau_m, E_L, V_th, V_r, t_ref, sigma = gc.params(
    tau_m=20 * ms, E_L=-65 * mV, V_th=-50 * mV, V_r=-60 * mV, t_ref=2 * ms, sigma=5 * mV
)

NoisyLIF = gc.Neuron(
    "NoisyLIF",
    ode={v: (E_L - v + x + sigma * sympy.sqrt(tau_m) * xi) / tau_m},
    spike=gc.Spike(v > V_th, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={v: V_r},
    refractory=t_ref,
    init={v: E_L},
)
"""Leaky integrate-and-fire with white noise.

``tau_m v' = E_L - v + x + sigma sqrt(tau_m) xi``; at ``v > V_th``, ``v = V_r`` for ``t_ref``.

``x`` is the mean drive in mV. Without a threshold the membrane has the standard deviation ``sigma / sqrt(2)``. The
step is exact; only the threshold is looked at once a step, which acts like one that is
``0.58 sigma sqrt(dt / tau_m)`` higher. The rate is that of Siegert.

Source:
    Brunel (2000), J. Comput. Neurosci. 8, 183-208, equations 20 to 22; Siegert (1951), Phys. Rev. 81, 617-623.
"""

tau_s, sigma_s = gc.params(tau_s=5 * ms, sigma=100 * pA)

OrnsteinUhlenbeck = gc.Neuron(
    "OrnsteinUhlenbeck",
    ode={s: (x - s) / tau_s + sigma_s * sympy.sqrt(2 / tau_s) * xi},
)
"""A fluctuating current, such as that of many synapses.

``s' = (x - s) / tau_s + sigma sqrt(2 / tau_s) xi``, integrated exactly at any step.

``x`` is the mean in pA, which ``s`` follows with the time constant ``tau_s``; around it ``s`` has the standard
deviation ``sigma`` and the autocorrelation ``exp(-|t| / tau_s)``. It has no spike; what leaves is ``s``.

Source:
    Destexhe, Rudolph, Fellous & Sejnowski (2001), Neuroscience 107, 13-24; exact update: Gillespie (1996), Phys. Rev. E
    54, 2084-2091.
"""

eta_1, eta_2, gamma_1, gamma_2 = gc.states("eta_1 eta_2 gamma_1 gamma_2")
C, g_L, E_gif, V_T, D_V, r_gif, t_gif = (
    gc.param("C", 100 * pF),
    gc.param("g_L", 5 * nS),
    gc.param("E_L", -65 * mV),
    gc.param("V_T", -50 * mV),
    gc.param("D_V", 1.5 * mV),
    gc.param("V_r", -62 * mV),
    gc.param("t_ref", 4 * ms),
)
rate_0 = gc.param("rate_0", 1 / ms)
t_eta_1, t_eta_2, a_1, a_2, t_gamma_1, t_gamma_2, b_1, b_2 = gc.params(
    tau_eta_1=10 * ms,
    tau_eta_2=100 * ms,
    a_1=40 * pA,
    a_2=8 * pA,
    tau_gamma_1=10 * ms,
    tau_gamma_2=100 * ms,
    b_1=6 * mV,
    b_2=1.5 * mV,
)

GIF = gc.Neuron(
    "GIF",
    ode={
        v: (g_L * (E_gif - v) - eta_1 - eta_2 + x) / C,
        eta_1: -eta_1 / t_eta_1,
        eta_2: -eta_2 / t_eta_2,
        gamma_1: -gamma_1 / t_gamma_1,
        gamma_2: -gamma_2 / t_gamma_2,
    },
    spike=gc.Spike(escape=rate_0 * sympy.exp(sympy.Min((v - V_T - gamma_1 - gamma_2) / D_V, STEEPEST))),
    reset={v: r_gif, eta_1: eta_1 + a_1, eta_2: eta_2 + a_2, gamma_1: gamma_1 + b_1, gamma_2: gamma_2 + b_2},
    refractory=gc.Refractory(t_gif, hold=(v,)),
    init={v: E_gif},
)
"""Generalised integrate-and-fire: spike-triggered currents, a moving threshold, and spikes at random.

``C v' = g_L (E_L - v) - eta_1 - eta_2 + x``, and ``tau y' = -y`` for every ``eta`` and ``gamma``.

Spikes come at the rate ``rate_0 exp((v - V_T - gamma_1 - gamma_2) / D_V)``, so that a step has one with
``P = 1 - exp(-rate dt)``. At a spike ``v = V_r`` for ``t_ref``, the currents grow by ``a_1`` and ``a_2``, the threshold
by ``b_1`` and ``b_2``. The source fits these kernels to recordings; the numbers here are of their order. ``x`` is a
current in pA. gc.log_likelihood turns it into the likelihood of a recording.

Source:
    Mensi et al. (2012), J. Neurophysiol. 107, 1756-1775; Pozzorini et al. (2015), PLoS Comput. Biol. 11, e1004275.
"""

u, kappa = gc.states("u kappa")
tau_u, tau_kappa, kappa_0, theta, beta, rho_0 = gc.params(
    tau_m=10 * ms, tau_kappa=20 * ms, kappa_0=15 * mV, theta=15 * mV, beta=0.5 / mV, rho_0=1 / ms
)

SRM0 = gc.Neuron(
    "SRM0",
    ode={u: -u / tau_u, kappa: -kappa / tau_kappa},
    receive={u: u + x},
    spike=gc.Spike(escape=rho_0 * sympy.exp(sympy.Min(beta * (u - kappa - theta), STEEPEST))),
    reset={kappa: kappa_0},
)
"""Spike response model of order zero with escape noise.

``tau_m u' = -u``, ``tau_kappa kappa' = -kappa``; an arriving spike adds ``x`` to ``u``.

Spikes come at the rate ``rho_0 exp(beta (u - kappa - theta))``. A spike sets ``kappa = kappa_0``: only the last one
counts, so that under a constant drive the intervals are independent. ``x`` is a jump in mV.

Source:
    Gerstner & van Hemmen (1992), Network 3, 139-164; Pfister, Toyoizumi, Barber & Gerstner (2006), Neural Comput. 18,
    1318-1348.
"""
