"""Checks of the noise in a declaration: what `ode` may do with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy

from .entries import Entry
from .symbols import Noise

Problem = tuple[Entry, str, str]


def noise_problems(entries: Iterable[Entry], integrator: str) -> Iterator[Problem]:
    """Yield what is wrong with the noise of `entries`: the entry, the message, the hint."""
    for entry in entries:
        noises = sorted(entry.expr.atoms(Noise), key=str)
        if entry.group != "ode" or not noises:
            continue
        if integrator == "rk4":
            hint = 'use integrator="heun" (Stratonovich), "euler" (Ito), "auto" or "exact"'
            yield entry, f"{entry.what} is a stochastic equation, which rk4 does not integrate", hint
        for xi in noises:
            if xi.kind == "uniform":
                hint = f'gc.noise("{xi}") is white noise; a uniform draw belongs into update'
                yield entry, f"{entry.what} uses '{xi}', which is a uniform draw", hint
            elif not is_linear_in(entry.expr, xi):
                yield entry, f"{entry.what} is not linear in the white noise '{xi}'", "write f + g*xi"


def is_linear_in(e: sympy.Expr, xi: Noise) -> bool:
    """Whether `e` is ``f + g xi`` with `f` and `g` free of `xi`."""
    part = sympy.diff(e, xi)
    return not part.has(xi, sympy.Derivative, sympy.Subs)
