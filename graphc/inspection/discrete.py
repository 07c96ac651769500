"""The nodes of a program as equations: one step after discretisation, and the adjoint of the reverse region."""

from __future__ import annotations

from collections.abc import Iterator

from graphc.explain import live, right_hand_side
from graphc.ir import (
    C,
    Const,
    Count,
    Diffusion,
    Map,
    Node,
    Noise,
    Outer,
    Pool,
    Program,
    Project,
    ProjectTransposed,
    Propagator,
    Read,
    Reduce,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Test,
    Time,
)

from .report import Equation, Form, Where, scoped
from .tex import Naming, cases, text


def discretised(program: Program, naming: Naming) -> list[Equation]:
    """Return one time step of a discrete program: what is computed, and what every state becomes."""
    return list(_equations(program, naming, "discretised", backward=False))


def adjoint(program: Program, naming: Naming) -> list[Equation]:
    """Return the backward half of a differentiated program; a bar is the derivative of the loss by a value."""
    return list(_equations(program, naming, "adjoint", backward=True))


def _equations(program: Program, naming: Naming, form: Form, backward: bool) -> Iterator[Equation]:
    for region in program.regions:
        if region.backward is not backward:
            continue
        graph = region.graph
        for node in live(graph):
            name = node.result.name
            right = rf"{naming.name(name)} = {latex(node, naming)}"
            yield Equation(
                form, graph.name, type(node).__name__, f"{name} = {right_hand_side(node)}", right,
                Where.of(node.result.loc), (scoped(name, backward),),
            )  # fmt: skip
        for carry in graph.carries:
            step = "t" if backward else "t+1"
            tex = rf"{naming.name(carry.name)}[{step}] = {naming.name(carry.next.name)}"
            where = Where.of(carry.next.loc or carry.current.loc)
            values = (scoped(carry.next.name, backward),)
            line = f"{carry.name}[{step}] = {carry.next.name}"
            yield Equation(form, graph.name, "carry", line, tex, where, values)


def _above(strict: bool) -> str:
    return ">" if strict else r"\geq"


def latex(node: Node, naming: Naming) -> str:
    """Return the right-hand side of a node in LaTeX."""
    names = [naming.name(v.name) for v in node.operands]
    match node:
        case Map(expr=expr):
            return naming.expression(expr)
        case Const(value=value):
            return repr(value)
        case Time():
            return r"t\,\Delta t"
        case Noise(kind=kind):
            return rf"\mathcal{{{'N' if kind == 'normal' else 'U'}}}(0, 1)"
        case Test(strict=strict):
            return rf"\left[{names[0]} {_above(strict)} 0\right]"
        case Spike(strict=strict, derivative=derivative):
            blocked = rf" \wedge \neg {names[1]}" if len(names) > 1 else ""
            slope = naming.expression(derivative.xreplace({C: C}))
            shown = rf"\left[{names[0]} {_above(strict)} 0{blocked}\right]"
            return rf"{shown}, \quad \frac{{dz}}{{dc}} := {slope}"
        case Reset():
            return cases([(names[2], text("if ") + names[1]), (names[0], text("else"))])
        case Count():
            return cases([(names[2], text("if ") + names[1]), (rf"\max({names[0]} - 1, 0)", text("else"))])
        case StopGradient():
            return rf"\operatorname{{detach}}\left({names[0]}\right)"
        case Project():
            return rf"{names[0]}\,{names[1]}"
        case ProjectTransposed():
            return rf"{names[0]}\,{names[1]}^{{T}}" if "^" not in names[1] else rf"{names[0]}\,({names[1]})^{{T}}"
        case Outer():
            return rf"\sum_{{b}} {names[0]} \otimes {names[1]}"
        case Reduce():
            return rf"\sum_{{b}} {names[0]}"
        case Pool(mean=mean):
            return rf"\operatorname{{{'mean' if mean else 'sum'}}}_{{b}}\left({names[0]}\right)"
        case Read(history=history, delay=delay):
            past = naming.name(history.removesuffix("@history"))
            return rf"{past}[t {'+' if history.startswith('d(') else '-'} {delay}]"
        case Spread(side=None):
            return names[0]
        case Propagator(row=row, column=column, forcing=forcing):
            what = r"h\,\varphi_1(h A)" if forcing else r"\exp(h A)"
            return rf"{what}_{{{row}{column}}} \quad {text('of ')} {', '.join(names)}"
        case Diffusion(row=row, column=column):
            return rf"L_{{{row}{column}}} \quad {text('of ')} {', '.join(names)}"
    return rf"\operatorname{{{type(node).__name__}}}\left({', '.join(names)}\right)"
