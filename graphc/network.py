"""Networks: inputs, populations of neurons, connections between them, and what leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .connection import Connection, check_parameters, check_sign, lower_sign, lower_transmit, lower_weight
from .connectivity import Connectivity, Dense
from .delay import lower_delay
from .distributions import Distribution
from .init.scheme import Scheme
from .init.source import fans
from .names import (
    MODEL_ATTRIBUTES,
    MODULE_ATTRIBUTES,
    check_attribute_name,
    check_name,
    did_you_mean,
)
from .network_check import check_network
from .neuron import Neuron
from .plasticity import ThirdFactor
from .population_values import ParameterValue, initial_value, parameter_value, refractory_steps
from .records import Record, parts_of, resolve_record
from .rule_connect import check_rule, check_values, checked_rule, third_factor, transmit_of
from .shaped import families, identifier, values_of_parts
from .symbols import Parameter
from .values import Value, is_array, time_in_ms
from .windows import AvgPool


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """An input of the network: a sequence of `size` numbers per step and sample."""

    name: str
    size: int
    shape: tuple[int, ...]
    loc: Loc


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind, with their parameters and initial values in base units."""

    name: str
    neuron: Neuron
    size: int
    shape: tuple[int, ...]
    parameters: dict[str, ParameterValue]
    init: dict[Any, Value | sympy.Expr]
    loc: Loc


class Network:
    """Populations and connections on one time step.

    Args:
        dt: step length, a time or a number of ms.
    """

    def __init__(self, dt: Any) -> None:
        """Start with nothing in it."""
        self.loc = Loc.caller()
        self.dt = time_in_ms(dt, "dt of gc.Network", self.loc)
        if not 0 < self.dt < float("inf"):
            raise DeclarationError(f"dt of gc.Network is {self.dt!r} ms", self.loc, "give a positive time, dt=1 * ms")
        self.inputs: dict[str, NetworkInput] = {}
        self.populations: dict[str, Population] = {}
        self.connections: dict[str, Connection] = {}
        self.outputs: tuple[str, ...] = ()
        self.notes: tuple[tuple[str, str], ...] = ()  # lines of the semantics card beside those of the parts

    def input(self, name: str, size: int | Sequence[int]) -> NetworkInput:
        """Add an input of `size` numbers per step and sample; a shape is flattened in C order."""
        loc = Loc.caller()
        self._check_new(name, "an input", loc)
        shape = _shape(size, f"input '{name}'", loc)
        self.inputs[name] = NetworkInput(name, _product(shape), shape, loc)
        return self.inputs[name]

    def population(self, name: str, neuron: Neuron, size: int | Sequence[int], **values: Any) -> Population:
        """Add `size` neurons.

        Args:
            name: its name; the module of its parameters is ``model.<name>``.
            neuron: the model of each.
            size: how many, or a shape.
            values: parameter=value or state=initial value: a number or quantity for all, an array of one per neuron, a
                distribution, or for a parameter a gc.param that replaces default, learn, per, min and max. A state of
                M parts takes (M,), one per part, or (size, M).
        """
        loc = Loc.caller()
        self._check_new(name, "a population", loc)
        if not isinstance(neuron, Neuron):
            raise DeclarationError(f"population '{name}' is made of {neuron!r}, which is no gc.Neuron", loc)
        shape = _shape(size, f"population '{name}'", loc)
        number = _product(shape)
        parameters = {p.name: p for p in neuron.parameters}
        states = {s.name: s for s in neuron.states}
        values = values_of_parts(neuron.states, values, f"population '{name}'", loc)
        for key in values:
            if key not in parameters and key not in states:
                near = did_you_mean(key, [*parameters, *states])
                message = f"neuron '{neuron.name}' of population '{name}' has no parameter or state '{key}'"
                raise DeclarationError(message, loc.entry(key), near)
        population = Population(
            name,
            neuron,
            number,
            shape,
            {n: parameter_value(p, values.get(n), shape, name, neuron, loc) for n, p in parameters.items()},
            {
                s: initial_value(s, values.get(s.name, neuron.init[s]), s.name in values, number, name, neuron, loc)
                for s in neuron.init
            },
            loc,
        )
        refractory_steps(neuron, population.parameters, self.dt, name, loc)
        self.populations[name] = population
        return population

    def connect(
        self,
        pre: NetworkInput | Population | str,
        post: Population | Connection | str,
        *,
        target: str | None = None,
        weight: Any = None,
        init: Any = None,
        connectivity: Connectivity = Dense(),  # noqa: B008 (frozen)
        delay: Any = None,
        learn: bool = True,
        sign: Any = None,
        plasticity: Any = None,
        transmit: Any = None,
        name: str | None = None,
        round: bool = False,
    ) -> Connection:
        """Connect `pre` to `post`.

        Args:
            pre: an input or a population.
            post: a population.
            target: which input of the neurons of `post`; needed when they have several.
            weight: None (uniform, +-1/sqrt(fan_in)), a number, an array, a distribution, or a connection to share with.
            init: in place of a weight, a scheme of gc.init that chooses its distribution.
            connectivity: gc.Dense(), OneToOne, AllButSelf, Sparse, Blocks, Conv1d, Conv2d, ConvTranspose, AvgPool or
                SumPool.
            delay: steps (int) or a time, 0 acts within the same step; an array of one per synapse, (pre, post) or of
                the shape of the weights of gc.Sparse; or a gc.LearnedDelay.
            learn: whether the weight is an nn.Parameter.
            sign: Dale's law: "excitatory", "inhibitory", or an array of +1 and -1 per source neuron. Learned weights
                keep it; what is drawn with the other sign is folded to it.
            plasticity: a gc.Plasticity, the rule by which its synapses change. The handle of such a connection may be
                the `post` of another one, whose `target` is a third factor of the rule.
            transmit: what one synapse adds to its target, an expression of gc.weight, gc.pre(...) (as it arrives, so
                `delay` steps old), gc.post(...) (of the step before) and parameters per="synapse"; a dict for several
                inputs. The default is gc.weight * gc.pre().
            name: default ``pre_post``, or ``pre_post_target`` when the neurons have several inputs.
            round: round delays that are no multiples of dt to the nearest step.
        """
        loc = Loc.caller()
        source, sink = self._source(pre, loc), self._sink(post, target, loc)
        if isinstance(sink, ThirdFactor):
            end, several = sink.label, sink.several
        else:
            end, several = sink.name, len(sink.neuron.inputs) > 1
        joined = f"{source.name}_{end}" + (f"_{identifier(str(target))}" if target and several else "")
        if name is None and joined in self._names():
            kind = self._kind(joined)
            raise DeclarationError(
                f"the connection of '{source.name}' to '{sink.name}' would be named '{joined}', as {kind} is",
                loc,
                'give it a name, name="..."',
            )
        self._check_new(name or joined, "a connection", loc)
        name = name or joined
        label = f"connection '{name}'"
        if not isinstance(connectivity, Connectivity):
            hint = "gc.Dense(), gc.OneToOne(), gc.Sparse(...), ..."
            raise DeclarationError(f"connectivity of {label} is {connectivity!r}", loc.entry("connectivity"), hint)
        connectivity.check(source, sink, label, loc.entry("connectivity"))
        learned = _check_learn(learn, connectivity, label, loc)
        rule = checked_rule(plasticity, label, loc)
        transmit = transmit_of(rule, transmit)
        goals = _targets(target, transmit, sink, label, loc)
        delivered, parameters = lower_transmit(transmit, goals, source, sink, label, loc, rule)
        weight, scheme = _scheme(weight, init, label, loc)
        value, shared = self._weight(
            weight if scheme is None else scheme, connectivity, source, sink, delivered, name, loc
        )
        connection = Connection(
            name=name,
            pre=source.name,
            post=sink.name,
            transmit=delivered,
            weight=value,
            shared=shared,
            connectivity=connectivity,
            delay=lower_delay(delay, self.dt, connectivity, source, sink, shared or name, name, loc, round),
            learn=learned if shared is None else self.connections[shared].learn,
            sign=lower_sign(sign, source, label, loc),
            parameters=parameters,
            source=source,
            sink=sink,
            loc=loc,
            rule=rule,
            init=scheme,
        )
        if shared is not None and sign is not None:
            raise DeclarationError(f"{label} shares a weight, whose owner has the sign", loc.entry("sign"))
        if scheme is not None:
            connection.initialise(scheme, scheme.weight(*fans(connection)))
        check_sign(connection, loc)
        check_parameters(connection, loc)
        check_rule(connection, self.connections)
        check_values(connection)
        self.connections[connection.name] = connection
        return connection

    def output(self, *signals: Population | str) -> None:
        """Let signals leave, named as in `record`: ``"out"`` is the output of the population, ``"out.v"`` a state."""
        loc = Loc.caller()
        if not signals:
            raise DeclarationError("net.output names no signal", loc, 'net.output("out") or net.output("out.v")')
        for signal in signals:
            asked = signal.name if isinstance(signal, Population) else signal
            parts = parts_of(self, asked)
            first = next(resolve_record(self, part, loc) for part in parts)
            name = first.name if parts == (asked,) else asked
            if first.owner in self.connections:
                raise DeclarationError(f"net.output cannot give '{name}', a weight", loc, "record it")
            if name in self.outputs:
                raise DeclarationError(f"'{name}' is an output already", loc)
            self.outputs = (*self.outputs, name)

    def resolve_record(self, name: str) -> Record:
        """Return what a record name such as ``"hid.v@threshold"`` means."""
        return resolve_record(self, name, Loc.caller())

    def check(self) -> None:
        """Raise what can be wrong with the whole: no output, or a cycle without delay."""
        check_network(self)

    def __repr__(self) -> str:
        """Return the names of the parts."""
        parts = f"{list(self.inputs)}, {list(self.populations)}, {list(self.connections)}"
        return f"Network(dt={self.dt!r}: {parts})"

    def _names(self) -> set[str]:
        return {*self.inputs, *self.populations, *self.connections}

    def _kind(self, name: str) -> str:
        if name in self.inputs:
            return "an input"
        return "a population" if name in self.populations else "a connection"

    def _check_new(self, name: str, what: str, loc: Loc) -> None:
        check_name(name, what, loc)
        check_attribute_name(name, what, loc, MODULE_ATTRIBUTES | MODEL_ATTRIBUTES)
        if name in self._names():
            raise DeclarationError(f"{what} is named '{name}', as {self._kind(name)} is", loc, "choose another name")

    def _find(self, handle: Any, what: str, loc: Loc) -> NetworkInput | Population | Connection:
        name = handle.name if isinstance(handle, (NetworkInput, Population, Connection)) else handle
        if not isinstance(name, str):
            raise DeclarationError(f"{what} is {handle!r}, neither a handle nor a name", loc)
        tables: tuple[dict[str, Any], ...] = (self.inputs, self.populations, self.connections)
        for table in tables:
            if name in table and (isinstance(handle, str) or table[name] is handle):
                return table[name]  # type: ignore[no-any-return]
        if not isinstance(handle, str):
            raise DeclarationError(f"{what} '{name}' belongs to another network", loc)
        raise DeclarationError(f"{what} '{name}' does not exist", loc, did_you_mean(name, self._names()))

    def _source(self, handle: Any, loc: Loc) -> NetworkInput | Population:
        found = self._find(handle, "the source", loc)
        if isinstance(found, Connection):
            raise DeclarationError(f"the source '{found.name}' is a connection", loc, "give an input or a population")
        return found

    def _sink(self, handle: Any, target: Any, loc: Loc) -> Population | ThirdFactor:
        found = self._find(handle, "the target", loc)
        if isinstance(found, Connection):
            return third_factor(found, target, loc)
        if isinstance(found, NetworkInput):
            raise DeclarationError(f"the target '{found.name}' is an input of the network", loc, "give a population")
        return found

    def _weight(
        self,
        given: Any,
        connectivity: Connectivity,
        source: NetworkInput | Population,
        sink: Population | ThirdFactor,
        targets: Iterable[str],
        name: str,
        loc: Loc,
    ) -> tuple[Value | None, str | None]:
        """Return the value of the weight, or the connection that owns it."""
        if connectivity.procedural and (given is None or isinstance(given, (Distribution, Scheme)) or is_array(given)):
            message = f"connection '{name}' is drawn at every spike (layout=\"procedural\"), with one weight for all"
            raise DeclarationError(message, loc.entry("weight"), "give a number")
        if given is None or isinstance(given, Scheme):
            return (1.0 if isinstance(connectivity, AvgPool) else None), None
        loc, label = loc.entry("weight"), f"connection '{name}'"
        if isinstance(given, (Connection, str)):
            other = self._find(given, f"the weight of {label}", loc)
            if not isinstance(other, Connection):
                raise DeclarationError(f"the weight of {label} is '{other.name}', no connection", loc)
            theirs = (other.source.size, other.sink.size)
            same = other.connectivity == connectivity and other.weight_shape == connectivity.weight_shape(
                source, sink, other.name
            )
            if not same or theirs != (source.size, sink.size):
                message = f"{label} ({source.size} to {sink.size}) cannot share the weight of '{other.name}'"
                hint = "share the connectivity object too" if theirs == (source.size, sink.size) else None
                raise DeclarationError(f"{message} ({theirs[0]} to {theirs[1]})", loc, hint)
            return None, other.shared or other.name
        measured = lower_weight(given, connectivity, source, sink, name, loc)
        for target in targets:
            wanted = sink.neuron.dimensions.get(target)
            if measured.dimension is not None and wanted is not None and measured.dimension != wanted:
                sent = isinstance(source, NetworkInput) or source.neuron.spike is not None
                if sent:
                    message = f"the weight of {label} is {measured.dimension}, but input '{target}' is {wanted}"
                    raise DeclarationError(message, loc)
        return measured.value, None


def _scheme(weight: Any, init: Any, label: str, loc: Loc) -> tuple[Any, Scheme | None]:
    """Return weight and scheme, of which one is None; a scheme may be given as either."""
    if weight is not None and init is not None:
        raise DeclarationError(f"{label} has both a weight and init", loc.entry("init"), "give one of them")
    if init is not None and not isinstance(init, Scheme):
        hint = "give a scheme such as gc.init.KaimingNormal(); distributions and numbers are given as weight="
        raise DeclarationError(f"init of {label} is {init!r}, no scheme of gc.init", loc.entry("init"), hint)
    return (None, weight) if isinstance(weight, Scheme) else (weight, init)


def _check_learn(learn: Any, connectivity: Connectivity, label: str, loc: Loc) -> bool:
    if not isinstance(learn, bool):
        raise DeclarationError(f"learn of {label} must be True or False, not {learn!r}", loc.entry("learn"))
    return learn and not isinstance(connectivity, AvgPool)


def _targets(
    target: str | None, transmit: Any, sink: Population | ThirdFactor, label: str, loc: Loc
) -> tuple[str, ...]:
    names = [i.name for i in sink.neuron.inputs]
    if not names:
        hint = "use gc.input in an equation; an input that cancels (0 * x) is none"
        raise DeclarationError(f"{label}: neuron '{sink.neuron.name}' of '{sink.name}' has no input", loc, hint)
    if isinstance(transmit, Mapping):
        if target is not None:
            raise DeclarationError(f"{label}: transmit names the inputs, and so does target", loc.entry("target"))
        return tuple(names)
    if target is None and len(names) > 1:
        choices = " or ".join(f'target="{n}"' for n in names)
        raise DeclarationError(f"{label}: neuron '{sink.neuron.name}' has several inputs", loc, f"say {choices}")
    if target is not None and target not in names:
        parts = families(sink.neuron.inputs).get(str(target), ())
        hint = did_you_mean(str(target), names) or f"its inputs are {', '.join(names)}"
        hint = "say " + " or ".join(f'target="{n}"' for n in parts) if parts else hint
        kind = "has several inputs named" if parts else "has no input"
        message = f"{label}: neuron '{sink.neuron.name}' {kind} {target!r}"
        raise DeclarationError(message, loc.entry("target"), hint)
    return (target or names[0],)


def _shape(size: Any, what: str, loc: Loc) -> tuple[int, ...]:
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    good = [hasattr(n, "__index__") and not isinstance(n, bool) and int(n) >= 1 for n in sizes]
    if not sizes or not all(good):
        raise DeclarationError(f"the size of {what} is {size!r}", loc, "give a positive int, or a shape of them")
    return tuple(int(n) for n in sizes)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


__all__ = ["Connection", "Network", "NetworkInput", "Parameter", "ParameterValue", "Population", "Record"]
