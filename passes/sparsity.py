"""Choose how kernels keep the weights of listed synapses: as the list, or as a matrix with zeros."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy

from graphc.ir import (
    Const,
    DelayedSynapses,
    Graph,
    Map,
    Names,
    Node,
    Place,
    Program,
    Project,
    Spread,
    Synapses,
    TargetError,
    Type,
    Value,
    slot,
    symbol,
)

from .base import Request

CROSSOVER = 0.25
"""Density from which a matrix with zeros is faster than a list on a processor (docs/synapses.md, measured)."""

LARGEST = 1 << 30  # elements of a matrix that is made of a list


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Replace the lists of dense connections, and of all on a target without lists, by matrices.

    before:  %i = synapses s0*s1 over pre [z (pre), w (synapse)] of list %rows, %post
    after:   %w_matrix = place %w, %rows, %post;  %i = project %z, %w_matrix

    A list costs memory and time in proportion to its synapses; a matrix has the better access, and is the only form
    that the matrix units of a GPU know.
    """

    request: Request
    name: str = "sparsity"

    def run(self, program: Program) -> Program:
        """Return `program` with the layouts chosen, and a note for each list."""
        if any(r.kind == "once" for r in program.regions) or len(program.regions) != 1:
            return program
        (region,) = program.regions
        who = "an online rule" if self.request.rule else "target 'triton'"
        graph, lines = _chosen(region.graph, program, self.request.lists, who)
        if not lines:
            return program
        noted = any(about == "synapses" for about, _ in program.notes)
        program = program.with_regions([replace(region, graph=graph)])
        return program if noted else program.note("synapses", *lines)


def _chosen(graph: Graph, program: Program, lists: bool, who: str) -> tuple[Graph, list[str]]:
    nodes: list[Node] = []
    lines: list[str] = []
    names = Names(v.name for v in graph.values)
    for node in graph.nodes:
        if not isinstance(node, DelayedSynapses) and not (isinstance(node, Synapses) and node.listed):
            if not lists and isinstance(node, Synapses) and node.drawn is not None:
                raise TargetError(
                    f"%{node.result.name} draws its synapses at every spike, which {who} cannot",
                    node.result.loc,
                    _way_out(who, 'leave layout="procedural" out'),
                )
            nodes.append(node)
            continue
        pre, post = (program.sizes[a] for a in node.ends)
        count = program.sizes[node.operands[-1].type.axes[0]]
        density = count / (pre * post)
        about = f"{node.result.name}: {count} synapses, {100 * density:.3g} % of {pre} x {post}"
        if _layout(node, density, lists, who) == "list":
            lines.append(f"{about}: a list of targets per source neuron")
            nodes.append(node)
            continue
        if pre * post > LARGEST:
            raise TargetError(
                f"%{node.result.name} keeps {count} synapses as a matrix of {pre} x {post}, which is too large",
                node.result.loc,
                'target="c" keeps lists' if not lists else 'use layout="list"',
            )
        lines.append(f"{about}: a matrix with zeros" + ("" if lists else ", the only layout of this target"))
        nodes += _as_matrices(node, names) if isinstance(node, DelayedSynapses) else _as_matrix(node, names)
    return graph.with_nodes(nodes), lines


def _way_out(who: str, hint: str) -> str:
    return hint if who != "target 'triton'" else f'{hint}, or use target="c"'


def _layout(node: Synapses | DelayedSynapses, density: float, lists: bool, who: str) -> str:
    """Return "list" or "dense".

    Raises:
        TargetError: the user asks for a list where the target has none.
    """
    if isinstance(node, Synapses) and node.own:
        if not lists:
            raise TargetError(
                f"%{node.result.name} has listed synapses that a rule changes, which {who} cannot take",
                node.result.loc,
                _way_out(who, "use gc.Dense() synapses"),
            )
        return "list"
    if not lists:
        if node.layout == "list":
            raise TargetError(
                f"%{node.result.name} is to be a list, which {who} cannot take",
                node.result.loc,
                _way_out(who, 'leave layout="list" out'),
            )
        return "dense"
    if node.layout != "auto":
        return node.layout
    if isinstance(node, DelayedSynapses):  # a matrix per delay would do the work of all of them for each
        return "list"
    return "dense" if density >= CROSSOVER else "list"


def _as_matrices(node: DelayedSynapses, names: Names) -> list[Node]:
    """Return a product with the matrix of each delay, and their sum."""
    made: list[Node] = []
    parts: list[Value] = []
    for k, read in enumerate(node.reads):
        matrix = names.value(f"{node.factor.name}_matrix_{node.lags[k]}", Type("real", False, node.ends), node.factor)
        made.append(Place(result=matrix, operands=(node.factor, *node.tables), number=k))
        part = names.value(f"{node.result.name}_{node.lags[k]}", node.result.type, node.result)
        made.append(Project(result=part, operands=(read, matrix)))
        parts.append(part)
    total = sympy.Add(*(symbol(p) for p in parts))
    return [*made, Map(result=node.result, operands=tuple(sorted(parts, key=lambda v: v.name)), expr=total)]


def _as_matrix(node: Synapses, names: Names) -> list[Node]:
    """Return nodes that compute the same from matrices."""
    *_, rows, post = node.operands
    made: list[Node] = []

    def place(value: Value) -> Value:
        matrix = names.value(f"{value.name}_matrix", Type("real", False, node.ends), value)
        made.append(Place(result=matrix, operands=(value, rows, post)))
        return matrix

    given = list(zip(node.operands, node.roles, strict=False))
    operands = [place(v) if r == "synapse" else v for v, r in given]
    if node.expr == slot(0) * slot(1) and node.roles == ("pre", "synapse"):
        made.append(Project(result=node.result, operands=tuple(operands)))
        return made
    expr, roles = node.expr, node.roles
    if any(expr.xreplace({slot(k): sympy.S.Zero}) == 0 for k, r in enumerate(roles) if r == "synapse"):
        made.append(replace(node, operands=tuple(operands), layout="auto"))
        return made
    one = names.value("one", Type())
    ones = names.value("ones", Type("real", False, node.synapse_axes))
    made += [Const(result=one, value=1.0), Spread(result=ones, operands=(one,))]
    operands.append(place(ones))  # a pair that is no synapse delivers nothing, whatever its weight of 0 would
    made.append(
        replace(
            node,
            operands=tuple(operands),
            expr=expr * slot(len(roles)),
            roles=(*roles, "synapse"),
            layout="auto",
        )
    )
    return made
