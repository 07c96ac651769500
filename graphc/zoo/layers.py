"""Networks of two populations under Dale's law, and electrical synapses."""

from typing import Any, Literal

import numpy as np

import graphc as gc
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

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

    The potentials are those of the step before. Conductances are fixed: what is learned apart for the two directions
    would part.

    Args:
        net: the network.
        pre: population.
        post: population, the same or another.
        conductance: a number, or an array: (pre, post), symmetric within one population; or (N,) with gc.OneToOne().
        potential: the state that the current follows.
        options: of the connections: connectivity, target.

    Raises:
        DeclarationError: the two directions would not have the same conductances.
    """
    g, loc, same = np.asarray(conductance), Loc.caller(), getattr(pre, "name", pre) == getattr(post, "name", post)
    if g.dtype.kind not in "if" or g.ndim > 2:
        raise DeclarationError(f"the conductance of a gap junction is {conductance!r}", loc, "give numbers")
    if same and g.ndim == 2 and not np.array_equal(g, g.T):
        raise DeclarationError("gap junctions within one population need a symmetric conductance", loc)
    current = gc.weight * (gc.pre(potential) - gc.post(potential))
    fixed: dict[str, Any] = {"transmit": current, "delay": 1, "learn": False, **options}
    there = net.connect(pre, post, weight=conductance, **fixed)
    if same:
        return (there,)
    return there, net.connect(post, pre, weight=g.T if g.ndim == 2 else conductance, **fixed)
