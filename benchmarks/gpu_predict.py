"""What is known of a work before it is measured: schedules, bytes, instructions, and a time from them.

None of this needs a GPU; ``python -m benchmarks.gpu --dry-run`` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import graphc as gc
from graphc.codegen.triton import emit
from graphc.ir import DeviceSpec, Precision, Schedule
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes, schedule
from graphc.passes.footprint import traffic

H200 = DeviceSpec("cuda", 90, 132, 232448, cooperative=True)
COPY_GB_S = 4300.0  # of an H200, read plus written; a dry run measures none
LANES = 128  # instructions of threads that a multiprocessor issues per cycle
SPECIAL = 8  # cycles of issue that an instruction of the special functions takes

# Microseconds of one step of a recurrent loop that no bandwidth explains; latencies of Hopper at about 1.8 GHz.
RESIDENT_STEP = 0.9  # exchange of the spikes through shared memory, a chain of tensor instructions, the neurons' own
TILE_STEP = 0.12  # each further 128 rows of a weight matrix in that chain
SHARED_STEP = 0.07  # the same where warps share them out: 16 KB of factors at 128 bytes a cycle, read once
BARRIER = 1.3  # an atomic through L2 and back, twice, and the programs' skew
EXCHANGE = 0.7  # what the others wrote, read from L2
LAUNCH = 2.2  # one kernel of a replayed graph


def plan_of(
    network: gc.Network,
    wrt: frozenset[str],
    precision: Precision = "float32",
    tuned: Mapping[str, int | str] | None = None,
) -> Schedule:
    """Return the schedule of `network` on an H200; `wrt` names what needs a gradient, beside learned parameters."""
    program = lower(network)
    learned = frozenset(p.name for p in program.parameters if p.learn) if wrt else frozenset()
    program = run_passes(program, pipeline(Request(wrt=learned | wrt)))
    return schedule(program, H200, "float32", "triton", tuned, precision=precision)


def moved_bytes(plan: Schedule, backward: bool) -> int:
    """Return the bytes of sequences that the time loops of one half move per step and sample."""
    return sum(traffic(plan, k) for k in plan.half(backward) if k.kind != "product")


def step_microseconds(plan: Schedule, backward: bool, batch: int, copy_gb_s: float = COPY_GB_S) -> float:
    """Return the predicted time of one step of one half: bytes, or what its strategy cannot do faster."""
    total = moved_bytes(plan, backward) * batch / copy_gb_s / 1e3
    for kernel in plan.half(backward):
        if kernel.kind == "product" or kernel.strategy == "elementwise":
            continue
        widest = max(plan.sizes[a] for n in kernel.graph.nodes for a in n.result.type.axes)
        chain = RESIDENT_STEP + (SHARED_STEP if kernel.options.get("held") else TILE_STEP) * (widest / 128 - 1)
        waits = sum(bool(phase.products) for phase in kernel.phases) * (BARRIER + EXCHANGE)
        own = {"resident": chain, "cooperative": chain + waits, "stepwise": (len(kernel.parts) + 1) * LAUNCH}
        total = max(total, own[kernel.strategy])
    return total


@dataclass(frozen=True)
class Loop:
    """The time loop of a built kernel, per neuron and step.

    Attributes:
        instructions: all of them.
        special: those of the special functions, exp and the like.
    """

    instructions: float
    special: float

    def floor_ms(self, neuron_steps: float, cores: int, clock_mhz: float) -> float:
        """Return the time in which the device can issue them all."""
        cycles = max(self.instructions, SPECIAL * self.special)
        return neuron_steps * cycles / (cores * LANES * clock_mhz * 1e6) * 1e3


def count_loop(assembly: str, neurons: float, steps: int) -> Loop:
    """Return the instructions of the longest loop of a kernel's machine code.

    Args:
        assembly: of `nvdisasm`.
        neurons: of one thread.
        steps: of one pass of the loop.
    """
    lines = assembly.splitlines()
    labels = {m[1]: n for n, line in enumerate(lines) if (m := re.match(r"(\.L_x_\d+):", line))}
    jumps = [
        (labels.get(m[1], n), n) for n, line in enumerate(lines) if (m := re.search(r"BRA.*`\((\.L_x_\d+)\)", line))
    ]
    bodies = [lines[start : end + 1] for start, end in jumps if end > start]
    body = max(bodies, key=len, default=[])
    operations = [line for line in body if re.search(r"/\*[0-9a-f]+\*/\s+\S", line) and "NOP" not in line]
    special = sum("MUFU" in line for line in operations)
    return Loop(len(operations) / (neurons * steps), special / (neurons * steps))


def loops_of(plan: Schedule, backward: bool = False) -> dict[str, Loop]:
    """Return the time loops of one half of elementwise kernels, built ahead of time for sm_90."""
    from graphc.codegen.triton import plan as layout
    from graphc.runtime.ahead import compile_ahead

    half = "backward" if backward else "forward"
    reports = {r.name: r for r in compile_ahead(plan, {half: emit(plan)[half]}, 90)}
    found = {}
    for kernel in plan.half(backward):
        if kernel.kind != "product" and kernel.strategy == "elementwise":
            made = layout(plan, kernel)
            width = made.constants["_rows"] * max(made.constants[w] for w in made.widths.values())
            found[kernel.name] = count_loop(reports[kernel.name].assembly, width / (32 * made.warps), made.unroll)
    return found


def describe(plan: Schedule, steps: int, batch: int, copy_gb_s: float = COPY_GB_S) -> dict[str, object]:
    """Return what a row says beside its figures: strategy, bytes and microseconds per step, forward and backward."""
    told: dict[str, object] = {}
    for half, backward in (("forward", False), ("backward", True)):
        kernels = [k for k in plan.half(backward) if k.kind != "product"]
        if kernels:
            strategies = "+".join(dict.fromkeys(k.strategy for k in kernels))
            told[f"{half} kernels"] = f"{strategies} {dict(kernels[0].options)}"
            told[f"predicted {half} bytes"] = moved_bytes(plan, backward) * steps * batch
            told[f"predicted {half} us per step"] = round(step_microseconds(plan, backward, batch, copy_gb_s), 2)
    return told


def dry_run(plan: Schedule, steps: int, batch: int) -> list[str]:
    """Return the predictions of a work, and what its kernels use when they are built for sm_90."""
    from graphc.runtime.ahead import compile_ahead

    lines = [f"{name}: {value}" for name, value in describe(plan, steps, batch).items()]
    for report in compile_ahead(plan, emit(plan), 90):
        lines.append(
            f"{report.name}: {report.registers} registers, {report.spills} bytes spilt, {report.shared} bytes shared, "
            f"{report.wide[0]} of {report.wide[1]} accesses wide"
        )
    return lines
