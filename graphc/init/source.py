"""What the sources of a connection send in one step: mean and variance, from rates or from measured inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphc import symbols as gs
from graphc.connectivity import Dense
from graphc.ir.errors import DeclarationError
from graphc.names import did_you_mean

from .scheme import FluctuationDriven, per_ms

if TYPE_CHECKING:
    from graphc.connection import Connection
    from graphc.network import Network


@dataclass(frozen=True)
class Moments:
    """Mean and variance over time of what one line sends in a step; both are means over lines."""

    mean: float
    variance: float


def moments_of(network: Network, scheme: FluctuationDriven, name: str) -> Moments:
    """Return what the lines of input or population `name` send.

    A neuron sends at most one spike in a step: with probability p = rate dt, so with variance p (1 - p).
    """
    loc = scheme.loc.entry("rate")
    known = [*network.inputs, *network.populations]
    rate: Any = scheme.rate
    if isinstance(rate, Mapping):
        for given in rate:
            if given not in known:
                hint = did_you_mean(str(given), known) or f"there are {', '.join(known)}"
                raise DeclarationError(f"rate of gc.init is given for {given!r}, which does not exist", loc, hint)
        if name not in rate:
            raise DeclarationError(f"rate of gc.init lacks '{name}'", loc, f'rate={{..., "{name}": 10}}')
        rate = rate[name]
    if name in network.inputs:
        if rate == "measured":
            return measured(network, scheme, name)
    else:
        _check_spikes(network, scheme, name)
        if rate == "measured":
            found = [measured(network, scheme, n) for n in network.inputs if n in _given(network, scheme)]
            mean = sum(m.mean for m in found) / len(found)
            if not 0 < mean < 1:
                message = (
                    f"measured inputs have a mean of {mean:.3g} per step, no rate that population '{name}' can have"
                )
                raise DeclarationError(message, loc, f'rate={{..., "{name}": 10}}')
            return Moments(mean, mean * (1 - mean))
    p = per_ms(rate, loc) * network.dt
    if p >= 1:
        message = f"'{name}' at {1000 * p / network.dt:.3g} spikes/s has {p:.3g} spikes in a step of {network.dt!r} ms"
        raise DeclarationError(message, loc, "a step has one spike at most; give a lower rate or a smaller dt")
    return Moments(p, p * (1 - p))


def measured(network: Network, scheme: FluctuationDriven, name: str) -> Moments:
    """Return mean and variance of given inputs (T, B, N): over steps and samples, then the mean over lines."""
    import numpy as np

    inputs, loc = _given(network, scheme), scheme.loc.entry("inputs")
    if name not in inputs:
        raise DeclarationError(f"inputs of gc.init lack '{name}', which is to be measured", loc)
    given = inputs[name]
    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, float)
    if array.ndim != 3 or array.shape[2] != network.inputs[name].size or not array.size:
        size = network.inputs[name].size
        raise DeclarationError(f"inputs['{name}'] of gc.init has shape {array.shape}, not (T, B, {size})", loc)
    if not np.isfinite(array).all():
        raise DeclarationError(f"inputs['{name}'] of gc.init are not finite", loc)
    found = Moments(float(array.mean()), float(array.var(axis=(0, 1)).mean()))
    if found.variance == 0:
        hint = "a membrane fluctuates only by inputs that change"
        raise DeclarationError(f"inputs['{name}'] of gc.init never change", loc, hint)
    return found


def _given(network: Network, scheme: FluctuationDriven) -> Mapping[str, Any]:
    """Return the given inputs by name."""
    inputs, loc = scheme.inputs, scheme.loc.entry("inputs")
    if inputs is None:
        raise DeclarationError('rate of gc.init is "measured", of nothing', scheme.loc.entry("rate"), "inputs=x")
    if not isinstance(inputs, Mapping):
        if len(network.inputs) != 1:
            raise DeclarationError("inputs of gc.init is one array", loc, "give a dict, one per input")
        return dict.fromkeys(network.inputs, inputs)
    for name in inputs:
        if name not in network.inputs:
            hint = did_you_mean(str(name), network.inputs)
            raise DeclarationError(f"inputs of gc.init has {name!r}, which is no input", loc, hint)
    return inputs


def _check_spikes(network: Network, scheme: FluctuationDriven, name: str) -> None:
    neuron = network.populations[name].neuron
    if neuron.spike is None or neuron.output != gs.spike:
        hint = "give its connections a weight or init=gc.init.KaimingNormal(), or leave their targets out: populations="
        raise DeclarationError(f"population '{name}' sends '{neuron.output}', no spikes with a rate", scheme.loc, hint)


def fans(connection: Connection) -> tuple[float, float]:
    """Return how many synapses a target and a source neuron have, on average."""
    kind, source, sink = connection.connectivity, connection.source, connection.sink
    if isinstance(kind, Dense):
        return float(source.size), float(sink.size)
    if kind.procedural:
        p = float(getattr(kind, "probability", 1.0))
        return p * source.size, p * sink.size
    count = len(connection.synapses.pre)
    return count / sink.size, count / source.size
