"""Products and sums over all steps, by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from graphc.ir import History, Kernel, Outer, Project, ProjectTransposed, Read, Reduce, Value, VerifyError


def run_product(kernel: Kernel, tensors: Sequence[torch.Tensor], steps: int, real: torch.dtype) -> None:
    """Run a kernel of kind `product`, writing into the last of `tensors`.

    Args:
        kernel: its graph holds one Project, ProjectTransposed, Outer or Reduce, and Reads of sequences.
        tensors: in the order of ``kernel.arguments``.
        steps: T.
        real: the state dtype.
    """
    graph = kernel.graph
    given = dict(zip(kernel.arguments, tensors, strict=True))
    sequences = {i.value: given[i.source] for i in graph.inputs}
    (node,) = (n for n in graph.nodes if not isinstance(n, Read))
    reads = {n.result: n for n in graph.nodes if isinstance(n, Read)}

    def parts(value: Value) -> list[tuple[slice, torch.Tensor | None]]:
        """Return the rows of `value` as pieces of tensors; None is zero."""
        if value not in reads:
            return [(slice(0, steps), sequences[value])]
        history, delay = graph.history(reads[value].history), min(reads[value].delay, steps)
        early = given[history.init][history.depth - reads[value].delay :][:delay] if history.init else None
        return [(slice(0, delay), early), (slice(delay, steps), sequences[history.value][: steps - delay])]

    outputs = [given[o.name] for o in graph.outputs]
    match node:
        case Project(operands=(z, w)) | ProjectTransposed(operands=(z, w)):
            weight = sequences[w] if isinstance(node, Project) else sequences[w].transpose(-1, -2)
            for rows, source in parts(z):
                for output in outputs:
                    _project(source, weight, output[rows], real)
        case Outer(operands=(z, g)):
            for output in outputs:
                output.zero_()
                for rows, source in parts(z):
                    for inner, gradient in parts(g):
                        _add_outer(rows, source, inner, gradient, output, real)
        case Reduce(operands=(x,)):
            for output in outputs:
                output.zero_()
                for _, source in parts(x):
                    if source is not None and source.numel():
                        lead = tuple(range(source.dim() - output.dim()))
                        output.add_(source.to(real).sum(lead) if lead else source.to(real))
        case _:
            raise VerifyError(
                f"kernel {kernel.name!r} holds {type(node).__name__}, which is no product", node.result.loc
            )
    for history in graph.histories:
        if history.final:
            store_final(history, sequences[history.value], given, steps)


def _project(source: torch.Tensor | None, weight: torch.Tensor, output: torch.Tensor, real: torch.dtype) -> None:
    if source is None:
        output.zero_()
    elif output.numel():
        torch.matmul(source.to(real), weight, out=output)


def _add_outer(
    rows: slice,
    source: torch.Tensor | None,
    inner: slice,
    gradient: torch.Tensor | None,
    output: torch.Tensor,
    real: torch.dtype,
) -> None:
    first, last = max(rows.start, inner.start), min(rows.stop, inner.stop)
    if source is None or gradient is None or last <= first:
        return
    z = source[first - rows.start : last - rows.start].to(real).flatten(0, -2)
    g = gradient[first - inner.start : last - inner.start].to(real).flatten(0, -2)
    output.addmm_(z.t(), g)


def store_final(history: History, sequence: torch.Tensor, given: Mapping[str, torch.Tensor], steps: int) -> None:
    """Write the last rows of `history`, whose values stand in `sequence`, into its final tensor."""
    final = given[history.final or ""]
    kept = min(steps, history.depth)
    if kept < history.depth:
        if history.init:
            final[: history.depth - kept] = given[history.init][kept:]
        else:
            final[: history.depth - kept] = 0
    final[history.depth - kept :] = sequence[steps - kept : steps]
