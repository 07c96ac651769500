"""The eligibility traces of an online rule as equations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sympy

from graphc.explain_learning import trace_equations

from .report import Equation, Where, scoped
from .tex import Naming

if TYPE_CHECKING:
    from graphc.compile import NetworkCompiler
    from graphc.runtime.build import Build


def traced(compiler: NetworkCompiler, build: Build, naming: Naming) -> list[Equation]:
    """Return what every trace becomes at a step; nothing without an online rule."""
    found = []
    for trace, total in trace_equations(compiler, build):
        right = sympy.latex(total, symbol_names={s: _tex(s.name, naming) for s in total.free_symbols})
        after = trace.state.next
        values = () if after is None else (scoped(after.name, False),)
        loc = None if after is None else after.loc
        tex = rf"{_tex(trace.name, naming)} \leftarrow {right}"
        found.append(
            Equation("traces", trace.driver.into, trace.kind, f"{trace.name} <- {total}", tex, Where.of(loc), values)
        )
    return found


def _tex(name: str, naming: Naming) -> str:
    """Return a name in LaTeX; that of a trace is a derivative: e of a state by a coefficient."""
    if "~" in name:
        coefficient, _, state = name.partition("~")
        return rf"e_{{{naming.name(state)} \,/\, {naming.name(coefficient)}}}"
    if name.startswith("(d ") and " / d " in name:
        above, _, below = name[3:-1].partition(" / d ")
        return rf"\frac{{\partial {naming.name(above)}}}{{\partial {naming.name(below)}}}"
    if (slope := re.fullmatch(r"z'\((\w+)\)", name)) is not None:
        return rf"z'\left({naming.name(slope[1])}\right)"
    return naming.name(name)
