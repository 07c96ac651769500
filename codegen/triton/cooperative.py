"""A time loop whose neurons are shared out over programs that run at once and hear of each other at every step.

Each program has the same slice of every population, and of each weight matrix the columns of its own neurons. What a
product reads of all neurons is published in memory, in two slots: programs read that of this step while others write
that of the next one. A barrier of all programs of a batch tile stands between, in two halves: a program that has
published and arrived stores its rows and prepares the next step before it waits for the others.

Where the schedule says so, the warps of a program share out the terms of the sums rather than the results: each
multiplies some rows of the weights, and no factor is read by two warps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphc.ir import Node, Output, Project, ProjectTransposed, Read, Value

from .kernel import KernelEmitter, StepFunction
from .memory import load, store
from .plan import Plan, Pointer, power_of_two

ARRIVE = "_turn = _arrive(_arrived + tl.program_id(0))"
WAIT = "_wait(_arrived + tl.program_id(0), _turn, _device)"


class CooperativeEmitter(KernelEmitter):
    """Writes one cooperative kernel: a function per phase of a step, and the loop in which programs wait in between."""

    def __init__(self, plan: Plan, used: set[str]) -> None:
        """Sort what products read: what is known a step before is published then."""
        self.phases = plan.kernel.phases
        super().__init__(plan, used)
        self.held = bool(plan.kernel.options.get("held", 0))
        self.ahead = plan.kernel.options.get("ahead", 1)
        self.shares = plan.kernel.options.get("shares", 1)
        known = {c.current for c in self.graph.carries}
        self.reads = {n.result: n for n in self.graph.nodes if isinstance(n, Read)}
        self.early = [v for v in plan.exchanges if v in known or v in self.reads]
        self.stored: set[Output] = set()
        self.inside = {v for function in self.functions for n in function.body for v in n.operands}

    def _functions(self) -> tuple[StepFunction, ...]:
        """Return one function per phase that computes something."""
        body, needed = set(self.body), self._needed() | set(self.plan.exchanges)
        functions = []
        for index, phase in enumerate(self.phases):
            own = tuple(n for n in phase.nodes if n in body)
            later = {v for p in self.phases[index + 1 :] for n in p.nodes for v in n.operands}
            returned = tuple(n.result for n in own if n.result in needed | later)
            functions.append(StepFunction(f"_{self.name}_step_{index}", own, returned))
        self.by_phase = functions
        return tuple(f for f in functions if f.returned)

    def _first_row(self) -> str:
        return "_first + tl.program_id(0).to(tl.int64) * _rows"

    # Weights.

    def _height(self, source: Value) -> int:
        """Return the neurons in one tile of the values that a product reads."""
        return min(self.plan.depth, max(power_of_two(self.plan.extent[source.type.axes[0]]), 16))

    def _tiles_of(self, source: Value) -> range:
        return range(0, self.plan.extent[source.type.axes[0]], self._height(source))

    def _slice(self, node: Node, first: str) -> str:
        """Return the text of the weights from row `first` on that the program's own neurons multiply with."""
        source, weight = node.operands
        pointer = next(p for i, p in self.inputs if i.value is weight)
        rows, own, width = source.type.axes[0], node.result.type.axes[0], self.plan.sizes[weight.type.axes[1]]
        strides = (width, "1") if isinstance(node, Project) else ("1", width)
        name = self.plan.sizes[own].removeprefix("_n_")
        place = (first, self.plan.sizes[rows], f"_i_{name}", f"_col_{name}")
        tile = self.printer.call("_slice", pointer.name, *place, *strides, str(self._height(source)))
        return self.rules.factor(tile)

    def _held_name(self, node: Node, part: int) -> str:
        transposed = "_transposed" if isinstance(node, ProjectTransposed) else ""
        return f"_{self.plan.names[node.operands[1]].lstrip('_')}{transposed}_{part}"

    def _load_weight(self, value: Value, pointer: Pointer) -> None:
        done: set[str] = set()
        for node in (n for phase in self.phases for n in phase.products if n.operands[1] is value):
            for part, first in enumerate(self._tiles_of(node.operands[0])):
                name = self._held_name(node, part)
                if self.held and name not in done:
                    tile = self._slice(node, str(first))
                    if self.shares > 1:
                        tile = self.printer.call("_rows_by_warp", tile, str(self.shares))
                    self.w.line(f"{name} = {tile}", note=value.loc)
                done.add(name)

    # What the programs tell each other.

    def _publish(self, value: Value, text: str, slot: str) -> None:
        self.w.line(store(self.plan, self.plan.exchanges[value], text, slot), note=value.loc)

    def _start_states(self) -> None:
        super()._start_states()
        self.printer.used |= {"_arrive", "_wait"}
        if self.early:
            for value in self.early:
                node = self.reads.get(value)
                text = self.plan.names[value] if node is None else self._past(node, "0", self._ago_of(node, node.delay))
                self._publish(value, text, "0")
            self.w.line(ARRIVE)
            self.w.line(WAIT)

    def _publish_early(self, names: Mapping[Value, str]) -> None:
        """Publish what the products of the next iteration read of this one and of those before."""
        nexts = {c.current: c.next for c in self.graph.carries}
        for value in self.early:
            node = self.reads.get(value)
            if node is None:
                text = names[nexts[value]]
            elif node.delay == 1:
                text = names[self.graph.history(node.history).value]
            else:
                text = self._past(node, f"{self.counter} + 1", self._ago_of(node, node.delay - 1))
            self._publish(value, text, f"(({self.counter} + 1) % 2)")

    def _past(self, node: Read, turn: str, kept: str) -> str:
        """Return what `node` reads in iteration `turn`: `kept`, or a row of a ring."""
        ring = self.plan.rings.get(node.history)
        return kept if ring is None else load(self.plan, ring, f"(({turn} + {ring.depth - node.delay}) % {ring.depth})")

    def _ago_of(self, node: Read, delay: int) -> str:
        return self._ago(self.graph.history(node.history), delay)

    def _advance(self, names: Mapping[Value, str], u: int) -> None:
        super()._advance(names, u)
        if self.early:
            self.w.line(WAIT)

    def _read(self, node: Read, u: int) -> str:
        if node.result in self.inside or node.result in self._needed():
            return super()._read(node, u)
        return self.plan.names[node.result]  # products find it published

    # One step.

    def _store_rows(self, outputs: Iterable[tuple[Output, Pointer]], names: Mapping[Value, str], u: int) -> None:
        super()._store_rows([(o, p) for o, p in outputs if o not in self.stored], names, u)
        self.stored |= {o for o, _ in outputs}

    def _compute(self, names: Mapping[Value, str], u: int) -> None:
        self.stored.clear()
        made = {*self.graph.arguments, *self.reads, *self.literal}
        for phase, function in zip(self.phases, self.by_phase, strict=True):
            sources = dict.fromkeys(n.operands[0] for n in phase.products)
            late = [v for v in sources if v not in self.early]
            for value in late:
                self._publish(value, names[value], f"({self.counter} % 2)")
            if late:
                self.w.line(ARRIVE)
                self._store_rows([(o, p) for o, p in self.outputs if o.value in made], names, u)
                self.w.line(WAIT)
            for source in sources:
                self._products(source, [n for n in phase.products if n.operands[0] is source])
            if function.returned:
                self._call(function, names)
            made |= {n.result for n in (*phase.products, *phase.nodes)}
        if self.early:
            self._publish_early(names)
            self.w.line(ARRIVE)

    def _heard_slot(self, source: Value) -> str:
        """Return the slot of what is multiplied in this step."""
        return f"({self.counter} % 2)"

    def _products(self, source: Value, nodes: list[Node]) -> None:
        """Multiply what all programs have published of `source`, each tile of it with every weight."""
        w, name = self.w, self.plan.names[source].lstrip("_")
        pointer, size = self.plan.exchanges[source], self.plan.sizes[source.type.axes[0]]
        w.line(f"_{name}_rows = {pointer.name} + {self._heard_slot(source)} * (_B * {size}) + _b * {size}")

        def heard(tile: str, first: str) -> None:
            place = (f"_{name}_rows", first, size, "_row", str(self._height(source)))
            how = ("_heard", *place) if self.shares == 1 else ("_heard_by_warp", *place, str(self.shares))
            w.line(f"{tile} = {self.printer.call(*how)}")

        results = [self.plan.names[n.result] for n in nodes]
        if self.held:
            starts = self._tiles_of(source)
            for part in range(len(starts) + self.ahead):
                if part < len(starts):
                    heard(f"_{name}_{part}", str(starts[part]))
                if (now := part - self.ahead) >= 0 and now < len(starts):
                    self._multiply(f"_{name}_{now}", nodes, now)
        else:
            for node, result in zip(nodes, results, strict=True):
                w.line(f"{result} = tl.zeros({self.rules.shape(node.result)}, tl.float32)", note=node.result.loc)
            with w.block(f"for _low in range(0, {size}, {self._height(source)}):"):
                heard(f"_{name}_part", "_low")
                self._multiply(f"_{name}_part", nodes, None)
        for result in results:
            total = result if self.shares == 1 else self.printer.call(f"_added{self.shares}", result)
            w.line(f"{result} = tl.where(_row, {total}, 0.0)")

    def _multiply(self, tile: str, nodes: list[Node], part: int | None) -> None:
        """Add the products of one tile: of number `part` with weights that are held, else with what `_low` starts."""
        source = nodes[0].operands[0]
        heard = f"{tile}.to(tl.float32)" if self.plan.exchanges[source].storage == "uint8" else tile
        if (factor := self.rules.factor(heard)) != tile:
            self.w.line(f"{tile} = {factor}")
        for node in nodes:
            result = self.plan.names[node.result]
            weight = self._slice(node, "_low") if part is None else self._held_name(node, part)
            added = [] if part == 0 else [result]
            self.w.line(
                f"{result} = {self.rules.dot(tile, weight, *added)}", note=node.result.loc if part == 0 else None
            )
