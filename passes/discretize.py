"""Replace every `Ode` by the nodes of one step of its integrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy

from graphc.ir import Const, Graph, Ode, OdeSystem, Program, Region, Repeat, Value, symbol
from graphc.ir.errors import warn

from .build import Builder, derivative, fixed_values
from .solvers import Choice, advance, choose, problem_of


@dataclass(frozen=True, slots=True)
class Discretize:
    """Advance every state by one step.

    before:  %v: ode auto dv/dt = (i - v)/tau      after:  %v_keep = map exp(-dt/tau)
                                                           %v_from_i = map dt*exp(-dt/tau)*exprel(...)/tau
                                                           %v = map v_keep*v + v_from_i*i
    """

    name: str = "discretize"

    def run(self, program: Program) -> Program:
        """Return `program` without Ode nodes, with a note per state on how it is integrated."""
        if program.stage != "declared":
            return program
        (region,) = program.regions
        graph, choices = _discretize(region.graph)
        lines = [f"{owner}.{c.state}: {c.integrator} ({c.reason})" for owner, c in choices]
        _warn_of_long_steps(program, region.graph)
        program = program.with_regions([Region("steps", graph)], "discrete")
        return program.note("integrator", *lines) if lines else program


def _discretize(graph: Graph) -> tuple[Graph, list[tuple[str, Choice]]]:
    build = Builder.extending(graph)
    fixed = fixed_values(graph)
    new: dict[Value, Value] = {}
    done: dict[OdeSystem, list[Value]] = {}
    notes: list[tuple[str, Choice]] = []
    for declared in graph.nodes:
        node = declared.substitute(new)
        if not isinstance(node, Ode):
            build.add(node)
            continue
        if node.system not in done:
            names = {symbol(a): symbol(b) for a, b in zip(declared.operands, node.operands, strict=True)}
            choices, done[node.system] = _step(node, names, fixed, build)
            notes += [(node.system.owner, c) for c in choices]
        new[node.result] = done[node.system][node.index]
    return replace(graph, nodes=tuple(build.nodes)).substitute_results(new), notes


def _step(
    node: Ode, names: Mapping[sympy.Symbol, sympy.Symbol], fixed: set[Value], build: Builder
) -> tuple[list[Choice], list[Value]]:
    """Append one step of the system of `node`: free, and held where its refractory flag says so.

    `names` are those of its operands, which may themselves be the states of a system that is done.
    """
    system = node.system
    states = [symbol(v) for v in node.operands[: len(system.states)]]
    rates = dict(zip(states, (r.xreplace(dict(names)) for r in system.rates), strict=True))
    constant = frozenset(symbol(v) for v in node.operands if v in fixed)
    locs = {s: node.result.loc for s in states}
    noises = tuple(symbol(node.operands[k]) for k in system.noises)
    time = None if system.time is None else symbol(node.operands[system.time])
    problem = problem_of(system, rates, constant, locs, time, noises)
    choices = choose(problem)
    free = advance(problem, choices, build)
    if system.held is None:
        return choices, free
    stopped = {s: sympy.S.Zero if hold else rates[s] for s, hold in zip(states, system.holds, strict=True)}
    held = advance(problem_of(system, stopped, constant, locs, time, noises), choices, build)
    flag = symbol(node.operands[system.held])
    both = []
    for state, a, b in zip(states, held, free, strict=True):
        a = build.values[state.name] if stopped[state] == 0 else a
        chosen = sympy.Piecewise((symbol(a), flag > 0), (symbol(b), True))
        both.append(b if a is b else build.map(state.name, chosen, b))
    return choices, both


def _warn_of_long_steps(program: Program, graph: Graph) -> None:
    """Warn where Euler advances a state over a step longer than its time constant."""
    fixed = fixed_values(graph)
    numbers = _numbers(program, graph)
    for node in graph.nodes:
        if not isinstance(node, Ode) or node.system.integrator not in ("auto", "euler"):
            continue
        constant = frozenset(symbol(v) for v in node.operands if v in fixed)
        states = [symbol(v) for v in node.operands[: len(node.system.states)]]
        rates = dict(zip(states, node.system.rates, strict=True))
        noises = tuple(symbol(node.operands[k]) for k in node.system.noises)
        problem = problem_of(node.system, rates, constant, {s: None for s in states}, None, noises)
        state = states[node.index]
        slope = derivative(node.system.rates[node.index], state)
        if choose(problem)[node.index].integrator != "euler" or not slope.free_symbols <= set(numbers):
            continue
        fastest = _fastest(slope, numbers)
        if fastest * node.system.h > 1 and node.result.loc is not None:
            name = f"{node.system.owner}.{node.system.states[node.index]}"
            warn(
                f"dt = {node.system.h!r} ms is longer than the time constant {1 / fastest:.3g} ms "
                f"of '{name}', which Euler integrates: the step overshoots; "
                "use a smaller dt or integrator='exponential_euler'",
                node.result.loc,
            )


def _fastest(slope: sympy.Expr, numbers: Mapping[sympy.Symbol, np.ndarray]) -> float:
    """Return the largest decay rate -slope over the neurons, in 1/ms."""
    arrays = {s: np.atleast_1d(numbers[s]) for s in slope.free_symbols}
    count = max((len(a) for a in arrays.values()), default=1)
    rates = [float(slope.xreplace({s: sympy.Float(a[k % len(a)]) for s, a in arrays.items()})) for k in range(count)]
    return max(-r for r in rates)


def _numbers(program: Program, graph: Graph) -> dict[sympy.Symbol, np.ndarray]:
    """Return the parameters and constants whose values are known numbers."""
    values = {p.name: p.value for p in program.parameters}
    numbers = {
        symbol(i.value): np.asarray(values[i.source], float)
        for i in graph.inputs
        if isinstance(values.get(i.source), (int, float, np.ndarray))
    }
    for n in graph.nodes:
        if isinstance(n, Repeat) and symbol(n.operands[0]) in numbers:
            numbers[symbol(n.result)] = np.repeat(numbers[symbol(n.operands[0])], n.times)
    return numbers | {symbol(n.result): np.asarray(n.value) for n in graph.nodes if isinstance(n, Const)}
