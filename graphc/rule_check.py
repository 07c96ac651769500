"""Checks of a declared learning rule: from what the user wrote to the attributes of a `Plasticity`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from graphc.ir.errors import DeclarationError, not_supported, raise_all
from graphc.ir.functions import at_threshold, previous
from graphc.ir.loc import Loc

from .declare import INTEGRATORS
from .entries import Entry, in_base_units, sorted_symbols
from .names import check_name, did_you_mean
from .rule_places import READABLE, leaves_of, place_of, term_with
from .shaped import Positions
from .symbols import Input, Named, Parameter, Signal, State, spike, weight
from .values import to_sympy

GROUPS = ("ode", "update", "on_pre", "on_post")
_SHOWN = {"pre": "the source neuron", "post": "the target neuron", "synapse": "the synapse"}


@dataclass
class RuleDraft:
    """A rule being declared."""

    name: str
    loc: Loc
    positions: Positions = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    errors: list[DeclarationError] = field(default_factory=list)

    def resolve(
        self,
        groups: Mapping[str, Mapping[Any, Any]],
        transmit: Any,
        let: Mapping[str, Any],
        init: Mapping[State, Any],
        bounds: Any,
    ) -> dict[str, Any]:
        """Return the attributes of the rule, or raise everything that is wrong with it at once."""
        self._collect(groups, transmit, let, init, bounds)
        self._raise()
        self._write_out_lets()
        self._check_keys(groups, init)
        self._check_symbols()
        self._raise()
        self._check_places()
        self._raise()
        exprs = {(e.group, e.key): in_base_units(e.expr) for e in self.entries}
        used = list(dict.fromkeys(s for e in self.entries for s in sorted_symbols(e.expr)))
        keys = dict.fromkeys(k for g in GROUPS for k in groups[g])
        sent = transmit if isinstance(transmit, Mapping) else {None: transmit}
        return {
            **{g: {k: exprs[g, k] for k in groups[g]} for g in GROUPS},
            "states": tuple(k for k in keys if isinstance(k, State)),
            "inputs": tuple(s for s in used if isinstance(s, Input)),
            "parameters": tuple(s for s in used if isinstance(s, Parameter)),
            "transmit": None if transmit is None else {k: exprs["transmit", k] for k in sent},
            "let": {k: exprs["let", k] for k in let},
            "init": {k: exprs["init", k] for k in init},
            "bounds": None if bounds is None else (exprs["bounds", 0], exprs["bounds", 1]),
        }

    def fail(self, message: str, loc: Loc, hint: str | None = None) -> None:
        """Note an error."""
        self.errors.append(DeclarationError(message, loc, hint))

    def _raise(self) -> None:
        raise_all(list({(e.message, e.loc): e for e in self.errors}.values()))

    def _collect(
        self,
        groups: Mapping[str, Mapping[Any, Any]],
        transmit: Any,
        let: Mapping[str, Any],
        init: Mapping[State, Any],
        bounds: Any,
    ) -> None:
        for group, given in (*groups.items(), ("init", init), ("let", let)):
            if not isinstance(given, Mapping):
                hint = f"write {group}={{gc.weight: ...}}"
                self.fail(f"{group} of rule '{self.name}' is no dict", self.loc.entry(group), hint)
                continue
            for index, (key, value) in enumerate(given.items()):
                self._add(group, key, index, value)
        sent = transmit if isinstance(transmit, Mapping) else {} if transmit is None else {None: transmit}
        for index, (key, value) in enumerate(sent.items()):
            self._add("transmit", key, index if isinstance(transmit, Mapping) else None, value)
        if bounds is None:
            return
        if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
            self.fail(f"bounds of rule '{self.name}' is {bounds!r}", self.loc.entry("bounds"), "bounds=(low, high)")
            return
        for index, value in enumerate(bounds):
            self._add("bounds", index, None, value)
        low, high = (e.expr for e in self.entries if e.group == "bounds")
        if low.is_number and high.is_number and not low < high:
            self.fail(f"bounds of rule '{self.name}' are {low} and {high}", self.loc.entry("bounds"), "low < high")

    def _add(self, group: str, key: Any, index: int | None, value: Any) -> None:
        entry = Entry(group, key, self.positions.get((group, key), index), None, self.name, self.loc, "rule")
        try:
            if group == "let":
                check_name(key, "let", entry.loc)
            entry.expr = to_sympy(value, entry.what, entry.loc)
        except DeclarationError as error:
            self.errors.append(error)
            return
        if not isinstance(entry.expr, sympy.Expr):
            self.fail(f"{entry.what} is '{entry.expr}', no number", entry.loc, "use gc.where(condition, a, b)")
            return
        for part in entry.expr.atoms(AppliedUndef, sympy.Derivative, sympy.Integral):
            self.fail(f"{entry.what} uses '{part}', which is no function that graphc knows", entry.loc)
        self.entries.append(entry)

    def _write_out_lets(self) -> None:
        """Substitute every let name by its expression, itself written out."""
        lets = {e.key: e.expr for e in self.entries if e.group == "let"}
        for _ in range(len(lets) + 1):
            changed = False
            for entry in self.entries:
                names = {s: lets[s.name] for s in entry.expr.free_symbols if _plain(s) and s.name in lets}
                if names:
                    entry.expr, changed = entry.expr.xreplace(names), True
            if not changed:
                return
        self.fail(f"a let of rule '{self.name}' is defined by itself", self.loc.entry("let"))

    def _check_keys(self, groups: Mapping[str, Mapping[Any, Any]], init: Mapping[Any, Any]) -> None:
        for entry in self.entries:
            if entry.group in GROUPS and not isinstance(entry.key, State) and entry.key != weight:
                hint = 'keys are gc.weight and symbols of gc.states("xp", on="pre")'
                self.fail(f"{entry.group} of rule '{self.name}' has the key {entry.key!r}", entry.loc, hint)
            if entry.group == "update" and entry.key in groups["ode"]:
                message = f"'{entry.key}' of rule '{self.name}' has an equation in ode and one in update"
                self.fail(message, entry.loc, "keep one of them")
            if entry.group in ("on_pre", "on_post"):
                other = "post" if entry.group == "on_pre" else "pre"
                if place_of(entry.key) == other:
                    end = "an arriving" if other == "post" else "a target's"
                    self.fail(
                        f"{entry.what} is not local: '{entry.key}' is one number per neuron of '{other}', "
                        f"and {end} spike is an event of one synapse",
                        entry.loc,
                        f"declare it on='synapse', or let it jump in on_{other}",
                    )
            if entry.group == "init":
                known = {k for g in GROUPS for k in groups[g]}
                if entry.key == weight:
                    self.fail(f"init of rule '{self.name}' sets gc.weight", entry.loc, "use weight= of connect")
                elif entry.key not in known:
                    self.fail(f"state '{entry.key}' of rule '{self.name}' has no equation and no jump", entry.loc)
        changed = any(weight in groups[g] for g in GROUPS)
        if any(e.group == "bounds" for e in self.entries) and not changed:
            self.fail(f"rule '{self.name}' has bounds but does not change gc.weight", self.loc.entry("bounds"))

    def _check_symbols(self) -> None:
        """Refuse symbols that mean nothing here, or two things."""
        known = {e.key for e in self.entries if e.group in GROUPS}
        names: dict[str, Named] = {}
        lets = {e.key for e in self.entries if e.group == "let"}
        for entry in self.entries:
            own = [entry.key] if isinstance(entry.key, State) else []
            for s in (*own, *sorted_symbols(entry.expr)):
                if isinstance(s, (State, Input, Parameter)):
                    other = names.setdefault(s.name, s)
                    if other != s or s.name in lets:
                        what = (
                            f"uses '{s}' as {_kind(other)} and {_kind(s)}" if other != s else f"has a let named '{s}'"
                        )
                        self.fail(f"rule '{self.name}' {what}", entry.loc, "declare it once, and rename the other")
                self._check_symbol(s, entry, known, names)
            if entry.expr.has(at_threshold):
                self.fail(f"{entry.what} uses gc.at_threshold", entry.loc, 'read gc.post("v@threshold")')
            for marker in entry.expr.atoms(previous):
                if not isinstance(marker.args[0], Signal):
                    what = f"gc.previous({marker.args[0]}) in a rule"
                    not_supported(what, entry.loc, "keep it as a state; gc.previous takes gc.pre and gc.post here")

    def _check_symbol(self, s: Any, entry: Entry, known: set[Any], names: Mapping[str, Named]) -> None:
        if s == spike:
            hint = 'a synapse sees two neurons: gc.pre("spike") and gc.post("spike")'
            self.fail(f"{entry.what} reads gc.spike, the reserved symbol of a neuron's own spike", entry.loc, hint)
        elif isinstance(s, State) and s not in known:
            near = did_you_mean(s.name, [k.name for k in known if k.name != s.name])
            message = f"state '{s}' of rule '{self.name}' has no equation and no jump"
            self.fail(message, entry.loc, near or f"ode={{{s}: ...}}, update, on_pre or on_post")
        elif isinstance(s, Input) and s.on is None:
            hint = f'gc.input("{s}", on="network"), or on="post", on="pre"'
            self.fail(f"{entry.what} reads the third factor '{s}', which does not say where it is", entry.loc, hint)
        elif isinstance(s, Parameter) and s.per not in ("population", "synapse"):
            hint = 'a rule has one value, or per="synapse" one per synapse'
            self.fail(f"{entry.what} reads '{s}', which is per {s.per}", entry.loc, hint)
        elif not isinstance(s, Named) and s.is_Symbol:
            near = did_you_mean(s.name, names)
            self.fail(f"{entry.what} uses '{s}', which is no state, parameter or input of it", entry.loc, near)

    def _check_places(self) -> None:
        """Refuse what a state cannot know where it lives, or not yet."""
        for entry in self.entries:
            if entry.group in ("on_pre", "transmit"):
                for s in sorted_symbols(entry.expr):
                    if isinstance(s, Input):
                        hint = "third factors arrive at the end of the step: read them in on_post, ode or update"
                        self.fail(f"{entry.what} reads the third factor '{s}', not known yet there", entry.loc, hint)
            if entry.group in ("init", "bounds"):
                for s in sorted_symbols(entry.expr):
                    if not isinstance(s, Parameter) and not (entry.group == "init" and s == weight):
                        self.fail(f"{entry.what} reads '{s}', but can depend on parameters only", entry.loc)
            if entry.group in (*GROUPS, "init"):
                self._check_local(entry)

    def _check_local(self, entry: Entry) -> None:
        place = place_of(entry.key)
        assert place is not None
        for leaf, where in leaves_of(entry.expr):
            if where in READABLE[place]:
                continue
            over = "post" if place == "pre" else "pre"
            self.fail(
                f"{entry.what} is not local: its term '{term_with(entry.expr, leaf)}' reads {shown(leaf)}, which "
                f"belongs to {_SHOWN[where]}, but '{entry.key}' is kept on {_SHOWN[place]}",
                entry.loc,
                f'keep \'{entry.key}\' on="synapse", or sum over its synapses: gc.sum(..., over="{over}")',
            )


def shown(leaf: sympy.Basic) -> str:
    """Return how the user wrote a symbol."""
    if leaf == weight:
        return "gc.weight"
    return f'gc.{leaf.side}("{leaf.signal}")' if isinstance(leaf, Signal) else f"'{leaf}'"


def check_choices(name: str, integrator: Any, reduction: Any, apply: Any, loc: Loc) -> None:
    """Raise where an option has none of its values."""
    for option, value, known in (
        ("integrator", integrator, INTEGRATORS),
        ("reduction", reduction, (None, "mean", "sum")),
        ("apply", apply, ("weight", "gradient")),
    ):
        if value not in known:
            hint = f"use one of {', '.join(map(repr, known))}"
            raise DeclarationError(f"{option}={value!r} of rule '{name}' is unknown", loc.entry(option), hint)


def _plain(s: Any) -> bool:
    return not isinstance(s, Named)


def _kind(s: Named) -> str:
    where = f' on="{s.on}"' if isinstance(s, (State, Input)) and s.on else ""
    return f"{type(s).__name__.lower()}{where}"
