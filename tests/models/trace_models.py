"""The neurons of the table of trace classes, each with time constants of the population or of every neuron."""

from collections.abc import Callable

import numpy as np

import graphc as gc

v, i, a, ge, gi = gc.states("v i a ge gi")
x = gc.input("x")
exc, inh = gc.inputs("exc inh")
SURROGATE = gc.surrogate.SuperSpike(beta=2.0)
CLASSES = {"Z": "zero", "S": "shared", "D": "dense"}


def keep(tau: float, per: str, name: str = "keep") -> object:
    """Return the factor by which a state decays in a step, of the population or of every neuron."""
    return gc.param(name, float(np.exp(-1 / tau)), per=per)


def lif(per: str, attached: bool = False, hard: bool = False) -> gc.Neuron:
    """Return a leaky neuron with a subtractive or a hard reset."""
    spike = gc.Spike(v > 1, surrogate=SURROGATE, detach_reset=not attached)
    return gc.Neuron("L", update={v: keep(10, per) * v + x}, spike=spike, reset={v: 0 if hard else v - 1})


def refractory(per: str, clamped: bool) -> gc.Neuron:
    """Return a leaky neuron that is refractory for two steps, and holds v meanwhile or not."""
    return gc.Neuron(
        "R",
        update={v: keep(10, per) * v + x},
        spike=gc.Spike(v > 1, surrogate=SURROGATE),
        reset={v: v - 1},
        refractory=gc.Refractory(2.0, hold=(v,) if clamped else ()),
    )


def alif(per: str, detach: object) -> gc.Neuron:
    """Return a neuron whose threshold adapts; `detach` says which of its own spikes are stopped."""
    spike = gc.Spike(v - 1 - 0.3 * a > 0, surrogate=SURROGATE, detach_reset=detach)
    update = {v: keep(10, per) * v + x, a: keep(20, per, "adapt") * a}
    return gc.Neuron("A", update=update, spike=spike, reset={v: v - 1, a: a + 1})


def cuba(per: str) -> gc.Neuron:
    """Return a neuron with a synaptic current."""
    update = {i: keep(5, per, "syn") * i + x, v: keep(10, per) * v + i}
    return gc.Neuron("C", update=update, spike=gc.Spike(v > 1, surrogate=SURROGATE), reset={v: v - 1})


def gain(per: str) -> gc.Neuron:
    """Return a neuron that weighs its synaptic current by a number of its own."""
    update = {i: keep(5, per, "syn") * i + x, v: keep(10, per) * v + gc.param("gain", 1.0, per="neuron") * i}
    return gc.Neuron("O", update=update, spike=gc.Spike(v > 1, surrogate=SURROGATE), reset={v: v - 1})


def coba(per: str) -> gc.Neuron:
    """Return a neuron with conductances."""
    rate = 0.1 + ge + gi
    update = {
        ge: keep(5, per, "e") * ge + exc,
        gi: keep(8, per, "i") * gi + inh,
        v: v + (1 - sympy_exp(-rate)) * ((3 * ge - gi) / rate - v),
    }
    return gc.Neuron("G", update=update, spike=gc.Spike(v > 1, surrogate=SURROGATE), reset={v: v - 1})


def sympy_exp(e: object) -> object:
    """Return the exponential of an expression."""
    import sympy

    return sympy.exp(e)


def adlif(per: str, detach: bool) -> gc.Neuron:
    """Return a neuron with subthreshold adaptation."""
    update = {v: keep(10, per) * v - 0.2 * a + x, a: keep(20, per, "adapt") * a + 0.05 * v}
    return gc.Neuron(
        "W",
        update=update,
        spike=gc.Spike(v > 1, surrogate=SURROGATE, detach_reset=detach),
        reset={v: v - 1, a: a + 0.3},
    )


TABLE: dict[str, tuple[Callable[[str], gc.Neuron], dict[str, str], dict[str, str]]] = {
    # neuron: how it is made, classes with shared time constants, classes with one per neuron
    "LIF soft, detached": (lif, {"v": "S"}, {"v": "D"}),
    "LIF soft, attached": (lambda per: lif(per, attached=True), {"v": "D"}, {"v": "D"}),
    "LIF hard, detached": (lambda per: lif(per, hard=True), {"v": "D"}, {"v": "D"}),
    "LIF hard, attached": (lambda per: lif(per, attached=True, hard=True), {"v": "D"}, {"v": "D"}),
    "refractory, integrates": (lambda per: refractory(per, False), {"v": "S"}, {"v": "D"}),
    "refractory, clamped": (lambda per: refractory(per, True), {"v": "D"}, {"v": "D"}),
    "ALIF, reset detached": (lambda per: alif(per, (v,)), {"v": "S", "a": "D"}, {"v": "D", "a": "D"}),
    "ALIF, attached": (lambda per: alif(per, False), {"v": "D", "a": "D"}, {"v": "D", "a": "D"}),
    "ALIF, all detached": (lambda per: alif(per, True), {"v": "S", "a": "Z"}, {"v": "D", "a": "Z"}),
    "CuBa-LIF": (cuba, {"v": "S", "i": "S"}, {"v": "D", "i": "D"}),
    "CuBa-LIF, own gain": (gain, {"v": "D", "i": "S"}, {"v": "D", "i": "D"}),
    "CoBa-LIF": (coba, {"ge": "S", "gi": "Z", "v": "D"}, {"ge": "D", "gi": "Z", "v": "D"}),
    "AdLIF, detached": (lambda per: adlif(per, True), {"v": "S", "a": "S"}, {"v": "D", "a": "D"}),
    "AdLIF, attached": (lambda per: adlif(per, False), {"v": "D", "a": "D"}, {"v": "D", "a": "D"}),
    "Izhikevich": (lambda per: gc.zoo.Izhikevich, {"v": "D", "u": "D"}, {"v": "D", "u": "D"}),
}


def network(neuron: gc.Neuron, per: str, size: int = 4, gain: float = 0.6) -> gc.Network:
    """Return inputs and neurons without recurrence, read out by weights that keep nothing."""
    rng = np.random.default_rng(0)
    net = gc.Network(dt=1.0)
    values = {p.name: p.default * rng.uniform(0.9, 1, size) for p in neuron.parameters if p.per == "neuron"}
    net.input("stim", 4)
    net.population("hid", neuron, size, **values)
    net.population("out", gc.Neuron("Sum", output=x), 2)
    for index, target in enumerate(neuron.inputs):
        net.connect("stim", "hid", target=target.name, weight=gain * rng.uniform(0.2, 1, (4, size)), name=f"w{index}")
    net.connect("hid", "out", weight=rng.normal(size=(size, 2)))
    net.output("out")
    return net
