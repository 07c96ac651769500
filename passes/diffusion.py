"""What white noise adds to one step of a state: normal draws times the standard deviation of their integral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy

from graphc.ir import Diffusion, Noise, Type, Value, join, symbol
from graphc.ir.functions import exprel

from .build import Builder, derivative

Diffusions = Mapping[sympy.Symbol, Mapping[sympy.Symbol, sympy.Expr]]
"""The factor g of every noise in the equation of a state, ``dx = f dt + g dW``."""

SUBSTREAM = 1 << 16
"""Between the streams of the further draws that one symbol takes where it drives several exact states."""


def split(
    rates: Mapping[sympy.Symbol, sympy.Expr], noises: Sequence[sympy.Symbol]
) -> tuple[dict[sympy.Symbol, sympy.Expr], dict[sympy.Symbol, dict[sympy.Symbol, sympy.Expr]]]:
    """Return the drift of every state, and the factors of its noises."""
    none = dict.fromkeys(noises, sympy.S.Zero)
    drift = {s: rate.xreplace(none) if rate.has(*noises) else rate for s, rate in rates.items()} if noises else rates
    factors = {s: {xi: g for xi in noises if (g := derivative(rate, xi)) != 0} for s, rate in rates.items()}
    return dict(drift), {s: g for s, g in factors.items() if g}


def additive(
    kept: Sequence[sympy.Symbol], diffusion: Diffusions, constant: frozenset[sympy.Symbol], exact: bool
) -> list[sympy.Symbol]:
    """Return the states of `kept` whose noise is constant and, unless `exact`, drives no state outside `kept`.

    Exact states take several draws of one symbol, which another state would have to take part in.
    """
    found = [s for s in kept if all(g.free_symbols <= constant for g in diffusion.get(s, {}).values())]
    if exact:
        return found
    shared = {xi for s, g in diffusion.items() if s not in found for xi in g}
    return [s for s in found if not shared.intersection(diffusion.get(s, ()))]


def plain(state: sympy.Symbol, diffusion: Diffusions, spread: sympy.Expr) -> sympy.Expr:
    """Return the random part of a step of one state; `spread` is the standard deviation of its unit noise."""
    return sympy.Add(*(g * spread * xi for xi, g in diffusion.get(state, {}).items()))


def growing(h: float, slope: sympy.Expr) -> sympy.Expr:
    """Return the standard deviation of what ``dx = a x dt + dW`` gathers in h, ``sqrt((e^(2 a h) - 1)/(2 a))``.

    Source:
        Gillespie (1996), Phys. Rev. E 54, 2084-2091: exact update of the Ornstein-Uhlenbeck process.
    """
    return sympy.sqrt(h * exprel(2 * h * slope))


def gathered(
    states: Sequence[sympy.Symbol],
    slopes: Mapping[tuple[sympy.Symbol, sympy.Symbol], sympy.Expr],
    diffusion: Diffusions,
    h: float,
    build: Builder,
) -> dict[sympy.Symbol, sympy.Expr]:
    """Return the random part of an exact step of the linear `states`, with the covariance of the solution.

    The states that one noise reaches take as many draws as they are: its own first, then those of further streams.
    """
    total: dict[sympy.Symbol, sympy.Expr] = {}
    for xi in dict.fromkeys(n for s in states for n in diffusion.get(s, ())):
        reached = _reached([s for s in states if xi in diffusion.get(s, ())], states, slopes)
        draws = [xi, *(_further(xi, k, build) for k in range(1, len(reached)))]
        for row, state in enumerate(reached):
            if len(reached) == 1:
                own = slopes.get((state, state), sympy.S.Zero)
                like = build.values[state.name]
                spread = symbol(build.map(f"{state.name}_spread", diffusion[state][xi] * growing(h, own), like))
                parts = [spread * xi]
            else:
                factors = [_factor(reached, slopes, diffusion, xi, h, row, k, build) for k in range(row + 1)]
                parts = [symbol(f) * draw for f, draw in zip(factors, draws, strict=False)]
            total[state] = total.get(state, sympy.S.Zero) + sympy.Add(*parts)
    return total


def _reached(
    start: Sequence[sympy.Symbol],
    states: Sequence[sympy.Symbol],
    slopes: Mapping[tuple[sympy.Symbol, sympy.Symbol], sympy.Expr],
) -> list[sympy.Symbol]:
    """Return the states that depend on one of `start`, those included, in the order of `states`."""
    found, todo = set(start), list(start)
    while todo:
        state = todo.pop()
        for row, column in slopes:
            if column == state and row not in found:
                found.add(row)
                todo.append(row)
    return [s for s in states if s in found]


def _further(xi: sympy.Symbol, number: int, build: Builder) -> sympy.Symbol:
    """Return the draw `number` of a noise, beside its own."""
    own = next(n for n in build.nodes if isinstance(n, Noise) and n.result.name == xi.name)
    stream = own.stream + number * SUBSTREAM
    made = next((n for n in build.nodes if isinstance(n, Noise) and n.stream == stream), None)
    if made is None:
        made = Noise(result=build.new(f"{xi.name}_{number}", own.result.type, own.result), stream=stream, kind=own.kind)
        build.add(made)
    return symbol(made.result)


def _factor(
    states: Sequence[sympy.Symbol],
    slopes: Mapping[tuple[sympy.Symbol, sympy.Symbol], sympy.Expr],
    diffusion: Diffusions,
    xi: sympy.Symbol,
    h: float,
    row: int,
    column: int,
    build: Builder,
) -> Value:
    """Return one entry of the lower factor of the covariance that the noise leaves in `states`."""
    entries = tuple(tuple(sympy.sympify(slopes.get((r, c), 0)) for c in states) for r in states)
    driving = tuple(sympy.sympify(diffusion.get(s, {}).get(xi, 0)) for s in states)
    names = sorted({s for e in (*entries, driving) for x in e for s in x.free_symbols}, key=str)
    operands = tuple(build.values[s.name] for s in names)
    type = join(*(v.type for v in operands)) or Type()
    like = build.values[states[row].name]
    wanted = f"{states[row].name}_spread_{column}"
    return build.add(
        Diffusion(
            result=build.new(wanted, type.with_dtype("real"), like),
            operands=operands,
            entries=entries,
            driving=driving,
            h=h,
            row=row,
            column=column,
        )
    )
