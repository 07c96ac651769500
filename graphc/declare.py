"""Checks of a declared neuron, and what the declaration leaves to defaults: from what the user wrote to a `Neuron`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy
from sympy.core.function import AppliedUndef

from graphc.ir.errors import DeclarationError, raise_all
from graphc.ir.functions import at_threshold, detach, previous, total
from graphc.ir.loc import Loc

from .dimensions import Dimension, quantities, without_units
from .distributions import Distribution
from .entries import Entry, in_base_units, read_now, sorted_symbols
from .names import check_name, did_you_mean
from .noise_check import noise_problems
from .shaped import Positions, flat, incomplete
from .symbols import Input, Named, Noise, Parameter, Reserved, Signal, State, spike, weight
from .unit_check import check_units
from .values import Measured, Value, is_array, measure, to_sympy

if TYPE_CHECKING:
    from .neuron import Refractory, Spike

INTEGRATORS = ("auto", "exact", "exponential_euler", "euler", "heun", "rk4", "implicit_euler")


@dataclass
class Resolved:
    """The attributes of a neuron."""

    states: tuple[State, ...]
    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    noises: tuple[Noise, ...]
    ode: dict[State, Any]
    update: dict[State, Any]
    receive: dict[State, Any]
    reset: dict[State, Any]
    let: dict[str, Any]
    output: Any
    init: dict[State, Any]
    condition: Any
    escape: Any
    detached: frozenset[State]
    duration: Any
    hold: tuple[State, ...]
    uses_units: bool
    dimensions: dict[str, Dimension]


@dataclass
class Draft:
    """A neuron being declared."""

    name: str
    loc: Loc
    integrator: str
    spike: Spike | None
    refractory: Refractory | None
    positions: Positions = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    values: dict[State, Measured] = field(default_factory=dict)  # initial values that are no expressions
    names: dict[str, Named] = field(default_factory=dict)
    errors: list[DeclarationError] = field(default_factory=list)

    def resolve(
        self, groups: Mapping[str, Mapping[State, Any]], let: Mapping[str, Any], output: Any, init: Mapping[State, Any]
    ) -> Resolved:
        """Return the attributes of the neuron, or raise everything that is wrong with it at once."""
        self._collect(groups, let, output, init)
        self._raise()
        states = tuple(dict.fromkeys((*groups["ode"], *groups["update"])))
        self._check_states(groups, init)
        self._check_symbols(set(let))
        self._write_out_lets()
        output = self._output(states)
        self._check_places()
        self._check_spiking(groups)
        for entry, message, hint in noise_problems(self.entries, self.integrator):
            self.fail(message, entry.loc, hint)
        self._raise()
        uses_units, dimensions = self._check_units(init)
        self._raise()
        exprs = {(e.group, e.key): in_base_units(e.expr) for e in self.entries}
        condition, escape = exprs.get(("spike", None)), exprs.get(("escape", None))
        used = list(dict.fromkeys(s for e in self.entries for s in sorted_symbols(e.expr)))
        return Resolved(
            states=states,
            inputs=tuple(s for s in used if isinstance(s, Input)),
            parameters=tuple(s for s in used if isinstance(s, Parameter)),
            noises=tuple(s for s in used if isinstance(s, Noise)),
            **{group: {s: exprs[group, s] for s in entries} for group, entries in groups.items()},
            let={n: exprs["let", n] for n in let},
            output=in_base_units(output),
            init={s: self._initial(exprs, s) for s in dict.fromkeys((*init, *states))},
            condition=condition,
            escape=escape,
            detached=self._detached(groups["reset"]),
            duration=exprs.get(("refractory", None)),
            hold=self._hold(states, (condition, escape), {s: exprs["reset", s] for s in groups["reset"]}),
            uses_units=uses_units,
            dimensions=dimensions,
        )

    def fail(self, message: str, loc: Loc, hint: str | None = None) -> None:
        """Note an error."""
        self.errors.append(DeclarationError(message, loc, hint))

    def _raise(self) -> None:
        raise_all(list({(e.message, e.loc): e for e in self.errors}.values()))

    def _entry(self, group: str, key: Any = None, index: int | None = None) -> Entry:
        return Entry(group, key, self.positions.get((group, key), index), None, self.name, self.loc)

    def _collect(
        self, groups: Mapping[str, Mapping[State, Any]], let: Mapping[str, Any], output: Any, init: Mapping[State, Any]
    ) -> None:
        """Read what the user gave into entries, in the order in which inputs and parameters are numbered."""
        for group in ("ode", "update", "receive"):
            self._collect_group(group, groups[group])
        if self.spike is not None:
            if self.spike.condition is not None:
                self._add(self._entry("spike"), self.spike.condition, relational=True)
            if self.spike.escape is not None:
                self._add(self._entry("escape"), self.spike.escape)
        self._collect_group("reset", groups["reset"])
        if output is not None:
            self._add(self._entry("output"), output)
        for index, (key, value) in enumerate(let.items()):
            entry = self._entry("let", key, index)
            try:
                check_name(key, "let", entry.loc)
                self._add(entry, value)
            except DeclarationError as error:
                self.errors.append(error)
        self._collect_group("init", init)
        if self.refractory is not None:
            self._add(self._entry("refractory"), self.refractory.duration)

    def _collect_group(self, group: str, given: Mapping[State, Any]) -> None:
        if not isinstance(given, Mapping):
            hint = f"write {group}={{v: ...}}"
            self.fail(f"{group} of neuron '{self.name}' is no dict of states", self.loc.entry(group), hint)
            return
        for index, (key, value) in enumerate(given.items()):
            entry = self._entry(group, key, index)
            if not isinstance(key, State):
                hint = 'keys are the symbols that gc.state("...") returned'
                self.fail(f"{group} of neuron '{self.name}' has the key {key!r}, which is no state", entry.loc, hint)
            elif group == "init" and (is_array(value) or isinstance(value, Distribution)):
                try:
                    self.values[key] = measure(value, entry.what, entry.loc)
                except DeclarationError as error:
                    self.errors.append(error)
            else:
                self._add(entry, value)

    def _add(self, entry: Entry, value: Any, relational: bool = False) -> None:
        """Keep an expression, or say why it is none."""
        try:
            e = to_sympy(value, entry.what, entry.loc)
        except DeclarationError as error:
            self.errors.append(error)
            return
        if not relational and not isinstance(e, sympy.Expr):
            self.fail(f"{entry.what} is '{e}', no number", entry.loc, "use gc.where(condition, a, b)")
            return
        for part in sympy.preorder_traversal(e):
            if isinstance(part, (AppliedUndef, sympy.Derivative, sympy.Integral, sympy.MatrixBase, sympy.MatrixExpr)):
                self.fail(f"{entry.what} uses '{part}', which is no function that graphc knows", entry.loc)
            elif isinstance(part, total):
                self.fail(f"{entry.what} uses gc.sum, which belongs in a rule", entry.loc, "make it a connection")
            elif isinstance(part, (State, Input)) and part.on is not None:
                hint = "leave on= out: it is the place of a state or third factor of a learning rule"
                self.fail(f"{entry.what} uses '{part}' on=\"{part.on}\"", entry.loc, hint)
            elif part in (sympy.I, sympy.nan, sympy.zoo):
                self.fail(f"{entry.what} is not a real number: it contains '{part}'", entry.loc)
        entry.expr = e
        self.entries.append(entry)

    def _check_states(self, groups: Mapping[str, Mapping[State, Any]], init: Mapping[State, Any]) -> None:
        ode, update = groups["ode"], groups["update"]
        for state in ode:
            if state in update:
                entry = self._entry("update", state, list(update).index(state))
                hint = "keep one of them"
                self.fail(
                    f"state '{state}' of neuron '{self.name}' has an equation in ode and one in update", entry.loc, hint
                )
        for group, given in (("receive", groups["receive"]), ("reset", groups["reset"]), ("init", init)):
            for index, state in enumerate(given):
                if state not in ode and state not in update:
                    self._no_equation(state, self._entry(group, state, index))
        for entry in self.entries:
            for s in sorted_symbols(entry.expr):
                if isinstance(s, State) and s not in ode and s not in update:
                    self._no_equation(s, entry)
        if not self.errors and (missing := incomplete((*ode, *update))) is not None:
            hint = f"'{missing[0]}' was declared with a shape: give all its parts an equation"
            self.fail(f"state '{missing[1]}' of neuron '{self.name}' has no equation", self.loc, hint)

    def _no_equation(self, state: State, entry: Entry) -> None:
        message = f"state '{state}' of neuron '{self.name}' has no equation"
        if all(error.message != message for error in self.errors):
            hint = f"give it one in ode or update; ode={{{state}: 0}} is a state that only jumps"
            self.fail(message, entry.loc, hint)

    def _check_symbols(self, lets: set[str]) -> None:
        """Refuse symbols that mean nothing here, or two things."""
        states = {e.key.name: e.key for e in self.entries if e.group in ("ode", "update")}
        self.names = dict(states)
        for entry in self.entries:
            for s in sorted_symbols(entry.expr):
                if isinstance(s, (State, Input, Parameter, Noise)):
                    other = self.names.setdefault(s.name, s)
                    if other != s:
                        self._two_meanings(s, other, entry)
        for entry in self.entries:
            if entry.group == "let" and entry.key in self.names:
                kind = type(self.names[entry.key]).__name__.lower()
                self.fail(f"let '{entry.key}' of neuron '{self.name}' has the name of a {kind}", entry.loc)
            for s in sorted_symbols(entry.expr):
                if isinstance(s, Signal) or s == weight:
                    shown = "gc.weight" if s == weight else f'gc.{s.side}("{s.signal}")'
                    self.fail(f"{entry.what} reads {shown}, which belongs to a connection", entry.loc)
                elif isinstance(s, Parameter) and s.per == "synapse":
                    hint = "read it in transmit= of connect"
                    self.fail(f"{entry.what} reads '{s}', which is per synapse", entry.loc, hint)
                elif not isinstance(s, Named) and s.name not in lets:
                    self._unknown(s, entry, lets)

    def _unknown(self, s: sympy.Symbol, entry: Entry, lets: set[str]) -> None:
        if s.name in self.names:
            kind = type(self.names[s.name]).__name__.lower()
            hint = f"the {kind} of that name is another symbol: use the one that graphc returned"
        else:
            near = did_you_mean(s.name, [*self.names, *lets])
            hint = f'declare it with gc.param("{s.name}", ...)' + (f"; {near}" if near else "")
        self.fail(f"{entry.what} uses '{s}', which is no state, parameter or input of it", entry.loc, hint)

    def _two_meanings(self, s: Named, other: Named, entry: Entry) -> None:
        if isinstance(s, Parameter) and isinstance(other, Parameter):
            hint = "declare it once and use that symbol everywhere"
            self.fail(f"neuron '{self.name}' uses two parameters named '{s}' with different options", entry.loc, hint)
        else:
            kinds = f"{type(other).__name__.lower()} and {type(s).__name__.lower()}"
            self.fail(f"neuron '{self.name}' uses '{s}' as {kinds}", entry.loc, "rename one of them")

    def _write_out_lets(self) -> None:
        """Substitute every let name by its expression, itself written out."""
        lets = {e.key: e for e in self.entries if e.group == "let"}
        done: dict[str, Any] = {}

        def write_out(e: Any, path: tuple[str, ...]) -> Any:
            plain = [s for s in sorted_symbols(e) if not isinstance(s, Named) and s.name in lets]
            return e.xreplace({s: value_of(s.name, path) for s in plain}) if plain else e

        def value_of(name: str, path: tuple[str, ...]) -> Any:
            if name in path:
                circle = " -> ".join((*path[path.index(name) :], name))
                self.fail(f"let '{name}' of neuron '{self.name}' is defined by itself: {circle}", lets[name].loc)
                return sympy.S.Zero
            if name not in done:
                done[name] = write_out(lets[name].expr, (*path, name))
            return done[name]

        for entry in self.entries:
            entry.expr = value_of(entry.key, ()) if entry.group == "let" else write_out(entry.expr, ())

    def _output(self, states: tuple[State, ...]) -> Any:
        """Return what the neuron sends, and keep it as an entry when it is the default."""
        given = [e.expr for e in self.entries if e.group == "output"]
        if given:
            return given[0]
        if self.spike is None and not states:
            self.fail(f"neuron '{self.name}' has neither states nor a spike", self.loc, "say output=...")
            return sympy.S.Zero
        return spike if self.spike is not None else states[0]

    def _check_places(self) -> None:
        """Refuse what is not known yet at the place where it is read."""
        for entry in self.entries:
            bare = read_now(entry.expr)
            spiking = spike in entry.expr.free_symbols
            if spiking and self.spike is None:
                self.fail(
                    f"{entry.what} reads gc.spike, but this neuron has no spike", entry.loc, "spike=gc.Spike(...)"
                )
            elif spike in bare and entry.group not in ("reset", "output", "let"):
                hint = "gc.previous(gc.spike) is the spike of the step before"
                self.fail(f"{entry.what} reads gc.spike, which is not known yet there", entry.loc, hint)
            if entry.expr.has(at_threshold) and entry.group not in ("output", "let"):
                self.fail(f"{entry.what} uses gc.at_threshold, which belongs in output", entry.loc)
            if entry.group in ("init", "refractory"):
                self._check_constant(entry)
            for marker in entry.expr.atoms(previous):
                if quantities(marker.args[1]) and not without_units(marker.args[1]) > 0:
                    self.fail(f"{entry.what} uses '{marker}', whose delay is not positive", entry.loc)

    def _check_constant(self, entry: Entry) -> None:
        allowed: tuple[type, ...] = (Parameter, State) if entry.group == "init" else (Parameter,)
        readable = "parameters and other initial values" if entry.group == "init" else "parameters"
        dt_allowed = isinstance(entry.expr, sympy.Expr)
        for s in sorted_symbols(entry.expr):
            if not isinstance(s, allowed) and not (dt_allowed and isinstance(s, Reserved) and s.name == "dt"):
                self.fail(f"{entry.what} reads '{s}', but can depend on {readable} only", entry.loc)
        if entry.expr.has(previous, at_threshold, detach):
            self.fail(f"{entry.what} uses a marker such as gc.previous, which has no meaning there", entry.loc)

    def _check_spiking(self, groups: Mapping[str, Mapping[State, Any]]) -> None:
        name = self.name
        if self.integrator not in INTEGRATORS:
            hint = did_you_mean(str(self.integrator), INTEGRATORS) or f"choose from {', '.join(INTEGRATORS)}"
            self.fail(
                f"integrator {self.integrator!r} of neuron '{name}' is unknown", self.loc.entry("integrator"), hint
            )
        if self.spike is None:
            for group, given in (("reset", groups["reset"]), ("refractory", self.refractory)):
                if given:
                    hint = "spike=gc.Spike(v > theta)"
                    self.fail(f"neuron '{name}' has {group} but no spike", self.loc.entry(group), hint)
            return
        stops = bool(groups["reset"]) or self.refractory is not None
        stops = stops or any(spike in e.expr.free_symbols for e in self.entries if e.group not in ("output", "let"))
        if groups["ode"] and not stops and self.spike.edge is None and self.spike.escape is None:
            self.fail(
                f"neuron '{name}' has neither reset nor refractory, so it must say when it spikes",
                self.spike.loc,
                'edge="rising" of gc.Spike fires where the condition begins to hold, edge="level" wherever it holds',
            )
        given = flat(self.spike.detach_reset)
        chosen = [given] if isinstance(given, State) else [] if isinstance(given, bool) else given
        if not isinstance(chosen, Iterable) or any(s not in groups["reset"] for s in chosen):
            hint = "give True, False, or states that have an entry in reset"
            self.fail(f"detach_reset={given!r} of neuron '{name}' names no resets", self.spike.loc, hint)

    def _detached(self, reset: Mapping[State, Any]) -> frozenset[State]:
        given = True if self.spike is None else flat(self.spike.detach_reset)
        if isinstance(given, bool):
            return frozenset(reset) if given else frozenset()
        return frozenset([given] if isinstance(given, State) else given)

    def _hold(
        self, states: tuple[State, ...], deciding: Iterable[Any], reset: Mapping[State, Any]
    ) -> tuple[State, ...]:
        if self.refractory is None:
            return ()
        given = self.refractory.hold
        if given is None:
            read = {s for e in deciding if e is not None for s in e.free_symbols}
            return tuple(s for s in states if s in read and s in reset and s not in reset[s].free_symbols)
        given = (given,) if isinstance(given, State) else flat(tuple(given))
        for s in given:
            if s not in states:
                raise DeclarationError(f"hold={s!s} of neuron '{self.name}' is none of its states", self.refractory.loc)
        return tuple(s for s in states if s in given)

    def _check_units(self, init: Mapping[State, Any]) -> tuple[bool, dict[str, Dimension]]:
        """Check dimensions if the neuron mentions any unit."""
        values = [(self._entry("init", s, list(init).index(s)), m) for s, m in self.values.items()]
        parameters = {s for e in self.entries for s in e.expr.free_symbols if isinstance(s, Parameter)}
        mentioned = any(quantities(e.expr) for e in self.entries)
        mentioned = mentioned or any(p.dimension is not None for p in parameters)
        if not mentioned and all(m.dimension is None for _, m in values):
            return False, {}
        problems, dimensions = check_units(self.entries, values, parameters)
        for entry, text in problems:
            hint = "a number or parameter without a unit is dimensionless in a neuron that uses units"
            self.fail(f"{entry.what} {text}", entry.loc, hint)
        return True, dimensions

    def _initial(self, exprs: Mapping[tuple[str, Any], Any], state: State) -> Value | sympy.Expr:
        if state in self.values:
            return self.values[state].value
        e = exprs.get(("init", state), sympy.S.Zero)
        return e if e.free_symbols else float(e)
