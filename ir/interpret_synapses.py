"""Reference semantics of synapses in torch."""

from __future__ import annotations

import torch

from .evaluate import evaluate
from .synapses import DelayedSynapses, Place, Synapses, Take, Total


def sources_of(rows: torch.Tensor) -> torch.Tensor:
    """Return the source neuron of every synapse of a list."""
    counts = rows.long().diff()
    return torch.repeat_interleave(torch.arange(len(counts), device=rows.device), counts)


def run_synapses(
    node: Synapses, args: list[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype, leading: bool
) -> torch.Tensor:
    """Return the result of `node`, whose last axes are `shape`; operands may have leading axes T and B."""
    if node.over == "batch" and leading:  # step by step, so that only one step holds a number per synapse and sample
        steps = max((a.shape[0] for a, v in zip(args, node.operands, strict=True) if v.type.batched), default=1)
        total = torch.zeros(shape, dtype=dtype, device=args[0].device)
        for t in range(steps):
            now = [a[t] if v.type.batched else a for a, v in zip(args, node.operands, strict=True)]
            total = total + run_synapses(node, now, shape, dtype, False)
        return total
    if node.drawn is not None:
        return _drawn(node, args, shape, dtype)
    return _listed(node, args, shape, dtype) if node.listed else _full(node, args, shape, dtype)


def _drawn(node: Synapses, args: list[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Draw the list and sum over it; the other side's size is that of an operand."""
    assert node.drawn is not None
    other = args[0].shape[-1]
    pre, post = (other, shape[-1]) if node.over == "pre" else (shape[-1], other)
    i, j = (torch.from_numpy(a) for a in node.drawn.pairs(pre, post))
    rows = torch.searchsorted(i, torch.arange(pre + 1))
    return _listed(node, [*args, rows, j], shape, dtype)


def _full(node: Synapses, args: list[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    place = {"pre": lambda a: a.unsqueeze(-1), "post": lambda a: a.unsqueeze(-2), "synapse": lambda a: a}
    named = {f"s{k}": place[r](a) for k, (r, a) in enumerate(zip(node.roles, args, strict=True))}
    value = evaluate(node.expr, named, dtype, args[0].device)
    if node.over == "batch":
        value = value.expand(*_lead(node, args), *value.shape[-2:])
        return value.sum(tuple(range(value.dim() - 2))).expand(shape)
    # An expression without an operand of one side is the same for all its neurons.
    count = {"pre": 0, "post": 0}
    for a, role in zip(args, node.roles, strict=True):
        if role == "synapse":
            count = {"pre": a.shape[-2], "post": a.shape[-1]}
        else:
            count[role] = a.shape[-1]
    value = value.expand(*value.shape[:-2], count["pre"] or value.shape[-2], count["post"] or value.shape[-1])
    return value.sum(-2 if node.over == "pre" else -1)


def _lead(node: Synapses, args: list[torch.Tensor]) -> tuple[int, ...]:
    shapes = [a.shape[:-1] for a, r in zip(args, node.roles, strict=True) if r != "synapse"]
    return tuple(torch.broadcast_shapes(*shapes)) if shapes else ()


def _listed(node: Synapses, args: list[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    *given, rows, post = args
    pre = sources_of(rows)
    post = post[: len(pre)].long()
    place = {"pre": lambda a: a[..., pre], "post": lambda a: a[..., post], "synapse": lambda a: a[..., : len(pre)]}
    named = {f"s{k}": place[r](a) for k, (r, a) in enumerate(zip(node.roles, given, strict=True))}
    value = evaluate(node.expr, named, dtype, rows.device)
    value = value.expand(*_lead(node, given), len(pre)) if value.dim() < 2 else value
    if node.over == "batch":
        summed = value.sum(tuple(range(value.dim() - 1))) if value.dim() > 1 else value
        return torch.cat([summed, summed.new_zeros(shape[-1] - len(pre))])
    index = post if node.over == "pre" else pre
    return value.new_zeros((*value.shape[:-1], shape[-1])).index_add(-1, index, value)


def run_delayed(node: DelayedSynapses, args: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """Return the result of `node`, whose last axes are `shape`."""
    count = len(node.lags)
    reads, factor, (rows, post) = args[:count], args[count], args[count + 1 :]
    sources = (len(rows) - 1) // count
    both = sources_of(rows)
    lag, pre = both // sources, both % sources
    post = post[: len(pre)].long()
    parts: list[torch.Tensor] = []
    for k, read in enumerate(reads):
        mine = (lag == k).nonzero().flatten()
        i, j = pre[mine], post[mine]
        if node.over == "batch":
            each = (read[..., i] * factor[..., j]).flatten(0, -2).sum(0)
            parts.append(each.new_zeros(shape).index_add(0, mine, each))
        else:
            near, far = (i, j) if node.over == "pre" else (j, i)
            each = read[..., near] * factor[mine]
            parts.append(each.new_zeros((*each.shape[:-1], shape[-1])).index_add(-1, far, each))
    return torch.stack(parts).sum(0)


def spread_side(side: str, args: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """Return what each synapse reads of its source or target neuron, of `shape`."""
    value = args[0]
    if side == "one":
        return value.expand(shape)
    if len(args) == 1:
        return value.unsqueeze(-1 if side == "pre" else -2).expand(shape)
    rows, post = args[1:]
    pre = sources_of(rows)
    taken = value[..., pre if side == "pre" else post[: len(pre)].long()]
    rest = taken.new_zeros((*taken.shape[:-1], shape[-1] - len(pre)))
    return torch.cat([taken, rest], -1).expand(shape)


def prepare(node: Take | Place | Total, args: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """Return the result of a node of the prologue, of `shape`."""
    if isinstance(node, Take):
        return args[0].flatten()[args[1].long()]
    if isinstance(node, Total) and len(args) == 1:
        return args[0].sum(0 if node.over == "pre" else 1)
    weight, rows, post = args
    if isinstance(node, Place):
        rows = rows[node.number * shape[0] : (node.number + 1) * shape[0] + 1]
    pre = sources_of(rows)
    mine = slice(int(rows[0]), int(rows[0]) + len(pre))
    post, weight = post[mine].long(), weight[mine]
    if isinstance(node, Total):
        return weight.new_zeros(shape).index_add(0, post if node.over == "pre" else pre, weight)
    matrix = weight.new_zeros(shape)
    return matrix.index_put((pre, post), weight)
