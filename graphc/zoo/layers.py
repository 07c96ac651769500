"""Networks of two populations under Dale's law, and electrical synapses."""

from typing import Any, Literal

import graphc as gc

from .rate import DaleRate


def dale(
    net: gc.Network,
    name: str,
    excitatory: int,
    inhibitory: int,
    source: Any,
    inhibition: Literal["subtractive", "divisive"] = "subtractive",
    **options: Any,
) -> tuple[Any, Any]:
    """Make a recurrent layer under Dale's law and return its populations ``<name>_e`` and ``<name>_i``.

    Both excite or inhibit everything they reach, themselves included, through training: every weight is positive, and
    the input that it feeds decides what it does. The source excites both.

    Args:
        net: the network.
        name: of the layer.
        excitatory: units of `DaleRate` that excite.
        inhibitory: units of `DaleRate` that inhibit.
        source: what the layer reads; its signal is meant to be positive.
        inhibition: whether inhibitory units subtract from the drive of the excitatory ones, or divide it. Between
            themselves they subtract.
        options: of every connection, such as init.
    """
    e, i = net.population(f"{name}_e", DaleRate, excitatory), net.population(f"{name}_i", DaleRate, inhibitory)
    reach = {"sign": "excitatory", **options}
    for layer in (e, i):
        net.connect(source, layer, target="exc", **reach)
        net.connect(e, layer, target="exc", delay=1, **reach)
    net.connect(i, e, target="inh" if inhibition == "subtractive" else "shunt", delay=1, **reach)
    net.connect(i, i, target="inh", delay=1, **reach)
    return e, i


def gap_junction(
    net: gc.Network, pre: Any, post: Any, conductance: Any, potential: str = "v", **options: Any
) -> tuple[Any, ...]:
    """Connect populations by electrical synapses, ``g (v_pre - v_post)`` both ways, and return the connections.

    The potentials are those of the step before. Within one population, give a symmetric `conductance`.

    Args:
        net: the network.
        pre: population.
        post: population, the same or another.
        conductance: weight (pre, post), such as an array; shared by both directions.
        potential: the state that the current follows.
        options: of the connections: connectivity, target, learn.
    """
    current = gc.weight * (gc.pre(potential) - gc.post(potential))
    there = net.connect(pre, post, weight=conductance, transmit=current, delay=1, **options)
    if there.pre == there.post:
        return (there,)
    back = conductance.T if hasattr(conductance, "T") and conductance.ndim == 2 else conductance
    return there, net.connect(post, pre, weight=back, transmit=current, delay=1, **options)
