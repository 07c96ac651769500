"""Rank Triton candidates without a GPU: by predicted time, and by what a build ahead of time says of each."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace

from graphc.ir import DeviceSpec, Program, Schedule, TargetError
from graphc.passes import schedule
from graphc.passes.schedule import Dtype
from graphc.runtime.ahead import compile_ahead
from graphc.runtime.loading import emit

from .database import options_in_words
from .predict import MACHINES, Machine, overfull, predict_ms
from .space import Options
from .trial import hidden

SPILLS = 32  # bytes of stack outside of time loops that a candidate may use


@dataclass
class Ranked:
    """A candidate as far as it can be judged without a device.

    Attributes:
        options: that it has beside the defaults.
        ms: predicted for one call, None where it cannot be scheduled.
        why: it died, or what is not known of it; "" where nothing is held against it.
        registers: most per thread of its kernels.
        shared: most bytes of its programs.
    """

    options: Options
    ms: float | None = None
    why: str = ""
    registers: int = 0
    shared: int = 0
    plan: Schedule | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        """Whether it is built and nothing is held against it."""
        return self.ms is not None and not self.why


@dataclass(frozen=True)
class Case:
    """What is ranked.

    Attributes:
        programs: by whether backward computes again: the program of the call.
        dtype: of states.
        precision: of sequences and products.
        arch: such as "sm_90".
        steps: T.
        batch: B.
    """

    programs: Callable[[bool], Program]
    dtype: Dtype
    precision: object
    arch: str
    steps: int
    batch: int


def machine_of(arch: str) -> tuple[Machine, DeviceSpec]:
    """Return a machine by its architecture.

    Raises:
        TargetError: nothing is known of it.
    """
    machine = MACHINES.get(arch)
    if machine is None:
        raise TargetError(f"nothing is known of the architecture {arch!r}", hint=f"use one of {', '.join(MACHINES)}")
    arch_number = machine.arch if isinstance(machine.arch, int) else 94
    return machine, DeviceSpec("cuda", arch_number, machine.cores, machine.shared, True)


def rank_candidates(
    case: Case, candidates: Sequence[Options], budget: float, told: Callable[[Ranked], None] = lambda one: None
) -> list[Ranked]:
    """Return all candidates, those that are alive first, by predicted time; the defaults are among them.

    As many as the budget allows are built, the most promising first, in as many processes as there are cores.
    """
    deadline = time.monotonic() + budget
    machine, device = machine_of(case.arch)
    ranked = [_scheduled(case, options, machine, device) for options in ({}, *candidates)]
    seen: dict[object, Options] = {}
    for one in ranked:
        if one.plan is not None:
            texts = (*emit(one.plan).values(), *hidden(one.plan))
            if texts in seen:
                one.why = f"the same kernels as {options_in_words(seen[texts])}"
            seen.setdefault(texts, one.options)
    waiting = sorted((one for one in ranked if one.alive), key=lambda one: (bool(one.options), *_order(one)))
    _build(waiting, machine, deadline, told)
    return sorted(ranked, key=lambda one: (not one.alive, one.ms is None, *_order(one)))


def _order(one: Ranked) -> tuple[float, int, str]:
    return one.ms or 0.0, len(one.options), str(one.options)


def _scheduled(case: Case, options: Options, machine: Machine, device: DeviceSpec) -> Ranked:
    tuned = {n: v for n, v in options.items() if n not in ("recompute", "checkpoint", "chunk")}
    if "checkpoint" in options or "chunk" in options:
        return Ranked(options, why="how a call is cut is not predicted")
    program = case.programs(bool(options.get("recompute", 1)))
    try:
        plan = schedule(program, device, case.dtype, "triton", tuned, precision=case.precision)  # type: ignore[arg-type]
    except TargetError as error:
        return Ranked(options, why=error.message)
    if why := overfull(plan, machine):
        return Ranked(options, why=why)
    return Ranked(options, predict_ms(plan, machine, case.steps, case.batch), plan=plan)


Alone = tuple[str, ...]
"""What distinguishes one kernel of a candidate from those of others."""


def _build(waiting: Sequence[Ranked], machine: Machine, deadline: float, told: Callable[[Ranked], None]) -> None:
    """Build candidates until the time is up; what is not built says so. Kernels that several share are built once."""
    kernels: dict[Alone, tuple[Schedule, str, str]] = {}
    needs: dict[int, set[Alone]] = {}
    for one in waiting:
        one.why = "not built: the time was up"
        assert one.plan is not None
        for kernel in (k for k in one.plan.kernels if k.kind != "product"):
            alone = replace(one.plan, kernels=(kernel,))
            ((half, text),) = emit(alone).items()
            named = (half, text, *hidden(alone))
            kernels.setdefault(named, (alone, half, text))
            needs.setdefault(id(one), set()).add(named)
    workers = min(os.cpu_count() or 1, max(len(kernels), 1))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    found: dict[Alone, tuple[str, int, int]] = {}
    try:
        jobs = {pool.submit(_used, *parts, machine.arch): named for named, parts in kernels.items()}
        for job in as_completed(jobs, timeout=max(deadline - time.monotonic(), 0.0)):
            found[jobs[job]] = job.result()
            for one in [o for o in waiting if id(o) in needs and needs[id(o)] <= found.keys()]:
                _judge(one, [found[named] for named in sorted(needs.pop(id(one)))], machine)
                told(one)
    except TimeoutError:
        pass
    finally:
        running = list((pool._processes or {}).values())  # a build cannot be asked to stop
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()


def _judge(one: Ranked, kernels: Sequence[tuple[str, int, int]], machine: Machine) -> None:
    one.why = next((why for why, _, _ in kernels if why), "")
    one.registers, one.shared = max(r for _, r, _ in kernels), max(s for _, _, s in kernels)
    if not one.why and one.shared > machine.shared:
        one.why = f"its programs need {one.shared} bytes of shared memory, and there are {machine.shared}"


def _used(plan: Schedule, half: str, text: str, arch: int | str) -> tuple[str, int, int]:
    """Return what is held against a kernel, or the parts of its steps, and the most registers and shared memory."""
    try:
        reports = compile_ahead(plan, {half: text}, arch)
    except Exception as error:  # whatever Triton or ptxas says of it
        return f"it does not build: {str(error).splitlines()[0] if str(error) else type(error).__name__}", 0, 0
    registers = max((r.registers for r in reports), default=0)
    shared = max((r.shared for r in reports), default=0)
    for report in reports:
        if report.local:
            return f"{report.name} keeps {report.spills} bytes on the stack inside its time loop", registers, shared
        if report.spills > SPILLS:
            return f"{report.name} keeps {report.spills} bytes on the stack", registers, shared
    return "", registers, shared
