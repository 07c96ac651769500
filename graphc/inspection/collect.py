"""Collect a report from a compiled model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from graphc.card import card_of
from graphc.compile import NetworkCompiler
from graphc.explain import options_of, saved
from graphc.explain_learning import traces_text
from graphc.inspect import describe, inspection_of
from graphc.ir import GraphcError, Program, Schedule, TargetError, show
from graphc.memory import memory
from graphc.network import Network
from graphc.passes.footprint import bytes_of
from graphc.runtime import Model
from graphc.runtime.build import Build
from graphc.runtime.loading import emit
from graphc.runtime.override import override_name

from .cost import costs
from .declared import declared
from .discrete import adjoint, discretised
from .machine import cpu, gpu
from .network import network_of
from .report import Equation, Held, KernelResources, MemoryPlan, Report, SourceInfo
from .resources import resources_of
from .sources import plain, source_of
from .stages import stages_of
from .tex import Naming
from .traced import traced
from .userfiles import files_of


def collect(
    model: Model,
    name: str,
    *,
    arch: str = "sm_90",
    steps: int = 100,
    batch: int = 32,
    resources: bool = True,
    targets: Iterable[str] | None = None,
) -> Report:
    """Return everything about `model`.

    Args:
        model: compiled; it need not have run.
        name: how it was asked for.
        arch: for which Triton builds, and whose rates stand for a GPU.
        steps: T of the call whose memory and time are predicted.
        batch: B of that call.
        resources: build kernels to see what they use.
        targets: whose texts to hold; that of the model alone by default.
    """
    compiler = inspection_of(model).compiler
    network, build = compiler.network, model.build()
    stages = compiler.stages(build.key.request)
    discrete = next(p for _, p in stages if p.stage != "declared")
    missing: list[str] = []
    schedule = build.schedule
    machine = gpu(arch) if build.key.target == "triton" else cpu()
    dtype = str(build.key.dtype).removeprefix("torch.")
    return Report(
        name=name,
        key=describe(build.key),
        target=build.key.target,
        card=card_of(network, discrete, dtype, build.key.options.precision).hash,
        network=network_of(network),
        options=options_of(build),
        stages=stages_of(stages, build.key.request),
        schedule="" if schedule is None else show(schedule),
        equations=tuple(equations(compiler, build, discrete, stages[-1][1])),
        sources=_sources(model, build, tuple(targets or ()), missing),
        costs=() if schedule is None else costs(schedule, machine, steps, batch),
        machine=machine,
        resources=_resources(build, arch, missing) if resources and schedule is not None else (),
        memory=_memory(build, steps, batch),
        files=files_of(network, [p for _, p in stages]),
        missing=tuple(missing),
    )


def equations(compiler: NetworkCompiler, build: Build, discrete: Program, differentiated: Program) -> list[Equation]:
    """Return the equations in every form that there is."""
    network = compiler.network
    naming = naming_of(network)
    return [
        *declared(network),
        *discretised(discrete, naming),
        *adjoint(differentiated, naming),
        *traced(compiler, build, naming),
    ]


def naming_of(network: Network) -> Naming:
    """Return how the values of a network are written in LaTeX."""
    populations = list(network.populations)
    owners = (*populations, *network.inputs, *network.connections)
    return Naming(owners, populations[0] if len(populations) == 1 else None)


def _sources(model: Model, build: Build, targets: tuple[str, ...], missing: list[str]) -> tuple[SourceInfo, ...]:
    found: list[SourceInfo] = []
    for target in dict.fromkeys((build.key.target, *targets)):
        if target == "reference":
            missing.append("source: the reference target interprets the program")
            continue
        try:
            one = (
                build
                if target == build.key.target
                else model.build(gradients=bool(build.key.request.wrt), target=target)
            )
        except GraphcError as refused:
            missing.append(f"source of target {target}: {refused.message}")
            continue
        found += texts_of(one)
    model.build(gradients=bool(build.key.request.wrt))  # the key used last stays the model's own
    return tuple(found)


def texts_of(build: Build) -> list[SourceInfo]:
    """Return the texts of a build: both halves, and what advances traces."""
    schedule = build.schedule
    if schedule is None:
        return []
    generated = emit(schedule) if os.environ.get("GRAPHC_OVERRIDE") else build.texts
    found = [
        source_of(schedule, half, text, override_name(schedule, half, generated[half]))
        for half, text in build.texts.items()
        if schedule.half(half == "backward")
    ]
    with suppress(GraphcError):  # no online rule, or one without traces
        found.append(plain(schedule.target, "traces", traces_text(build)))
    return found


def _resources(build: Build, arch: str, missing: list[str]) -> tuple[KernelResources, ...]:
    found: list[KernelResources] = []
    assert build.schedule is not None
    for half, text in build.texts.items():
        try:
            found += resources_of(build.schedule, half, text, arch)
        except TargetError as refused:
            missing.append(f"resources of {half}: {refused.message}")
    return tuple(found)


def _memory(build: Build, steps: int, batch: int) -> MemoryPlan:
    schedule = build.schedule
    buffers = () if schedule is None else tuple(_held(schedule, steps, batch))
    return MemoryPlan(steps, batch, tuple(memory(build, steps, batch)), tuple(saved(build)), buffers)


def _held(schedule: Schedule, steps: int, batch: int) -> Iterable[Held]:
    for buffer in schedule.buffers.values():
        size = bytes_of(schedule, buffer, steps, batch)
        yield Held(
            buffer.name, buffer.kind, str(buffer.type), buffer.storage, size, buffer.name in schedule.saved,
            buffer.reason,
        )  # fmt: skip
