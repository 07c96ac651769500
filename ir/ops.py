"""The node types."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import sympy

from .node import Node, Value
from .types import Type, join

Side = Literal["pre", "post", "one"]


def symbol(value: Value) -> sympy.Symbol:
    """Return the symbol that stands for `value` in the expression of a Map."""
    return _real(value.name)


@functools.lru_cache(maxsize=1 << 16)
def _real(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, real=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Const(Node):
    """A number."""

    value: float

    def infer_type(self) -> Type:
        return Type()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Time(Node):
    """The time t dt of the step, in ms; t counts from the start of the run, across calls."""

    dt: float

    def infer_type(self) -> Type:
        return Type()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise(Node):
    """A random number per sample and neuron: by ``graphc.ir.interpret_noise`` from seed, step and `stream`.

    It is the same wherever and however often it is drawn: in a block, a stream of steps, the backward half.
    """

    stream: int
    kind: Literal["normal", "uniform"]

    def infer_type(self) -> Type:
        return self.result.type


LEAVES = (Const, Time, Noise)
"""Nodes that read nothing and can be made again anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map(Node):
    """Elementwise expression: ``result[b, n] = expr(operands[b, n])``.

    The free symbols of `expr` are exactly the names of `operands`.
    """

    expr: sympy.Expr

    def infer_type(self) -> Type:
        joined = join(*(v.type for v in self.operands))
        if joined is None:
            self.fail(f"mixes axes: {', '.join(f'{v.name}: {v.type}' for v in self.operands)}")
        return joined.with_dtype("real")

    def verify(self) -> None:
        Node.verify(self)
        if (read := {v.name for v in self.operands}) != (used := {s.name for s in self.expr.free_symbols}):
            self.fail(f"reads {sorted(read)} but its expression uses {sorted(used)}")

    def substitute(self, new: Mapping[Value, Value]) -> Map:
        if not any(v in new for v in self.operands):
            return self
        expr = self.expr.xreplace({symbol(v): symbol(new[v]) for v in self.operands if v in new})
        left = {s.name for s in expr.free_symbols}  # a value may cancel its own stopped copy
        operands = tuple(v for v in dict.fromkeys(new.get(v, v) for v in self.operands) if v.name in left)
        return replace(self, expr=expr, operands=operands)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Test(Node):
    """A condition as bool: ``expr > 0``, or ``expr >= 0`` where not `strict`; NaN is false. It has no derivative."""

    __test__: ClassVar[bool] = False  # no test class, whatever its name makes pytest think
    strict: bool = True

    def infer_type(self) -> Type:
        return self.operands[0].type.with_dtype("bool")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spike(Node):
    """The spike, z = 1 where the condition c (first operand) is > 0, or >= 0 where not `strict`, and NaN is no spike.

    An optional second operand, a bool, blocks it: where it holds z = 0 and dz/dc = 0. Elsewhere dz/dc is `derivative`,
    an expression of the symbol `c`; `antiderivative` is its integral, which stands for z in relaxed checks.
    """

    strict: bool
    derivative: sympy.Expr
    antiderivative: sympy.Expr

    def infer_type(self) -> Type:
        return self.operands[0].type.with_dtype("bool")

    def verify(self) -> None:
        Node.verify(self)
        if len(self.operands) > 1 and self.operands[1].type.dtype != "bool":
            self.fail("is blocked by a value that is not bool")


C = sympy.Symbol("c", real=True)  # the condition, in Spike.derivative and Spike.antiderivative


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reset(Node):
    """The jump at a spike, operands (v, z, r): exactly ``where(z, r, v)``; d/dv = 1 - z, d/dr = z, d/dz = r - v."""

    def infer_type(self) -> Type:
        v, z, r = (v.type for v in self.operands)
        joined = join(v, z, r)
        if joined is None:
            self.fail("mixes axes")
        return joined.with_dtype("real")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Count(Node):
    """The refractory counter, operands (count, z, n): n after a spike, else one less, at least 0."""

    def infer_type(self) -> Type:
        return self.operands[0].type


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StopGradient(Node):
    """The operand with derivative 0. No rewrite may see through it; the adjoint removes it."""

    def infer_type(self) -> Type:
        return self.operands[0].type


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Via(Node):
    """The value of the first operand, whose gradient goes to every operand: equal values by several paths.

    A learning rule names by it which paths carry its gradient; the adjoint removes it.
    """

    def infer_type(self) -> Type:
        return self.operands[0].type

    def verify(self) -> None:
        Node.verify(self)
        if any(v.type.axes != self.result.type.axes for v in self.operands):
            self.fail("joins paths over different axes")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagonal(Node):
    """The weights of every neuron to itself, operand W of axes (pre, pre); prologue only."""

    def infer_type(self) -> Type:
        (w,) = (v.type for v in self.operands)
        if len(w.axes) != 2 or w.axes[0] != w.axes[1]:
            self.fail(f"takes the diagonal of {w}")
        return Type("real", False, w.axes[:1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Project(Node):
    """Synaptic drive ``z @ W``, operands (z, W) with W of axes (pre, post).

    A third operand B, like W, is feedback: gradients go back to z through B instead of W. The adjoint drops it.
    """

    def infer_type(self) -> Type:
        z, w, *feedback = (v.type for v in self.operands)
        if any(b != w for b in feedback):
            self.fail(f"has weights {w} and feedback {feedback[0]}")
        if len(w.axes) != 2 or z.axes != w.axes[:1]:
            self.fail(f"multiplies {z} with {w}")
        return Type("real", z.batched, w.axes[1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProjectTransposed(Node):
    """``g @ W.T``, operands (g, W) with W of axes (pre, post)."""

    def infer_type(self) -> Type:
        g, w = (v.type for v in self.operands)
        if len(w.axes) != 2 or g.axes != w.axes[1:]:
            self.fail(f"multiplies {g} with the transpose of {w}")
        return Type("real", g.batched, w.axes[:1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outer(Node):
    """The gradient of a weight, operands (z, g): ``sum over the batch of outer(z[b], g[b])``, axes (pre, post)."""

    def infer_type(self) -> Type:
        z, g = (v.type for v in self.operands)
        return Type("real", False, z.axes + g.axes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduce(Node):
    """The sum of the operand over the batch, and over its axes where the result is a scalar."""

    def infer_type(self) -> Type:
        return Type("real", False, self.result.type.axes)

    def verify(self) -> None:
        Node.verify(self)
        if self.result.type.axes not in ((), self.operands[0].type.axes):
            self.fail("keeps an axis that its operand lacks")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread(Node):
    """The operand repeated over the batch and the axes that the result has and it lacks.

    With a `side` it becomes one number per synapse: that of the source ("pre") or of the target ("post") neuron. Over
    listed synapses two more operands are the list, `rows` and `post` of `Synapses`. The side "one" repeats the one
    element of an axis of length 1 over a population.
    """

    side: Side | None = None
    ends: tuple[str, ...] = ()  # of the synapses: the axes of both populations

    def infer_type(self) -> Type:
        return self.result.type

    def verify(self) -> None:
        if self.side is not None:
            self._verify_side()
        elif join(self.operands[0].type, self.result.type) != self.result.type:
            self.fail(f"cannot spread {self.operands[0].type} to {self.result.type}")

    def _verify_side(self) -> None:
        given, made = self.operands[0].type, self.result.type
        fits = len(made.axes) == 1
        if self.side != "one" and len(self.operands) == 1:
            fits = len(made.axes) == 2 and given.axes == (made.axes[:1] if self.side == "pre" else made.axes[1:])
        if len(given.axes) != 1 or not fits or given.batched > made.batched:
            self.fail(f"cannot spread {given} to {made} by its {self.side} side")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool(Node):
    """The mean or the sum of the operand over the batch, which every sample of the result has."""

    mean: bool

    def infer_type(self) -> Type:
        return Type("real", True, self.operands[0].type.axes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Read(Node):
    """What the value of `history` was `delay` steps ago; in a reverse region, what it will be `delay` steps later."""

    history: str
    delay: int

    def infer_type(self) -> Type:
        return self.result.type

    def verify(self) -> None:
        if self.delay < 1:
            self.fail("reads with delay 0; the value itself is the operand then")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Propagator(Node):
    """One coefficient of a linear block x' = A x + u over a step h; legal in the prologue only.

    The operands are the distinct entries of A; `entries[r][c]` is an expression of their names. The result is
    ``exp(h A)[row, column]``, or with `forcing` ``(h phi_1(h A))[row, column]``, the response to a constant u.
    """

    entries: tuple[tuple[sympy.Expr, ...], ...]
    h: float
    row: int
    column: int
    forcing: bool

    def infer_type(self) -> Type:
        joined = join(*(v.type for v in self.operands))
        if joined is None:
            self.fail("mixes axes")
        return joined.with_dtype("real")

    def substitute(self, new: Mapping[Value, Value]) -> Propagator:
        if not any(v in new for v in self.operands):
            return self
        names = {symbol(v): symbol(new[v]) for v in self.operands if v in new}
        entries = tuple(tuple(e.xreplace(names) for e in row) for row in self.entries)
        return replace(self, entries=entries, operands=tuple(dict.fromkeys(new.get(v, v) for v in self.operands)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diffusion(Node):
    """One entry of the lower factor L of the covariance that white noise leaves in a linear block over a step h.

    ``L L^T = integral from 0 to h of v(s) v(s)^T ds`` with ``v(s) = exp(s A) g``; legal in the prologue only. The
    operands are the distinct entries of A and g, of which `entries` and `driving` are expressions.
    """

    entries: tuple[tuple[sympy.Expr, ...], ...]
    driving: tuple[sympy.Expr, ...]
    h: float
    row: int
    column: int

    def infer_type(self) -> Type:
        joined = join(*(v.type for v in self.operands))
        if joined is None:
            self.fail("mixes axes")
        return joined.with_dtype("real")

    def substitute(self, new: Mapping[Value, Value]) -> Diffusion:
        if not any(v in new for v in self.operands):
            return self
        names = {symbol(v): symbol(new[v]) for v in self.operands if v in new}
        entries = tuple(tuple(e.xreplace(names) for e in row) for row in self.entries)
        driving = tuple(e.xreplace(names) for e in self.driving)
        operands = tuple(dict.fromkeys(new.get(v, v) for v in self.operands))
        return replace(self, entries=entries, driving=driving, operands=operands)


@dataclass(frozen=True, slots=True, eq=False)
class OdeSystem:
    """The equations of one population: ``d state / dt = rate`` for each of `states`, to be advanced over `h` ms.

    `rates` are expressions of the names of the operands of its Ode nodes, the first len(states) of them the states.
    `held` is the number of an operand of type bool, or None: where it holds, `holds[k]` states have derivative 0.
    `noises` are the numbers of the operands that stand for white noise.
    """

    owner: str
    states: tuple[str, ...]
    rates: tuple[sympy.Expr, ...]
    integrator: str
    h: float
    holds: tuple[bool, ...]
    held: int | None
    time: int | None
    noises: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ode(Node):
    """State `index` of `system` after one step, as declared; `discretize` replaces it."""

    system: OdeSystem
    index: int

    def infer_type(self) -> Type:
        return self.operands[self.index].type
