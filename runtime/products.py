"""Products and sums over all steps, by torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from graphc.ir import (
    History,
    Kernel,
    Outer,
    Precision,
    Project,
    ProjectTransposed,
    Read,
    Reduce,
    Synapses,
    Value,
    VerifyError,
)
from graphc.ir.interpret_synapses import run_synapses

NARROW = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""What the factors of a product are rounded to, by precision; the others keep them."""


def run_product(
    kernel: Kernel,
    tensors: Sequence[torch.Tensor],
    steps: int,
    real: torch.dtype,
    precision: Precision = "float32",
) -> None:
    """Run a kernel of kind `product`, writing into the last of `tensors`.

    Args:
        kernel: its graph holds one Project, ProjectTransposed, Outer or Reduce, and Reads of sequences.
        tensors: in the order of ``kernel.arguments``.
        steps: T.
        real: the state dtype.
        precision: of the factors of products.
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
                    if source is None:
                        output[rows].zero_()
                    else:
                        matmul_into(source, weight, output[rows], precision)
        case Outer(operands=(z, g)):
            for output in outputs:
                pairs = [p for rows, x in parts(z) for inner, y in parts(g) if (p := _overlap(rows, x, inner, y))]
                if not pairs:
                    output.zero_()
                for index, (source, gradient) in enumerate(pairs):
                    matmul_into(source.t(), gradient, output, precision, add=index > 0)
        case Synapses():
            args = [_whole(parts(v), real) if v.type.batched else sequences[v] for v in node.operands]
            for output in outputs:
                output.copy_(run_synapses(node, args, tuple(output.shape), real, True))
        case Reduce(operands=(x,)):
            for output in outputs:
                output.zero_()
                for _, source in parts(x):
                    if source is not None and source.numel():
                        lead = tuple(range(source.dim() - output.dim()))
                        output.add_(source.sum(lead, dtype=real) if lead else source.to(real))
        case _:
            raise VerifyError(
                f"kernel {kernel.name!r} holds {type(node).__name__}, which is no product", node.result.loc
            )
    for history in graph.histories:
        if history.final:
            store_final(history, sequences[history.value], given, steps)


def _whole(pieces: list[tuple[slice, torch.Tensor | None]], real: torch.dtype) -> torch.Tensor:
    """Return the rows of a sequence, those before the first step included, as one tensor."""
    like = next(p for _, p in pieces if p is not None)
    shape = like.shape[1:]
    return torch.cat(
        [like.new_zeros((s.stop - s.start, *shape)).to(real) if p is None else p.to(real) for s, p in pieces]
    )


def _overlap(
    rows: slice, source: torch.Tensor | None, inner: slice, gradient: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the steps that two pieces of sequences share, as matrices (steps times samples, neurons)."""
    first, last = max(rows.start, inner.start), min(rows.stop, inner.stop)
    if source is None or gradient is None or last <= first:
        return None
    z = source[first - rows.start : last - rows.start]
    return z.flatten(0, -2), gradient[first - inner.start : last - inner.start].flatten(0, -2)


def matmul_into(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, precision: Precision, add: bool = False) -> None:
    """Write ``a @ b`` into `out`, or add it: factors rounded as `precision` says, sums in the dtype of states.

    Args:
        a: (..., K), of any dtype; what has the type of the factors already is read as it is.
        b: (K, N).
        out: (..., N), rounded once if it is narrow.
        precision: what factors are rounded to, whatever torch is set to.
        add: add to `out`, a matrix, instead.
    """
    if not out.numel():
        return
    narrow = NARROW.get(precision)
    with _settings(precision, out.device):
        if narrow is None:
            if add:
                out.addmm_(a.to(out.dtype), b.to(out.dtype))
            else:
                torch.matmul(a.to(out.dtype), b.to(out.dtype), out=out)
            return
        a, b = a.to(narrow), b.to(narrow)
        if out.device.type != "cuda":  # products of narrow numbers are exact in float32
            product = torch.matmul(a.float(), b.float())
            if add:
                out.add_(product)
            else:
                out.copy_(product)
        elif add:
            out.add_(torch.mm(a, b, out_dtype=torch.float32))
        elif out.dtype == narrow:
            torch.mm(a.reshape(-1, a.shape[-1]), b, out=out.view(-1, out.shape[-1]))
        else:
            flat = out.view(-1, out.shape[-1])
            torch.mm(a.reshape(-1, a.shape[-1]), b, out_dtype=torch.float32, out=flat)


@contextmanager
def _settings(precision: Precision, device: torch.device) -> Iterator[None]:
    """Hold what torch lets a process choose about the rounding in products, and give it back."""
    changed: list[tuple[Any, str, Any]] = []

    def hold(owner: Any, name: str, value: Any, same: tuple[Any, ...] = ()) -> None:
        before = getattr(owner, name)
        if before != value and before not in same:
            setattr(owner, name, value)
            changed.append((owner, name, before))

    if device.type == "cuda":
        matmul: Any = torch.backends.cuda.matmul
        if hasattr(matmul, "fp32_precision"):
            hold(
                matmul,
                "fp32_precision",
                "tf32" if precision == "tf32" else "ieee",
                () if precision == "tf32" else ("none",),
            )
        else:
            hold(matmul, "allow_tf32", precision == "tf32")
        if precision in NARROW:
            hold(matmul, "allow_bf16_reduced_precision_reduction", False)
            hold(matmul, "allow_fp16_reduced_precision_reduction", False)
            if hasattr(matmul, "allow_fp16_accumulation"):
                hold(matmul, "allow_fp16_accumulation", False)
    elif hasattr(torch.backends.mkldnn, "matmul"):
        hold(torch.backends.mkldnn.matmul, "fp32_precision", "ieee", ("none",))
    try:
        yield
    finally:
        for owner, name, before in changed:
            if name == "fp32_precision":  # what is inherited from a wider setting stays so
                owner.fp32_precision = "none"
                if owner.fp32_precision == before:
                    continue
            setattr(owner, name, before)


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
