"""Neurons: states, their equations, what makes them spike and what a spike does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import sympy
from sympy.core.relational import Relational

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .declare import Draft, Resolved
from .dimensions import Dimension
from .names import check_name
from .shaped import Positions, unpack
from .surrogate import SuperSpike, Surrogate
from .symbols import Input, Noise, Parameter, State
from .values import Value, to_sympy

Edge = Literal["level", "rising"]


@dataclass(frozen=True)
class Spike:
    """When a neuron spikes, and what stands for the derivative of that.

    Args:
        condition: a comparison, or an expression that means ``> 0``.
        surrogate: dz/dc for ``c = lhs - rhs``.
        escape: rate of stochastic spikes, in 1/ms: a step of length dt has one with ``P = 1 - exp(-escape dt)``. Its
            derivative is that of P; where a condition is given too, it is the surrogate of the condition.
        detach_reset: whether gradients do not pass through the reset: True, False, or the states it is cut for.
        edge: "rising" fires only where the condition begins to hold; None is "level".
        detached: the states whose reset is cut; filled in by `Neuron`.
        loc: the user's line.
    """

    condition: Any = None
    surrogate: Surrogate = field(default=SuperSpike(beta=10.0), kw_only=True)
    escape: Any = field(default=None, kw_only=True)
    detach_reset: Any = field(default=True, kw_only=True)
    edge: Edge | None = field(default=None, kw_only=True)
    detached: frozenset[State] = field(default=frozenset(), kw_only=True)
    loc: Loc = field(default_factory=Loc.caller, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no condition or option."""
        if self.condition is None and self.escape is None:
            hint = "gc.Spike(v > theta), or gc.Spike(escape=rate)"
            raise DeclarationError("gc.Spike needs a condition or an escape rate", self.loc, hint)
        if self.escape is not None and self.edge == "rising":
            hint = "leave edge out: a draw decides at every step"
            raise DeclarationError('edge="rising" of a gc.Spike with escape', self.loc, hint)
        if not isinstance(self.surrogate, Surrogate):
            hint = "gc.surrogate.SuperSpike(beta=10.0)"
            raise DeclarationError(f"surrogate of gc.Spike is {self.surrogate!r}, which is none", self.loc, hint)
        if self.edge not in (None, "level", "rising"):
            raise DeclarationError(f"edge={self.edge!r} of gc.Spike is unknown", self.loc, 'use "level" or "rising"')
        if self.condition is not None:
            object.__setattr__(self, "condition", self._checked(self.condition))

    @property
    def margin(self) -> sympy.Expr:
        """What is above 0 where the condition holds, the argument of the surrogate; the rate where that is all."""
        match self.condition:
            case None:
                return self.escape
            case sympy.Gt() | sympy.Ge():
                return self.condition.lhs - self.condition.rhs
            case sympy.Lt() | sympy.Le():
                return self.condition.rhs - self.condition.lhs
        return self.condition

    @property
    def strict(self) -> bool:
        """Whether a margin of exactly 0 is no spike."""
        return not isinstance(self.condition, (sympy.Ge, sympy.Le))

    def _checked(self, condition: Any) -> sympy.Basic:
        if isinstance(condition, (bool, sympy.logic.boolalg.BooleanAtom)):
            raise DeclarationError(f"the spike condition is always {condition}", self.loc)
        condition = to_sympy(condition, "the spike condition", self.loc)
        if isinstance(condition, Relational):
            if not isinstance(condition, (sympy.Gt, sympy.Ge, sympy.Lt, sympy.Le)):
                raise DeclarationError(f"'{condition}' is no spike condition", self.loc, "compare with >, >=, < or <=")
        elif not isinstance(condition, sympy.Expr):
            hint = "'a > 0 and b > 0' is sympy.Min(a, b) > 0, 'or' is sympy.Max(a, b) > 0"
            raise DeclarationError(f"'{condition}' is no spike condition", self.loc, hint)
        return condition


@dataclass(frozen=True)
class Refractory:
    """How long a neuron cannot spike after a spike, and which states stand still meanwhile.

    Args:
        duration: a time, a parameter, or sympy.oo.
        hold: the states that stand still; None for those that the condition reads and whose reset does not read
            themselves.
        loc: the user's line.
    """

    duration: Any
    hold: Any = field(default=None, kw_only=True)
    loc: Loc = field(default_factory=Loc.caller, kw_only=True, compare=False, repr=False)


class Neuron:
    """A neuron model, elementwise over its population; immutable.

    Every expression is in base units with `let` names written out.

    Args:
        name: for messages, prints and generated code.
        ode: state -> its derivative in time; a tuple of states takes a sequence, or one value for all.
        update: state -> its next value, a discrete-time map.
        receive: state -> its value after the step's input was delivered.
        spike: when it spikes, or None.
        reset: state -> its value after a spike.
        refractory: a time, or gc.Refractory.
        integrator: "auto", "exact", "exponential_euler", "euler", "heun", "rk4" or "implicit_euler".
        let: name -> expression that the sympy symbol of this name stands for.
        output: what leaves; the spike by default, else the first state.
        init: state -> initial value.
    """

    name: str
    loc: Loc
    states: tuple[State, ...]
    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    noises: tuple[Noise, ...]
    ode: dict[State, sympy.Expr]
    update: dict[State, sympy.Expr]
    receive: dict[State, sympy.Expr]
    reset: dict[State, sympy.Expr]
    let: dict[str, sympy.Expr]
    spike: Spike | None
    refractory: Refractory | None
    output: sympy.Expr
    init: dict[State, Value | sympy.Expr]
    integrator: str
    uses_units: bool
    dimensions: dict[str, Dimension]
    positions: Positions

    def __init__(
        self,
        name: str,
        *,
        ode: Mapping[State, Any] = {},
        update: Mapping[State, Any] = {},
        receive: Mapping[State, Any] = {},
        spike: Spike | None = None,
        reset: Mapping[State, Any] = {},
        refractory: Any = None,
        integrator: str = "auto",
        let: Mapping[str, Any] = {},
        output: Any = None,
        init: Mapping[State, Any] = {},
    ) -> None:
        """Check the declaration and keep it."""
        loc = Loc.caller()
        check_name(name, "a neuron", loc)
        if spike is not None and not isinstance(spike, Spike):
            hint = "write spike=gc.Spike(v > theta)"
            raise DeclarationError(f"spike of neuron {name!r} is {spike!s}, no gc.Spike", loc.entry("spike"), hint)
        if refractory is not None and not isinstance(refractory, Refractory):
            refractory = Refractory(refractory, loc=loc)
        positions: Positions = {}
        given = {"ode": ode, "update": update, "receive": receive, "reset": reset, "init": init}
        groups = {g: unpack(g, entries, f"neuron '{name}'", loc, positions) for g, entries in given.items()}
        init = groups.pop("init")
        draft = Draft(name, loc, integrator, spike, refractory, positions)
        resolved = draft.resolve(groups, let, output, init)
        fields = _fields(resolved, spike, refractory)
        self.__dict__.update(name=name, loc=loc, integrator=integrator, positions=positions, **fields)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a neuron does not change."""
        raise AttributeError(f"neuron {self.name!r} is immutable; declare another")

    def __repr__(self) -> str:
        """Return name and states."""
        return f"Neuron({self.name!r}, states={[s.name for s in self.states]})"

    @property
    def escapes(self) -> bool:
        """Whether its spikes are random."""
        return self.spike is not None and self.spike.escape is not None

    def loc_of(self, group: str, which: State | str | int | None = None) -> Loc:
        """Return the line of an argument such as "ode" or "spike", or of one entry of it."""
        entries = getattr(self, group, None)
        if not isinstance(entries, dict):
            return self.loc.entry(group)
        if which is None or isinstance(which, int):
            return self.loc.entry(group, which)
        index = self.positions.get((group, which), list(entries).index(which)) if which in entries else None
        return self.loc if index is None else self.loc.entry(group, index)

    def loc_of_state(self, state: State) -> Loc:
        """Return the line of the equation of `state`."""
        return self.loc_of("ode" if state in self.ode else "update", state)


def _fields(resolved: Resolved, spike: Spike | None, refractory: Refractory | None) -> dict[str, Any]:
    """Return the attributes of a neuron."""
    fields = dict(resolved.__dict__)
    if spike is not None:
        found = {name: fields.pop(name) for name in ("condition", "escape", "detached")}
        spike = replace(spike, edge=spike.edge or "level", **found)
    if refractory is not None:
        refractory = replace(refractory, duration=fields.pop("duration"), hold=fields.pop("hold"))
    for name in ("condition", "escape", "detached", "duration", "hold"):
        fields.pop(name, None)
    return {**fields, "spike": spike, "refractory": refractory}
