"""One connection's part of the time step: what arrives over its synapses, per delay, and what they deliver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy

from graphc.ir import (
    DelayedSynapses,
    Project,
    StopGradient,
    Synapses,
    Take,
    Total,
    Type,
    Value,
    slot,
    symbol,
)
from graphc.ir.errors import not_supported
from graphc.ir.functions import detach
from graphc.ir.synapses import Role

from . import symbols as gs
from .connection import Connection
from .connectivity import OneToOne, Sparse
from .delay import Taps
from .lower_lists import is_list, is_merged, lags_of, mark_of
from .translate import markers
from .transmit import Term, kinds_of, separate

if TYPE_CHECKING:
    from .lower import Lowering

Env = Mapping[sympy.Basic, Value]


@dataclass(frozen=True)
class Segment:
    """The synapses of one delay: what `transmit` reads at them, and their list where they are no full matrix."""

    delay: int
    values: Env
    tables: tuple[Value, ...] = ()


class ConnectionStep:
    """What a connection adds to the step."""

    def __init__(self, lowering: Lowering, connection: Connection) -> None:
        """Read the weights and parameters of the synapses."""
        self.lowering, self.connection, self.block = lowering, connection, lowering.block
        self.ends = (lowering.axis[connection.pre], lowering.axis[connection.post])
        self.rule = lowering.rules.get(connection.name)
        self._drawn_parts = 0  # lists of synapses that draw noise of their own

    def drives(self, target: str) -> list[Value]:
        """Return the parts of the drive of input `target`, per neuron."""
        expr = self.connection.transmit[target]
        if self.rule is not None:
            expr = self.rule.placed(expr)
        arriving = {d: self._signals(expr, d) for d in self.connection.delays}
        parts: list[Value] = []
        for segment in self._segments():
            signals = arriving[segment.delay]
            if isinstance(self.connection.connectivity, OneToOne) and not segment.tables:
                parts.append(self._value(expr, {**segment.values, **signals}, "drive"))
            else:
                parts += self._sums(expr, segment, signals)
        if is_merged(self.connection):
            parts += self._merged(expr, arriving)
        return parts

    def _merged(self, expr: sympy.Expr, arriving: Mapping[int, Env]) -> list[Value]:
        """Return one sum per term, over synapses that each read their source at their own delay."""
        connection, block, lags = self.connection, self.block, lags_of(self.connection)
        values, tables = self._listed(self._whole(), None)
        if connection.noises:
            what = "gc.noise in transmit of synapses whose delays differ"
            not_supported(what, connection.loc.entry("transmit"), "make a connection for each delay")
        parts = []
        for term in separate(expr)[0]:
            f = self._value(term.synapse, values, "factor")
            f = block.spread(f, Type("real", False, tables[1].type.axes))
            result = block.names.value(
                f"{connection.name}.drive", Type("real", True, self.ends[1:]), loc=connection.loc
            )
            drive = block.add(
                DelayedSynapses(
                    result=result,
                    operands=(*(arriving[d][term.pre] for d in lags), f, *tables),
                    lags=lags,
                    over="pre",
                    ends=self.ends,
                    layout=connection.connectivity.layout,
                )
            )
            if term.post != 1:
                h = self._value(term.post, arriving[lags[0]], "target")
                drive = block.map(f"{connection.name}.drive", symbol(drive) * symbol(h), (drive, h), connection.loc)
            parts.append(drive)
        return parts

    def _parameter(self, attribute: str) -> Value:
        owner = self.connection.name
        if attribute == "weight":
            owner = self.connection.shared or owner
        return self.lowering.parameter(self.block, owner, attribute)

    def _whole(self) -> dict[sympy.Basic, Value]:
        """Return the weights and the parameters of all synapses."""
        whole: dict[sympy.Basic, Value] = {gs.weight: self._weight()}
        if self.rule is not None:
            whole |= self.rule.kept("synapse")
        return whole | {p: self._parameter(p.name) for p in self.connection.parameters}

    def _segments(self) -> list[Segment]:
        connection = self.connection
        whole = self._whole()
        if not isinstance(connection.delay, Taps):
            delays = connection.delays if not is_merged(connection) else [d for d in connection.delays if d == 0]
            return [Segment(d, *self._listed(whole, d)) for d in delays]
        position, tables = self._listed({gs.weight: self._parameter("delay")}, None)
        values, _ = self._listed(whole, None)
        return [
            Segment(d, {**values, gs.weight: self._tap(values[gs.weight], kernel)}, tables)
            for d, kernel in self._kernels(position[gs.weight])
        ]

    def _listed(self, whole: Env, delay: int | None) -> tuple[dict[sympy.Basic, Value], tuple[Value, ...]]:
        """Return what the synapses of one delay have of `whole`, their random numbers, and their list."""
        values, tables = self._of_list(whole, delay)
        axes = tables[1].type.axes if tables else self.ends
        if isinstance(self.connection.connectivity, OneToOne) and not tables:
            axes = self.ends[1:]
        for n in self.connection.noises:
            loc = self.connection.loc.entry("transmit")
            values[n] = self.lowering.drawn_over(axes, self.connection.name, n.name, n.kind, loc, self._drawn_parts)
        self._drawn_parts += 1
        return values, tables

    def _of_list(self, whole: Env, delay: int | None) -> tuple[dict[sympy.Basic, Value], tuple[Value, ...]]:
        """Return what the synapses of one delay have of `whole`, and their list."""
        connection, block = self.connection, self.block
        if not is_list(connection):
            return dict(whole), ()
        mark = mark_of(connection, delay)
        tables = (self._parameter(f"rows{mark}"), self._parameter(f"post{mark}"))
        values = dict(whole)
        if f"{connection.name}.order{mark}" in self.lowering.parameters:
            order = self._parameter(f"order{mark}")
            for what, value in whole.items():
                taken = block.names.value(f"{value.name}{mark}", Type("real", False, order.type.axes), value)
                values[what] = block.add(Take(result=taken, operands=(value, order)))
        return values, tables

    def _weight(self) -> Value:
        if self.rule is not None and gs.weight in self.rule.values:
            return self.rule.weight
        weight, scale = self._parameter("weight"), self.connection.connectivity.scale(self.connection.sink)
        if scale == 1:
            return weight
        return self.block.map(f"{weight.name}_scaled", symbol(weight) * sympy.Float(scale), (weight,))

    def _kernels(self, position: Value) -> list[tuple[int, Value]]:
        """Return the delays that a learned position may mean, and how much of the weight each has.

        Source:
            Hammouamri, Khalfaoui-Hassani & Masquelier (2023): the triangle and the Gaussian kernel.
        """
        taps, block, name = self.connection.delay, self.block, self.connection.name
        assert isinstance(taps, Taps)
        p = symbol(position)
        inside = block.map(f"{name}.delay_clipped", sympy.Max(sympy.Min(p, taps.last), taps.first) - p, (position,))
        stopped = block.names.value(f"{name}.delay_moved", inside.type, position)
        moved = block.add(StopGradient(result=stopped, operands=(inside,)))  # a bound stops the value, not its gradient
        where = block.map(f"{name}.delay_inside", p + symbol(moved), (position, moved))
        w = symbol(where)
        delays = range(taps.first, taps.last + 1)
        triangles = [sympy.Max(0, 1 - sympy.Abs(d - w)) for d in delays]
        if taps.kernel == "triangle":
            return [(d, block.map(f"{name}.tap_{d}", e, (where,))) for d, e in zip(delays, triangles, strict=True)]
        sigma = self._parameter("sigma")
        width = sympy.Max(symbol(sigma), sympy.Float(1e-3))
        bells = [
            block.map(f"{name}.bell_{d}", sympy.exp(-(((d - w) / width) ** 2) / 2), (where, sigma)) for d in delays
        ]
        norm = block.map(f"{name}.bells", sympy.Add(*map(symbol, bells)) + sympy.Float(1e-30), bells)
        found = []
        for d, bell, triangle in zip(delays, bells, triangles, strict=True):
            chosen = sympy.Piecewise((symbol(bell) / symbol(norm), symbol(sigma) > 0), (triangle, True))
            found.append((d, block.map(f"{name}.tap_{d}", chosen, (bell, norm, sigma, where))))
        return found

    def _tap(self, weight: Value, kernel: Value) -> Value:
        return self.block.map(f"{weight.name}_{kernel.name}", symbol(weight) * symbol(kernel), (weight, kernel))

    def _signals(self, expr: sympy.Expr, delay: int) -> dict[sympy.Basic, Value]:
        """Return the signals of source and target that `expr` reads: as they arrive, and of the step before."""
        found: dict[sympy.Basic, Value] = {}
        if self.rule is not None:
            found |= self.rule.kept()
            found |= {p: self._parameter(p.name) for p in self.connection.parameters if p.per == "population"}
        for s in sorted(expr.free_symbols, key=str):
            if isinstance(s, gs.Signal):
                owner, steps = (self.connection.pre, delay) if s.side == "pre" else (self.connection.post, 1)
                found[s] = self.lowering.signal(owner, s.signal, steps)
        return found

    def _value(self, expr: sympy.Expr, env: Env, name: str) -> Value:
        """Return the value of an elementwise expression over one domain."""
        expr = expr.xreplace({gs.dt: sympy.Float(self.lowering.network.dt)})
        found: dict[sympy.Basic, Value] = {}
        for marker in markers(expr):
            assert isinstance(marker, detach)
            inner = self._value(marker.args[0], env, "stopped")
            result = self.block.names.value(f"{inner.name}_stopped", inner.type, inner)
            found[marker] = self.block.add(StopGradient(result=result, operands=(inner,)))
        rest = expr.xreplace({m: symbol(v) for m, v in found.items()})
        own = {symbol(v) for v in found.values()}
        leaves = {s: env[s] for s in sorted(rest.free_symbols - own, key=str)}
        expr = rest.xreplace({s: symbol(v) for s, v in leaves.items()})
        values = [*leaves.values(), *found.values()]
        return self.block.map(f"{self.connection.name}.{name}", expr, values, self.connection.loc)

    def _sums(self, expr: sympy.Expr, segment: Segment, signals: Env) -> list[Value]:
        """Return the sums over the sources: a product per term that separates, one general sum for the rest."""
        terms, mixed = separate(expr)
        parts = [self._product(term, segment, signals) for term in terms]
        if mixed != 0:
            if self.connection.connectivity.procedural:
                what = 'a transmit that does not separate, with layout="procedural"'
                not_supported(what, self.connection.loc.entry("transmit"), 'use layout="list"')
            parts.append(self._general(mixed, segment, signals))
        return parts

    def _product(self, term: Term, segment: Segment, signals: Env) -> Value:
        """Return ``h(post) * (g(pre) @ f(weight))``."""
        block, name, loc = self.block, self.connection.name, self.connection.loc
        f = self._value(term.synapse, segment.values, "factor")
        if self.connection.connectivity.procedural:
            if f.type.batched:
                what = 'gc.noise in transmit with layout="procedural"'
                not_supported(what, loc.entry("transmit"), 'use layout="list"')
            return self._drawn(term, f, signals)
        axes = segment.tables[1].type.axes if segment.tables else self.ends
        f = block.spread(f, Type("real", f.type.batched, axes))
        type = Type("real", True, self.ends[1:])
        if term.pre == 1 and f.type.batched:
            drive = self._of_samples((f,), ("synapse",), segment)
        elif term.pre == 1:
            result = block.names.value(f"{name}.total", Type("real", False, self.ends[1:]), loc=loc)
            drive = block.add(Total(result=result, operands=(f, *segment.tables), over="pre"))
        else:
            g = self._value(term.pre, signals, "source")
            result = block.names.value(f"{name}.drive", type, loc=loc)
            if f.type.batched:
                g = block.spread(g, Type(g.type.dtype, g.type.batched, self.ends[:1]))
                drive = self._of_samples((g, f), ("pre", "synapse"), segment)
            elif segment.tables:
                drive = block.add(
                    Synapses(
                        result=result,
                        operands=(g, f, *segment.tables),
                        expr=slot(0) * slot(1),
                        roles=("pre", "synapse"),
                        over="pre",
                        ends=self.ends,
                        layout=self.connection.connectivity.layout,
                    )
                )
            else:
                drive = block.add(Project(result=result, operands=(g, f)))
        if term.post == 1:
            return block.spread(drive, type)
        h = self._value(term.post, signals, "target")
        return block.map(f"{name}.drive", symbol(drive) * symbol(h), (drive, h), loc)

    def _of_samples(self, operands: tuple[Value, ...], roles: tuple[Role, ...], segment: Segment) -> Value:
        """Return the sum of a product over synapses that differ from sample to sample."""
        type = Type("real", True, self.ends[1:])
        result = self.block.names.value(f"{self.connection.name}.drive", type, loc=self.connection.loc)
        return self.block.add(
            Synapses(
                result=result,
                operands=(*operands, *segment.tables),
                expr=sympy.Mul(*(slot(k) for k in range(len(operands)))),
                roles=roles,
                over="pre",
                ends=self.ends,
                layout="list" if segment.tables else "auto",
            )
        )

    def _drawn(self, term: Term, f: Value, signals: Env) -> Value:
        """Return ``f(weight) * h(post)`` times the sum of g(pre) over synapses that are drawn at every spike."""
        block, name, connection = self.block, self.connection.name, self.connection
        type = Type("real", True, self.ends[1:])
        assert isinstance(connection.connectivity, Sparse)
        g = self._value(term.pre, signals, "source")
        g = block.spread(g, Type(g.type.dtype, True, self.ends[:1]))
        result = block.names.value(f"{name}.sum", type, loc=connection.loc)
        total = block.add(
            Synapses(
                result=result,
                operands=(g,),
                expr=slot(0),
                roles=("pre",),
                over="pre",
                ends=self.ends,
                layout="procedural",
                drawn=connection.connectivity.drawn(connection.source, connection.sink, connection.shared or name),
            )
        )
        factors = [total, f, *([self._value(term.post, signals, "target")] if term.post != 1 else [])]
        product = sympy.Mul(*(symbol(v) for v in factors))
        return block.map(f"{name}.drive", product, factors, connection.loc)

    def _general(self, expr: sympy.Expr, segment: Segment, signals: Env) -> Value:
        """Return the sum of an expression that is evaluated per synapse."""
        block, roles, operands, names = self.block, [], [], {}
        stops = {m: self._stopped(m, segment, signals) for m in markers(expr)}
        for leaf in sorted(expr.xreplace({m: sympy.Dummy() for m in stops}).free_symbols, key=str):
            if leaf in signals and not isinstance(leaf, gs.Signal):
                names[leaf] = self._of_rule(leaf, signals[leaf])
            elif leaf in segment.values or leaf in signals:
                role: Role = "synapse" if leaf in segment.values else leaf.side
                names[leaf] = (segment.values.get(leaf) or signals[leaf], role)
        names |= stops
        replaced = {}
        for k, (leaf, (value, role)) in enumerate(names.items()):
            replaced[leaf] = slot(k)
            operands.append(value)
            roles.append(role)
        result = block.names.value(
            f"{self.connection.name}.drive", Type("real", True, self.ends[1:]), loc=self.connection.loc
        )
        expr = expr.xreplace({gs.dt: sympy.Float(self.lowering.network.dt)}).xreplace(replaced)
        return block.add(
            Synapses(
                result=result,
                operands=(*operands, *segment.tables),
                expr=expr,
                roles=tuple(roles),
                over="pre",
                ends=self.ends,
                layout=self.connection.connectivity.layout,
            )
        )

    def _of_rule(self, leaf: sympy.Basic, value: Value) -> tuple[Value, Role]:
        """Return a state that the rule keeps per neuron, or a number that all synapses have, and where it is read."""
        role: Role = "pre" if isinstance(leaf, gs.State) and leaf.on == "pre" else "post"
        return self.block.spread(value, Type("real", True, (self.ends[role == "post"],))), role

    def _stopped(self, marker: sympy.Basic, segment: Segment, signals: Env) -> tuple[Value, Role]:
        """Return what gc.detach stops, which must belong to one side, or to the synapse."""
        kinds = kinds_of(marker)
        if len(kinds) > 1:
            what = f"gc.detach of {' and '.join(sorted(kinds))} signals together"
            not_supported(what, self.connection.loc.entry("transmit"), "detach each of them")
        (kind,) = kinds or {"synapse"}
        env = segment.values if kind == "synapse" else signals
        return self._value(marker, env, "stopped"), kind  # type: ignore[return-value]
