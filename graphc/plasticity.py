"""Learning rules as equations on synapses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import sympy

from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc

from .names import check_name
from .rule_check import GROUPS, RuleDraft, check_choices
from .rule_places import per_neuron, place_of
from .shaped import Positions, unpack
from .symbols import Input, Parameter, Place, Signal, State, weight


class Plasticity:
    """A learning rule of the synapses of a connection; immutable.

    States live where their symbols say: one number per source neuron (``gc.states("xp", on="pre")``), per target neuron
    ("post") or per synapse. ``gc.weight`` is a state on the synapse when it has an equation or a jump.

    Args:
        name: for messages and prints.
        ode: state -> its derivative in time, at the end of the step; a tuple of states takes a sequence, or one value.
        update: state -> its next value, at the end of the step.
        on_pre: state -> its value after a spike has arrived, which comes before the target integrates.
        on_post: state -> its value after a spike of the target neuron.
        transmit: what one synapse delivers, as in `connect`; it may read the states of the rule.
        let: name -> expression that the sympy symbol of this name stands for.
        init: state -> initial value, a number or an expression of parameters and gc.weight.
        bounds: (low, high) of gc.weight, kept whenever it changes.
        integrator: as of a neuron.
        reduction: None: every sample has its own weight, from the parameter on; "mean" or "sum": one weight, whose
            changes are reduced over the batch, written to the parameter after a run.
        apply: "weight", or "gradient": the weight stays, and minus its change is added to the parameter's `.grad`.
    """

    name: str
    loc: Loc
    states: tuple[State, ...]
    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    ode: dict[Any, sympy.Expr]
    update: dict[Any, sympy.Expr]
    on_pre: dict[Any, sympy.Expr]
    on_post: dict[Any, sympy.Expr]
    transmit: dict[str | None, sympy.Expr] | None
    let: dict[str, sympy.Expr]
    init: dict[State, sympy.Expr]
    bounds: tuple[sympy.Expr, sympy.Expr] | None
    integrator: str
    reduction: Literal["mean", "sum"] | None
    apply: Literal["weight", "gradient"]
    positions: Positions

    def __init__(
        self,
        name: str,
        *,
        ode: Mapping[Any, Any] = {},
        update: Mapping[Any, Any] = {},
        on_pre: Mapping[Any, Any] = {},
        on_post: Mapping[Any, Any] = {},
        transmit: Any = None,
        let: Mapping[str, Any] = {},
        init: Mapping[State, Any] = {},
        bounds: Any = None,
        integrator: str = "auto",
        reduction: str | None = None,
        apply: str = "weight",
    ) -> None:
        """Check the declaration and keep it."""
        loc = Loc.caller()
        check_name(name, "a rule", loc)
        check_choices(name, integrator, reduction, apply, loc)
        positions: Positions = {}
        given = {"ode": ode, "update": update, "on_pre": on_pre, "on_post": on_post, "init": init}
        groups = {g: unpack(g, entries, f"rule '{name}'", loc, positions) for g, entries in given.items()}
        init = groups.pop("init")
        fields = RuleDraft(name, loc, positions).resolve(groups, transmit, let, init, bounds)
        if not any(groups.values()):
            raise DeclarationError(f"rule '{name}' has neither an equation nor a jump", loc, "on_pre={gc.weight: ...}")
        changes = any(weight in group for group in groups.values())
        if apply == "gradient" and not changes:
            raise DeclarationError(f"rule '{name}' applies a change of gc.weight but has none", loc.entry("apply"))
        if reduction is not None and not changes:
            message = f"rule '{name}' reduces the change of gc.weight but has none"
            raise DeclarationError(message, loc.entry("reduction"))
        options = {"integrator": integrator, "reduction": reduction, "apply": apply, "positions": positions}
        self.__dict__.update(name=name, loc=loc, **options, **fields)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a rule does not change."""
        raise AttributeError(f"rule {self.name!r} is immutable; declare another")

    def __repr__(self) -> str:
        """Return name and states."""
        return f"Plasticity({self.name!r}, states={[s.name for s in self.states]})"

    @property
    def groups(self) -> dict[str, dict[Any, sympy.Expr]]:
        """The equations and jumps by argument."""
        return {group: getattr(self, group) for group in GROUPS}

    @property
    def changes_weight(self) -> bool:
        """Whether gc.weight has an equation or a jump."""
        return any(weight in group for group in self.groups.values())

    @property
    def carries_weight(self) -> bool:
        """Whether the weight that acts is a state of the run."""
        return self.changes_weight and self.apply == "weight"

    @property
    def signals(self) -> set[Signal]:
        """What it reads of the two populations."""
        exprs = [e for group in self.groups.values() for e in group.values()]
        return {s for e in exprs for s in e.atoms(Signal)}

    def places(self, detect: bool = True) -> dict[State, Place]:
        """Return where each state is kept; with `detect`, per neuron where one per synapse would say the same."""
        declared: dict[State, Place] = {s: place_of(s) or "synapse" for s in self.states}
        return declared | (per_neuron(self.states, self.groups, self.init) if detect else {})

    def loc_of(self, group: str, key: Any = None) -> Loc:
        """Return the line of an argument, or of one entry of it."""
        entries = getattr(self, group)
        index = list(entries).index(key) if isinstance(entries, dict) and key in entries else None
        return self.loc.entry(group, self.positions.get((group, key), index))


@dataclass(frozen=True, eq=False)
class FactorNeuron:
    """What stands for the neuron where a connection ends at a rule: an input and nothing else."""

    name: str
    inputs: tuple[Input, ...]
    states: tuple[State, ...] = ()
    let: Mapping[str, Any] = field(default_factory=dict)
    dimensions: Mapping[str, Any] = field(default_factory=dict)
    spike: None = None
    refractory: None = None


@dataclass(frozen=True, eq=False)
class ThirdFactor:
    """The target of a connection that ends at the synapses of another one.

    Attributes:
        name: of the axis that it has when there is one number for the whole network.
        label: the connection whose synapses hear of it.
        population: the one that has a number per neuron, None for the network.
        several: whether the rule has other third factors, so that names must tell them apart.
    """

    name: str
    label: str
    population: str | None
    size: int
    shape: tuple[int, ...]
    neuron: FactorNeuron
    several: bool
