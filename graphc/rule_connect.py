"""A learning rule meets a connection: what fits, and connections that end at its third factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from graphc.ir.errors import DeclarationError, not_supported
from graphc.ir.loc import Loc

from .connection import Connection
from .connectivity import AllButSelf, Dense, OneToOne, Sparse
from .names import did_you_mean
from .plasticity import FactorNeuron, Plasticity, ThirdFactor
from .records import known_before_reset, signals
from .rule_check import GROUPS
from .symbols import Signal
from .values import is_array


def checked_rule(given: Any, label: str, loc: Loc) -> Plasticity | None:
    """Return the rule of a connection, if it is one."""
    if given is not None and not isinstance(given, Plasticity):
        raise DeclarationError(f"plasticity of {label} is {given!r}", loc.entry("plasticity"), "gc.Plasticity(...)")
    return given


def transmit_of(rule: Plasticity | None, given: Any) -> Any:
    """Return what the user says that a synapse delivers: at the connection, else in the rule."""
    if given is not None or rule is None or rule.transmit is None:
        return given
    return rule.transmit.get(None, rule.transmit)


def check_rule(connection: Connection, connections: Mapping[str, Connection]) -> None:
    """Raise where the rule of `connection` asks for what its two ends, its synapses or its options lack."""
    rule, loc = connection.rule, connection.loc.entry("plasticity")
    owner = connections.get(connection.shared or "")
    if owner is not None and owner.rule is not None:
        message = f"connection '{connection.name}' shares the weight of '{owner.name}', which a rule changes"
        raise DeclarationError(message, connection.loc.entry("weight"), "give it a weight of its own")
    if rule is None:
        return
    _check_synapses(connection, rule, loc)
    if rule.on_post and connection.sink.neuron.spike is None:
        message = f"rule '{rule.name}' has on_post, but the neurons of '{connection.post}' do not spike"
        raise DeclarationError(message, loc, "read gc.post(...) in ode or update")
    if rule.apply == "gradient" and not connection.learn:
        message = f"rule '{rule.name}' adds to the gradient of '{connection.name}', which has learn=False"
        raise DeclarationError(message, loc, 'leave learn=False out, or use apply="weight"')
    if rule.changes_weight and connection.sign is not None:
        message = f"connection '{connection.name}' has a sign, and rule '{rule.name}' changes its weight"
        raise DeclarationError(message, connection.loc.entry("sign"), "leave sign= out and give the rule bounds=")
    for group in GROUPS:
        for key, expr in rule.groups[group].items():
            for s in sorted(expr.atoms(Signal), key=str):
                _check_signal(s, connection, rule, rule.loc_of(group, key))


def _check_synapses(connection: Connection, rule: Plasticity, loc: Loc) -> None:
    what = f"plasticity= of connection '{connection.name}'"
    if isinstance(connection.sink, ThirdFactor):
        not_supported(f"{what}, which ends at a third factor", loc)
    if connection.shared is not None:
        not_supported(f"{what}, which shares a weight", loc, "give it a weight of its own")
    if not isinstance(connection.connectivity, (Dense, OneToOne, AllButSelf, Sparse)) or (
        connection.connectivity.procedural
    ):
        kind = type(connection.connectivity).__name__
        hint = "gc.Sparse(mask=...) makes any pattern of synapses with weights of their own"
        not_supported(f"{what} with gc.{kind} synapses that share or draw their weights", loc, hint)
    if not isinstance(connection.delay, int):
        hint = "make a connection per delay"
        not_supported(f"{what} whose synapses differ in their delays", loc, hint)
    names = {s.name for s in rule.states}
    if rule.changes_weight and rule.apply == "gradient" and "change" in names:
        raise DeclarationError(f"rule '{rule.name}' has a state 'change', which graphc keeps itself", rule.loc)


def _check_signal(s: Any, connection: Connection, rule: Plasticity, loc: Loc) -> None:
    side, end = ("source", connection.source) if s.side == "pre" else ("target", connection.sink)
    name, at, moment = s.signal.partition("@")
    known = signals(end) if hasattr(end, "neuron") else ("output",)
    early = known_before_reset(end) - set(end.neuron.let) if hasattr(end, "neuron") else set()
    if name not in known or (at and (moment != "threshold" or name not in early)):
        hint = did_you_mean(s.signal, known) or f"there are {', '.join(known)}"
        message = f"the {side} '{end.name}' of connection '{connection.name}' has no signal '{s.signal}'"
        raise DeclarationError(f"{message}, which rule '{rule.name}' reads", loc, hint)


def third_factor(connection: Connection, target: Any, loc: Loc) -> ThirdFactor:
    """Return the end of a connection to the synapses of `connection`."""
    rule = connection.rule
    if rule is None or not rule.inputs:
        message = f"the target '{connection.name}' is a connection without a third factor"
        raise DeclarationError(message, loc, 'plasticity= with a rule that reads gc.input("D", on="network")')
    names = [i.name for i in rule.inputs]
    if target is None and len(names) == 1:
        target = names[0]
    if target not in names:
        what = f"has no third factor {target!r}" if target is not None else "has several third factors"
        hint = did_you_mean(str(target), names) or f"say target={names[0]!r}"
        raise DeclarationError(f"rule '{rule.name}' of '{connection.name}' {what}", loc.entry("target"), hint)
    factor = rule.inputs[names.index(target)]
    end = {"post": connection.sink, "pre": connection.source}.get(str(factor.on))
    population = None if end is None else end.name
    shape = (1,) if end is None else end.shape
    neuron = FactorNeuron(rule.name, (type(factor)(factor.name),))
    size = 1 if end is None else end.size
    return ThirdFactor(f"{connection.name}.{target}", connection.name, population, size, shape, neuron, len(names) > 1)


def check_values(connection: Connection) -> None:
    """Raise where a weight lies outside the bounds of its rule from the start."""
    rule = connection.rule
    value = connection.weight
    if rule is None or rule.bounds is None or value is None:
        return
    import numpy as np

    if not (isinstance(value, (int, float)) or is_array(value)):
        return
    numbers = {p: sympy.Float(p.default) for p in rule.parameters if isinstance(p.default, float)}
    low, high = (b.xreplace(numbers) for b in rule.bounds)
    array = np.asarray(value)
    if low.is_number and high.is_number and ((array < float(low)) | (array > float(high))).any():
        worst = float(array[(array < float(low)) | (array > float(high))].ravel()[0])
        message = f"a weight of connection '{connection.name}' is {worst!r}, outside the bounds of its rule"
        raise DeclarationError(message, connection.loc.entry("weight"), f"they are {float(low)!r} and {float(high)!r}")
