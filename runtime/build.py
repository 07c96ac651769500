"""Program + key -> kernels, and one call of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Literal, Protocol

import torch

from graphc.ir import (
    Buffer,
    Graph,
    History,
    Kernel,
    Precision,
    Program,
    Schedule,
    final,
    gradient,
    initial,
)
from graphc.ir.interpret import Mode, interpret
from graphc.passes import Request, Rule, check_precision, keep_exact, schedule
from graphc.passes.footprint import Footprint, footprint, last_uses
from graphc.passes.observers import Dump

from .buffers import Arena
from .device import scheduled_for
from .finite import Watch, check_watched, rows_of_checks, watched
from .histories import ahead_gradient
from .loading import emit, load
from .override import overridden
from .prologue import Prologue, Tensors
from .stored import element_dtype, empty_as_numbers, row_shape

DTYPES: dict[torch.dtype, Literal["float32", "float64"]] = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True, slots=True)
class Options:
    """What a user chose beside the target.

    Attributes:
        precision: of sequences and of the factors of products.
        schedule: a strategy, tiles and more that replace the defaults, by name; None for what was tuned.
        checkpoint: steps between the states that a run keeps; "auto" where the budget decides; "none".
        memory_budget: bytes that a training call may allocate.
        rule: which paths gradients take; None for all.
        chunk: steps between which traces are carried; "all" for none; None where the size decides.
        origin: the entry of the tuning database that `schedule` comes from, in words.
    """

    precision: Precision = "float32"
    schedule: tuple[tuple[str, int | str], ...] | None = None
    checkpoint: int | Literal["auto", "none"] = "auto"
    memory_budget: int | None = None
    rule: Rule | None = None
    chunk: int | Literal["all"] | None = None
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Key:
    """What one build depends on beside the network."""

    target: str
    device: str
    dtype: torch.dtype
    request: Request
    options: Options = Options()

    def __str__(self) -> str:
        wrt, records = ",".join(sorted(self.request.wrt)), ",".join(self.request.records)
        chosen = "".join(f"/{name}={value}" for name, value in self.options.schedule or ())
        request = (
            f"{records}/{wrt}/{self.request.final}/{self.request.rule}/{self.request.drivers}/{self.request.recompute}"
        )
        return f"{self.target}/{self.device}/{self.dtype}/{self.options.precision}{chosen}/{request}"


class Library(Protocol):
    """Kernels of one schedule, loaded."""

    def prepare(self, backward: bool) -> None:
        """Build one half now rather than at its first launch."""
        ...

    def launch(
        self,
        kernel: Kernel,
        tensors: Sequence[torch.Tensor],
        steps: int,
        batch: int,
        start: int,
        bad: torch.Tensor | None,
        seed: int = 0,
    ) -> None:
        """Run `kernel` on the tensors of `kernel.arguments`."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of one call: steps, batch, the absolute number of its first step, the steps there is room for, its seed.

    A call with fewer steps than room leaves memory of the size that the next one asks for.
    """

    steps: int
    batch: int
    start: int
    room: int = 0
    seed: int = 0

    def entries(self) -> Tensors:
        """Return the entries by which the interpreter knows the extent."""
        return {
            "@t": torch.tensor(self.start),
            "@T": torch.tensor(self.steps),
            "@B": torch.tensor(self.batch),
            "@seed": torch.tensor(self.seed),
        }


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A tensor that a kernel writes."""

    kind: Literal["sequence", "fixed", "history"]
    depth: int
    batched: bool
    tail: tuple[int, ...]
    dtype: torch.dtype

    def shape(self, extent: Extent) -> tuple[int, ...]:
        """Return its shape in one call."""
        steps = max(extent.steps, extent.room)
        lead = (steps,) if self.kind == "sequence" else (self.depth,) if self.kind == "history" else ()
        return (*lead, extent.batch, *self.tail) if self.batched else (*lead, *self.tail)


@dataclass(frozen=True, slots=True)
class _Launch:
    """A kernel with its arguments, what has to be allocated for it, and what nothing reads after it."""

    kernel: Kernel
    arguments: tuple[str, ...]
    fresh: tuple[tuple[str, _Fresh], ...]
    dead: tuple[str, ...]


class Build:
    """The kernels of one key, and how to call them."""

    def __init__(self, program: Program, key: Key, arena: Arena) -> None:
        precision = key.options.precision
        check_precision(key.target, DTYPES[key.dtype], precision)
        program = keep_exact(program, precision)
        self.program, self.key, self.arena = program, key, arena
        self.schedule: Schedule | None = None
        self.texts: dict[str, str] = {}
        self._library: Library | None = None
        self._lock = threading.Lock()
        self.name = ""
        self.mode = Mode(key.dtype)
        self.state_names = tuple(t.name for t in program.states)
        self.device = torch.device(key.device)
        self.histories = {initial(t.name): t.name for t in program.states if t.depth is not None}
        self.initial_names = tuple(initial(s) for s in self.state_names)
        self.history_finals = {final(name) for name in self.histories.values()}
        self.final_names = tuple(final(s) for s in self.state_names)
        self.prologue = Prologue(program, key.request.wrt, key.dtype, self.device)
        self._types = {o.name: o.value.type for r in program.regions for o in r.graph.outputs}
        self.backward_reads = {
            name
            for r in program.regions
            if r.backward
            for name in (*(i.source for i in r.graph.inputs), *_initials(r.graph))
        }
        if key.target != "reference":
            device, chosen = scheduled_for(key.target, self.device), dict(key.options.schedule or ())
            self.schedule = schedule(program, device, DTYPES[key.dtype], key.target, chosen, precision=precision)
            self.texts = overridden(self.schedule, emit(self.schedule))
            if (dump := Dump.from_environment()) is not None:
                dump.write_kernels(self.schedule, self.texts)
            saved = tuple(n for n in self.schedule.saved if self._is_sequence(n))
        else:
            loops = [r.graph for r in program.regions if r.backward]
            written = self._written()
            saved = tuple(i.source for g in loops for i in g.inputs if i.kind == "sequence" and i.source in written)
        own = self._given()
        sources = [d.source for d in program.drivers if d.source is not None]
        self.backward_reads |= set(sources)
        self.sequences = self.saved = tuple(dict.fromkeys(n for n in (*saved, *sources) if n not in own))
        self.outputs = program.outputs + self.final_names + self.saved
        """Names of what `forward` returns: outputs and records, final states, saved sequences."""
        self._result_dtypes = tuple(self.storage(name) for name in self.outputs)
        self.gradients = _gradient_parts(program)
        self.links = key.request.final
        """Whether gradients go through the final states."""
        self._watched = watched(program)
        self._launches = {backward: self._plan(backward) for backward in (False, True)}
        checked = [rows_of_checks(step.kernel) for step in self._launches[False]]
        ends = [0, *accumulate(len(rows) for rows in checked)]
        self._rows = [slice(first, last) for first, last in pairwise(ends)]
        self.watch = Watch([names for rows in checked for names in rows], self.device, program)

    def _plan(self, backward: bool) -> list[_Launch]:
        if self.schedule is None:
            return []
        buffers, kernels = self.schedule.buffers, self.schedule.half(backward)
        kept = {name for k in kernels for name in k.arguments if buffers[name].kind != "sequence"}
        ends = {*(gradient(t.name) for t in self.program.inputs), *(d.drive for d in self.program.drivers)}
        kept |= ends if backward else {*self._given(), *self.outputs}
        return [
            _Launch(k, k.arguments, tuple((name, self._fresh(buffers[name])) for name in k.writes), dead)
            for k, dead in zip(kernels, last_uses(kernels, kept), strict=True)
        ]

    def _fresh(self, buffer: Buffer) -> _Fresh:
        tail = row_shape(buffer.storage, tuple(self.program.sizes[a] for a in buffer.type.axes))
        return _Fresh(buffer.kind, buffer.depth, buffer.type.batched, tail, self._storage(buffer))

    def _given(self) -> set[str]:
        """Names that a caller of the backward half has anyway: inputs and outputs."""
        return {t.name for t in self.program.inputs} | set(self.program.outputs)

    def _written(self) -> set[str]:
        return {o.name for r in self.program.regions if not r.backward for o in r.graph.outputs}

    def _is_sequence(self, name: str) -> bool:
        assert self.schedule is not None
        return self.schedule.buffers[name].kind == "sequence"

    def shape(self, name: str, steps: int, batch: int) -> tuple[int, ...]:
        """Return the shape of one of `outputs`."""
        state = next((t for t in self.program.states if final(t.name) == name), None)
        type = self._types[name] if state is None else state.type
        lead = (steps,) if state is None else () if state.depth is None else (state.depth,)
        tail = tuple(self.program.sizes[a] for a in type.axes)
        if self.schedule is not None and name in self.schedule.buffers:
            tail = row_shape(self.schedule.buffers[name].storage, tail)
        return (*lead, batch, *tail)

    def row(self, name: str) -> tuple[int, ...]:
        """Return the shape of one step and sample of a saved sequence."""
        return Build.shape(self, name, 1, 1)[2:]

    def storage(self, name: str) -> torch.dtype:
        """Return the dtype of one of `outputs`, or of the gradient of an input or an output."""
        if self.schedule is not None and name in self.schedule.buffers:
            return self._storage(self.schedule.buffers[name])
        state = next((t for t in self.program.states if final(t.name) == name), None)
        return torch.int32 if state is not None and state.type.dtype == "int" else self.key.dtype

    def _storage(self, buffer: Buffer) -> torch.dtype:
        return element_dtype(buffer.storage, self.key.dtype, self.key.options.precision)

    def every(self, steps: int, batch: int) -> int:
        """Return how many steps a chunk of a call has: all of them."""
        return max(steps, 1)

    def crossover(self) -> int:
        """Return the number of steps from which a call is cut into chunks that carry traces; 0 where none are."""
        return 0

    def footprint(self, steps: int, batch: int) -> Footprint | None:
        """Return the predicted bytes of one call; None where nothing is scheduled."""
        if self.schedule is None:
            return None
        return footprint(self.schedule, self.results, steps, batch, None, self.pooled)

    @property
    def results(self) -> set[str]:
        """Names that a caller gets of either half: outputs, records, gradients of inputs."""
        return {*self.program.outputs, *(gradient(t.name) for t in self.program.inputs)}

    @property
    def pooled(self) -> bool:
        """Whether the arena keeps memory that was given up for tensors of the same size."""
        return self.device.type == "cpu"

    def check(self) -> None:
        """Raise what an earlier run on a GPU found, waiting for it."""
        self.watch.poll(wait=True)

    def library(self) -> Library:
        """Return the loaded kernels, built once."""
        with self._lock:
            if self._library is None:
                assert self.schedule is not None
                self._library = load(self.schedule, self.texts)
            return self._library

    def forward(self, given: Tensors, extent: Extent) -> list[torch.Tensor]:
        """Run the forward half.

        Args:
            given: inputs, coefficients in the state dtype, parameters and initial states by name.
            extent: size of the call.
        """
        env = self._run(dict(given), extent, backward=False)
        for before, after in zip(self.initial_names, self.final_names, strict=True):
            if after not in env:
                env[after] = env[before]
        # The interpreter computes in one dtype; a kernel's results have their own already.
        results = [env[name] for name in self.outputs]
        results = [t if t.dtype is d else t.to(d) for t, d in zip(results, self._result_dtypes, strict=True)]
        if self._interprets(extent):
            shapes = [self.shape(name, extent.steps, extent.batch) for name in self.outputs]
            return [t if t.numel() else t.reshape(shape) for t, shape in zip(results, shapes, strict=True)]
        return results

    def backward(self, given: Tensors, extent: Extent) -> Tensors:
        """Run the backward half; `given` also holds what was saved and the gradients of outputs and final states."""
        given = given | self._final_histories(given)
        env = self._run(given, extent, backward=True)
        if self._interprets(extent):
            env |= {n: env[n].to(self.storage(n)) for t in self.program.inputs if (n := gradient(t.name)) in env}
        return env

    def _interprets(self, extent: Extent) -> bool:
        """Whether a call runs no kernels: that of the reference, or one without elements."""
        return self.schedule is None or extent.steps == 0 or extent.batch == 0

    def _run(self, env: Tensors, extent: Extent, backward: bool) -> Tensors:
        """Return `env` with what one half makes, without the sequences that only its kernels read."""
        if self._interprets(extent):
            if self.schedule is not None:
                env = empty_as_numbers(env, self.schedule, self.key.dtype)
            env = interpret(self._watched, env | extent.entries(), self.mode, backward)
            if not backward:
                check_watched(self.program, env, extent.start)
            return env
        library = self.library()
        words = None if backward else self.watch.words()
        for index, step in enumerate(self._launches[backward]):
            for name, fresh in step.fresh:
                if name not in env:
                    env[name] = self.arena.empty(fresh.shape(extent), fresh.dtype, self.device)
                    if extent.room > extent.steps and fresh.kind == "sequence":
                        env[name] = env[name][: extent.steps]
            tensors = [env[name] for name in step.arguments]
            found = words[self._rows[index]] if words is not None and step.kernel.checks else None
            library.launch(step.kernel, tensors, extent.steps, extent.batch, extent.start, found, extent.seed)
            del tensors
            for name in step.dead:
                del env[name]
        if words is not None:
            self.watch.read(words)
        return env

    def _final_histories(self, given: Mapping[str, torch.Tensor]) -> Tensors:
        """The gradient of a final history, newest first, starts the reverse history of its longest read."""
        found: Tensors = {}
        for history in self._reverse_histories():
            if history.init is not None:
                state = history.init.removeprefix("d(").partition(")")[0]
                last = given.get(gradient(final(state)))
                last = torch.zeros_like(given[initial(state)]) if last is None else last.flip(0)
                found[history.init] = last[: history.depth].contiguous()
        return found

    def _reverse_histories(self) -> list[History]:
        return [h for r in self.program.regions if r.kind == "reverse" for h in r.graph.histories]

    def history_gradient(self, state: str, env: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """Return the gradient of an initial history, collected from every read of it."""
        total: torch.Tensor | None = None
        for name in (h.final for h in self._reverse_histories() if h.final):
            if name.partition(")@")[0] == f"d({state}":
                part = env[name].flip(0)
                depth = next(t.depth for t in self.program.states if t.name == state) or 0
                if total is None:
                    total = torch.zeros((depth, *part.shape[1:]), dtype=part.dtype, device=part.device)
                total[depth - part.shape[0] :] += part
        ahead = ahead_gradient(self.program, state, env)
        return ahead if total is None else total if ahead is None else total + ahead


def _initials(graph: Graph) -> list[str]:
    return [n for n in (*(c.init for c in graph.carries), *(h.init for h in graph.histories)) if n]


def _gradient_parts(program: Program) -> dict[str, tuple[str, ...]]:
    """Return the tensors that add up to each gradient; a weight used by several connections has several parts."""
    parts: dict[str, tuple[str, ...]] = {}
    for region in program.regions:
        if region.backward:
            graph = region.graph
            names = [*(o.name for o in graph.outputs), *(c.final for c in graph.carries if c.final)]
            for name in names:
                total = name.partition("+")[0]
                parts[total] = (*parts.get(total, ()), name)
    return parts
