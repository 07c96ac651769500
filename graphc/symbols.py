"""The symbols of declarations, values without a registry: states, inputs, parameters and reserved names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

import sympy

from graphc.ir import functions as markers
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .dimensions import Dimension, quantities
from .names import check_attribute_name, check_symbol_name
from .values import Value, is_array, measure, measure_number

Place = Literal["pre", "post", "synapse", "network"]
Per = Literal["population", "neuron", "channel", "synapse"]


class Named(sympy.Symbol):
    """A real symbol that equals another exactly when kind, name and options are equal."""

    _options: tuple[Any, ...]
    _key: str

    def __new__(cls, name: str, *options: Any) -> Any:
        """Return the symbol; use gc.state, gc.input and gc.param, which check the name."""
        symbol = sympy.Symbol.__xnew__(cls, name, real=True)
        symbol._options, symbol._key = options, "|".join(_key(option) for option in options)
        return symbol

    def _hashable_content(self) -> tuple[str, str]:
        return self.name, self._key

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by kind, name and options."""
        return type(self), (self.name, *self._options)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Pickle and copy by kind, name and options."""
        return self.__reduce__()


class State(Named):
    """A state of a neuron, or of a learning rule: then it lives where `on` says."""

    def __new__(cls, name: str, on: Place | None = None, size: int | None = None) -> Any:
        """Return the symbol; use gc.state."""
        return Named.__new__(cls, name, *_given(on, size))

    on: Place | None = property(lambda self: self._options[0] if self._options else None)  # type: ignore[assignment]
    size: int | None = property(lambda self: self._options[1] if self._options[1:] else None)  # type: ignore[assignment]


class Input(Named):
    """The summed synaptic drive of a neuron, or a third factor of a learning rule, which is where `on` says."""

    def __new__(cls, name: str, on: Place | None = None, size: int | None = None) -> Any:
        """Return the symbol; use gc.input."""
        return Named.__new__(cls, name, *_given(on, size))

    on: Place | None = property(lambda self: self._options[0] if self._options else None)  # type: ignore[assignment]
    size: int | None = property(lambda self: self._options[1] if self._options[1:] else None)  # type: ignore[assignment]


class Noise(Named):
    """A random number per neuron, sample and step: white noise in `ode`, a draw of `kind` elsewhere."""

    def __new__(cls, name: str, kind: Literal["normal", "uniform"] = "normal") -> Any:
        """Return the symbol; use gc.noise."""
        return Named.__new__(cls, name, kind)

    kind: Literal["normal", "uniform"] = property(lambda self: self._options[0])  # type: ignore[assignment]


class Reserved(Named):
    """A name with a fixed meaning: gc.t, gc.dt, gc.spike, gc.weight."""


class Signal(Named):
    """A signal of the source or target population of a connection; name is ``pre.v`` or ``post.v``."""

    side = property(lambda self: self.name.split(".")[0])
    signal = property(lambda self: self.name.split(".")[1])


class Parameter(Named):
    """A parameter: its default in base units, whether it is learned, and how many values it has."""

    def __new__(
        cls,
        name: str,
        default: Value,
        learn: bool = False,
        per: Per = "population",
        min: float | None = None,
        max: float | None = None,
        dimension: Dimension | None = None,
    ) -> Any:
        """Return the symbol; use gc.param."""
        return Named.__new__(cls, name, default, learn, per, min, max, dimension)

    default: Value = property(lambda self: self._options[0])  # type: ignore[assignment]
    learn: bool = property(lambda self: self._options[1])  # type: ignore[assignment]
    per: Per = property(lambda self: self._options[2])  # type: ignore[assignment]
    min: float | None = property(lambda self: self._options[3])  # type: ignore[assignment]
    max: float | None = property(lambda self: self._options[4])  # type: ignore[assignment]
    dimension: Dimension | None = property(lambda self: self._options[5])  # type: ignore[assignment]


t, dt, spike, weight = (Reserved(name) for name in ("t", "dt", "spike", "weight"))
refractory = Reserved("refractory")  # 1 while a neuron cannot spike; for outputs that graphc itself makes


@overload
def state(name: str, *, shape: None = None, on: Any = None) -> State: ...
@overload
def state(name: str, *, shape: int, on: Any = None) -> tuple[State, ...]: ...
def state(name: str, *, shape: Any = None, on: Any = None) -> Any:
    """Return a state of a neuron; it needs an equation in `ode` or `update`.

    In a learning rule a state lives `on` "pre" or "post", one per neuron of that side, or on "synapse", the default.
    With a `shape`, a number M, it is the tuple of M states ``v[0]`` to ``v[M-1]``, which may be a key of `ode`,
    `update`, `receive`, `reset` and `init`.
    """
    loc = Loc.caller()
    _check_place(shape, on, ("pre", "post", "synapse"), "gc.state", loc)
    return _parts(State, check_symbol_name(name, "a state", loc), on, shape)


@overload
def states(names: str, *, shape: None = None, on: Any = None) -> tuple[State, ...]: ...
@overload
def states(names: str, *, shape: int, on: Any = None) -> tuple[tuple[State, ...], ...]: ...
def states(names: str, *, shape: Any = None, on: Any = None) -> tuple[Any, ...]:
    """Return one state per name in ``"v u"``, each a tuple where there is a `shape`."""
    return tuple(state(name, shape=shape, on=on) for name in _split(names, "gc.states"))


@overload
def input(name: str, *, shape: None = None, on: Any = None) -> Input: ...
@overload
def input(name: str, *, shape: int, on: Any = None) -> tuple[Input, ...]: ...
def input(name: str, *, shape: Any = None, on: Any = None) -> Any:
    """Return an input of a neuron: the sum of what its connections deliver in a step.

    In a learning rule it is a third factor: one number `on` "network", or one per neuron of "post" or "pre". With a
    `shape`, a number M, it is the tuple of M inputs ``x[0]`` to ``x[M-1]``, each the target of its own connections.
    """
    loc = Loc.caller()
    _check_place(shape, on, ("network", "post", "pre"), "gc.input", loc)
    return _parts(Input, check_symbol_name(name, "an input", loc), on, shape)


@overload
def inputs(names: str, *, shape: None = None, on: Any = None) -> tuple[Input, ...]: ...
@overload
def inputs(names: str, *, shape: int, on: Any = None) -> tuple[tuple[Input, ...], ...]: ...
def inputs(names: str, *, shape: Any = None, on: Any = None) -> tuple[Any, ...]:
    """Return one input per name in ``"exc inh"``, each a tuple where there is a `shape`."""
    return tuple(input(name, shape=shape, on=on) for name in _split(names, "gc.inputs"))


def param(
    name: str, default: Any, *, learn: bool = False, per: Per = "population", min: Any = None, max: Any = None
) -> Parameter:
    """Return a parameter of a neuron, or of the synapses of a connection.

    Args:
        name: its name in the equations and on the module, ``model.hid.tau``.
        default: number, quantity, array of one value per neuron, or distribution.
        learn: make it an nn.Parameter.
        per: one value per "population" or per "neuron", where an array has one per neuron; per "channel", one per
            first axis of the population's shape; or per "synapse", for use in `transmit` of a connection, of the shape
            of its weights.
        min: lower bound, kept during learning.
        max: upper bound, kept during learning.
    """
    loc = Loc.caller()
    check_attribute_name(check_symbol_name(name, "a parameter", loc), "a parameter", loc)
    if per not in ("population", "neuron", "channel", "synapse"):
        hint = 'use "population", "neuron", "channel" or "synapse"'
        raise DeclarationError(f"per={per!r} of parameter {name!r} is unknown", loc, hint)
    if not isinstance(learn, bool):
        raise DeclarationError(f"learn of parameter {name!r} must be True or False, not {learn!r}", loc)
    measured = measure(default, f"the default of parameter {name!r}", loc)
    dimension = measured.dimension
    low, low_dimension = _bound(name, min, "min", loc)
    high, high_dimension = _bound(name, max, "max", loc)
    for side, bound, other in (("min", low, low_dimension), ("max", high, high_dimension)):
        if dimension is None and isinstance(measured.value, float) and measured.value == 0.0:
            dimension = other  # 0 * mV is 0 for sympy: the bound then says the unit
        if bound and other != dimension:
            kinds = [str(d) if d else "a number without a unit" for d in (other, dimension)]
            raise DeclarationError(f"{side} of parameter {name!r} is {kinds[0]}, its default {kinds[1]}", loc)
    check_bounds(name, measured.value, low, high, learn, loc)
    place: Per = "neuron" if is_array(measured.value) and per == "population" else per
    return Parameter(name, measured.value, learn, place, low, high, dimension)  # type: ignore[no-any-return]


def params(**defaults: Any) -> tuple[Parameter, ...]:
    """Return one parameter per keyword, in order."""
    return tuple(param(name, default) for name, default in defaults.items())


def noise(name: str, *, kind: Literal["normal", "uniform"] = "normal") -> Noise:
    """Return a random number per neuron, sample and step; one symbol is one draw wherever it occurs.

    In `ode` it is Gaussian white noise xi of unit intensity, ``<xi(t) xi(s)> = delta(t - s)``, in 1/sqrt(ms): with
    ``integrator`` "euler" and "exponential_euler" in the sense of Ito, with "heun" in that of Stratonovich, and "exact"
    has the distribution of the solution where it is added to a linear equation. Elsewhere it is a standard normal draw.

    Args:
        name: of the symbol.
        kind: "normal", or "uniform" for a draw from [0, 1), which `ode` does not take.

    Raises:
        DeclarationError: another kind.
    """
    loc = Loc.caller()
    if kind not in ("normal", "uniform"):
        raise DeclarationError(f"kind={kind!r} of noise {name!r} is unknown", loc, 'use "normal" or "uniform"')
    return Noise(check_symbol_name(name, "noise", loc), kind)  # type: ignore[no-any-return]


def pre(name: str = "output") -> Signal:
    """Return a signal of the source population of a connection."""
    return Signal(f"pre.{name}")  # type: ignore[no-any-return]


def post(name: str = "output") -> Signal:
    """Return a signal of the target population of a connection."""
    return Signal(f"post.{name}")  # type: ignore[no-any-return]


def previous(a: Any, delay: Any = 1) -> Any:
    """Return what `a`, a state, an input or gc.spike, was `delay` steps (int) or a time (quantity) earlier."""
    loc = Loc.caller()
    if not isinstance(a, (State, Input, Signal)) and a != spike:
        hint = "give a state, an input or gc.spike, and compute with what gc.previous returns"
        hint = "one part of it, such as gc.previous(v[0])" if isinstance(a, tuple) else hint
        raise DeclarationError(f"gc.previous takes one symbol, not {a!s}", loc, hint)
    if quantities(delay):
        return markers.previous(a, delay)
    if isinstance(delay, bool) or not (hasattr(delay, "__index__") and delay >= 1):
        hint = "give a whole number of steps, at least 1, or a time with a unit"
        raise DeclarationError(f"the delay of gc.previous({a}) is {delay!s}", loc, hint)
    return markers.previous(a, sympy.Integer(int(delay)))


def detach(e: Any) -> Any:
    """Return `e` as a constant of differentiation; of a model's state, return it cut from the autograd graph."""
    if hasattr(e, "detach"):
        return e.detach()
    if isinstance(e, Mapping):
        return {name: tensor.detach() for name, tensor in e.items()}
    return markers.detach(e)


def at_threshold(e: Any) -> Any:
    """Return the value of `e` before the reset; for use in `output`."""
    return markers.at_threshold(e)


def sum(e: Any, over: Literal["pre", "post"]) -> Any:
    """Return the sum of a synaptic expression over the synapses of a neuron, inside a learning rule.

    Args:
        e: an expression that a synapse can read.
        over: "pre" sums over the sources: one number per target neuron; "post" over the targets: one per source.
    """
    if over not in ("pre", "post"):
        raise DeclarationError(f"gc.sum over={over!r}", Loc.caller(), 'use over="pre" or over="post"')
    return markers.total(e, sympy.Symbol(over))


def check_bounds(name: str, value: Value, low: float | None, high: float | None, learn: bool, loc: Loc) -> None:
    """Raise when a value of parameter `name` lies outside its bounds; a learned one must lie strictly inside."""
    if low is not None and high is not None and not low < high:
        raise DeclarationError(f"min={low!r} of parameter {name!r} is not below its max={high!r}", loc)
    smallest, largest = extent(value)
    for bound, worst, outside, side in (
        (low, smallest, lambda w, b: w < b, "below its min"),
        (high, largest, lambda w, b: w > b, "above its max"),
    ):
        if bound is None or worst is None:
            continue
        if outside(worst, bound):
            raise DeclarationError(f"parameter {name!r} is {worst!r}, {side}={bound!r}", loc)
        if learn and worst == bound:
            hint = "a learned parameter approaches its bounds but cannot start on one"
            raise DeclarationError(f"parameter {name!r} is {worst!r}, equal to {side[-3:]}={bound!r}", loc, hint)


def extent(value: Value) -> tuple[float | None, float | None]:
    """Return the smallest and largest number of a value, None where it has none."""
    from .distributions import Distribution, Exponential, LogNormal, Uniform

    if isinstance(value, Uniform):
        return value.low, value.high
    if isinstance(value, Distribution):
        return (0.0 if isinstance(value, (Exponential, LogNormal)) else None), None
    if isinstance(value, float):
        return value, value
    return (float(value.min()), float(value.max())) if value.size else (None, None)


def _bound(name: str, bound: Any, side: str, loc: Loc) -> tuple[float | None, Dimension | None]:
    if bound is None:
        return None, None
    number = measure_number(bound, f"{side} of parameter {name!r}", loc)
    return number.value, number.dimension


def _split(names: str, what: str) -> list[str]:
    if not isinstance(names, str) or not names.strip():
        raise DeclarationError(f"{what} takes names in one text, not {names!r}", Loc.caller(), f'{what}("v u")')
    return names.replace(",", " ").split()


def _check_place(shape: Any, on: Any, places: tuple[str, ...], what: str, loc: Loc) -> None:
    if shape is not None and (isinstance(shape, bool) or not hasattr(shape, "__index__") or shape < 1):
        hint = "give the number of parts, such as shape=3"
        raise DeclarationError(f"shape={shape!r} of {what} is no positive int", loc, hint)
    if on is not None and on not in places:
        raise DeclarationError(f"on={on!r} of {what} is unknown", loc, f"use one of {', '.join(map(repr, places))}")


def _parts(kind: Any, name: str, on: Any, shape: Any) -> Any:
    if shape is None:
        return kind(name, on)
    return tuple(kind(f"{name}[{k}]", on, int(shape)) for k in range(int(shape)))


def _given(on: Any, size: Any) -> list[Any]:
    """Return the options of a state or input, without those that are None at the end."""
    return [on, size] if size is not None else [on] if on is not None else []


def _key(option: Any) -> str:
    """Return a text that is equal exactly for equal options; sympy compares and sorts symbols by it."""
    if hasattr(option, "tobytes"):
        import hashlib

        return f"array{option.shape}:{hashlib.sha256(option.tobytes()).hexdigest()}"
    return repr(option)
