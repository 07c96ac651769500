"""The Triton text of eligibility traces: one pass over the traces of a matrix of weights, for a chunk of steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What one kernel is written for.

    Attributes:
        shared: of each state, whether all targets have the same trace.
        rows: of each state, whether the loss has a gradient of it.
        reads: of each state, which states it depends on; empty where its trace is not advanced.
        learn: whether the gradient of the weights is asked for.
    """

    shared: tuple[bool, ...]
    rows: tuple[bool, ...]
    reads: tuple[tuple[int, ...], ...]
    learn: bool

    @property
    def moving(self) -> list[int]:
        """The states whose traces are advanced."""
        return [s for s, reads in enumerate(self.reads) if reads]

    @property
    def pointers(self) -> list[str]:
        """Names of the tensors that the kernel takes, in order."""
        names = ["z", *(f"e{k}" for k in range(len(self.shared)))]
        if self.learn:
            names += ["signals", "gradient", *(f"row{k}" for k, there in enumerate(self.rows) if there)]
        for s in self.moving:
            names += [f"after{s}", f"drive{s}", *(f"jacobian{s}_{k}" for k in self.reads[s])]
        return names


SIZES = ("steps", "batch", "sources", "targets", "z_step", "z_sample")


def emit_traces(shape: Shape) -> str:
    """Return the module text of a kernel ``chunk``; it knows the number of states, no size of any network."""
    lines = [
        "import triton",
        "import triton.language as tl",
        "",
        "",
        "@triton.jit(do_not_specialize=" + repr([*SIZES]) + ")",
        f"def chunk({', '.join((*shape.pointers, *SIZES))}, J: tl.constexpr, I: tl.constexpr, K: tl.constexpr):",
        "    # a tile of sources j and targets i, all samples one after the other: no sum crosses programs",
        "    j = tl.program_id(0) * J + tl.arange(0, J)",
        "    i = tl.program_id(1) * I + tl.arange(0, I)",
        "    j_in, i_in = j < sources, i < targets",
        "    inside = j_in[:, None] & i_in[None, :]",
    ]
    if shape.learn:
        lines.append("    learned = tl.zeros([J, I], tl.float32)")
    lines += [
        "    for b in range(batch):",
        "        row = b * targets + i",
        "        at = (b * sources + j[:, None].to(tl.int64)) * targets + i[None, :]",
    ]
    lines += [f"        {line}" for line in _terms(shape)]
    lines += ["        for first in range(0, steps, K):", *(f"            {line}" for line in _steps(shape))]
    lines += [f"        tl.store(after{s} + at, next{s}, mask=inside)" for s in shape.moving]
    if shape.learn:
        lines.append("    tl.store(gradient + j[:, None] * targets + i[None, :], learned, mask=inside)")
    return "\n".join(lines) + "\n"


def _terms(shape: Shape) -> list[str]:
    """Return the statements that read the traces of one sample and add what they lead to."""
    lines = []
    for k, shared in enumerate(shape.shared):
        if shared:
            lines.append(f"t{k} = tl.load(e{k} + b * sources + j, mask=j_in, other=0.0)[:, None]")
        else:
            lines.append(f"t{k} = tl.load(e{k} + at, mask=inside, other=0.0)")
        if shape.learn and shape.rows[k]:
            lines.append(f"learned += t{k} * tl.load(row{k} + row, mask=i_in, other=0.0)[None, :]")
    for s in shape.moving:
        lines.append(f"next{s} = tl.zeros([J, I], tl.float32)")
        for k in shape.reads[s]:
            lines.append(f"next{s} += t{k} * tl.load(jacobian{s}_{k} + row, mask=i_in, other=0.0)[None, :]")
    return lines


def _steps(shape: Shape) -> list[str]:
    """Return the statements that add what some steps of one sample drive."""
    lines = [
        "k = first + tl.arange(0, K)",
        "k_in = k < steps",
        "source = z + k[None, :].to(tl.int64) * z_step + b * z_sample + j[:, None]",
        "x = tl.load(source, mask=j_in[:, None] & k_in[None, :], other=0).to(tl.float32)",
        "driven = (k[:, None].to(tl.int64) * batch + b) * targets + i[None, :]",
        "k_i = k_in[:, None] & i_in[None, :]",
    ]
    parts = [("learned", "signals")] if shape.learn else []
    for total, drive in (*parts, *((f"next{s}", f"drive{s}") for s in shape.moving)):
        lines.append(f"u = tl.load({drive} + driven, mask=k_i, other=0.0)")
        lines.append(f'{total} += tl.dot(x, u, input_precision="ieee")')
    return lines
