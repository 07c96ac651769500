"""Networks for online learning: the same neurons as `tests.oracles.online` has, declared."""

from collections.abc import Callable

import numpy as np

import graphc as gc

v, i, a, ge, u = gc.states("v i a ge u")
x = gc.input("x")
SURROGATE = gc.surrogate.SuperSpike(beta=2.0)
keep = gc.param("keep", 0.9, learn=True)
theta = gc.param("theta", 1.0, learn=True)
rho = gc.param("rho", 0.95, learn=True)


def fires(condition: object, detach: object = True) -> gc.Spike:
    """Return a spike with the oracle's surrogate."""
    return gc.Spike(condition, surrogate=SURROGATE, detach_reset=detach)


def lif(hard: bool = False, attached: bool = False, **options: object) -> gc.Neuron:
    """Return a leaky neuron."""
    reset = {v: 0 if hard else v - theta}
    return gc.Neuron("L", update={v: keep * v + x}, spike=fires(v > theta, not attached), reset=reset, **options)


def alif(detach: object) -> gc.Neuron:
    """Return a neuron whose threshold adapts."""
    beta = gc.param("beta", 0.3, learn=True)
    update, reset = {v: keep * v + x, a: rho * a}, {v: v - 1, a: a + 1}
    return gc.Neuron("A", update=update, spike=fires(v - 1 - beta * a > 0, detach), reset=reset)


def cuba() -> gc.Neuron:
    """Return a neuron with a synaptic current."""
    syn = gc.param("syn", 0.8, learn=True)
    update = {v: keep * v + i, i: syn * i + x}
    return gc.Neuron("C", update=update, spike=fires(v > 1), reset={v: v - 1})


def coba() -> gc.Neuron:
    """Return a neuron with a conductance, integrated by graphc."""
    tau_mem, tau_e = gc.param("tau_mem", 10.0, learn=True), gc.param("tau_e", 5.0, learn=True)
    ode = {v: -v / tau_mem + ge * (4 - v), ge: -ge / tau_e}
    return gc.Neuron("G", ode=ode, receive={ge: ge + x}, spike=fires(v > 1), reset={v: 0})


def adlif(attached: bool) -> gc.Neuron:
    """Return a neuron with subthreshold adaptation."""
    couple = gc.param("couple", 0.05, learn=True)
    update = {v: keep * v - 0.2 * a + x, a: rho * a + couple * v}
    return gc.Neuron("W", update=update, spike=fires(v > 1, not attached), reset={v: v - 1, a: a + 0.3})


def izhikevich() -> gc.Neuron:
    """Return Izhikevich's neuron by Euler steps of half a millisecond."""
    rate, jump = gc.param("a", 0.02, learn=True), gc.param("d", 8.0, learn=True)
    update = {v: v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x), u: u + 0.5 * rate * (0.2 * v - u)}
    spike = gc.Spike(v > 30, surrogate=gc.surrogate.SuperSpike(beta=0.05))
    return gc.Neuron("I", update=update, spike=spike, reset={v: -65, u: u + jump})


NEURONS: dict[str, Callable[[], gc.Neuron]] = {
    "LIF soft, detached": lif,
    "LIF soft, attached": lambda: lif(attached=True),
    "LIF hard, detached": lambda: lif(hard=True),
    "LIF hard, attached": lambda: lif(hard=True, attached=True),
    "ALIF, reset detached": lambda: alif((v,)),
    "ALIF, attached": lambda: alif(False),
    "ALIF, all detached": lambda: alif(True),
    "CuBa-LIF": cuba,
    "CoBa-LIF": coba,
    "refractory, clamped": lambda: lif(refractory=gc.Refractory(2.0, hold=(v,))),
    "AdLIF, detached": lambda: adlif(False),
    "AdLIF, attached": lambda: adlif(True),
    "Izhikevich": izhikevich,
}
START = {"Izhikevich": (-60.0, -13.0)}
"""First states where they are not 0."""
GAIN = {"CuBa-LIF": (0.05, 0.2), "CoBa-LIF": (0.03, 0.02), "Izhikevich": (12.0, 6.0)}
"""Mean and spread of weights, where these are not those of a leaky neuron."""
IN, SIZE, OUT = 5, 6, 2


def network(name: str, recurrent: bool = True, layers: int = 1, late: int = 0, kappa: float = 0.8) -> gc.Network:
    """Return x -> hid (-> top) -> out, where `recurrent` populations hear themselves one step later."""
    rng = np.random.default_rng(7)
    mean, spread = GAIN.get(name, (0.25, 0.3))
    net = gc.Network(dt=1.0)
    net.input("x", IN)
    start = dict(zip("vu", START[name], strict=True)) if name in START else {}
    before, size = "x", IN
    for title in ("hid", "top")[:layers]:
        net.population(title, NEURONS[name](), SIZE, **start)
        delay = late if before == "x" else 0
        weight = mean * (1 + (before != "x")) + spread * rng.normal(size=(size, SIZE))
        net.connect(before, title, weight=weight, delay=delay, name=f"w_{title}")
        if recurrent:
            net.connect(title, title, weight=spread * rng.normal(size=(SIZE, SIZE)), delay=1, name=f"back_{title}")
        before, size = title, SIZE
    y, kept = gc.state("y"), gc.param("kappa", kappa, learn=True)
    net.population("out", gc.Neuron("Leak", update={y: kept * y + x}, output=y), OUT)
    net.connect(before, "out", weight=rng.normal(size=(SIZE, OUT)), name="w_out")
    net.output("out")
    return net
