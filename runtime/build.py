"""Program + key -> kernels, and one call of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from graphc.ir import Buffer, DeviceSpec, Graph, Kernel, Program, Schedule, TargetError, final, gradient, initial
from graphc.ir.errors import NonFiniteError
from graphc.ir.interpret import Mode, interpret, run_once
from graphc.passes import Request, schedule
from graphc.passes.observers import Dump

from .buffers import Arena

Tensors = dict[str, torch.Tensor]
DTYPES: dict[torch.dtype, Literal["float32", "float64"]] = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True, slots=True)
class Key:
    """What one build depends on beside the network."""

    target: str
    device: str
    dtype: torch.dtype
    request: Request

    def __str__(self) -> str:
        wrt, records = ",".join(sorted(self.request.wrt)), ",".join(self.request.records)
        return f"{self.target}/{self.device}/{self.dtype}/{records}/{wrt}/{self.request.final}"


class Library(Protocol):
    """Kernels of one schedule, loaded."""

    def prepare(self, backward: bool) -> None:
        """Build one half now rather than at its first launch."""
        ...

    def launch(
        self, kernel: Kernel, tensors: Sequence[torch.Tensor], steps: int, batch: int, start: int, bad: torch.Tensor | None
    ) -> None:
        """Run `kernel` on the tensors of `kernel.arguments`."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of one call: steps, batch, and the absolute number of its first step."""

    steps: int
    batch: int
    start: int

    def entries(self) -> Tensors:
        """Return the entries by which the interpreter knows the extent."""
        return {"@t": torch.tensor(self.start), "@T": torch.tensor(self.steps), "@B": torch.tensor(self.batch)}


class Build:
    """The kernels of one key, and how to call them."""

    def __init__(self, program: Program, key: Key, arena: Arena) -> None:
        self.program, self.key, self.arena = program, key, arena
        self.schedule: Schedule | None = None
        self.texts: dict[str, str] = {}
        self._library: Library | None = None
        self._lock = threading.Lock()
        self.mode = Mode(key.dtype)
        self.state_names = tuple(t.name for t in program.states)
        self.coefficients = tuple(o.name for r in program.regions if r.kind == "once" for o in r.graph.outputs)
        self.device = torch.device(key.device)
        self.histories = {initial(t.name): t.name for t in program.states if t.depth is not None}
        self.initial_names = tuple(initial(s) for s in self.state_names)
        self.axes = {o.name: o.value.type.axes[0] for r in program.regions for o in r.graph.outputs if o.kind == "sequence"}
        self._types = {o.name: o.value.type for r in program.regions for o in r.graph.outputs}
        self.backward_reads = {
            name for r in program.regions if r.backward for name in (*(i.source for i in r.graph.inputs), *_initials(r.graph))
        }
        if key.target != "reference":
            self.schedule = schedule(program, device_spec(self.device), DTYPES[key.dtype], key.target)
            self.texts = emit(self.schedule)
            if (dump := Dump.from_environment()) is not None:
                dump.write_kernels(self.schedule, self.texts)
            self.saved = tuple(n for n in self.schedule.saved if self._is_sequence(n) and n not in self._given())
        else:
            self.saved = tuple(
                dict.fromkeys(
                    i.source
                    for r in program.regions
                    if r.backward
                    for i in r.graph.inputs
                    if i.kind == "sequence" and i.source not in self._given() and i.source in self._written()
                )
            )

    def _given(self) -> set[str]:
        """Names that a caller of the backward half has anyway: inputs and outputs."""
        return {t.name for t in self.program.inputs} | set(self.program.outputs)

    def _written(self) -> set[str]:
        return {o.name for r in self.program.regions if not r.backward for o in r.graph.outputs}

    def _is_sequence(self, name: str) -> bool:
        assert self.schedule is not None
        return self.schedule.buffers[name].kind == "sequence"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns: outputs and records, final states, saved sequences."""
        return self.program.outputs + tuple(final(s) for s in self.state_names) + self.saved

    def shape(self, name: str, steps: int, batch: int) -> tuple[int, ...]:
        """Return the shape of one of `outputs`."""
        state = next((t for t in self.program.states if final(t.name) == name), None)
        type = self._types[name] if state is None else state.type
        lead = (steps,) if state is None else () if state.depth is None else (state.depth,)
        return (*lead, batch, *(self.program.sizes[a] for a in type.axes))

    def storage(self, name: str) -> torch.dtype:
        """Return the dtype of one of `outputs`."""
        if self.schedule is not None and name in self.schedule.buffers:
            return self._storage(self.schedule.buffers[name])
        state = next((t for t in self.program.states if final(t.name) == name), None)
        return torch.int32 if state is not None and state.type.dtype == "int" else self.key.dtype

    def _storage(self, buffer: Buffer) -> torch.dtype:
        return {"real": self.key.dtype, "uint8": torch.uint8, "int32": torch.int32}[buffer.storage]

    def check(self) -> None:
        """Raise what an earlier run on a GPU found."""

    def library(self) -> Library:
        """Return the loaded kernels, built once."""
        with self._lock:
            if self._library is None:
                assert self.schedule is not None
                self._library = load(self.schedule, self.texts)
            return self._library

    def prologue(self, parameters: Mapping[str, torch.Tensor]) -> Tensors:
        """Return the coefficients in float64 and the parameters themselves."""
        env: Tensors = dict(parameters)
        for region in self.program.regions:
            if region.kind == "once" and not region.backward:
                run_once(region.graph, env, Mode(torch.float64))
        return env

    def initial(self, parameters: Mapping[str, torch.Tensor], draws: Mapping[str, torch.Tensor], batch: int) -> Tensors:
        """Return the initial state: what the initial graph computes, zeros elsewhere; differentiable."""
        return initial_state(self.program, parameters, draws, batch, self.key.dtype, self.device)

    def forward(self, given: Tensors, extent: Extent) -> list[torch.Tensor]:
        """Run the forward half.

        Args:
            given: inputs, coefficients in the state dtype, parameters and initial states by name.
            extent: size of the call.
        """
        given = given | extent.entries()
        env = self._run(given, extent, backward=False)
        env |= {final(t.name): env[initial(t.name)] for t in self.program.states if final(t.name) not in env}
        return [env[name] for name in self.outputs]

    def backward(self, given: Tensors, extent: Extent) -> Tensors:
        """Run the backward half; `given` also holds what was saved and the gradients of outputs and final states."""
        given = given | extent.entries()
        given |= self._final_histories(given)
        return self._run(given, extent, backward=True)

    def _run(self, env: Tensors, extent: Extent, backward: bool) -> Tensors:
        if self.schedule is None or extent.steps == 0 or extent.batch == 0:
            env = interpret(self.program, env, self.mode, backward)
            if not backward:
                self._check_interpreted(env, extent)
            return env
        library = self.library()
        bad = torch.zeros(4, dtype=torch.int64, device=self.device)
        for kernel in self.schedule.half(backward):
            for name in kernel.writes:
                if name not in env:
                    env[name] = self._allocate(self.schedule.buffers[name], extent)
            tensors = [env[name] for name in kernel.arguments]
            library.launch(kernel, tensors, extent.steps, extent.batch, extent.start, bad)
            if not backward and kernel.checks and self.device.type == "cpu" and bad[0]:
                self._raise(kernel.checks[int(bad[0]) - 1][1], int(bad[1]), int(bad[2]), int(bad[3]))
        return env

    def _check_interpreted(self, env: Tensors, extent: Extent) -> None:
        for tensor in self.program.states:
            last = env.get(final(tensor.name))
            if last is not None and not torch.isfinite(last).all():
                where = (~torch.isfinite(last)).nonzero()[0].tolist()
                self._raise(tensor.name, extent.start + extent.steps - 1, where[0], where[-1])

    def _raise(self, name: str, step: int, sample: int, neuron: int) -> None:
        population, _, state = name.partition(".")
        raise NonFiniteError(
            f"state '{state}' of population '{population}' is not finite from step {step} on (sample {sample}, neuron {neuron})",
            hint="look for NaN in the input, a dt that is too large, or a weight that grew without bound",
        )

    def _allocate(self, buffer: Buffer, extent: Extent) -> torch.Tensor:
        shape = (extent.batch,) if buffer.type.batched else ()
        shape += tuple(self.program.sizes[a] for a in buffer.type.axes)
        lead = {"sequence": (extent.steps,), "history": (buffer.depth,), "fixed": ()}[buffer.kind]
        return self.arena.empty((*lead, *shape), self._storage(buffer), self.device)

    def _final_histories(self, given: Mapping[str, torch.Tensor]) -> Tensors:
        """The gradient of a final history, newest first, starts the reverse history of its longest read."""
        found: Tensors = {}
        for name in self._reverse_histories(initial=True):
            state = name.removeprefix("d(").partition(")")[0]
            last = given.get(gradient(final(state)))
            found[name] = torch.zeros_like(given[initial(state)]) if last is None else last.flip(0).contiguous()
        return found

    def _reverse_histories(self, initial: bool) -> list[str]:
        histories = [h for r in self.program.regions if r.kind == "reverse" for h in r.graph.histories]
        return [n for h in histories if (n := h.init if initial else h.final)]

    def history_gradient(self, state: str, env: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """Return the gradient of an initial history, collected from every read of it."""
        total: torch.Tensor | None = None
        for name in self._reverse_histories(initial=False):
            if name.partition(")@")[0] == f"d({state}":
                part = env[name].flip(0)
                depth = next(t.depth for t in self.program.states if t.name == state) or 0
                if total is None:
                    total = torch.zeros((depth, *part.shape[1:]), dtype=part.dtype, device=part.device)
                total[depth - part.shape[0] :] += part
        return total


def _initials(graph: Graph) -> list[str]:
    return [n for n in (*(c.init for c in graph.carries), *(h.init for h in graph.histories)) if n]


def initial_state(
    program: Program,
    parameters: Mapping[str, torch.Tensor],
    draws: Mapping[str, torch.Tensor],
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensors:
    """Return every state by the name of its initial tensor, (B, N), or (depth, B, N) for a history."""
    env: Tensors = {**parameters, **draws}
    graph: Graph = program.initial
    run_once(graph, env, Mode(torch.float64))
    written = {o.name for o in graph.outputs}
    states: Tensors = {}
    for tensor in program.states:
        shape = (batch,) + tuple(program.sizes[a] for a in tensor.type.axes)
        full = shape if tensor.depth is None else (tensor.depth, *shape)
        kind = torch.int32 if tensor.type.dtype == "int" else dtype
        value = env[initial(tensor.name)].to(kind) if initial(tensor.name) in written else torch.zeros((), dtype=kind, device=device)
        states[initial(tensor.name)] = value.to(device).expand(full).contiguous()
    return states


def device_spec(device: torch.device) -> DeviceSpec:
    """Describe a device as plain data."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        shared = getattr(properties, "shared_memory_per_block_optin", 0)
        return DeviceSpec("cuda", properties.major * 10 + properties.minor, properties.multi_processor_count, shared)
    return DeviceSpec("cpu", cores=torch.get_num_threads())


def emit(plan: Schedule) -> dict[str, str]:
    """Return the texts of a schedule, "forward" and "backward"."""
    if plan.target == "c":
        from graphc.codegen import c

        return c.emit(plan)
    if plan.target == "triton":
        from graphc.codegen import triton

        return triton.emit(plan)
    raise TargetError(f"unknown target {plan.target!r}", hint='use "auto", "c", "triton" or "reference"')


def load(plan: Schedule, texts: dict[str, str]) -> Library:
    """Return the kernels of `texts`, built or fetched from the cache."""
    if plan.target == "c":
        from . import load_c

        return load_c.load(plan, texts)
    from . import load_triton

    return load_triton.load(plan, texts)
