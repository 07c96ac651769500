"""Which numbers an eligibility trace needs: none, one per source neuron, or one per synapse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphc.ir import Driver, Graph, Read, State, Trace, Type, Value, symbol
from graphc.ir.traces import Class

from .jacobian import derivatives

if TYPE_CHECKING:
    import networkx

Flow = dict[str, bool]
"""By state: whether an entry that is not zero by structure is the same for all neurons of the population."""


def states_of(graph: Graph, relevant: Iterable[Value]) -> list[State]:
    """Return the states that gradients go through, histories step by step."""
    found = []
    known = set(relevant)
    for carry in graph.carries:
        if carry.current in known and len(carry.current.type.axes) == 1:
            found.append(State(carry.name, carry.current.type.axes[0], carry.current, carry.next))
    for history in graph.histories:
        reads = {n.delay: n for n in graph.nodes if isinstance(n, Read) and n.history == history.name}
        depth = max((d for d, n in reads.items() if n.result in known), default=0)
        for age in range(1, depth + 1):
            value = reads[age].result if age in reads else history.value
            axis = history.value.type.axes[0]
            found.append(State(f"{history.name}-{age}", axis, value, history.value, history.name, age))
    return found


def classify(graph: Graph, states: Iterable[State], into: str, axis: str) -> dict[str, Class]:
    """Return the class of the trace of every state of `axis`, for weights that add to the value called `into`.

    A strongly connected group of states is shared where every entry of the step Jacobian within it and into it, and
    what drives it, reads nothing of the target: no state, input or parameter of its own. A derivative that is stopped
    leaves the value, so that psi or 1 - z makes an entry the target's own whatever is detached.

    Source:
        After the e-prop and OTTT factorisations (Bellec et al. 2020; Xiao et al. 2022), here decided by structure.
    """
    import networkx

    own = [s for s in states if s.axis == axis]
    jacobian = {s.label: _next(graph, s, own) for s in own}
    drive = _next_of(graph, [v for v in graph.values if v.name == into], own)
    step = networkx.DiGraph()
    step.add_nodes_from(s.label for s in own)
    step.add_edges_from((u, s) for u, row in jacobian.items() for s in row)
    classes: dict[str, Class] = {}
    condensed = networkx.condensation(step)
    for group in networkx.topological_sort(condensed):
        members: set[str] = condensed.nodes[group]["members"]
        before = [(u, s) for s in members for u in step.predecessors(s) if u not in members]
        driven = [s for s in members if s in drive]
        moving = [(u, s) for u, s in before if classes[u] != "zero"]
        if not driven and not moving:
            classes |= dict.fromkeys(members, "zero")
            continue
        entries = [jacobian[u][s] for s in members for u in step.predecessors(s) if u in members]
        entries += [jacobian[u][s] for u, s in moving] + [drive[s] for s in driven]
        alike = all(entries) and all(classes[u] == "shared" for u, _ in moving)
        classes |= dict.fromkeys(members, "shared" if alike else "dense")
    return classes


def traces_of(graph: Graph, states: list[State], drivers: Iterable[Driver], local: bool) -> list[Trace]:
    """Return the traces that `drivers` need, without those that are zero.

    Where the rule is not `local`, every state of every neuron has a trace by every coefficient.
    """
    found = []
    taken: dict[str, int] = {}
    reads = _reach(graph, states) if local else {}
    for driver in drivers:
        axis = driver.axes[-1]
        coefficient = next(i.value.name for i in graph.inputs if i.source == driver.coefficient)
        classes = classify(graph, states, coefficient if driver.source is None else driver.into, axis)
        count = taken[driver.coefficient] = taken.get(driver.coefficient, 0) + 1
        for state in states:
            if not local:
                name = f"{driver.coefficient}~{state.label}" + (f"+{count - 1}" if count > 1 else "")
                found.append(Trace(name, Type("real", True, (state.axis, *driver.axes)), driver, state, "full"))
                continue
            if state.axis != axis or (kind := classes[state.label]) == "zero":
                continue
            kind = kind if driver.source is not None else "dense"
            axes = driver.axes[:1] if kind == "shared" else driver.axes
            name = f"{driver.coefficient}~{state.label}" + (f"+{count - 1}" if count > 1 else "")
            found.append(Trace(name, Type("real", True, axes), driver, state, kind, reads[state.label]))
    return found


def _reach(graph: Graph, states: list[State]) -> dict[str, tuple[str, ...]]:
    """Return, by state, the states of the same neuron on which it depends some steps later."""
    import networkx

    step = networkx.DiGraph()
    step.add_nodes_from(s.label for s in states)
    for u in states:
        own = [s for s in states if s.axis == u.axis]
        step.add_edges_from((u.label, s) for s in _next(graph, u, own))
    before = {label: networkx.ancestors(step, label) for label in step}
    loops = {label for label in step if step.has_edge(label, label) or label in _cycles(step)}
    return {
        label: tuple(s.label for s in states if s.label in before[label] or (s.label == label and label in loops))
        for label in step
    }


def _cycles(step: networkx.DiGraph) -> set[str]:
    """Return the states that depend on themselves over others."""
    import networkx

    return {s for group in networkx.strongly_connected_components(step) if len(group) > 1 for s in group}


def _next(graph: Graph, state: State, states: list[State]) -> Flow:
    """Return the states of the next step that depend on `state`."""
    if state.history is None:
        return _next_of(graph, [state.current], states)
    starts = [
        n.result for n in graph.nodes if isinstance(n, Read) and n.history == state.history and n.delay == state.age
    ]
    found = _next_of(graph, starts, states)
    older = next((s for s in states if s.history == state.history and s.age == state.age + 1), None)
    return found if older is None else found | {older.label: True}


def _next_of(graph: Graph, starts: Iterable[Value], states: Iterable[State]) -> Flow:
    """Return which states after the step depend on `starts`, and whether alike for all neurons."""
    found = derivatives(graph, starts)
    alike = {str(symbol(v)) for v in graph.values if not v.type.batched and not v.type.axes}
    return {
        s.label: {str(name) for name in found[s.next].free_symbols} <= alike
        for s in states
        if s.next is not None and s.age < 2 and s.next in found
    }
