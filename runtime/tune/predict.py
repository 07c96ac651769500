"""Predict the time of a call on a GPU from its schedule: bytes, operations, and latencies that nothing hides.

The constants are of kernels measured on an H100 with Triton 3.6 (benchmarks/results/gpu.json); other devices scale by
their bandwidth and clock. A prediction ranks candidates, it does not replace a measurement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.ir import Kernel, Schedule
from graphc.passes.footprint import bytes_of, traffic
from graphc.passes.pressure import pressure


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU as the model sees it.

    Attributes:
        name: of the device.
        arch: compute capability times ten, or the name of an AMD architecture.
        cores: multiprocessors.
        shared: bytes of shared memory per program.
        registers: of a multiprocessor.
        copy_gb_s: memory bandwidth, read plus written.
        tensor_tflops: of products in bfloat16.
        plain_tflops: of products in float32 without tensor cores.
        warp: threads.
        most_registers: of a thread.
    """

    name: str
    arch: int | str
    cores: int
    shared: int
    registers: int
    copy_gb_s: float
    tensor_tflops: float
    plain_tflops: float
    warp: int = 32
    most_registers: int = 255


MACHINES = {
    "sm_80": Machine("A100", 80, 108, 166912, 65536, 1300, 250, 15),
    "sm_90": Machine("H100", 90, 132, 232448, 65536, 2440, 780, 50),
    "gfx942": Machine("MI300X", "gfx942", 304, 65536, 131072, 4000, 600, 80, 64, 512),
}
"""Machines by architecture: rates that copies and products of torch reach, not those of the data sheet."""

LOAD = 0.6  # us from the launch of a load to its use, once per block of unrolled steps
RESIDENT_STEP = 1.2  # us of a step of 128 neurons: exchange through shared memory, a chain of tensor instructions
TILE_STEP = 1.2  # us for each further 128 rows of a weight matrix that one program multiplies
SHARED_STEP = 0.42  # the same where the warps of a program share the terms out
BARRIER = 0.75  # us of a barrier through L2, and of what the other programs wrote
REVERSE = {"resident": 0.9, "cooperative": 0.7}  # time of a reverse step over that of a forward one
LAUNCH = 2.2  # us of one kernel of a replayed graph
START = 4.0  # us of a launch outside of a loop
FIXED = 24  # registers for addresses, masks and counters


def predict_ms(plan: Schedule, machine: Machine, steps: int, batch: int) -> float:
    """Return the predicted milliseconds of all kernels of one call."""
    return sum(kernel_us(plan, kernel, machine, steps, batch) for kernel in plan.kernels) / 1e3


def kernel_us(plan: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> float:
    """Return the predicted microseconds of one kernel of one call."""
    if kernel.kind == "product":
        return START + _product_us(plan, kernel, machine, steps, batch)
    moved = traffic(plan, kernel) * steps * batch / machine.copy_gb_s / 1e3
    own = {"elementwise": _elementwise, "resident": _resident, "cooperative": _cooperative, "stepwise": _stepwise}
    steady = own[kernel.strategy](plan, kernel, machine, steps, batch)
    return START + max(moved, steady * (REVERSE.get(kernel.strategy, 1.0) if kernel.backward else 1.0))


def _product_us(plan: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> float:
    sizes = [math.prod(plan.sizes[a] for a in n.result.type.axes) for n in kernel.graph.nodes]
    inner = [math.prod(plan.sizes[a] for a in v.type.axes) for n in kernel.graph.nodes for v in n.operands]
    flops = 2.0 * steps * batch * max(sizes, default=1) * (max(inner, default=1) if kernel.strategy != "sum" else 1)
    if kernel.strategy in ("project", "project_transposed", "outer"):
        flops = 2.0 * steps * batch * max([*sizes, *inner])
    rate = machine.plain_tflops if plan.precision == "float32" else machine.tensor_tflops
    moved = sum(bytes_of(plan, plan.buffers[name], steps, batch) for name in kernel.arguments)
    return max(flops / rate / 1e6, moved / machine.copy_gb_s / 1e3)


def _widest(plan: Schedule, kernel: Kernel) -> int:
    return max((plan.sizes[a] for n in kernel.graph.nodes for a in n.result.type.axes), default=1)


def _elementwise(plan: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> float:
    """Return the time by latency: programs that run at once hide each other's loads, and a loop of few steps none."""
    block, unroll, threads = kernel.options["block"], kernel.options["unroll"], machine.warp * kernel.options["warps"]
    programs = math.ceil(batch * _widest(plan, kernel) / block)
    resident = min(2048 // threads, machine.registers // (threads * min(registers(kernel, machine), 255)))
    at_once = machine.cores * max(resident, 1)
    waves = math.ceil(programs / at_once)
    return waves * math.ceil(steps / unroll) * LOAD / max(min(programs, at_once) / (2 * machine.cores), 1)


def registers(kernel: Kernel, machine: Machine) -> int:
    """Return about how many registers a thread of an elementwise kernel wants, for its neurons and their loads."""
    each = max(kernel.options["block"] // (machine.warp * kernel.options["warps"]), 1)
    loads = sum(i.kind == "sequence" for i in kernel.graph.inputs)
    return FIXED + each * (pressure(kernel.graph) + loads * (kernel.options["unroll"] - 1))


def overfull(plan: Schedule, machine: Machine) -> str:
    """Return which kernel wants more registers than a thread has; "" where none does."""
    for kernel in plan.kernels:
        if kernel.strategy == "elementwise" and (wanted := registers(kernel, machine)) > machine.most_registers:
            return f"{kernel.name} wants about {wanted} registers per thread, and there are {machine.most_registers}"
    return ""


def _resident(plan: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> float:
    programs = math.ceil(batch / kernel.options["rows"])
    waves = math.ceil(programs / machine.cores)
    return waves * steps * _chain(plan, kernel, _widest(plan, kernel))


def _chain(plan: Schedule, kernel: Kernel, rows: int) -> float:
    """Return the microseconds of the products of one step: one after the other, tile by tile."""
    shared = kernel.options.get("shares", 1) > 1
    tall = kernel.options["rows"] / 16
    each = (SHARED_STEP if shared else TILE_STEP) * (1 + 0.25 * (tall - 1))
    plain = 3.0 if plan.precision == "float32" and plan.dtype == "float32" else 1.0
    return RESIDENT_STEP + plain * each * max(rows / 128 - 1, 0)


def _cooperative(plan: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> float:
    programs = kernel.options["programs"]
    tiles = -(-batch // kernel.options["rows"])
    launches = -(-tiles // max(machine.cores // programs, 1))
    waits = max(sum(bool(phase.products) for phase in kernel.phases), 1) * BARRIER / kernel.tile
    ahead = 1 + 0.2 / kernel.options.get("ahead", 1)
    return launches * steps * (_chain(plan, kernel, _widest(plan, kernel)) * ahead + waits)


def _stepwise(plan: Schedule, kernel: Kernel, machine: Machine, steps: int, batch: int) -> float:
    rate = machine.plain_tflops if plan.precision == "float32" else machine.tensor_tflops
    products = sum(1 for part in kernel.parts if part.kind == "product")
    widest = _widest(plan, kernel)
    multiply = 2.0 * batch * widest * widest * products / rate / 1e6
    return steps * ((len(kernel.parts) + 1) * LAUNCH + multiply)
