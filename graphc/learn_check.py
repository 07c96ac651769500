"""What a learning rule cannot do for a network, found before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphc.ir import DeclarationError, Graph, Loc, Program, gradient
from graphc.passes import Rule

if TYPE_CHECKING:
    from graphc.runtime import Model


def check_rule(program: Program, driven: Program, learned: frozenset[str], rule: Rule) -> None:
    """Raise a DeclarationError where `rule` has no gradient for a learned parameter, or traces it does not carry.

    Args:
        program: what runs.
        driven: the program that writes what traces accumulate.
        learned: names of the parameters that learn.
        rule: the rule.
    """
    written = {o.name.partition("+")[0] for r in program.regions if r.backward for o in r.graph.outputs}
    reached = {d.coefficient for d in driven.drivers if gradient(d.coefficient) in written}
    for region in driven.regions:
        if region.kind == "once":
            reached |= _read_by(region.graph, reached)
    starts = {name for p in learned for name in ([p] if program.learned_states(frozenset([p])) else [])}
    adaptive = {p.name for p in program.parameters if p.attribute == "feedback"}
    for p in program.parameters:
        if p.name in learned - reached - starts - adaptive:
            raise DeclarationError(
                f"no gradient of the rule reaches '{p.name}': every path from it to an output goes over a connection "
                "and back in time at once",
                p.loc,
                'use learn="bptt", learn=False for it, or a connection without delay towards the output',
            )
    if rule.name == "ottt":
        for trace in driven.traces:
            if trace.driver.source is not None and trace.kind == "dense":
                raise DeclarationError(
                    f"gc.learn.OTTT traces sources alone, but the trace of '{trace.state.label}' by "
                    f"'{trace.driver.coefficient}' differs from target to target",
                    trace.state.current.loc,
                    "use gc.learn.BlockDiagonal(), or a subtractive reset that is detached and one time constant",
                )


def _read_by(graph: Graph, outputs: set[str]) -> set[str]:
    """Return the parameters that the prologue makes any of `outputs` of."""
    needed = {o.value for o in graph.outputs if o.name in outputs}
    for node in reversed(graph.nodes):
        if node.result in needed:
            needed.update(node.operands)
    return {i.source for i in graph.inputs if i.value in needed}


def set_feedback(model: Model, feedback: Mapping[str, Any]) -> None:
    """Copy the tensors of `feedback` into the buffers of their connections.

    Raises:
        DeclarationError: a connection has no feedback, or the shape is another.
    """
    import torch

    for name, given in feedback.items():
        buffer = getattr(getattr(model, name), "feedback", None)
        if buffer is None:
            raise DeclarationError(
                f"feedback is given for '{name}', over which no gradient goes within a step", Loc.caller()
            )
        tensor = torch.as_tensor(given, dtype=buffer.dtype)
        if tensor.shape != buffer.shape:
            raise DeclarationError(
                f"feedback of '{name}' has shape {tuple(tensor.shape)}, but its weight {tuple(buffer.shape)}",
                Loc.caller(),
            )
        with torch.no_grad():
            buffer.copy_(tensor)
