"""Spike-timing dependent plasticity: rules whose traces jump at spikes and decay between them.

Every rule is a function of its numbers, and returns a `gc.Plasticity` for ``net.connect(..., plasticity=rule)``. A
number may be a quantity, or a gc.param with learn=True for meta-learning. Times are in ms. An arrival and a spike of
the target in one step count as pre before post.
"""

from typing import Any, Literal

import graphc as gc

from .rules import value

w = gc.weight
x_pre, y_pre = gc.states("x_pre y_pre", on="pre")
x_post, y_post = gc.states("x_post y_post", on="post")
c = gc.state("c", on="synapse")


def PairSTDP(
    A_plus: Any = 0.01,
    A_minus: Any = 0.0105,
    tau_plus: Any = 20.0,
    tau_minus: Any = 20.0,
    w_max: Any = 1.0,
    dependence: Literal["additive", "multiplicative", "symmetric"] = "additive",
    pairing: Literal["all", "nearest"] = "all",
    **options: Any,
) -> gc.Plasticity:
    """Return pair-based STDP: ``A_plus exp(-dt/tau_plus)`` for post after pre, ``-A_minus exp(dt/tau_minus)`` else.

    Args:
        A_plus: potentiation; "multiplicative" scales it by ``w_max - w``.
        A_minus: depression; "multiplicative" scales it by ``w``.
        tau_plus: of the trace of the source, ms.
        tau_minus: of the trace of the target, ms.
        w_max: weights stay in [0, w_max].
        dependence: on the weight; "symmetric" adds A_minus as well, so that both orders potentiate.
        pairing: "all" spikes of the past count, or the "nearest" of each side.
        options: of gc.Plasticity, such as reduction.

    Source:
        Song, Miller & Abbott (2000), Nat. Neurosci. 3, 919-926 (additive); van Rossum, Bi & Turrigiano (2000),
        J. Neurosci. 20, 8812-8821 (multiplicative); Morrison, Diesmann & Gerstner (2008), Biol. Cybern. 98, 459-478
        (pairings).
    """
    up, down = value("A_plus", A_plus), value("A_minus", A_minus)
    high = value("w_max", w_max)
    if dependence == "multiplicative":
        up, down = up * (high - w), down * w
    sign = 1 if dependence == "symmetric" else -1
    more = (lambda x: x + 1) if pairing == "all" else (lambda x: 1)
    return gc.Plasticity(
        "PairSTDP",
        ode={x_pre: -x_pre / value("tau_plus", tau_plus), x_post: -x_post / value("tau_minus", tau_minus)},
        on_pre={x_pre: more(x_pre), w: w + sign * down * x_post},
        on_post={x_post: more(x_post), w: w + up * x_pre},
        bounds=(0, high),
        **options,
    )


def TripletSTDP(
    A2_plus: Any = 5e-10,
    A3_plus: Any = 6.2e-3,
    A2_minus: Any = 7e-3,
    A3_minus: Any = 2.3e-4,
    tau_plus: Any = 16.8,
    tau_minus: Any = 33.7,
    tau_x: Any = 101.0,
    tau_y: Any = 125.0,
    w_max: Any = 1.0,
    **options: Any,
) -> gc.Plasticity:
    """Return the triplet rule, all to all: ``x_post (A2_minus + A3_minus y_pre)`` at arrivals, likewise at spikes.

    Defaults are the fit to visual cortex. The slow traces are read before the event that moves them.

    Source:
        Pfister & Gerstner (2006), J. Neurosci. 26, 9673-9682, equations 3 and 4, table 4.
    """
    a = {n: value(n, v) for n, v in {"A2_plus": A2_plus, "A3_plus": A3_plus}.items()}
    b = {n: value(n, v) for n, v in {"A2_minus": A2_minus, "A3_minus": A3_minus}.items()}
    return gc.Plasticity(
        "TripletSTDP",
        ode={
            x_pre: -x_pre / value("tau_plus", tau_plus),
            x_post: -x_post / value("tau_minus", tau_minus),
            y_pre: -y_pre / value("tau_x", tau_x),
            y_post: -y_post / value("tau_y", tau_y),
        },
        on_pre={x_pre: x_pre + 1, y_pre: y_pre + 1, w: w - x_post * (b["A2_minus"] + b["A3_minus"] * y_pre)},
        on_post={x_post: x_post + 1, y_post: y_post + 1, w: w + x_pre * (a["A2_plus"] + a["A3_plus"] * y_post)},
        bounds=(0, value("w_max", w_max)),
        **options,
    )


def VoltageSTDP(
    A_LTD: Any = 14e-5,
    A_LTP: Any = 8e-5,
    theta_minus: Any = -70.6,
    theta_plus: Any = -45.3,
    tau_x: Any = 15.0,
    tau_minus: Any = 10.0,
    tau_plus: Any = 7.0,
    rest: Any = -70.6,
    w_max: Any = 1.0,
    potential: str = "v@threshold",
    **options: Any,
) -> gc.Plasticity:
    """Return voltage-based STDP.

    At arrivals ``w -= A_LTD [u_minus - theta_minus]+``, and ``w' = A_LTP x [u - theta_plus]+ [u_plus - theta_minus]+``,
    with u_minus and u_plus the low-passed potential of the target (mV) and x the trace of arrivals. `potential` names
    the signal of the target; before the reset it has the height of the spike.

    Source:
        Clopath, Buesing, Vasilaki & Gerstner (2010), Nat. Neurosci. 13, 344-352, equations 1 to 3 and table 1 (visual
        cortex).
    """
    u = gc.post(potential)
    low, high = value("theta_minus", theta_minus), value("theta_plus", theta_plus)
    slow, fast = gc.states("u_minus u_plus", on="post")
    tau, start = value("tau_x", tau_x), value("rest", rest)
    return gc.Plasticity(
        "VoltageSTDP",
        ode={
            slow: (u - slow) / value("tau_minus", tau_minus),
            fast: (u - fast) / value("tau_plus", tau_plus),
            x_pre: -x_pre / tau,
            w: value("A_LTP", A_LTP) * x_pre * gc.relu(u - high) * gc.relu(fast - low),
        },
        on_pre={x_pre: x_pre + 1 / tau, w: w - value("A_LTD", A_LTD) * gc.relu(slow - low)},
        init={slow: start, fast: start},
        bounds=(0, value("w_max", w_max)),
        **options,
    )


def CalciumRule(
    C_pre: Any = 1.0,
    C_post: Any = 2.0,
    theta_d: Any = 1.0,
    theta_p: Any = 1.3,
    gamma_d: Any = 200.0,
    gamma_p: Any = 321.808,
    rho_star: Any = 0.5,
    tau_ca: Any = 20.0,
    tau: Any = 150e3,
    **options: Any,
) -> gc.Plasticity:
    """Return the calcium rule, with the efficacy rho in [0, 1] as the weight.

    ``tau rho' = -rho (1 - rho) (rho_star - rho) + gamma_p (1 - rho) [c > theta_p] - gamma_d rho [c > theta_d]`` and
    ``tau_ca c' = -c``, jumping by C_pre at arrivals and by C_post at spikes. The delay of the calcium that a source
    spike brings is that of the connection; there is no noise.

    Source:
        Graupner & Brunel (2012), PNAS 109, 3991-3996, equations 1 and 2 (the DP curve of figure 2).
    """
    up = gc.where(c > value("theta_p", theta_p), 1, 0) * value("gamma_p", gamma_p)
    down = gc.where(c > value("theta_d", theta_d), 1, 0) * value("gamma_d", gamma_d)
    drift = -w * (1 - w) * (value("rho_star", rho_star) - w)
    return gc.Plasticity(
        "CalciumRule",
        ode={w: (drift + up * (1 - w) - down * w) / value("tau", tau), c: -c / value("tau_ca", tau_ca)},
        on_pre={c: c + value("C_pre", C_pre)},
        on_post={c: c + value("C_post", C_post)},
        bounds=(0, 1),
        **options,
    )


def InhibitorySTDP(
    eta: Any = 1e-3, rho_0: Any = 5e-3, tau: Any = 20.0, w_max: Any = 10.0, **options: Any
) -> gc.Plasticity:
    """Return symmetric plasticity of inhibition that makes every target fire at `rho_0` spikes per ms.

    ``w += eta (x_post - 2 rho_0 tau)`` at arrivals, ``w += eta x_pre`` at spikes of the target. Weights are positive:
    let the neuron subtract what they deliver.

    Source:
        Vogels, Sprekeler, Zenke, Clopath & Gerstner (2011), Science 334, 1569-1573, equation 1.
    """
    rate, decay = value("eta", eta), value("tau", tau)
    return gc.Plasticity(
        "InhibitorySTDP",
        ode={x_pre: -x_pre / decay, x_post: -x_post / decay},
        on_pre={x_pre: x_pre + 1, w: w + rate * (x_post - 2 * value("rho_0", rho_0) * decay)},
        on_post={x_post: x_post + 1, w: w + rate * x_pre},
        bounds=(0, value("w_max", w_max)),
        **options,
    )


def RewardSTDP(
    A_plus: Any = 0.1,
    A_minus: Any = 0.15,
    tau_plus: Any = 20.0,
    tau_minus: Any = 20.0,
    tau_c: Any = 1000.0,
    tau_d: Any = 200.0,
    w_max: Any = 4.0,
    **options: Any,
) -> gc.Plasticity:
    """Return reward-modulated STDP: pairs leave an eligibility c, and dopamine d turns it into change, ``w' = c d``.

    ``c' = -c / tau_c`` plus what pair STDP says at spikes; d decays with `tau_d` and grows by the third factor
    "reward", one for the network: ``net.connect(source, synapses, target="reward")``. What arrives in a step acts from
    the next one on.

    Source:
        Izhikevich (2007), Cereb. Cortex 17, 2443-2452, equations 1 to 3.
    """
    reward, d = gc.input("reward", on="network"), gc.state("d", on="post")
    return gc.Plasticity(
        "RewardSTDP",
        ode={
            x_pre: -x_pre / value("tau_plus", tau_plus),
            x_post: -x_post / value("tau_minus", tau_minus),
            c: -c / value("tau_c", tau_c),
            w: c * d,
        },
        update={d: d * (1 - gc.dt / value("tau_d", tau_d)) + reward},
        on_pre={x_pre: x_pre + 1, c: c - value("A_minus", A_minus) * x_post},
        on_post={x_post: x_post + 1, c: c + value("A_plus", A_plus) * x_pre},
        bounds=(0, value("w_max", w_max)),
        **options,
    )
