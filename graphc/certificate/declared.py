"""The declared network against the reference: every quantity of every step must follow from those before it.

Nothing is simulated twice. Given what the reference recorded of step t - 1, and what it recorded of step t so far, each
quantity of step t is computed anew from the declaration. If all follow, the trajectory is the declared one; where one
does not, it is that quantity, and not one downstream of it, that is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from graphc import symbols as gs
from graphc.ir.functions import at_threshold, previous
from graphc.lower import evaluation_order
from graphc.network import Population

from .declared_step import integrate
from .declared_synapses import drive
from .recorded import Recorded
from .table import Certificate, Row, not_applicable
from .walk import Array, NotCovered, walk

CLOSE = 1e-9  # float64; the two evaluations order their sums differently


@dataclass(frozen=True)
class _Finding:
    """One quantity as recorded and as it follows; or why it was not computed."""

    name: str
    recorded: Array | None = None
    expected: Any = None
    why: str = ""

    def wrong(self) -> Any:
        """Return where the two differ, (T, B, N)."""
        assert self.recorded is not None
        if self.name.endswith(".spike"):
            return (self.recorded > 0) != (self.expected > 0)
        scale = max(float(np.abs(self.recorded).max(initial=0.0)), 1e-30)
        apart = np.abs(self.recorded - self.expected)
        return ~(apart <= CLOSE * scale) & ~(np.isnan(self.recorded) & np.isnan(self.expected))

    def row(self) -> Row:
        """Return the row of the table."""
        if self.recorded is None:
            return not_applicable(self.name, "declared", self.why)
        wrong = self.wrong()
        if self.name.endswith(".spike"):
            spikes = int((self.recorded > 0).sum())
            return Row(self.name, "declared", f"{spikes} spikes, {int(wrong.sum())} do not follow", not wrong.any())
        apart = np.abs(self.recorded - self.expected)
        scale = float(np.abs(self.recorded).max(initial=0.0))
        found = f"differs by {float(apart.max(initial=0.0)):.1e}, range {scale:.1e}"
        return Row(self.name, "declared", found, not wrong.any())


def check_declared(run: Recorded) -> Certificate:
    """Compute every quantity of a run anew from the declaration."""
    network = run.network
    findings = [f for name in evaluation_order(network) for f in _population(run, network.populations[name])]
    rows = tuple(f.row() for f in findings)
    return Certificate("declared equations, evaluated without the compiler, in float64", rows, _first(findings))


def _first(findings: Iterable[_Finding]) -> str | None:
    found = []
    for number, f in enumerate(findings):
        if f.recorded is not None and (wrong := f.wrong()).any():
            t, b, n = (int(k[0]) for k in wrong.nonzero())
            expected = float(np.broadcast_to(f.expected, f.recorded.shape)[t, b, n])
            values = f"{float(f.recorded[t, b, n]):.6g} instead of {expected:.6g}"
            found.append((t, number, f"{f.name} at step {t}, sample {b}, neuron {n}: {values}"))
    return min(found)[2] if found else None


def _population(run: Recorded, population: Population) -> Iterator[_Finding]:
    """Yield every quantity of a population in the order in which a step computes it."""
    neuron, name = population.neuron, population.name
    arriving = [c for c in run.network.connections.values() if c.post == name]
    for i in neuron.inputs:
        recorded = run.records[f"{name}.{i.name}"]
        try:
            expected = drive(arriving, i.name, run.read, run.tensors, population.size, run.network.dt)
            yield _Finding(f"{name}.{i.name}", recorded, expected)
        except NotCovered as why:
            yield _Finding(f"{name}.{i.name}", why=str(why))
    try:
        yield from _Step(run, population).findings()
    except NotCovered as why:
        yield _Finding(name, why=str(why))


class _Step:
    """The five parts of a population's step, each from what was recorded of the parts before it."""

    def __init__(self, run: Recorded, population: Population) -> None:
        self.run, self.population, self.neuron = run, population, population.neuron
        self.dt = run.network.dt
        self.begin = run.start(population)
        time = np.arange(run.steps, dtype=float).reshape(-1, 1, 1) * self.dt
        self.fixed = run.parameters(population) | {gs.t: time, gs.dt: self.dt}
        self.fixed |= {i: self.recorded(i.name) for i in self.neuron.inputs}
        self.z = self.recorded("spike") if self.neuron.spike is not None else None

    def recorded(self, signal: str) -> Array:
        """Return what was recorded of a signal."""
        return self.run.records[f"{self.population.name}.{signal}"]

    def before_reset(self, s: gs.State) -> str:
        """Return the name under which a state was recorded before the reset."""
        return f"{s.name}@threshold" if s in self.neuron.reset else s.name

    def value(self, e: Any, env: Mapping[Any, Any], at: Mapping[Any, Any] | None = None) -> Any:
        """Return `e` in `env`: what it reads of earlier steps is what the same symbols of `env` were then."""
        e = sympy.sympify(e)
        known = dict(env)
        for m in sorted(e.atoms(at_threshold), key=str):
            known[m] = self.value(m.args[0], at or env)
        for m in sorted(e.atoms(previous), key=str):
            what, delay = m.args
            steps = int(delay) if delay.is_Integer else round(float(delay) / self.dt)
            now = self.z if what == gs.spike else env[what]
            now = np.broadcast_to(np.asarray(now, float), self.shape)
            before = self.begin[what] if isinstance(what, gs.State) else 0.0
            known[m] = self.run.delayed(now, steps, before)
        return walk(e, known)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, B, N)."""
        return tuple(self.recorded("output").shape)

    def findings(self) -> Iterator[_Finding]:
        """Yield states before the reset, spikes, states after it, and what leaves."""
        name, neuron = self.population.name, self.neuron
        if neuron.noises:
            raise NotCovered(f"noise '{neuron.noises[0]}' is drawn inside the kernels")
        held = self.refractory()
        late = {s: self.run.delayed(self.recorded(s.name), 1, self.begin[s]) for s in neuron.states}
        for s, value in self.moved(late, held).items():
            signal = self.before_reset(s)
            yield _Finding(f"{name}.{signal}", self.recorded(signal), value)
        env = self.fixed | {s: self.recorded(self.before_reset(s)) for s in neuron.states}
        env |= {} if held is None else {gs.refractory: held.astype(float)}
        threshold = env
        if self.z is not None:
            if neuron.escapes:
                yield _Finding(f"{name}.spike", why="spikes are drawn at random")
            else:
                yield _Finding(f"{name}.spike", self.z, self.fires(env, held))
            threshold = env | {gs.spike: self.z}
            for s, e in neuron.reset.items():
                jumped = np.where(self.z > 0, self.value(e, threshold), env[s])
                yield _Finding(f"{name}.{s.name}", self.recorded(s.name), jumped)
        final = threshold | {s: self.recorded(s.name) for s in neuron.states}
        yield _Finding(f"{name}.output", self.recorded("output"), self.value(neuron.output, final, threshold))

    def refractory(self) -> Any:
        """Return where the population is refractory, (T, B, N), or None."""
        rule = self.neuron.refractory
        if rule is None or self.z is None:
            return None
        duration = sympy.sympify(rule.duration)
        time = np.inf if duration == sympy.oo else np.asarray(walk(duration, self.fixed), float)
        length = np.floor(time / self.dt + 0.5)
        last, flags = np.full(self.shape[1:], -np.inf), np.zeros(self.shape, bool)
        for t in range(self.run.steps):
            flags[t] = t - last <= length
            last = np.where(self.z[t] > 0, t, last)
        return flags

    def moved(self, late: Mapping[gs.State, Array], held: Any) -> dict[gs.State, Any]:
        """Return the states at threshold from those at the end of the step before."""
        neuron, rule = self.neuron, self.neuron.refractory
        hold = [] if held is None or rule is None else list(rule.hold)

        def stay(s: gs.State, before: Any, after: Any) -> Any:
            return np.where(held, before, after) if s in hold else np.broadcast_to(after, self.shape)

        env = self.fixed | dict(late)
        received = {s: stay(s, env[s], self.value(e, env)) for s, e in neuron.receive.items()}
        env = env | received
        new = {s: stay(s, env[s], self.value(e, env)) for s, e in neuron.update.items()}
        if neuron.ode:
            marks = {m for e in neuron.ode.values() for m in e.atoms(previous)}
            inner = env | {m: self.value(m, env) for m in marks}
            time = gs.t if any(e.has(gs.t) for e in neuron.ode.values()) else None
            free = integrate(neuron, inner, self.dt, t=time)
            if held is None:
                new |= free
            else:
                still = integrate(neuron, inner, self.dt, hold, t=time)
                new |= {s: np.where(held, still[s], free[s]) for s in neuron.ode}
        return {s: np.broadcast_to(new[s], self.shape) for s in neuron.states}

    def fires(self, env: Mapping[Any, Any], held: Any) -> Any:
        """Return the spikes that the condition makes; the recorded one where it is 0 within rounding."""
        rule = self.neuron.spike
        assert rule is not None and self.z is not None
        margin = np.broadcast_to(self.value(rule.margin, env), self.shape)
        above = margin > 0 if rule.strict else margin >= 0
        z = above
        if rule.edge == "rising":
            first = np.asarray(walk(rule.margin, self.begin))
            z = above & (self.run.delayed(above.astype(float), 1, first > 0 if rule.strict else first >= 0) == 0)
        if held is not None:
            z = z & ~held
        unsure = np.abs(margin) <= 1e-12 * np.abs(margin).max(initial=0.0)
        return np.where(unsure, self.z > 0, z)
