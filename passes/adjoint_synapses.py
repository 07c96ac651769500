"""Gradients of sums over synapses: the same synapses, summed the other way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sympy

from graphc.ir import (
    DelayedSynapses,
    Graph,
    History,
    Outer,
    Pool,
    Project,
    ProjectTransposed,
    Read,
    Spread,
    Synapses,
    Type,
    Value,
    gradient,
    slot,
    symbol,
)
from graphc.ir.synapses import Layout, Over, Role

from .build import derivative

if TYPE_CHECKING:
    from .adjoint import Reverse


def reads_of_delayed(forward: Graph) -> set[Value]:
    """Return the reads whose gradient goes back through delayed synapses alone, not step by step of its own."""
    users = forward.users()
    return {
        n.result
        for n in forward.nodes
        if isinstance(n, Read) and users[n.result] and all(isinstance(u, DelayedSynapses) for u in users[n.result])
    }


def seed_delayed(reverse: Reverse, node: DelayedSynapses) -> None:
    """Add what arrives at the sources: weights times the gradients of targets, each as much later as its delay."""
    first = reverse.definition[node.reads[0]]
    assert isinstance(first, Read)
    history = reverse.forward.history(first.history)
    if history.value not in reverse.relevant and history.init not in reverse.request.wrt:
        return
    kept = _ahead(node, history.name)
    type = node.result.type.with_dtype("real")
    reads = [
        reverse.build.add(
            Read(result=reverse.build.new(f"d_{node.result.name}_in_{d}", type, node.result), history=kept, delay=d)
        )
        for d in node.lags
    ]
    tables = [reverse.forward_value(v) for v in node.tables]
    result = reverse.build.new(f"d_{history.value.name}", history.value.type.with_dtype("real"), history.value)
    weight = reverse.forward_value(node.factor)
    part = replace(node, result=result, operands=(*reads, weight, *tables), over="post")
    reverse.add(history.value, reverse.build.add(part))
    if _meets_ends(reverse, history):
        _seed_final(reverse, history)


def _meets_ends(reverse: Reverse, history: History) -> bool:
    """Whether gradients arrive at the final history, or are wanted of the initial one."""
    return reverse.request.final or history.init in reverse.request.wrt


def _seed_final(reverse: Reverse, history: History) -> None:
    """Let the gradient of a final history arrive where no read of its own does."""
    name = f"{gradient(history.name)}@{history.depth}"
    reads = [n for n in reverse.forward.nodes if isinstance(n, Read) and n.history == history.name]
    plain = any(n.delay == history.depth and n.result not in reverse.delayed for n in reads)
    if plain or any(h.name == name for h in reverse.histories):
        return
    type = history.value.type.with_dtype("real")
    result = reverse.build.new(f"d_{history.value.name}_at_{history.depth}", type, history.value)
    reverse.add(history.value, reverse.build.add(Read(result=result, history=name, delay=history.depth)))
    reverse.histories.append(History(name, reverse.zero(result), history.depth, f"{name}@final", name))


def differentiate_delayed(reverse: Reverse, node: DelayedSynapses, g: Value) -> None:
    """Keep the gradient of the targets for the steps before, and add that of the weights."""
    if reverse.channel == "instant":
        return  # what delayed synapses read is of earlier steps
    first = reverse.definition[node.reads[0]]
    assert isinstance(first, Read)
    history = reverse.forward.history(first.history)
    name = _ahead(node, history.name)
    if any(isinstance(n, Read) and n.history == name for n in reverse.build.nodes):
        final = f"{name}@final" if _meets_ends(reverse, history) else None
        reverse.histories.append(History(name, g, max(node.lags), None, final))
    if node.factor in reverse.relevant:
        tables = [reverse.forward_value(v) for v in node.tables]
        reads = [reverse.forward_value(v) for v in node.reads]
        result = reverse.build.new(f"d_{node.factor.name}", node.factor.type, node.factor)
        part = replace(node, result=result, operands=(*reads, g, *tables), over="batch")
        reverse.emit(node.factor, reverse.build.add(part))


def differentiate_product(reverse: Reverse, node: Project, g: Value) -> None:
    """Add the gradients of the source and the weights of a product."""
    z, w, *feedback = node.operands
    if z in reverse.relevant and reverse.channel != "total":
        result = reverse.build.new(f"d_{z.name}", z.type.with_dtype("real"), z)
        weight = reverse.forward_value(feedback[0] if feedback else w)
        reverse.cross(z, ProjectTransposed(result=result, operands=(g, weight)))
    if w in reverse.relevant and reverse.channel != "instant":
        source = reverse.forward_value(z)
        learned = [w, *(b for b in feedback if reverse.source(b) in reverse.request.wrt)]
        if reverse.request.drivers:
            for fixed in learned:
                reverse.drive(fixed, g, reverse.input_of(source).source, node.result.name)
            return
        outer = Outer(result=reverse.build.new(f"d_{w.name}", w.type, w), operands=(source, g))
        part = reverse.build.add(outer)
        for fixed in learned:
            reverse.emit(fixed, part)


def differentiate_synapses(reverse: Reverse, node: Synapses, g: Value) -> None:
    """Add the gradients of the operands of a sum over synapses: sums over the same synapses, the other way."""
    role: Role
    for k, (operand, role) in enumerate(zip(node.operands, node.roles, strict=False)):
        partial = derivative(node.expr, slot(k))
        if operand not in reverse.relevant or partial == 0:
            continue
        if role == "synapse" and node.own:
            _differentiate_own(reverse, node, operand, partial, g)
            continue
        last = len(node.roles)
        back: Role = "post" if node.over == "pre" else "pre"
        expr, roles = partial * slot(last), (*node.roles, back)
        used = [n for n in range(last + 1) if slot(n) in expr.free_symbols]
        renamed = {slot(n): slot(m) for m, n in enumerate(used)}
        factors = [g if n == last else reverse.forward_value(node.operands[n]) for n in used]
        tables = [reverse.forward_value(v) for v in node.operands[last:]]
        over: Over = {"pre": "post", "post": "pre", "synapse": "batch"}[role]  # type: ignore[assignment]
        like = operand.type.with_dtype("real")
        if (role == "pre" and reverse.channel == "total") or (role == "synapse" and reverse.channel == "instant"):
            continue
        part = replace(
            node,
            result=reverse.build.new(f"d_{operand.name}", like, operand),
            operands=(*factors, *tables),
            expr=expr.xreplace(renamed),
            roles=tuple(roles[n] for n in used),
            over=over,
        )
        if role == "synapse":
            reverse.emit(operand, reverse.build.add(part))
        elif role == "pre":
            reverse.cross(operand, part)
        else:
            reverse.add(operand, reverse.build.add(part))


def _differentiate_own(reverse: Reverse, node: Synapses, operand: Value, partial: sympy.Expr, g: Value) -> None:
    """Add the gradient of one number per synapse and sample: what its two neurons have, spread over the synapses."""
    tables = tuple(reverse.forward_value(v) for v in node.operands[len(node.roles) :])
    other: Role = "post" if node.over == "pre" else "pre"
    used = {n: r for n, r in enumerate(node.roles) if slot(n) in partial.free_symbols}
    values = {slot(n): (reverse.forward_value(node.operands[n]), r) for n, r in used.items()}
    leaves = {s: v if r == "synapse" else _spread(reverse, v, r, node, tables) for s, (v, r) in values.items()}
    arriving = _spread(reverse, g, other, node, tables)
    expr = symbol(arriving) * partial.xreplace({s: symbol(v) for s, v in leaves.items()})
    part = reverse.build.map(f"d_{operand.name}", expr, operand)
    reverse.add(operand, reverse.build.spread(part, Type("real", True, operand.type.axes)))


def _spread(reverse: Reverse, value: Value, side: Role, node: Synapses, tables: tuple[Value, ...]) -> Value:
    assert side != "synapse"
    type = Type(value.type.dtype, value.type.batched, node.synapse_axes)
    result = reverse.build.new(f"{value.name}_{side}", type, value)
    return reverse.build.add(Spread(result=result, operands=(value, *tables), side=side, ends=node.ends))


def differentiate_spread(reverse: Reverse, node: Spread, g: Value) -> None:
    """Add the gradient of what was spread over the synapses, or over a population: the sum of theirs."""
    operand, tables = node.operands[0], tuple(reverse.forward_value(v) for v in node.operands[1:])
    if operand not in reverse.relevant:
        return
    made = reverse.build.new(f"d_{operand.name}", Type("real", True, operand.type.axes), operand)
    over: Over
    role: Role
    if node.side == "one":
        over, role, ends = "pre", "pre", (node.result.type.axes[0], operand.type.axes[0])
    else:
        over, role = ("post" if node.side == "pre" else "pre"), "synapse"
        ends = (node.ends[0], node.ends[1])
    layout: Layout = "list" if tables else "auto"
    part = Synapses(
        result=made, operands=(g, *tables), expr=slot(0), roles=(role,), over=over, ends=ends, layout=layout
    )
    reverse.add(operand, reverse.build.add(part))


def differentiate_pool(reverse: Reverse, node: Pool, g: Value) -> None:
    """Add the gradient of what was reduced over the batch: that of the result, reduced alike."""
    (operand,) = node.operands
    if operand in reverse.relevant:
        result = reverse.build.new(f"d_{operand.name}", node.result.type, operand)
        reverse.add(operand, reverse.build.add(replace(node, result=result, operands=(g,))))


def _ahead(node: DelayedSynapses, history: str) -> str:
    """Return the name of what the reverse loop keeps of the gradient of delayed synapses that read `history`."""
    return f"ahead {node.result.name} of {history}"


def longest(reverse: Reverse, history: History) -> int:
    """Return the longest delay at which gradients go back to `history`: what is older at the end has none."""
    reads = [n for n in reverse.forward.nodes if isinstance(n, Read) and n.history == history.name]
    if any(n.result in reverse.delayed for n in reads):
        return history.depth
    return max(n.delay for n in reads if n.result in reverse.relevant)
