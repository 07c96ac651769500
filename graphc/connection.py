"""One connection: its synapses, weights, delays, signs, and what each synapse delivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy

from graphc.ir.errors import DeclarationError, not_supported
from graphc.ir.functions import at_threshold, previous, total
from graphc.ir.loc import Loc

from .connectivity import Connectivity, SynapseList
from .delay import Delay, Taps, shortest
from .dimensions import quantities
from .distributions import Distribution
from .names import did_you_mean
from .records import signals
from .symbols import Noise, Parameter, Signal, dt, pre, weight
from .values import Value, is_array, measure

if TYPE_CHECKING:
    from .init import Scheme
    from .network import NetworkInput, Population
    from .plasticity import Plasticity

DEFAULT = weight * pre()
_SIGNS = {"excitatory": 1.0, "inhibitory": -1.0}


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses of one kind.

    Attributes:
        transmit: what one synapse adds to each input of the target neuron, by its name.
        shared: the connection whose weight this one uses.
        delay: in steps: one, one per synapse in the order of their list, or learned.
        sign: +1 or -1, for all or per source neuron, that weights keep; None for free ones.
        parameters: those of `transmit` and of the rule, with their values.
        rule: what changes its synapses in a run.
        init: the scheme that its weight comes from.
    """

    name: str
    pre: str
    post: str
    transmit: Mapping[str, sympy.Expr]
    weight: Value | None
    shared: str | None
    connectivity: Connectivity
    delay: Delay
    learn: bool
    sign: Any
    parameters: tuple[Parameter, ...]
    source: Any
    sink: Any
    loc: Loc
    rule: Plasticity | None = None
    init: Scheme | None = None

    def initialise(self, scheme: Scheme | None, weight: Value | None) -> None:
        """Take the scheme and the weight that it led to, None while it waits for the rest of the network."""
        object.__setattr__(self, "init", scheme)
        object.__setattr__(self, "weight", weight)

    @property
    def is_drawn(self) -> bool:
        """Whether no weight was given, so that a scheme may choose it."""
        return self.shared is None and (self.weight is None or self.init is not None)

    @property
    def signals(self) -> set[Signal]:
        """What it reads of its two ends, in `transmit` and in its rule."""
        sent = {s for e in self.transmit.values() for s in e.atoms(Signal)}
        return sent | (self.rule.signals if self.rule is not None else set())

    @property
    def noises(self) -> tuple[Noise, ...]:
        """The random numbers that a synapse draws at every step, in `transmit`."""
        return tuple(sorted({s for e in self.transmit.values() for s in e.atoms(Noise)}, key=str))

    def records(self, signal: str) -> bool:
        """Whether `signal` changes in a run, so that it can be recorded."""
        if self.rule is None:
            return False
        return self.rule.carries_weight if signal == "weight" else signal in {s.name for s in self.rule.states}

    @property
    def target(self) -> str:
        """The inputs of the target neuron, as one text."""
        return ", ".join(self.transmit)

    @property
    def shortest(self) -> int:
        """The smallest delay of its synapses."""
        return shortest(self.delay)

    @property
    def synapses(self) -> SynapseList:
        """The list of its synapses; those that share a weight are drawn as its owner's are."""
        return self.connectivity.synapses(self.source, self.sink, self.shared or self.name)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of its weights."""
        return self.connectivity.weight_shape(self.source, self.sink, self.shared or self.name)

    @property
    def delays(self) -> tuple[int, ...]:
        """The different delays, ascending."""
        if isinstance(self.delay, Taps):
            return tuple(range(self.delay.first, self.delay.last + 1))
        if isinstance(self.delay, int):
            return (self.delay,)
        import numpy as np

        return tuple(int(d) for d in np.unique(self.delay))


def lower_transmit(
    transmit: Any,
    goals: tuple[str, ...],
    source: NetworkInput | Population,
    sink: Any,
    label: str,
    loc: Loc,
    rule: Plasticity | None = None,
) -> tuple[dict[str, sympy.Expr], tuple[Parameter, ...]]:
    """Return what a synapse delivers to each input, and its parameters.

    Raises:
        DeclarationError: an expression reads what a synapse cannot, or names an input that the target lacks.
    """
    loc = loc.entry("transmit") if transmit is not None else loc
    given = transmit if isinstance(transmit, Mapping) else {goals[0]: DEFAULT if transmit is None else transmit}
    names = [i.name for i in sink.neuron.inputs]
    found: dict[str, sympy.Expr] = {}
    parameters: dict[str, Parameter] = {p.name: p for p in rule.parameters} if rule is not None else {}
    for goal, expression in given.items():
        goal = goal.name if isinstance(goal, sympy.Symbol) else goal
        if goal not in names:
            hint = did_you_mean(str(goal), names) or f"its inputs are {', '.join(names)}"
            raise DeclarationError(f"{label}: neuron '{sink.neuron.name}' has no input {goal!r}", loc, hint)
        try:
            expr = sympy.sympify(expression, strict=True)
        except (sympy.SympifyError, TypeError):
            raise DeclarationError(f"transmit of {label} is {expression!r}, no expression", loc) from None
        if quantities(expr):
            not_supported("a unit inside transmit= of connect", loc, "put the factor into the weight")
        for marker, kind in ((previous, "gc.previous"), (at_threshold, "gc.at_threshold"), (total, "gc.sum")):
            if expr.atoms(marker):
                not_supported(f"{kind} in transmit= of connect", loc)
        for s in sorted(expr.free_symbols, key=str):
            _check_symbol(s, source, sink, label, loc, rule)
            if isinstance(s, Parameter) and parameters.setdefault(s.name, s) != s:
                message = f"transmit of {label} and its rule have different parameters named '{s.name}'"
                raise DeclarationError(message, loc, "rename one of them")
        found[goal] = expr
    for p in parameters.values():
        if p.name in ("weight", "delay", "sigma", "rows", "post", "order"):
            raise DeclarationError(f"a parameter of {label} is named '{p.name}', which is taken", loc)
    if not found:
        raise DeclarationError(f"transmit of {label} is empty", loc)
    return found, tuple(parameters.values())


def _check_symbol(s: sympy.Basic, source: Any, sink: Any, label: str, loc: Loc, rule: Plasticity | None = None) -> None:
    if isinstance(s, Noise):
        return
    if s in (weight, dt) or (rule is not None and s in (*rule.states, *rule.parameters)):
        return
    if isinstance(s, Parameter):
        if s.per != "synapse":
            hint = f'gc.param("{s.name}", ..., per="synapse")'
            raise DeclarationError(f"parameter '{s.name}' in transmit of {label} is per {s.per}", loc, hint)
        return
    if isinstance(s, Signal):
        side, end = ("source", source) if s.side == "pre" else ("target", sink)
        known = signals(end) if hasattr(end, "neuron") else ("output",)
        if end is sink and hasattr(sink, "label"):
            raise DeclarationError(f"transmit of {label} reads a target, but ends at the synapses '{end.label}'", loc)
        if "@" in s.signal:
            not_supported(f"{s.signal!r} in transmit= of connect", loc)
        if s.signal not in known:
            hint = did_you_mean(s.signal, known) or f"there are {', '.join(known)}"
            raise DeclarationError(f"the {side} '{end.name}' of {label} has no signal '{s.signal}'", loc, hint)
        return
    hint = 'a synapse reads gc.weight, gc.pre(...), gc.post(...), gc.noise(...) and parameters per="synapse"'
    raise DeclarationError(f"transmit of {label} reads '{s}'", loc, hint)


def lower_sign(sign: Any, source: Any, label: str, loc: Loc) -> Any:
    """Return +1, -1 or an array of them per source neuron."""
    if sign is None:
        return None
    loc = loc.entry("sign")
    hint = 'use "excitatory", "inhibitory", or +1 and -1 per source neuron'
    if isinstance(sign, str):
        if sign not in _SIGNS:
            raise DeclarationError(f"sign of {label} is {sign!r}", loc, did_you_mean(sign, _SIGNS) or hint)
        return _SIGNS[sign]
    if not is_array(sign):
        if sign not in (1, -1):
            raise DeclarationError(f"sign of {label} is {sign!r}", loc, hint)
        return float(sign)
    array: Any = measure(sign, f"sign of {label}", loc).value
    if array.shape != (source.size,) or not ((array == 1) | (array == -1)).all():
        raise DeclarationError(
            f"sign of {label} is no array of +1 and -1, one per neuron of '{source.name}'", loc, hint
        )
    return array


def signs_of_weights(connection: Connection) -> Any:
    """Return the sign of every weight: one number, or an array that has the shape of the weights."""
    import numpy as np

    sign = connection.sign
    if not isinstance(sign, np.ndarray):
        return sign
    shape = connection.weight_shape
    if len(shape) == 2 and shape[0] == len(sign):
        return np.broadcast_to(sign[:, None], shape)
    found = connection.synapses
    index = np.arange(len(found.pre)) if found.index is None else found.index
    signs = np.zeros(int(np.prod(shape)))
    signs[index] = sign[found.pre]
    if (signs[index] != sign[found.pre]).any():
        message = f"connection '{connection.name}' shares a weight between source neurons of both signs"
        raise DeclarationError(message, connection.loc, "give one sign for all")
    return signs.reshape(shape)


def lower_weight(given: Any, connectivity: Connectivity, source: Any, sink: Any, name: str, loc: Loc) -> Any:
    """Return a given weight, measured and in the order of the weights."""
    label = f"connection '{name}'"
    measured = measure(given, f"the weight of {label}", loc)
    value: Any = measured.value
    shape = connectivity.weight_shape(source, sink, name)
    if is_array(value):
        found = None if value.shape == shape and len(shape) > 1 else connectivity.synapses(source, sink, name)
        if value.shape == shape:
            if found is not None and found.given is not None:
                value = value[found.given]
        elif found is not None and found.index is None and value.shape == (source.size, sink.size):
            missing = value.copy()
            missing[found.pre, found.post] = 0
            if missing.any():
                i, j = (int(k[0]) for k in missing.nonzero())
                message = f"the weight of {label} is {float(value[i, j])!r} at {(i, j)}, where it has no synapse"
                raise DeclarationError(message, loc)
            value = value[found.pre, found.post].reshape(shape)
        else:
            needed = f"{shape}" + (" (pre, post)" if len(shape) == 2 else "")
            raise DeclarationError(f"the weight of {label} has shape {value.shape}, but {needed} is needed", loc)
    return type(measured)(value, measured.dimension)


def check_parameters(connection: Connection, loc: Loc) -> None:
    """Raise where an array of a parameter per synapse has another shape than the weights."""
    for p in connection.parameters:
        value: Any = p.default
        if is_array(value) and value.shape != connection.weight_shape:
            message = f"parameter '{p.name}' of connection '{connection.name}' has shape {value.shape}"
            raise DeclarationError(message, loc.entry("transmit"), f"the weights have {connection.weight_shape}")


def check_sign(connection: Connection, loc: Loc) -> None:
    """Raise where a given weight has the other sign than the one declared; drawn weights are folded to it."""
    value = connection.weight
    if connection.sign is None or value is None or isinstance(value, Distribution):
        return
    import numpy as np

    wrong = np.asarray(value) * signs_of_weights(connection) < 0
    if wrong.any():
        worst = float(np.broadcast_to(np.asarray(value), wrong.shape)[wrong].ravel()[0])
        message = f"a weight of connection '{connection.name}' is {worst!r}, against its sign"
        raise DeclarationError(message, loc.entry("weight"), "give weights of the declared sign, or change sign=")
