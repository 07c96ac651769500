"""Node types of synapses that are no full matrix: sums over synapses, and what prepares their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy

from .drawn import Drawn
from .node import Node, Value
from .ops import Diagonal
from .types import Type

Role = Literal["pre", "post", "synapse"]
Over = Literal["pre", "post", "batch"]
Layout = Literal["auto", "dense", "list", "procedural"]


def slot(k: int) -> sympy.Symbol:
    """Return the symbol that stands for operand `k` in the expression of a Synapses."""
    return sympy.Symbol(f"s{k}", real=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Synapses(Node):
    """The sum of `expr` over synapses; ``s0``, ``s1``, ... in it are the operands, each with a role.

    A synapse joins source neuron i to target neuron j of the axes `ends`. An operand of role "pre" is read at i, of
    role "post" at j, of role "synapse" at the synapse itself. Sums run `over` the sources (the result is one number per
    target), over the targets (one per source), or over the batch (one per synapse, the gradient of a weight).

    Without a list every pair is a synapse. A list is two more operands: `rows`, (pre + 1,), and `post`: synapse s has
    the target post[s], and those of source i are rows[i] to rows[i + 1]. What lies beyond the last row is no synapse.
    Or the synapses are `drawn` anew wherever they are needed; then no operand has one number per synapse.
    """

    expr: sympy.Expr
    roles: tuple[Role, ...]
    over: Over
    ends: tuple[str, str]
    layout: Layout = "auto"
    drawn: Drawn | None = None

    @property
    def listed(self) -> bool:
        """Whether the synapses are those of a list."""
        return len(self.operands) > len(self.roles)

    @property
    def synapse_axes(self) -> tuple[str, ...]:
        """The axes of one number per synapse."""
        return self.operands[-1].type.axes if self.listed else self.ends

    @property
    def own(self) -> bool:
        """Whether every sample has synapses of its own: a rule has changed what they hold."""
        return any(v.type.batched for v in self.role("synapse"))

    def role(self, role: Role) -> list[Value]:
        """Return the operands of one role."""
        return [v for v, r in zip(self.operands, self.roles, strict=False) if r == role]

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        batched = any(v.type.batched for v in self.operands)
        if self.over == "batch":
            return Type("real", False, self.synapse_axes)
        return Type("real", batched, (self.ends[1] if self.over == "pre" else self.ends[0],))

    def verify(self) -> None:
        """Raise a VerifyError where the operands or the result have other axes than the op demands."""
        Node.verify(self)
        axes = {"pre": self.ends[:1], "post": self.ends[1:], "synapse": self.synapse_axes}
        for value, role in zip(self.operands, self.roles, strict=False):
            if value.type.axes != axes[role]:
                self.fail(f"reads %{value.name} of axes {value.type.axes} as {role}, which has {axes[role]}")
            if role == "synapse" and value.type.batched and self.over == "batch":
                self.fail(f"reads %{value.name}, one number per synapse and sample, which a Map multiplies")
        used = {s.name for s in self.expr.free_symbols}
        if self.drawn is not None and (self.listed or "synapse" in self.roles or self.over == "batch"):
            self.fail("draws its synapses, and reads a number of each")
        if used != {slot(k).name for k in range(len(self.roles))}:
            self.fail(f"has {len(self.roles)} operands but its expression uses {sorted(used)}")

    def silent(self) -> int | None:
        """Return the number of a "pre" operand that silences its synapses: where it is 0, so is `expr`."""
        for k, role in enumerate(self.roles):
            if role == "pre" and self.expr.xreplace({slot(k): sympy.S.Zero}) == 0:
                return k
        return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DelayedSynapses(Node):
    """The sum of ``w z`` over listed synapses, each of which has a delay of its own.

    `lags` are the different delays. The operands start with what was read at each of them, in this order: of the
    sources (`over` the sources and over the batch), or of what is yet to come to the targets (`over` the targets, in a
    reverse loop). Then comes w, or over the batch the gradient of the targets; then the list, delay by delay: `post`
    as in Synapses, and `rows`, (delays * pre + 1,), whose synapses of delay k and source i are rows[k * pre + i] to
    rows[k * pre + i + 1].
    """

    lags: tuple[int, ...]
    over: Over
    ends: tuple[str, str]
    layout: Layout = "auto"

    @property
    def reads(self) -> tuple[Value, ...]:
        """What was read at each delay."""
        return self.operands[: len(self.lags)]

    @property
    def tables(self) -> tuple[Value, ...]:
        """The list: `rows` and `post`."""
        return self.operands[-2:]

    @property
    def factor(self) -> Value:
        """The weights, or over the batch the gradient of the targets."""
        return self.operands[-3]

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        if self.over == "batch":
            return Type("real", False, self.operands[-1].type.axes)
        return Type("real", True, (self.ends[1] if self.over == "pre" else self.ends[0],))

    def verify(self) -> None:
        """Raise a VerifyError where the operands or the result have other axes than the op demands."""
        Node.verify(self)
        if len(self.operands) != len(self.lags) + 3:
            self.fail(f"has {len(self.lags)} delays but {len(self.operands)} operands")
        side = self.ends[1:] if self.over == "post" else self.ends[:1]
        for value in self.reads:
            if value.type.axes != side:
                self.fail(f"reads %{value.name} of axes {value.type.axes} instead of {side}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Take(Node):
    """Elements by their numbers, operands (w, index): ``result[k] = w.flatten()[index[k]]``; prologue only."""

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        return Type("real", False, self.operands[1].type.axes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place(Node):
    """The matrix of the numbers of a list, operands (w, rows, post), 0 where there is no synapse; prologue only.

    Of the list of delayed synapses it takes those of the delay `number`.
    """

    number: int = 0

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        return self.result.type

    def verify(self) -> None:
        """Raise a VerifyError where the operands or the result have other axes than the op demands."""
        Node.verify(self)
        if len(self.result.type.axes) != 2 or self.result.type.batched:
            self.fail("makes no matrix")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Total(Node):
    """The sum of the numbers of all synapses of a neuron, operands (w,) or (w, rows, post); prologue only.

    `over` the sources it is one number per target, over the targets one per source.
    """

    over: Literal["pre", "post"]

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        return self.result.type

    def verify(self) -> None:
        """Raise a VerifyError where the operands or the result have other axes than the op demands."""
        Node.verify(self)
        if len(self.result.type.axes) != 1 or self.result.type.batched:
            self.fail("makes no vector")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat(Node):
    """Every element `times` times in a row: one number per channel becomes one per neuron; prologue only."""

    times: int

    def infer_type(self) -> Type:
        """Return the type that the result must have."""
        return self.result.type

    def verify(self) -> None:
        """Raise a VerifyError where the operands or the result have other axes than the op demands."""
        Node.verify(self)
        if any(len(v.type.axes) != 1 or v.type.batched for v in (self.result, *self.operands)):
            self.fail("repeats something else than a vector")


PREPARES = (Take, Place, Total, Diagonal, Repeat)
