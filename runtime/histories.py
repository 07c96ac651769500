"""Gradients of histories: what arrives at the last ones, and what they mean for the first ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from graphc.ir import DelayedSynapses, Program, Read
from graphc.ir.interpret_synapses import sources_of


def ahead_gradient(program: Program, state: str, env: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the gradient that delayed synapses carry to the initial history `state`, (depth, B, N), or None.

    The reverse loop ends with the gradients of the targets of the first steps. A spike of `age` steps before the first
    one met those that its delay had led to: at step delay - age, where that is not before the first either.
    """
    total: torch.Tensor | None = None
    depth = next(t.depth for t in program.states if t.name == state) or 0
    for region in program.regions:
        if region.kind != "reverse":
            continue
        graph = region.graph
        reads = {n.result: n for n in graph.nodes if isinstance(n, Read)}
        sources = {i.value: i.source for i in graph.inputs}
        for node in graph.nodes:
            if not isinstance(node, DelayedSynapses) or not all(v in reads for v in node.reads):
                continue
            history = graph.history(reads[node.reads[0]].history)
            if not history.name.endswith(f" of {state}") or history.final is None:
                continue
            weight, rows, post = (env[sources[v]] for v in (node.factor, *node.tables))
            part = _carried(node, env[history.final], weight, rows, post, depth)
            total = part if total is None else total + part
    return total


def _carried(
    node: DelayedSynapses,
    first: torch.Tensor,
    weight: torch.Tensor,
    rows: torch.Tensor,
    post: torch.Tensor,
    depth: int,
) -> torch.Tensor:
    """Return the gradient of the ages depth to 1; `first` are the gradients of the first steps, step 0 last."""
    count = len(node.lags)
    sources = (len(rows) - 1) // count
    both = sources_of(rows)
    lag, pre = both // sources, both % sources
    total = first.new_zeros((depth, first.shape[1], sources))
    for k, delay in enumerate(node.lags):
        mine = (lag == k).nonzero().flatten()
        carried = first[..., post[mine].long()] * weight[mine]
        for age in range(1, delay + 1):  # the step delay - age, which stands that far from the end
            total[depth - age].index_add_(-1, pre[mine], carried[first.shape[0] - 1 - (delay - age)])
    return total
