"""Runs cut into chunks of steps: the state at their borders is kept, the rest computed again by the backward half."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from graphc.ir import Program, TargetError, final, gradient, initial
from graphc.passes import Request
from graphc.passes.footprint import Chunks, Footprint, footprint

from .buffers import Arena
from .build import Build, Extent, Key
from .prologue import Tensors

ProgramOf = Callable[[Request], Program]


def build(program_of: ProgramOf, key: Key, arena: Arena) -> Build:
    """Return the kernels of `key`; those of a run that keeps less than its backward half reads where asked for."""
    asked = key.options.checkpoint not in ("auto", "none") or key.options.memory_budget is not None
    if asked and key.request.wrt:
        return Checkpointed(program_of, key, arena)
    return Build(program_of(key.request), key, arena)


class Checkpointed(Build):
    """The kernels of one key, and two builds more for calls that are cut into chunks.

    A call of no more steps than a chunk is one of `Build`. A longer one runs chunk after chunk, by a build without
    gradients, and keeps the states between them. Its backward half goes from the last chunk to the first: it runs the
    chunk's forward half again, by a build that takes and returns gradients of every state, then its backward half.
    Whether a call is cut is decided by its own size, so its results are the saved sequences, without rows where the
    call was cut, and the kept states, without rows where it was not.
    """

    def __init__(self, program_of: ProgramOf, key: Key, arena: Arena) -> None:
        """Build the kernels of a call that is not cut; the others when a call needs them."""
        program = program_of(key.request)
        self._states = {f"{t.name}@checkpoints": t for t in program.states}
        super().__init__(program, key, arena)
        self._program_of = program_of
        self.saved += tuple(self._states)
        self.outputs += tuple(self._states)
        self.backward_reads |= set(self._states)
        self._result_dtypes = tuple(self.storage(name) for name in self.outputs)
        self._parts = self.gradients
        self.gradients = {total: (total,) for total in self._parts}
        self._sums = tuple(
            dict.fromkeys(
                o.name.partition("+")[0]
                for r in program.regions
                if r.backward
                for o in r.graph.outputs
                if o.kind == "sum"
            )
        )
        self._chosen: dict[tuple[int, int], int] = {}
        self._cut: tuple[Build, Build] | None = None
        self._cutting = threading.Lock()

    def shape(self, name: str, steps: int, batch: int) -> tuple[int, ...]:
        """Return the shape of one of `outputs`."""
        every = self.every(steps, batch)
        if (state := self._states.get(name)) is not None:
            borders = (steps - 1) // every if steps > every else 0
            lead = () if state.depth is None else (state.depth,)
            return (borders, *lead, batch, *(self.program.sizes[a] for a in state.type.axes))
        shape = super().shape(name, steps, batch)
        return (0, *shape[1:]) if name in self.sequences and steps > every else shape

    def storage(self, name: str) -> torch.dtype:
        """Return the dtype of one of `outputs`."""
        state = self._states.get(name)
        return super().storage(name if state is None else final(state.name))

    def every(self, steps: int, batch: int) -> int:
        """Return how many steps a chunk has in a call of this size; at least `steps` where it is not cut.

        Raises:
            TargetError: no choice stays within the memory budget.
        """
        options = self.key.options
        if options.memory_budget is None:
            return options.checkpoint if isinstance(options.checkpoint, int) else steps
        size = int(steps), int(batch)
        if size not in self._chosen:
            self._chosen[size] = self._within(options.memory_budget, *size)
        return self._chosen[size]

    def _within(self, budget: int, steps: int, batch: int) -> int:
        """Return the longest chunk with which a call stays within `budget`."""
        least = None
        for every in self._candidates(steps):
            found = self.footprint(steps, batch, every)
            if found is None:
                raise TargetError(
                    f"memory_budget needs a schedule, which target {self.key.target!r} has not",
                    hint="use checkpoint=K of gc.learn.BPTT",
                )
            if found.peak <= budget:
                return every
            least = found.peak if least is None else min(least, found.peak)
        checkpoint = self.key.options.checkpoint
        raise TargetError(
            f"a run of {steps} steps and {batch} samples needs {least} bytes with checkpoint={checkpoint!r}, "
            f"more than memory_budget={budget} of gc.learn.BPTT",
            hint="raise the budget" + (", or pass fewer samples" if checkpoint == "auto" else ', or use "auto"'),
        )

    def _candidates(self, steps: int) -> Iterator[int]:
        """Yield the steps of a chunk that come into question, fewest chunks first."""
        checkpoint = self.key.options.checkpoint
        if checkpoint != "auto":
            yield min(checkpoint, steps) if isinstance(checkpoint, int) else steps
            return
        last = -1
        for count in range(1, max(steps, 1) + 1):
            if (every := -(-steps // count)) != last:
                yield every
            last = every

    def footprint(self, steps: int, batch: int, every: int | None = None) -> Footprint | None:
        """Return the predicted bytes of one training call, cut into chunks of `every` steps."""
        every = self.every(steps, batch) if every is None else every
        if every >= steps:
            return super().footprint(steps, batch)
        plain, again = (b.schedule for b in self.cut())
        if self.schedule is None or plain is None or again is None:
            return None
        return footprint(self.schedule, self.results, steps, batch, Chunks(plain, again, every), self.pooled)

    def cut(self) -> tuple[Build, Build]:
        """Return the build without gradients and the one with those of every state, made on first use."""
        with self._cutting:
            if self._cut is None:
                request = self.key.request
                starts = {initial(t.name) for t in self.program.states if t.type.dtype != "int"}
                requests = (
                    replace(request, wrt=frozenset(), final=False),
                    replace(request, wrt=request.wrt | starts, final=True),
                )
                first, second = (Build(self._program_of(r), replace(self.key, request=r), self.arena) for r in requests)
                self._cut = first, second
            return self._cut

    def check(self) -> None:
        """Raise what an earlier run on a GPU found, waiting for it."""
        self._poll(wait=True)

    def _poll(self, wait: bool = False) -> None:
        for each in (self.watch, *(b.watch for b in self._cut or ())):
            each.poll(wait)

    def forward(self, given: Tensors, extent: Extent) -> list[torch.Tensor]:
        """Run the forward half; see `Build.forward`."""
        self._poll()
        if self._fits(extent):
            return super().forward(given | self._empty(self._states, extent), extent)
        plain, _ = self.cut()
        results = self._empty((*self.program.outputs, *self.saved), extent)
        written = _written(plain, backward=False).intersection(self.program.outputs).difference(given)
        for index, (rows, part) in enumerate(self._chunks(extent)):
            own = self._part(given, rows) | {name: results[name][rows] for name in written}
            found = dict(zip(plain.outputs, plain.forward(own, part), strict=True))
            for name in self.program.outputs:
                _put(results[name][rows], found[name])
            given = given | {initial(t.name): found[final(t.name)] for t in self.program.states}
            for name, state in self._states.items():
                if index < len(results[name]):
                    results[name][index].copy_(found[final(state.name)])
        results |= {final(t.name): given[initial(t.name)] for t in self.program.states}
        return [results[name] for name in self.outputs]

    def backward(self, given: Tensors, extent: Extent) -> Tensors:
        """Run the backward half; see `Build.backward`."""
        self._poll()
        if self._fits(extent):
            env = super().backward(given, extent)
            return env | {total: _sum(env, parts) for total, parts in self._parts.items() if len(parts) > 1}
        _, again = self.cut()
        inputs = {gradient(t.name): given[t.name] for t in self.program.inputs if t.name in self.key.request.wrt}
        found = {name: self.arena.empty(x.shape, self.storage(name), self.device) for name, x in inputs.items()}
        placed = _written(again, backward=True).intersection(inputs)
        arriving = {name: g for name in map(gradient, self.final_names) if (g := given.get(name)) is not None}
        for index, (rows, part) in reversed(list(enumerate(self._chunks(extent)))):
            own = self._part(given, rows) | {name: found[name][rows] for name in placed}
            if index:
                own |= {initial(t.name): given[name][index - 1] for name, t in self._states.items()}
            for state in self._real_states():
                name = gradient(final(state))
                own[name] = arriving[name] if name in arriving else torch.zeros_like(own[initial(state)])
            env = self._chunk_gradients(own, part)
            for name in inputs:
                _put(found[name][rows], env[name])
            self._add_sums(found, env)
            arriving = {
                gradient(final(state)): g
                for state in self._real_states()
                if (g := _state_gradient(again, state, env)) is not None
            }
            del env  # before the next chunk asks for memory
        for state in self._real_states():
            if (name := gradient(final(state))) in arriving:
                found[gradient(initial(state))] = arriving[name]
        return found

    def history_gradient(self, state: str, env: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """Return the gradient of an initial history; that of a call that was cut is known."""
        known = env.get(gradient(initial(state)))
        return super().history_gradient(state, env) if known is None else known

    def _chunk_gradients(self, own: Tensors, extent: Extent) -> Tensors:
        """Run both halves of one chunk; what only they read is given up as they read it."""
        _, again = self.cut()
        env = dict(own)
        env |= {
            n: t for n, t in zip(again.outputs, again.forward(own, extent), strict=True) if n in again.backward_reads
        }
        env |= again._final_histories(env)
        return again._run(env, extent, backward=True)

    def _add_sums(self, found: Tensors, env: Tensors) -> None:
        """Add what one chunk summed over its steps."""
        _, again = self.cut()
        for name in self._sums:
            if parts := again.gradients.get(name):
                total = _sum(env, parts)
                if name in found:
                    found[name] += total
                else:  # the interpreter may return one tensor by several names
                    found[name] = total.clone() if again.schedule is None else total

    def _fits(self, extent: Extent) -> bool:
        return self.every(extent.steps, extent.batch) >= extent.steps

    def _chunks(self, extent: Extent) -> Iterator[tuple[slice, Extent]]:
        every = self.every(extent.steps, extent.batch)
        for first in range(0, extent.steps, every):
            rows = slice(first, min(first + every, extent.steps))
            yield rows, Extent(rows.stop - first, extent.batch, extent.start + first, every, extent.seed)

    def _part(self, given: Tensors, rows: slice) -> Tensors:
        """Return what one chunk is given: its rows of inputs and gradients of outputs, and what has no rows."""
        cut = {t.name for t in self.program.inputs} | {gradient(name) for name in self.program.outputs}
        whole = given.keys() - {*self.program.outputs, *self.saved, *map(gradient, self.final_names)}
        return {name: given[name][rows] for name in cut & given.keys()} | {name: given[name] for name in whole - cut}

    def _empty(self, names: Iterable[str], extent: Extent) -> Tensors:
        steps, batch = extent.steps, extent.batch
        return {n: self.arena.empty(self.shape(n, steps, batch), self.storage(n), self.device) for n in names}

    def _real_states(self) -> list[str]:
        return [t.name for t in self.program.states if t.type.dtype != "int"]


def _written(build: Build, backward: bool) -> set[str]:
    """Return the tensors that kernels write where they are told to; the interpreter makes its own."""
    return set() if build.schedule is None else {n for k in build.schedule.half(backward) for n in k.writes}


def _put(place: torch.Tensor, tensor: torch.Tensor) -> None:
    """Copy `tensor` to where it belongs, unless a kernel wrote it there."""
    if tensor.data_ptr() != place.data_ptr():
        place.copy_(tensor)


def _sum(env: Mapping[str, torch.Tensor], parts: Sequence[str]) -> torch.Tensor:
    total = env[parts[0]]
    for part in parts[1:]:
        total = total + env[part]
    return total


def _state_gradient(build: Build, state: str, env: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the gradient of an initial state; None where nothing depends on it."""
    name = initial(state)
    if name in build.histories:
        return build.history_gradient(state, env)
    parts = build.gradients.get(gradient(name))
    return _sum(env, parts) if parts else None
