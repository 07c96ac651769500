"""Fluctuation-driven weights: for every population that asks, find the weights at which its membrane is as asked.

The response of a neuron that is not linear depends on the input that the weights make, and so do the weights on the
response. Both are found together: weights for the present response, the response at their input, and again, with what
is missing of mean and variance added to what is asked. A linear neuron is done after the first round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphc.connection import DEFAULT, Connection, signs_of_weights
from graphc.distributions import Distribution, Exponential, Normal
from graphc.ir.errors import DeclarationError, not_supported
from graphc.names import did_you_mean

from .given import given_moments
from .membrane import Membrane
from .scheme import FluctuationDriven, float_of
from .source import fans, moments_of
from .strand import SQUARE, Request, Strand, share_out

if TYPE_CHECKING:
    from graphc.network import Network, Population

ROUNDS = 200


def fluctuation_driven(
    net: Network, *, populations: Sequence[Any] | None = None, **asked: Any
) -> dict[str, Distribution]:
    """Give `net` weights with which membranes fluctuate as asked, and return their distributions by connection.

    Weights that were given to `net.connect` stay as they are, and count. The others are drawn when the network is
    compiled; connections that are added later are not among them.

    Args:
        net: the network.
        populations: handles or names of those whose incoming connections are initialised; all by default.
        asked: mean, std, rate, inputs, alpha, distribution and state, as of `FluctuationDriven`.

    Raises:
        DeclarationError: no weights do what is asked.
    """
    from graphc.network import Network

    scheme = FluctuationDriven(**asked)
    if not isinstance(net, Network):
        raise DeclarationError(f"gc.init.fluctuation_driven takes a gc.Network, not {net!r}", scheme.loc)
    names = [getattr(p, "name", p) for p in (net.populations if populations is None else populations)]
    for name in names:
        if name not in net.populations:
            hint = did_you_mean(str(name), net.populations) or f"there are {', '.join(net.populations)}"
            raise DeclarationError(f"gc.init is to drive {name!r}, which is no population", scheme.loc, hint)
    chosen = [c for c in net.connections.values() if c.post in names and c.is_drawn]
    if not chosen:
        hint = "it leaves alone what has a weight; connect first, without weight="
        raise DeclarationError("gc.init.fluctuation_driven finds no connection to initialise", scheme.loc, hint)
    before = [(c, c.init, c.weight) for c in chosen]
    for c in chosen:
        c.initialise(scheme, None)
    try:
        initialise(net)
    except Exception:
        for c, init, weight in before:
            c.initialise(init, weight)
        raise
    return {c.name: c.weight for c in chosen}  # type: ignore[misc]


def initialise(network: Network) -> None:
    """Set the distribution of every weight whose connection has a scheme that depends on the network."""
    for population in network.populations.values():
        into = [c for c in network.connections.values() if c.post == population.name]
        asked = [c for c in into if isinstance(c.init, FluctuationDriven)]
        if asked:
            _initialise(network, population, into, asked)


def _initialise(network: Network, population: Population, into: list[Connection], asked: list[Connection]) -> None:
    scheme = asked[0].init
    assert isinstance(scheme, FluctuationDriven)
    for c in asked[1:]:
        assert isinstance(c.init, FluctuationDriven)
        if not c.init.agrees_with(scheme):
            message = f"connections '{asked[0].name}' and '{c.name}' ask for different membranes of '{population.name}'"
            raise DeclarationError(message, c.init.loc, "they share one: ask for the same mean, std and alpha")
    membrane = Membrane(population, network.dt, scheme.state, scheme.loc)
    _check_units(population, membrane.state, scheme)
    shares = _shares(network, asked, scheme.alpha)
    strands: list[tuple[Connection, Strand]] = []
    for c in into:
        parts = _strands(network, c, scheme, membrane)
        for s in parts:
            s.share = shares[c.name] / len(parts) if c in asked else None
            strands.append((c, s))
    _find_weights(population, membrane, [s for _, s in strands], scheme)
    for c in asked:
        c.initialise(c.init, _distribution(c, [s for owner, s in strands if owner is c], scheme.distribution))


def _find_weights(population: Population, membrane: Membrane, strands: list[Strand], scheme: FluctuationDriven) -> None:
    """Set mean and mean square of the weights of all strands that have a share."""
    mean, std = float_of(scheme.mean), float_of(scheme.std)
    open_ = [s for s in strands if s.share is not None]
    for _ in range(ROUNDS):
        found = membrane.respond(*_drive(strands, len(membrane.inputs)))
        ask = Request(found.integral, found.square, scheme.distribution, population.name, scheme.loc)
        missing = mean - found.mean, std**2 - found.variance
        if all(s.square for s in open_) and abs(missing[0]) <= 1e-6 * std and abs(missing[1]) <= 1e-6 * std**2:
            return
        variance = sum(ask.noise(s) * s.square for s in open_) + missing[1]
        if variance <= 0:
            message = f"the weights that are given make the potential of '{population.name}' fluctuate by more than"
            hint = "ask for a larger std, or give smaller weights"
            raise DeclarationError(f"{message} {std:.4g}", scheme.loc, hint)
        share_out(open_, ask, sum(ask.shift(s) * s.mean for s in open_) + missing[0], variance)
    if abs(missing[0]) > 0.01 * std or abs(missing[1]) > 0.01 * std**2:
        message = f"no weights were found for which the potential of '{population.name}' has mean {mean:.4g}"
        hint = "the neuron is far from linear there: ask for less, or give weights"
        raise DeclarationError(f"{message} and std {std:.4g}", scheme.loc, hint)


def _drive(strands: list[Strand], count: int) -> tuple[list[float], list[list[float]]]:
    """Return mean and covariance of the summed inputs of a target neuron in one step.

    Two strands of the same sources have lines in common, which add where the weights of both have a mean.
    """
    mean, covariance = [0.0] * count, [[0.0] * count for _ in range(count)]
    for k, s in enumerate(strands):
        mean[s.goal] += s.number * s.sent.mean * s.mean
        covariance[s.goal][s.goal] += s.number * s.sent.variance * s.square
        for other in strands[:k]:
            if other.source == s.source and other.label != s.label:
                common = s.number * other.number / max(s.lines, other.lines)
                both = common * s.sent.variance * s.mean * other.mean
                covariance[s.goal][other.goal] += both
                covariance[other.goal][s.goal] += both
    return mean, covariance


def _strands(network: Network, c: Connection, scheme: FluctuationDriven, membrane: Membrane) -> list[Strand]:
    """Return what connection `c` brings: one strand, or one per sign where its sources have both."""
    import numpy as np

    if set(c.transmit.values()) != {DEFAULT} or len(c.transmit) != 1:
        not_supported(f"gc.init.FluctuationDriven beside transmit= of '{c.name}'", scheme.loc, "give weights")
    if c.shared is not None:
        hint = "give a weight to the connection that owns it"
        not_supported(f"gc.init.FluctuationDriven beside '{c.name}', which shares a weight", scheme.loc, hint)
    own = c.init if isinstance(c.init, FluctuationDriven) else scheme
    sent, (number, _) = moments_of(network, own, c.pre), fans(c)
    goal = membrane.inputs.index(next(iter(c.transmit)))
    label = f"connection '{c.name}'"
    if not isinstance(c.init, FluctuationDriven):
        mean, square = given_moments(c)
        return [Strand(label, c.pre, sent, number, c.source.size, goal, None, None, mean, square)]
    if not isinstance(c.sign, np.ndarray):
        return [Strand(label, c.pre, sent, number, c.source.size, goal, c.sign)]
    part = {sign: float((c.sign == sign).mean()) for sign in (1.0, -1.0)}
    return [Strand(label, c.pre, sent, number * p, c.source.size * p, goal, sign) for sign, p in part.items() if p > 0]


def _shares(network: Network, asked: list[Connection], alpha: float) -> dict[str, float]:
    """Return the part of the variance that every connection has: alpha for the feed-forward ones together."""
    import networkx

    graph = networkx.DiGraph((c.pre, c.post) for c in network.connections.values() if c.post in network.populations)
    recurrent = [c.name for c in asked if c.pre in graph and networkx.has_path(graph, c.post, c.pre)]
    forward = [c.name for c in asked if c.name not in recurrent]
    parts = (alpha, 1 - alpha) if forward and recurrent else (1.0, 1.0)
    shares = {name: parts[0] / len(forward) for name in forward}
    return shares | {name: parts[1] / len(recurrent) for name in recurrent}


def _distribution(c: Connection, strands: list[Strand], name: str) -> Distribution:
    """Return what the weights of `c` are drawn from; its sign folds them."""
    import numpy as np

    if c.sign is None:
        (s,) = strands
        return Normal(s.mean, max(s.square - s.mean**2, 0.0) ** 0.5)
    size: Any = abs(strands[0].mean)
    if len(strands) > 1:
        by_sign = {s.sign: abs(s.mean) for s in strands}
        size = np.where(np.asarray(signs_of_weights(c)) > 0, by_sign[1.0], by_sign[-1.0])
    return Exponential(size) if name == "exponential" else Normal(0.0, size * SQUARE[name] ** 0.5)


def _check_units(population: Population, state: str, scheme: FluctuationDriven) -> None:
    from graphc.values import measure_number

    wanted = population.neuron.dimensions.get(state)
    for name in ("mean", "std"):
        given = measure_number(getattr(scheme, name), name, scheme.loc).dimension
        if given is not None and wanted is not None and given != wanted:
            message = f"{name} of gc.init is {given}, but '{state}' of '{population.name}' is {wanted}"
            raise DeclarationError(message, scheme.loc.entry(name))
