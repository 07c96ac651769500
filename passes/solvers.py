"""One step of an ODE system as single-assignment nodes: exact, exponential, explicit and implicit integrators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import sympy

from graphc.ir import DeclarationError, Loc, OdeSystem, Propagator, Type, Value, join, symbol
from graphc.ir.functions import exprel

from .build import Builder, derivative
from .diffusion import Diffusions, additive, gathered, growing, plain, split
from .implicit import implicit_euler, in_words

Rates = Mapping[sympy.Symbol, sympy.Expr]


@dataclass(frozen=True, slots=True)
class Choice:
    """How one state is advanced, and why."""

    state: str
    integrator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """The system to advance: `rates` of the symbols of the state values, and which symbols are constant over a run.

    The `rates` are those without noise; `diffusion` holds the factors of the noises.
    """

    system: OdeSystem
    rates: Rates
    constant: frozenset[sympy.Symbol]
    locs: Mapping[sympy.Symbol, Loc | None]
    time: sympy.Symbol | None = None
    diffusion: Diffusions = field(default_factory=dict)

    def name(self, state: sympy.Symbol) -> str:
        """Return the user's name of a state."""
        return self.system.states[list(self.rates).index(state)]


def problem_of(
    system: OdeSystem,
    rates: Rates,
    constant: frozenset[sympy.Symbol],
    locs: Mapping[sympy.Symbol, Loc | None],
    time: sympy.Symbol | None = None,
    noises: Sequence[sympy.Symbol] = (),
) -> Problem:
    """Return the problem of `rates` that read white `noises`."""
    drift, diffusion = split(rates, noises)
    return Problem(system, drift, constant, locs, time, diffusion)


def choose(problem: Problem) -> list[Choice]:
    """Return the integrator of every state, in order.

    `auto` integrates exactly the largest set of states that is linear with constant coefficients and reads no state
    outside it, every other state that is linear in itself by exponential Euler, and the rest by Euler.

    Raises:
        DeclarationError: `exact` or `exponential_euler` was asked for and a state does not allow it.
    """
    wanted, rates = problem.system.integrator, problem.rates
    if wanted == "implicit_euler":
        reason = in_words(rates)
        return [Choice(problem.name(s), wanted, reason) for s in rates]
    if wanted in ("euler", "heun", "rk4"):
        return [Choice(problem.name(s), wanted, "as declared") for s in rates]
    linear = linear_set(rates, problem.constant, problem.diffusion, wanted == "exact")
    choices = []
    for state in rates:
        name = problem.name(state)
        slope = derivative(rates[state], state)
        conditional = not slope.has(state)
        if state in linear and wanted in ("auto", "exact"):
            choices.append(Choice(name, "exact", "linear with constant coefficients, reads no state that is not"))
        elif wanted == "exact":
            raise DeclarationError(
                f"d{name}/dt of population '{problem.system.owner}' is not linear with constant coefficients, "
                "which integrator='exact' needs",
                problem.locs[state],
                'use integrator="auto" or "exponential_euler"',
            )
        elif conditional:
            choices.append(
                Choice(name, "exponential_euler", "linear in itself, the other states held at their old values")
            )
        elif wanted == "exponential_euler":
            raise DeclarationError(
                f"d{name}/dt of population '{problem.system.owner}' is not linear in {name}, "
                "which integrator='exponential_euler' needs",
                problem.locs[state],
                'use integrator="auto", "euler", "heun" or "rk4"',
            )
        else:
            choices.append(Choice(name, "euler", "not linear in itself"))
    return choices


def linear_set(
    rates: Rates, constant: frozenset[sympy.Symbol], diffusion: Diffusions = MappingProxyType({}), exact: bool = False
) -> list[sympy.Symbol]:
    """Return the largest set of states linear in each other with constant coefficients and reading no other state."""
    kept = list(rates)
    while True:
        keep = [s for s in kept if _is_linear(rates[s], kept, [o for o in rates if o not in kept], constant)]
        keep = additive(keep, diffusion, constant, exact) if diffusion else keep
        if keep == kept:
            return kept
        kept = keep


def _is_linear(
    rate: sympy.Expr, inside: Sequence[sympy.Symbol], outside: Sequence[sympy.Symbol], constant: frozenset[sympy.Symbol]
) -> bool:
    if rate.has(*outside) if outside else False:
        return False
    return all(derivative(rate, s).free_symbols <= constant for s in inside if rate.has(s))


def advance(problem: Problem, choices: Sequence[Choice], build: Builder) -> list[Value]:
    """Append the nodes of one step and return the new value of every state, in order."""
    states = list(problem.rates)
    method = choices[0].integrator
    if method == "heun":
        return _heun(problem, build)
    if method == "implicit_euler":
        kicks = {s: plain(s, problem.diffusion, sympy.sqrt(problem.system.h)) for s in problem.rates}
        return implicit_euler(problem.rates, kicks, problem.system, build)
    if method == "rk4":
        return _rk4(problem, build)
    new: dict[sympy.Symbol, Value] = {}
    linear = [s for s, c in zip(states, choices, strict=True) if c.integrator == "exact"]
    if linear:
        new |= _exact({s: problem.rates[s] for s in linear}, problem, build)
    for state, choice in zip(states, choices, strict=True):
        if choice.integrator == "exponential_euler":
            new[state] = _exponential_euler(state, problem, build)
        elif choice.integrator == "euler":
            h = problem.system.h
            random = plain(state, problem.diffusion, sympy.sqrt(h))
            new[state] = build.map(state.name, state + h * problem.rates[state] + random, build.values[state.name])
    return [new[s] for s in states]


def _exponential_euler(state: sympy.Symbol, problem: Problem, build: Builder) -> Value:
    """Append the step of x' = a x + b over h: x + h (a x + b) phi_1(h a)."""
    h, rate, like = problem.system.h, problem.rates[state], build.values[state.name]
    slope = derivative(rate, state)
    random = plain(state, problem.diffusion, sympy.S.One)
    if slope == 0:
        return build.map(state.name, state + h * rate + sympy.sqrt(h) * random, like)
    if random != 0:
        random *= symbol(build.map(f"{state.name}_spread", growing(h, slope), like))
    if slope.free_symbols <= problem.constant:
        keep = build.map(f"{state.name}_keep", sympy.exp(h * slope), like)
        gain = build.map(f"{state.name}_gain", h * exprel(h * slope), like)
        free = rate.xreplace({state: sympy.S.Zero})
        return build.map(state.name, symbol(keep) * state + symbol(gain) * free + random, like)
    rate_value = symbol(build.map(f"{state.name}_rate", rate, like))
    slope_value = symbol(build.map(f"{state.name}_slope", slope, like))
    return build.map(state.name, state + h * rate_value * exprel(h * slope_value) + random, like)


def _exact(rates: Rates, problem: Problem, build: Builder) -> dict[sympy.Symbol, Value]:
    """Append the step of x' = A x + u with A constant and u held: exp(hA) x + h phi_1(hA) u.

    Source:
        Rotter & Diesmann (1999), Biol. Cybern. 81, 381-402: exact integration.
    """
    states = list(rates)
    slopes = {(r, c): derivative(rates[r], c) for r in states for c in states if rates[r].has(c)}
    slopes = {rc: a for rc, a in slopes.items() if a != 0}
    zero = {s: sympy.S.Zero for s in states}
    forcing = {s: rates[s].xreplace(zero) for s in states}
    random = gathered(states, slopes, problem.diffusion, problem.system.h, build) if problem.diffusion else {}
    new = {}
    for row in states:
        block = _ancestors(row, states, slopes)
        terms = []
        for column in block:
            terms.append(symbol(_coefficient(row, column, block, slopes, problem, build, forcing=False)) * column)
            if forcing[column] != 0:
                terms.append(
                    symbol(_coefficient(row, column, block, slopes, problem, build, forcing=True)) * forcing[column]
                )
        terms.append(random.get(row, sympy.S.Zero))
        new[row] = build.map(row.name, sympy.Add(*terms), build.values[row.name])
    return new


def _ancestors(
    row: sympy.Symbol, states: Sequence[sympy.Symbol], slopes: Mapping[tuple[sympy.Symbol, sympy.Symbol], sympy.Expr]
) -> list[sympy.Symbol]:
    """Return the states on which `row` depends, directly or not, itself included, in declaration order."""
    found, todo = {row}, [row]
    while todo:
        state = todo.pop()
        for r, c in slopes:
            if r == state and c not in found:
                found.add(c)
                todo.append(c)
    return [s for s in states if s in found]


def _coefficient(
    row: sympy.Symbol,
    column: sympy.Symbol,
    block: Sequence[sympy.Symbol],
    slopes: Mapping[tuple[sympy.Symbol, sympy.Symbol], sympy.Expr],
    problem: Problem,
    build: Builder,
    forcing: bool,
) -> Value:
    """Return one entry of exp(hA), or of h phi_1(hA) with `forcing`."""
    h, like = problem.system.h, build.values[row.name]
    own = slopes.get((row, row), sympy.S.Zero)
    short = problem.name(column)
    if row == column and _is_chain_end(row, block, slopes):
        if forcing:
            return build.map(f"{row.name}_gain", h * exprel(h * own), like)
        return build.map(f"{row.name}_keep", sympy.exp(h * own), like)
    if row != column and len(block) == 2 and not forcing and (column, row) not in slopes:
        other = slopes.get((column, column), sympy.S.Zero)
        expr = h * slopes[row, column] * sympy.exp(h * own) * exprel(h * (other - own))
        return build.map(f"{row.name}_from_{short}", expr, like)
    entries = tuple(tuple(sympy.sympify(slopes.get((r, c), 0)) for c in block) for r in block)
    names = sorted({s for e in entries for x in e for s in x.free_symbols}, key=str)
    operands = tuple(build.values[s.name] for s in names)
    type = join(*(v.type for v in operands)) or Type()
    wanted = f"{row.name}_{'gain' if forcing else 'from'}_{short}"
    return build.add(
        Propagator(
            result=build.new(wanted, type.with_dtype("real"), like),
            operands=operands,
            entries=entries,
            h=h,
            row=block.index(row),
            column=block.index(column),
            forcing=forcing,
        )
    )


def _is_chain_end(
    row: sympy.Symbol, block: Sequence[sympy.Symbol], slopes: Mapping[tuple[sympy.Symbol, sympy.Symbol], sympy.Expr]
) -> bool:
    """Whether no other state of the block depends on `row`, so that its own entry is that of a single state."""
    return not any((other, row) in slopes for other in block if other != row)


def _stage(
    problem: Problem, at: Mapping[sympy.Symbol, sympy.Expr], offset: float, number: int, build: Builder
) -> dict[sympy.Symbol, sympy.Symbol]:
    """Append the rates at the state `at` and the time t + offset; return their symbols."""
    moved = dict(at)
    if problem.time is not None and offset:
        moved[problem.time] = problem.time + offset
    return {
        s: symbol(build.map(f"{s.name}_k{number}", rate.xreplace(moved), build.values[s.name]))
        for s, rate in problem.rates.items()
    }


def _moved(
    problem: Problem,
    slope: Mapping[sympy.Symbol, sympy.Symbol],
    h: float,
    number: int,
    build: Builder,
    kick: Mapping[sympy.Symbol, sympy.Expr] = MappingProxyType({}),
) -> dict[sympy.Symbol, sympy.Symbol]:
    """Append the state h along `slope`, and kicked by noise; return its symbols."""
    return {
        s: symbol(build.map(f"{s.name}_s{number}", s + h * slope[s] + kick.get(s, sympy.S.Zero), build.values[s.name]))
        for s in problem.rates
    }


def _heun(problem: Problem, build: Builder) -> list[Value]:
    """Append one step of Heun's method, which with noise finds the solution in the sense of Stratonovich.

    Source:
        Kloeden & Platen (1992), Numerical Solution of Stochastic Differential Equations, chapter 15.
    """
    h = problem.system.h
    kick = {s: plain(s, problem.diffusion, sympy.sqrt(h)) for s in problem.rates}
    k1 = _stage(problem, {}, 0.0, 1, build)
    ahead = _moved(problem, k1, h, 1, build, kick)
    k2 = _stage(problem, ahead, h, 2, build)
    then = {problem.time: problem.time + h} if problem.time is not None else {}
    return [
        build.map(
            s.name, s + h / 2 * (k1[s] + k2[s]) + (kick[s] + kick[s].xreplace(ahead | then)) / 2, build.values[s.name]
        )
        for s in problem.rates
    ]


def _rk4(problem: Problem, build: Builder) -> list[Value]:
    h = problem.system.h
    k1 = _stage(problem, {}, 0.0, 1, build)
    k2 = _stage(problem, _moved(problem, k1, h / 2, 1, build), h / 2, 2, build)
    k3 = _stage(problem, _moved(problem, k2, h / 2, 2, build), h / 2, 3, build)
    k4 = _stage(problem, _moved(problem, k3, h, 3, build), h, 4, build)
    return [
        build.map(s.name, s + h / 6 * (k1[s] + 2 * k2[s] + 2 * k3[s] + k4[s]), build.values[s.name])
        for s in problem.rates
    ]
