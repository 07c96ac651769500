"""Move what depends on parameters only out of the time loop, into the `once` region."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy

from graphc.ir import Const, Graph, Input, Map, Node, Output, Program, Region, Value, symbol

from .build import Builder, fixed_values


@dataclass(frozen=True, slots=True)
class SplitPrologue:
    """Compute coefficients once a call; the loop reads them as fixed inputs.

    before:  steps %v = map exp(-dt/tau)*v + x     after:  once  %v_keep = map exp(-dt/tau)
                                                           steps %v = map v_keep*v + x
    """

    name: str = "prologue"

    def run(self, program: Program) -> Program:
        """Return `program` with a `once` region before its time loop."""
        if any(r.kind == "once" for r in program.regions):
            return program
        (region,) = program.regions
        once, steps = _split(region.graph)
        return program.with_regions([Region("once", once), Region("steps", steps)])


def _split(graph: Graph) -> tuple[Graph, Graph]:
    fixed = fixed_values(graph)
    constants = {n.result for n in graph.nodes if isinstance(n, Const)}
    parameters = {i.value for i in graph.inputs if i.kind == "fixed"}
    build = Builder.extending(graph)  # the nodes of the prologue
    loop: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Const):
            build.add(node)
            loop.append(node)
        elif node.result in fixed:
            build.add(node)
        elif isinstance(node, Map):
            expr = _hoist(node.expr, {symbol(v) for v in node.operands if v in fixed}, node.result, build, constants)
            operands = tuple(build.values[s.name] for s in sorted(expr.free_symbols, key=str))
            loop.append(node if expr == node.expr else replace(node, expr=expr, operands=operands))
            build.values[node.result.name] = node.result
        else:
            loop.append(node)
            build.values[node.result.name] = node.result
    made = {n.result for n in build.nodes} - constants
    read = {v for n in loop for v in n.operands}
    read |= {o.value for o in graph.outputs}
    crossing = [n.result for n in build.nodes if n.result in made and n.result in read]
    once = Graph(
        "prologue",
        tuple(i for i in graph.inputs if i.value in parameters),
        tuple(build.nodes),
        tuple(Output(v.name, v, "fixed") for v in crossing),
    )
    inputs = graph.inputs + tuple(Input(v.name, v, "fixed") for v in crossing)
    return _prune(once), _prune(replace(graph, inputs=inputs, nodes=tuple(loop)))


def _hoist(
    expr: sympy.Expr, fixed: set[sympy.Symbol], result: Value, build: Builder, constants: set[Value]
) -> sympy.Expr:
    """Return `expr` with every largest fixed part replaced by the symbol of a prologue node."""

    def hoisted(part: sympy.Expr) -> sympy.Expr:
        known = {symbol(build.values[s.name]): build.values[s.name] for s in part.free_symbols}
        if all(v in constants for v in known.values()):
            return part
        return symbol(build.map(f"{result.name}_factor", part, result))

    def walk(part: sympy.Basic) -> sympy.Basic:
        if not part.free_symbols or _is_signed_symbol(part):
            return part
        if part.free_symbols <= fixed and isinstance(part, sympy.Expr):
            return hoisted(part)
        if isinstance(part, (sympy.Add, sympy.Mul)):
            still = [a for a in part.args if a.free_symbols <= fixed]
            moving = [walk(a) for a in part.args if not a.free_symbols <= fixed]
            group = part.func(*still)
            return part.func(walk(group) if group.free_symbols else group, *moving)
        return part.func(*(walk(a) for a in part.args)) if part.args else part

    return walk(expr)


def _is_signed_symbol(part: sympy.Basic) -> bool:
    """Whether `part` is a symbol or its negative, which is no work to save."""
    return isinstance(part, sympy.Symbol) or (isinstance(part, sympy.Mul) and isinstance(-part, sympy.Symbol))


def _prune(graph: Graph) -> Graph:
    """Drop nodes and inputs that nothing reads."""
    live, kept = set(graph.results), []
    for node in reversed(graph.nodes):
        if node.result in live:
            live.update(node.operands)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)), inputs=tuple(i for i in graph.inputs if i.value in live))
