"""The equations of a neuron or a learning rule, as declared and as one step computes them: text or LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy

from graphc.connectivity import OneToOne
from graphc.explain import live, right_hand_side
from graphc.ir import Map, Node, Program, Reset, Spike, Test
from graphc.ir.functions import previous
from graphc.lower import lower
from graphc.network import Network
from graphc.neuron import Neuron
from graphc.passes import Request, pipeline
from graphc.plasticity import Plasticity
from graphc.shaped import identifier

ARRIVAL, SPIKE = "at an arrival", "at a spike"


@dataclass(frozen=True)
class Equation:
    """One line: when it holds, its left side, the relation, and its right side.

    Attributes:
        when: "" for always, "at a spike" and so on.
        left: text.
        right: text.
        latex: the whole line, without delimiters.
    """

    when: str
    left: str
    right: str
    latex: str

    def __str__(self) -> str:
        """Return the line."""
        line = f"{self.left} {self.right}" if self.left else self.right
        return f"{self.when}: {line}" if self.when else line


def declared(model: Neuron | Plasticity) -> list[Equation]:
    """Return what was declared: differential equations, updates, jumps, the condition of a spike, initial values."""
    return list(_of_neuron(model) if isinstance(model, Neuron) else _of_rule(model))


def _of_neuron(neuron: Neuron) -> Iterable[Equation]:
    yield from _changes("with input", neuron.receive, "->")
    yield from (_derivative(state, e) for state, e in neuron.ode.items())
    yield from _changes("", neuron.update, "->")
    yield from (_equation("", f"{name} =", rf"{name} =", e) for name, e in neuron.let.items())
    if neuron.escapes:
        rate = neuron.spike.escape  # type: ignore[union-attr]
        yield _equation("", "spike with rate", r"\text{spike with rate }", rate)
    elif neuron.spike is not None:
        rising = "spike where it becomes true that" if neuron.spike.edge == "rising" else "spike where"
        yield _equation("", rising, rf"\text{{{rising} }}", neuron.spike.condition)
    yield from _changes(SPIKE, neuron.reset, "->")
    if (rule := neuron.refractory) is not None:
        held = ", ".join(s.name for s in rule.hold)
        what = f"no other for {_text(rule.duration)}" + (f", holding {held}" if held else "")
        yield Equation(SPIKE, "", what, rf"\text{{{SPIKE}: no other for }} {_latex(rule.duration)}")
    if str(neuron.output) != "spike":
        yield _equation("", "output", r"\text{output }", neuron.output)
    yield from _start(neuron.init)


def _of_rule(rule: Plasticity) -> Iterable[Equation]:
    yield from (_derivative(state, e) for state, e in rule.ode.items())
    yield from _changes("", rule.update, "->")
    yield from (_equation("", f"{name} =", rf"{name} =", e) for name, e in rule.let.items())
    yield from _changes(ARRIVAL, rule.on_pre, "->")
    yield from _changes(f"{SPIKE} of the target", rule.on_post, "->")
    for target, e in (rule.transmit or {}).items():
        yield _equation("", f"delivers{f' to {target}' if target else ''}", r"\text{delivers }", e)
    if rule.bounds is not None:
        low, high = map(_text, rule.bounds)
        latex = rf"{_latex(rule.bounds[0])} \le \mathrm{{weight}} \le {_latex(rule.bounds[1])}"
        yield Equation("", f"{low} <=", f"weight <= {high}", latex)
    yield from _start(rule.init)


def _derivative(state: Any, e: Any) -> Equation:
    return _equation("", f"d{state}/dt =", rf"\frac{{d {_latex(state)}}}{{dt}} =", e)


def _changes(when: str, group: Any, arrow: str) -> Iterable[Equation]:
    before = rf"\text{{{when}: }} " if when else ""
    for state, e in group.items():
        yield _equation(when, f"{state} {arrow}", rf"{before}{_latex(state)} \to", e)


def _start(init: Any) -> Iterable[Equation]:
    for state, value in init.items():
        if not (isinstance(value, float) and value == 0):
            yield _equation("at first", f"{state} =", rf"{_latex(state)}(0) =", value)


def _equation(when: str, left: str, latex_left: str, e: Any) -> Equation:
    return Equation(when, left, _text(e), f"{latex_left} {_latex(e)}")


def _plain(e: Any) -> Any:
    """Return `e` with earlier values as symbols such as ``spike[t-1]``."""
    if not isinstance(e, sympy.Basic):
        return e
    return e.replace(previous, lambda a, delay: sympy.Symbol(f"{a}[t-{delay}]"))


def _text(e: Any) -> str:
    return f"{e:g}" if isinstance(e, float) else str(_plain(e))


def _latex(e: Any) -> str:
    if isinstance(e, float):
        return f"{e:g}"
    if not isinstance(e, sympy.Basic):
        return rf"\text{{{e}}}"
    plain = _plain(e)
    names = {s: _latex_name(s.name) for s in plain.free_symbols}
    written: str = sympy.latex(plain, symbol_names=names)
    return written


def _latex_name(name: str) -> str:
    """Return a symbol's name: ``spike[t-1]`` with an index, ``pre.v`` upright, the rest as sympy writes it."""
    if "[" in name:
        base, _, index = name.rstrip("]").partition("[")
        return rf"\mathrm{{{base}}}_{{{index}}}"
    if "." in name or (len(name.partition("_")[0]) > 1 and not _is_greek(name)):
        head, _, tail = name.replace(".", "_").partition("_")
        tail = tail.replace("_", r"\,")
        return rf"\mathrm{{{head}}}" + (rf"_{{\mathrm{{{tail}}}}}" if tail else "")
    return str(sympy.latex(sympy.Symbol(name)))


def _is_greek(name: str) -> bool:
    return str(sympy.latex(sympy.Symbol(name.partition("_")[0]))).startswith("\\")


@dataclass(frozen=True)
class Discretised:
    """One step of a neuron.

    Attributes:
        equations: in the order in which they are computed.
        integrators: how each state is integrated, and why.
    """

    equations: list[Equation]
    integrators: dict[str, str]


def discretised(neuron: Neuron, dt: float) -> Discretised:
    """Return one step of `dt` ms of `neuron`."""
    net = Network(dt=dt)
    lines = {given.name: identifier(given.name) for given in neuron.inputs}
    for line in lines.values():
        net.input(line, 1)
    net.population("n", neuron, 1)
    for target, line in lines.items():
        net.connect(line, "n", target=target, weight=1.0, connectivity=OneToOne(), name=f"to_{line}")
    net.output("n")
    program: Program = pipeline(Request())[0].run(lower(net))
    integrators = dict.fromkeys((s.name for s in neuron.states), "update, as declared")
    for about, line in program.notes:
        if about == "integrator" and line.startswith("n."):
            state, _, how = line.removeprefix("n.").partition(": ")
            integrators[state] = how.replace("_", " ")
    return Discretised(list(_steps(program)), integrators)


def _steps(program: Program) -> Iterable[Equation]:
    for region in program.regions:
        for node in live(region.graph):
            if not re.fullmatch(r"to_\w+_(drive|weight\w*)", node.result.name):  # the current as it arrives
                yield _step(node)
        for carry in region.graph.carries:
            state, after = carry.name.partition(".")[2], _own(carry.next.name)
            yield Equation("", f"{state}[t+1] =", after, rf"{_latex_name(state)}[t+1] = {_latex_name(after)}")


def _step(node: Node) -> Equation:
    name = _own(node.result.name)
    left, latex_left = f"{name} =", f"{_latex_name(name)} ="
    text = re.sub(r"\b(?:n[_.]|to_)(?=[A-Za-z])", "", right_hand_side(node)).replace("_drive", "")
    operands = [_latex_name(_own(v.name)) for v in node.operands]
    match node:
        case Map(expr=expr):
            own = expr.xreplace({s: sympy.Symbol(_own(s.name), real=True) for s in expr.free_symbols})
            own = own.xreplace({f: sympy.Float(f, 6) for f in own.atoms(sympy.Float)})
            names = {s: _latex_name(s.name) for s in own.free_symbols}
            latex = sympy.latex(own, symbol_names=names)
            text = str(own)
        case Spike(strict=strict) | Test(strict=strict):
            latex = rf"\left[{operands[0]} {'>' if strict else chr(92) + 'ge'} 0\right]"
            latex += rf" \wedge \neg {operands[1]}" if len(operands) > 1 else ""
        case Reset():
            v, z, r = operands
            latex = rf"{r} \text{{ where }} {z} \text{{, else }} {v}"
        case _:
            escaped = text.replace("_", r"\_")
            latex = rf"\text{{{escaped}}}"
    return Equation("", left, text, f"{latex_left} {latex}")


def _own(name: str) -> str:
    """Return a name of the graph without the population's: ``n_v_3`` is ``v_3``, ``to_x_drive`` the input ``x``."""
    return re.sub(r"^(?:n[_.]|to_)", "", name).removesuffix("_drive")
