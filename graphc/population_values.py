"""The values of one population: what its parameters and initial states are after the user's overrides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import sympy

from graphc.ir.errors import DeclarationError, warn
from graphc.ir.loc import Loc

from .distributions import Distribution
from .entries import in_base_units
from .neuron import Neuron
from .symbols import Parameter, Per, State, check_bounds
from .values import Measured, Value, is_array, measure, to_sympy, whole_steps


@dataclass(frozen=True, eq=False)
class ParameterValue:
    """A parameter of a population in base units; an array or a distribution given to it makes one value per neuron."""

    name: str
    value: Value
    learn: bool
    per: Per
    min: float | None
    max: float | None


def parameter_value(
    p: Parameter, given: Any, shape: tuple[int, ...], population: str, neuron: Neuron, loc: Loc
) -> ParameterValue:
    """Return parameter `p` of a population of `shape`, with what the user gave for it (None for nothing)."""
    if given is None:
        _check_count(p.default, p.per, p.name, shape, population, loc)
        return ParameterValue(p.name, p.default, p.learn, p.per, p.min, p.max)
    loc = loc.entry(p.name)
    what = f"parameter '{p.name}' of population '{population}'"
    if isinstance(given, Parameter):
        _check_dimension(Measured(given.default, given.dimension), p.name, what, neuron, loc)
        _check_count(given.default, given.per, p.name, shape, population, loc)
        return ParameterValue(p.name, given.default, given.learn, given.per, given.min, given.max)
    measured = measure(given, what, loc)
    _check_dimension(measured, p.name, what, neuron, loc)
    per: Per = "neuron" if p.per == "population" and not isinstance(measured.value, float) else p.per
    _check_count(measured.value, per, p.name, shape, population, loc)
    check_bounds(p.name, measured.value, p.min, p.max, p.learn, loc)
    return ParameterValue(p.name, measured.value, p.learn, per, p.min, p.max)


def initial_value(
    state: State, given: Any, overridden: bool, size: int, population: str, neuron: Neuron, loc: Loc
) -> Value | sympy.Expr:
    """Return the initial value of `state` in a population: the neuron's own, or what the user gave."""
    if not overridden:
        _check_length(given, state.name, size, population, loc)
        return given
    loc = loc.entry(state.name)
    what = f"the initial value of '{state}' of population '{population}'"
    if not is_array(given) and not isinstance(given, Distribution):
        e = in_base_units(to_sympy(given, what, loc))
        if e.free_symbols:
            allowed = {*neuron.parameters, *neuron.states} - {state}
            for s in sorted(e.free_symbols - allowed, key=str):
                hint = "it can depend on parameters and other initial values"
                raise DeclarationError(f"{what} reads '{s}'", loc, hint)
            return e
    measured = measure(given, what, loc)
    _check_dimension(measured, state.name, what, neuron, loc)
    _check_length(measured.value, state.name, size, population, loc)
    return measured.value


def refractory_steps(
    neuron: Neuron, parameters: dict[str, ParameterValue], dt: float, population: str, loc: Loc
) -> None:
    """Check that the refractory time is a whole number of steps, where it is known before the parameters are drawn."""
    if neuron.refractory is None:
        return
    duration = neuron.refractory.duration
    known = {p: parameters[p.name].value for p in neuron.parameters if p in duration.free_symbols}
    if not all(isinstance(v, float) for v in known.values()):
        if all(not isinstance(v, Distribution) for v in known.values()) and not _uneven(duration, known, dt):
            return
        message = f"the refractory times of population '{population}' are rounded to whole steps of {dt!r} ms"
        warn(message, loc)
        return
    number = duration.xreplace({p: sympy.Float(v) for p, v in known.items()})
    if number is sympy.oo:
        return
    time = float(number)
    if not time >= 0:
        raise DeclarationError(f"the refractory time of population '{population}' is {time!r} ms", loc)
    if whole_steps(time, dt) is None:
        message = f"the refractory time of population '{population}' is {time!r} ms, no multiple of dt = {dt!r} ms"
        raise DeclarationError(message, loc, "change the refractory time or dt")


def _uneven(duration: Any, known: dict[Parameter, Any], dt: float) -> bool:
    """Return whether some neuron's refractory time is no whole number of steps."""
    lengths = {v.size for v in known.values() if not isinstance(v, float)}
    for k in range(max(lengths)):
        at = {p: 0 if isinstance(v, float) else k * v.size // max(lengths) for p, v in known.items()}
        numbers = {p: sympy.Float(v if isinstance(v, float) else float(v[at[p]])) for p, v in known.items()}
        if whole_steps(float(duration.xreplace(numbers)), dt) is None:
            return True
    return False


def _check_count(value: Any, per: Per, name: str, shape: tuple[int, ...], population: str, loc: Loc) -> None:
    """Refuse an array with another number of values than there are neurons, or channels."""
    if per != "channel":
        _check_length(value, name, math.prod(shape), population, loc)
    elif is_array(value) and value.shape != shape[:1]:
        message = f"'{name}' of population '{population}' has shape {value.shape}, but there are {shape[0]} channels"
        raise DeclarationError(message, loc, f"give one number, or an array of shape ({shape[0]},)")


def _check_length(value: Any, name: str, size: int, population: str, loc: Loc) -> None:
    if is_array(value) and value.shape != (size,):
        message = f"'{name}' of population '{population}' has shape {value.shape}, but the population {size} neurons"
        raise DeclarationError(message, loc, f"give one number, or an array of shape ({size},)")


def _check_dimension(measured: Measured, name: str, what: str, neuron: Neuron, loc: Loc) -> None:
    """Refuse a wrong unit; a plain number is in base units, and a neuron without units takes times in ms."""
    wanted = neuron.dimensions.get(name)
    if measured.dimension is not None and wanted is not None and measured.dimension != wanted:
        raise DeclarationError(f"{what} is {measured.dimension}, but must be {wanted}", loc)
