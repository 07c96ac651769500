"""Short-term plasticity, rules of rates, and synapses with a memory of their own.

Every rule is a function of its numbers, and returns a `gc.Plasticity` for ``net.connect(..., plasticity=rule)``.
"""

from typing import Any

import graphc as gc

from .rules import value

w = gc.weight


def TsodyksMarkram(U: Any = 0.5, tau_rec: Any = 800.0, tau_facil: Any = 0.0) -> gc.Plasticity:
    """Return short-term depression and facilitation: a spike delivers ``w u x`` of the resources x.

    Between spikes ``u' = -u / tau_facil`` and ``x' = (1 - x) / tau_rec``. At a spike u grows by ``U (1 - u)``, then
    ``u x`` is released and leaves x. Without facilitation (`tau_facil` 0) u is U. Times in ms; both states are one per
    source neuron.

    Source:
        Tsodyks, Pawelzik & Markram (1998), Neural Comput. 10, 821-835; Tsodyks & Markram (1997), PNAS 94, 719-723.
    """
    u, x = gc.states("u x", on="pre")
    share, recovery = value("U", U), value("tau_rec", tau_rec)
    if isinstance(tau_facil, (int, float)) and tau_facil == 0:
        released = share
        states, jumps = {}, {}
    else:
        released = u + share * (1 - u)
        states, jumps = {u: -u / value("tau_facil", tau_facil)}, {u: released}
    return gc.Plasticity(
        "TsodyksMarkram",
        ode={**states, x: (1 - x) / recovery},
        on_pre={**jumps, x: x - released * x},
        transmit=w * released * x * gc.pre(),
        init={x: 1},
    )


def BCM(eta: Any = 1e-3, tau_theta: Any = 100.0, **options: Any) -> gc.Plasticity:
    """Return the BCM rule of rates: ``w' = eta x y (y - theta)`` with ``tau_theta theta' = y**2 - theta``.

    x and y are the outputs of the two populations, theta is one per target neuron.

    Source:
        Bienenstock, Cooper & Munro (1982), J. Neurosci. 2, 32-48; the threshold as in Intrator & Cooper (1992), Neural
        Netw. 5, 3-17.
    """
    theta, x, y = gc.state("theta", on="post"), gc.pre(), gc.post()
    return gc.Plasticity(
        "BCM",
        ode={w: value("eta", eta) * x * y * (y - theta), theta: (y**2 - theta) / value("tau_theta", tau_theta)},
        **options,
    )


def Oja(eta: Any = 1e-3, **options: Any) -> gc.Plasticity:
    """Return Oja's rule of rates, ``w' = eta y (x - y w)``: the weights of a linear unit become its first component.

    Source:
        Oja (1982), J. Math. Biol. 15, 267-273.
    """
    x, y = gc.pre(), gc.post()
    return gc.Plasticity("Oja", ode={w: value("eta", eta) * y * (x - y * w)}, **options)


def BennaFusi(
    variables: int = 4,
    tau: Any = 100.0,
    A_plus: Any = 0.01,
    A_minus: Any = 0.01,
    tau_pair: Any = 20.0,
    **options: Any,
) -> gc.Plasticity:
    """Return a complex synapse: pair STDP moves the weight, behind which slower variables remember.

    ``C_k u_k' = g_(k-1) (u_(k-1) - u_k) - g_k (u_k - u_(k+1))`` with u_1 the weight, ``C_k = 2**(k - 1)``,
    ``g_k = 2**-k / (2 tau)`` (1/ms) and the last variable drawn to 0: growing beakers joined by narrowing tubes.

    Source:
        Benna & Fusi (2016), Nat. Neurosci. 19, 1697-1706, equation 2 and figure 2.
    """
    rate = 1 / value("tau", tau)
    x_pre, x_post = gc.state("x_pre", on="pre"), gc.state("x_post", on="post")
    decay = value("tau_pair", tau_pair)
    chain = [w, *(gc.state(f"u{k}", on="synapse") for k in range(2, variables + 1)), 0]
    flows = [rate * 2.0 ** -(k + 1) / 2 * (chain[k] - chain[k + 1]) for k in range(variables)]
    ode = {chain[k]: ((flows[k - 1] if k else 0) - flows[k]) / 2**k for k in range(variables)}
    return gc.Plasticity(
        "BennaFusi",
        ode={**ode, x_pre: -x_pre / decay, x_post: -x_post / decay},
        on_pre={x_pre: x_pre + 1, w: w - value("A_minus", A_minus) * x_post},
        on_post={x_post: x_post + 1, w: w + value("A_plus", A_plus) * x_pre},
        init={u: w for u in chain[1:-1]},
        **options,
    )


def EProp(
    alpha: Any = 0.95, kappa: Any = 0.95, theta: Any = 1.0, gamma: Any = 0.3, potential: str = "v@threshold"
) -> gc.Plasticity:
    """Return e-prop of LIF neurons: eligibility times the learning signal "L" of each target is the gradient.

    ``z = alpha z + z_pre``, ``e = kappa e + psi z`` with ``psi = gamma max(0, 1 - |v - theta| / theta) / theta``, and
    ``dE/dw = sum over t of L e``. It is added to the weight's `.grad`, so that an optimizer applies it. `alpha` is the
    decay of the membrane over a step, `kappa` that of the readout. Connect what computes the error:
    ``net.connect(error, synapses, target="L")``.

    Source:
        Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein & Maass (2020), Nat. Commun. 11, 3625, equations 1, 4, 22.
    """
    z, e, signal = gc.state("z", on="pre"), gc.state("e", on="synapse"), gc.input("L", on="post")
    level = value("theta", theta)
    psi = value("gamma", gamma) * gc.relu(1 - abs(gc.post(potential) - level) / level) / level
    filtered = value("alpha", alpha) * z + gc.pre()
    eligible = value("kappa", kappa) * e + psi * filtered
    return gc.Plasticity("EProp", update={z: filtered, e: eligible, w: w - signal * eligible}, apply="gradient")


def SuperSpikeRule(
    r: Any = 1e-3,
    beta: Any = 1.0,
    theta: Any = 1.0,
    tau_rise: Any = 5.0,
    tau_decay: Any = 10.0,
    potential: str = "v@threshold",
    **options: Any,
) -> gc.Plasticity:
    """Return SuperSpike as a three-factor rule: ``w' = r error (alpha * (sigma'(v) (epsilon * z_pre)))``.

    epsilon and alpha are double exponentials of `tau_rise` and `tau_decay` (ms), ``sigma'(v) = (1 + beta |v -
    theta|)**-2``, and "error" is a third factor per target: the filtered difference of the wanted spikes and its own.

    Source:
        Zenke & Ganguli (2018), Neural Comput. 30, 1514-1541, equations 1.8 and 3.3.
    """
    p, q = gc.states("p q", on="pre")
    a, b = gc.states("a b", on="synapse")
    error = gc.input("error", on="post")
    rise, decay = value("tau_rise", tau_rise), value("tau_decay", tau_decay)
    slope = (1 + value("beta", beta) * abs(gc.post(potential) - value("theta", theta))) ** -2
    return gc.Plasticity(
        "SuperSpikeRule",
        ode={
            p: -p / rise,
            q: (p - q) / decay,
            a: (slope * q - a) / rise,
            b: (a - b) / decay,
            w: value("r", r) * error * b,
        },
        on_pre={p: p + 1},
        **options,
    )
