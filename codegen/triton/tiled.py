"""A cooperative kernel whose neurons hear of each other once in several steps, as their delays allow.

What a product reads of `delay` steps ago was published when it was made, into a ring of slots that no program reads and
another one writes between two barriers. Products whose results only histories keep are made after the last step of a
block, of what each of its steps has published.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ir import Value

from .cooperative import ARRIVE, WAIT, CooperativeEmitter
from .memory import load, store
from .plan import Plan


class TiledEmitter(CooperativeEmitter):
    """Writes one cooperative kernel with a barrier for each block of `tile` steps."""

    def __init__(self, plan: Plan, used: set[str]) -> None:
        """Tell products of what was published before a block from those that follow it."""
        super().__init__(plan, used)
        self.tile = plan.kernel.tile
        self.follows = len(self.phases) > 1
        late = {n.result for phase in self.phases[1:] for n in (*phase.products, *phase.nodes)}
        self.late = [h for h in self.graph.histories if h.value in late]
        self.kept = [h for h in self.graph.histories if h not in self.late]
        self.early = []  # nothing is published a step before
        self.inner = self.counter

    def _heard_slot(self, source: Value) -> str:
        return self._slot(source, self.inner)

    def _slot(self, source: Value, step: str) -> str:
        """Return the slot of what the product of `step` reads."""
        slots = self.plan.exchanges[source].depth
        return f"({step} % {slots})" if self.follows else f"(({step} + {self.tile}) % {slots})"

    def _start_states(self) -> None:
        super()._start_states()
        if self.follows:
            return
        for value in self.plan.exchanges:
            node = self.reads[value]
            history = self.graph.history(node.history)
            with self.w.block(f"for _d in range(0, {node.delay}):"):
                row = f"_d + {history.depth - node.delay}" if history.depth > node.delay else "_d"
                start = load(self.plan, self.before[history.name], row) if history.init else self._zeros(history.value)
                self._publish(value, start, f"(_d + {self.tile})")
        self.w.line(ARRIVE)
        self.w.line(WAIT)

    def _compute(self, names: Mapping[Value, str], u: int) -> None:
        """Write one step, and what it publishes."""
        self.stored.clear()
        first, function = self.phases[0], self.by_phase[0]
        for source in dict.fromkeys(n.operands[0] for n in first.products):
            self._products(source, [n for n in first.products if n.operands[0] is source])
        if function.returned:
            self._call(function, names)
        for value, pointer in self.plan.exchanges.items():
            text = names[value] if self.follows else names[self.graph.history(self.reads[value].history).value]
            self._publish(value, text, f"({self.counter} % {pointer.depth})")
        if not self.follows:
            self.w.line(f"_last = ({self.counter} + 1) % {self.tile} == 0")
            with self.w.block("if _last:"):
                self.w.line(ARRIVE)

    def _advance(self, names: Mapping[Value, str], u: int) -> None:
        super()._advance(names, u)
        if not self.follows:
            with self.w.block("if _last:"):
                self.w.line(WAIT)
            return
        with self.w.block(f"if (({self.counter} + 1) % {self.tile} == 0) | ({self.counter} + 1 == _T):"):
            self.w.line(ARRIVE)
            self.w.line(WAIT)
            first, last = f"{self.counter} - {self.counter} % {self.tile}", f"{self.counter} + 1"
            stages = self.plan.kernel.options.get("stages", 1)  # more of them take shared memory
            with self.w.block(f"for _q in tl.range({first}, {last}, num_stages={stages}):"):
                self._follow(names)
            self.w.line("tl.debug_barrier()")

    def _follow(self, names: Mapping[Value, str]) -> None:
        """Write the products of step `_q` of the block that is over, and the histories of their results."""
        self.inner = "_q"
        phase, function = self.phases[1], self.by_phase[1]
        for source in dict.fromkeys(n.operands[0] for n in phase.products):
            self._products(source, [n for n in phase.products if n.operands[0] is source])
        if function.returned:
            self._call(function, names)
        for h in self.late:
            self.w.line(store(self.plan, self.plan.rings[h.name], names[h.value], f"(_q % {h.depth + 1})"))
