"""Kernels in C.

Every kernel is a function ``void name(const int64_t *size, void *const *p, const int64_t *stride)``: sizes T, B, the
absolute first step, the number of threads and the seed of noise; pointers to `kernel.arguments` and to the four words
for the first value that is not finite; two strides per argument, of time and batch (or depth and batch of a history),
in elements. Sizes of populations are constants of the text. An event-driven product has a companion ``name_density``:
the loader asks it.
"""

from __future__ import annotations

from graphc.codegen.expr import Printer, c_dialect
from graphc.codegen.writer import Writer
from graphc.ir.schedule import Schedule

from .delayed import emit_delayed_gradient, is_delayed
from .kernel import emit_steps
from .prelude import prelude
from .products import emit_product, emit_transposed, is_event_driven, is_transposed
from .synapses import emit_gradient, is_synapses

__all__ = ["emit", "is_delayed", "is_event_driven", "is_synapses", "is_transposed"]


def emit(schedule: Schedule) -> dict[str, str]:
    """Return the C text of each half of `schedule`, "forward" and, where it has such kernels, "backward"."""
    halves = {"forward": schedule.half(False), "backward": schedule.half(True)}
    return {name: _text(schedule, name) for name, kernels in halves.items() if kernels}


def _text(schedule: Schedule, half: str) -> str:
    printer, w = Printer(c_dialect(schedule.dtype)), Writer()
    for kernel in schedule.half(half == "backward"):
        if kernel.kind != "product":
            w.line()
            emit_steps(schedule, kernel, printer, w)
        elif is_event_driven(schedule, kernel):
            w.line()
            emit_product(schedule, kernel, printer, w)
        elif is_transposed(kernel):
            w.line()
            emit_transposed(schedule, kernel, printer, w)
        elif is_delayed(kernel):
            w.line()
            emit_delayed_gradient(schedule, kernel, printer, w)
        elif is_synapses(kernel):
            w.line()
            emit_gradient(schedule, kernel, printer, w)
    options = {name: value for kernel in schedule.half(half == "backward") for name, value in kernel.options.items()}
    return prelude(printer.used, printer.dialect, options) + w.text()
