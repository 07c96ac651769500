"""One part of a stepwise kernel: the neurons of one axis advance by one step, whose number stands in device memory.

The launcher keeps int64 words, `_clock`: how many steps were made, T, the absolute number of the first step, and a
seed where noise is drawn.
They, and the rows of the rings, make every launch the same, so that one recorded step can be replayed.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ir import Kernel, Value

from .kernel import KernelEmitter
from .memory import load, store
from .plan import Plan


def text(plan: Plan, used: set[str]) -> str:
    """Return the text of a part: the function of its step, and the kernel that applies it to one row."""
    return _StepEmitter(plan, used).text()


def advance(kernel: Kernel) -> str:
    """Return the text of the launch that ends a step; a part could not do it while others still read the clock."""
    return f"@triton.jit\ndef {advance_name(kernel)}(_clock):\n    tl.store(_clock, tl.load(_clock) + 1)\n"


def advance_name(kernel: Kernel) -> str:
    """Return the name of the launch that ends a step."""
    return f"{kernel.name}_advance"


class _StepEmitter(KernelEmitter):
    """Writes one part: what it reads, its step, what it writes."""

    def _body(self) -> None:
        w = self.w
        w.line(f"{self.counter}, _T, _start = tl.load(_clock), tl.load(_clock + 1), tl.load(_clock + 2)")
        if self.plan.draws:
            w.line("_seed = tl.load(_clock + 3)")
        self._set_row()
        self._tiles()
        for i, pointer in self.inputs:
            row = "_t" if i.kind == "sequence" else "0"
            w.line(f"{self.plan.names[i.value]} = {load(self.plan, pointer, row)}", note=i.value.loc)
        self._start_checks()
        self._one_step(0, {})
        self._report()

    def _advance(self, names: Mapping[Value, str], u: int) -> None:
        """Write what later parts and the next step find in step buffers and rings."""
        for o, pointer in self.outputs:
            if o.kind == "step":
                self.w.line(store(self.plan, pointer, names[o.value]))
        for h in self.graph.histories:
            self.w.line(store(self.plan, self.plan.rings[h.name], names[h.value], f"({self.counter} % {h.depth + 1})"))
