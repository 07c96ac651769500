"""Integrate-and-fire neurons that adapt, by their threshold or by a current."""

import sympy

import graphc as gc
from graphc.units import GOhm, ms, mV

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

fast, slow = gc.states("theta_1 theta_2")
tau_m, R, E_L, omega, alpha_1, alpha_2, tau_1, tau_2, t_ref = gc.params(
    tau_m=5 * ms,
    R=0.05 * GOhm,
    E_L=-65 * mV,
    omega=-45 * mV,
    alpha_1=30 * mV,
    alpha_2=2 * mV,
    tau_1=10 * ms,
    tau_2=200 * ms,
    t_ref=2 * ms,
)

MAT2 = gc.Neuron(
    "MAT2",
    ode={v: (E_L - v + R * x) / tau_m, fast: -fast / tau_1, slow: -slow / tau_2},
    spike=gc.Spike(v > omega + fast + slow, surrogate=gc.surrogate.SuperSpike(beta=1.0)),
    reset={fast: fast + alpha_1, slow: slow + alpha_2},
    refractory=gc.Refractory(t_ref, hold=()),
    init={v: E_L},
)
"""Multi-timescale adaptive threshold: ``tau_m v' = -(v - E_L) + R x``, which is never reset.

At ``v > omega + theta_1 + theta_2`` both thresholds jump, ``theta_j`` by ``alpha_j``, and decay with ``tau_j``. No
spike follows another within ``t_ref``. The defaults are a regular spiking cell; `MAT_CLASSES` has the others.

Source:
    Kobayashi, Tsubo & Shinomoto (2009), Front. Comput. Neurosci. 3, 9; parameters of the authors' program for figure
    5B.
"""

MAT_CLASSES = {
    "RS": {"omega": -45.0, "alpha_1": 30.0, "alpha_2": 2.0},
    "IB": {"omega": -46.0, "alpha_1": 7.5, "alpha_2": 1.5},
    "FS": {"omega": -55.0, "alpha_1": 10.0, "alpha_2": 0.2},
    "CH": {"omega": -39.0, "alpha_1": -0.5, "alpha_2": 0.4},
}
"""Cortical classes of the 2009 paper: regular spiking, intrinsically bursting, fast spiking, chattering."""

w = gc.state("w")
tau_u, tau_w, a, b_w, theta_u = (
    gc.param("tau_u", 15 * ms),
    gc.param("tau_w", 60 * ms),
    gc.param("a", 0.1),
    gc.param("b", 1.0),
    gc.param("theta", 1.0),
)
keep_u, keep_w = sympy.exp(-gc.dt / tau_u), sympy.exp(-gc.dt / tau_w)
z = gc.previous(gc.spike)
w_now = keep_w * w + a * v + b_w * z

AdLIF = gc.Neuron(
    "AdLIF",
    update={v: keep_u * (v - theta_u * z) + (1 - keep_u) * (x - w_now), w: w_now},
    spike=gc.Spike(v > theta_u, surrogate=gc.surrogate.Rectangle(width=1.0)),
)
"""Adaptive LIF whose adaptation follows the potential and the spikes, in discrete time.

``w[t] = rho w[t-1] + a v[t-1] + b z[t-1]``, ``v[t] = alpha (v[t-1] - theta z[t-1]) + (1 - alpha) (x[t] - w[t])``.

``alpha = exp(-dt / tau_u)``, ``rho = exp(-dt / tau_w)``. The source learns all four numbers of a neuron, with tau_u
from 5 to 25, tau_w from 30 to 120 steps, a from -1 to 1 and b from 0 to 2. A gradient passes through the reset.

Source:
    Bittar & Garner (2022), Front. Neurosci. 16, 865897; order of the updates as in the authors' code.
"""

a_se, b_se, tau_w_se, q = gc.param("a", 0.5), gc.param("b", 1.0), gc.param("tau_w", 180 * ms), gc.param("q", 120.0)
keep_se = sympy.exp(-gc.dt / tau_w_se)
w_se = keep_se * w + (1 - keep_se) * q * (a_se * v + b_se * z)

SEAdLIF = gc.Neuron(
    "SEAdLIF",
    update={v: keep_u * v + (1 - keep_u) * (x - w_se), w: w_se},
    spike=gc.Spike(v > theta_u, surrogate=gc.surrogate.SuperSpike(beta=5.0)),
    reset={v: 0},
)
"""Adaptive LIF by the symplectic Euler method: the potential reads the adaptation that its last value has moved.

``w[t] = rho w[t-1] + (1 - rho) q (a v[t-1] + b z[t-1])``, ``v[t] = alpha v[t-1] + (1 - alpha) (x[t] - w[t])``.

A spike resets v to 0. ``w[t]`` is the w of the source one step earlier, which updates it at the end of a step. For
``a > 0`` the pair oscillates without the growth that the explicit Euler method brings. The gradient does not pass
through the reset.

Source:
    Baronig, Ferrand, Sabathiel & Legenstein (2025), Nat. Commun. 16, 5776.
"""
