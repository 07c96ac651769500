"""Online learning: gradients of a local rule, chunk by chunk, with eligibility traces carried between chunks.

One chunk is a forward half and a local reverse half, which writes what every weight acts on (its drive) in place of the
weight's gradient. Handed the gradient of the loss, the reverse half yields the learning signals; handed one of a final
state, it yields how that state depends on each drive of the chunk and on the states before it. Traces and gradients are
sums of these over synapses: neither half of a chunk holds a number per synapse.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import torch

from graphc.ir import State, TargetError, Tensor, Trace, final, gradient, initial
from graphc.passes import Request

from .buffers import Arena
from .build import Build, Extent, Key
from .checkpoint import ProgramOf
from .prologue import Tensors
from .rtrl import FullStep
from .traces import Chunk, Sensitivity, TraceStep

CHUNK = 32  # steps of a chunk where traces are carried and nobody says otherwise


def build(program_of: ProgramOf, key: Key, arena: Arena) -> Build:
    """Return the kernels of a learning rule: of a stream where the state is handed on, else of whole sequences."""
    return Stream(program_of, key, arena) if key.request.final else Whole(program_of, key, arena)


def driven(request: Request, states: tuple[Tensor, ...]) -> Request:
    """Return the request of the program that writes drives; its lists are matrices, as traces are."""
    starts = frozenset(initial(t.name) for t in states if t.type.dtype != "int")
    return replace(request, wrt=request.wrt | starts, final=True, lists=False, drivers=True)


def trace_states(traces: tuple[Trace, ...]) -> tuple[Tensor, ...]:
    """Return the states that a stream carries beside those of the network."""
    return tuple(Tensor(t.name, t.type) for t in traces)


class Stream(Build):
    """A stream of calls, each of one step or more: traces are states, and no gradient goes through any state."""

    def __init__(self, program_of: ProgramOf, key: Key, arena: Arena) -> None:
        """Build the kernels that write drives."""
        plain = program_of(replace(key.request, final=False))
        program = program_of(driven(key.request, plain.states))
        super().__init__(replace(program, states=program.states + trace_states(program.traces)), key, arena)
        self.links = False
        self.traces = program.traces
        self._coefficients = tuple(dict.fromkeys(d.coefficient for d in program.drivers))
        self.gradients |= {gradient(c): (gradient(c),) for c in self._coefficients}
        self._states = _by_axis(self.traces)
        self._step = TraceStep(program, key.target, key.dtype, arena)
        self.full = FullStep(program) if key.request.rule is not None and not key.request.rule.local else None
        self._ends = [c for r in program.regions if r.kind == "reverse" for c in r.graph.carries if c.init]
        self._fixed = {i.source: i.value.type for r in program.regions for i in r.graph.inputs if i.kind == "fixed"}

    def every(self, steps: int, batch: int) -> int:
        """Return how many steps a chunk of a call has."""
        if _uncut(self, steps):
            return max(steps, 1)
        chunk = self.key.options.chunk
        if isinstance(chunk, int):
            return chunk
        return max(steps, 1) if steps <= self.crossover() else CHUNK

    def crossover(self) -> int:
        """Return the number of steps from which traces take less memory than what backward reads of every step."""
        sizes = self.program.sizes
        carried = sum(math.prod(sizes[a] for a in t.type.axes) for t in self.traces) * self.key.dtype.itemsize
        kept = sum(self.storage(n).itemsize * math.prod(self.row(n)) for n in self.sequences)
        return max(1, carried // max(kept, 1))

    def shape(self, name: str, steps: int, batch: int) -> tuple[int, ...]:
        """Return the shape of one of `outputs`; a call that is cut keeps no sequence."""
        shape = super().shape(name, steps, batch)
        return (0, *shape[1:]) if name in self.sequences and steps > self.every(steps, batch) else shape

    def forward(self, given: Tensors, extent: Extent) -> list[torch.Tensor]:
        """Run the forward half and advance the traces; see `Build.forward`."""
        results: Tensors = {}
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in self.program.outputs}
        cut = extent.steps > self.every(extent.steps, extent.batch)
        state = {initial(name): given[initial(name)] for name in self.state_names}
        for rows, part in self.chunks(extent):
            own = _rows(self, given, rows) | state
            env, state = self.chunk(own, part, learn=False, onward=True, reuse=rows.start > 0)
            for name, pieces in parts.items():
                pieces.append(env[name])
            results |= {name: env[name] for name in self.saved}
        if cut:
            results = {
                n: torch.empty(self.shape(n, extent.steps, extent.batch), dtype=self.storage(n), device=self.device)
                for n in self.saved
            }
        results |= {name: torch.cat(pieces) if len(pieces) != 1 else pieces[0] for name, pieces in parts.items()}
        results |= {final(name): state[initial(name)] for name in self.state_names}
        return [results[name] for name in self.outputs]

    def backward(self, given: Tensors, extent: Extent) -> Tensors:
        """Run the backward half; see `Build.backward`."""
        if extent.steps <= self.every(extent.steps, extent.batch):
            return self._traced(given, extent, self._carried(given), learn=True, onward=False, reuse=False)[0]
        return self.learn_again(given, extent)

    def chunks(self, extent: Extent) -> Iterator[tuple[slice, Extent]]:
        """Yield the rows and the extent of every chunk."""
        every = self.every(extent.steps, extent.batch)
        for first in range(0, max(extent.steps, 1), every):
            rows = slice(first, min(first + every, extent.steps))
            yield rows, Extent(rows.stop - first, extent.batch, extent.start + first, extent.room, extent.seed)

    def chunk(self, given: Tensors, extent: Extent, learn: bool, onward: bool, reuse: bool) -> tuple[Tensors, Tensors]:
        """Run one chunk; return everything it made, and the states after it, traces among them.

        Args:
            given: what both halves read, traces and, to learn, gradients of outputs among them.
            extent: size of the chunk.
            learn: also return gradients.
            onward: advance the traces.
            reuse: the traces after the chunk may take the memory of those before it.
        """
        env = given | dict(zip(self.outputs, super().forward(given, extent), strict=True))
        state = {initial(name): env[final(name)] for name in self.state_names}
        carried = self._carried(given)
        env, after = self._traced(env, extent, carried, learn, onward, reuse)
        return env, state | {initial(name): value for name, value in after.items()}

    def _traced(
        self, env: Tensors, extent: Extent, carried: Tensors, learn: bool, onward: bool, reuse: bool
    ) -> tuple[Tensors, Tensors]:
        """Return `env` with the gradients of a chunk, and its traces after it."""
        drives = {d.drive for d in self.program.drivers}
        sources = {d.source: env[d.source] for d in self.program.drivers if d.source is not None}

        def sensitivity(found: Tensors) -> Sensitivity:
            return Sensitivity(self._rows_of_states(found), {name: found[name] for name in drives})

        start = env
        if learn:
            env = self._reverse(env, extent, {})
        learning = sensitivity(env) if learn else None
        if self.full is not None:
            each: dict[str, list[Sensitivity]]
            each = {s.label: [] for states in self._states.values() for s in states} if onward else {}
            for state in (s for states in self._states.values() for s in states if onward):
                for n in range(self.program.sizes[state.axis]):
                    seeds = self._ones([state], extent, n)
                    each[state.label].append(sensitivity(self._reverse(start, extent, seeds)))
            totals, traces = self.full.run(sources, learning, each, carried)
        else:
            alike: dict[str, Sensitivity] = {}
            for number in range(max((len(s) for s in self._states.values()), default=0)) if onward else ():
                states = [s[number] for s in self._states.values() if number < len(s)]
                part = sensitivity(self._reverse(start, extent, self._ones(states, extent)))
                alike |= {state.label: part for state in states}
            totals, traces = self._step.run(Chunk(sources, learning, alike), carried, reuse)
        for name, total in totals.items():
            env[gradient(name)] = total if self._fixed[name].axes else total.sum()
        return env, traces

    def learn_again(self, given: Tensors, extent: Extent, reuse: bool = False) -> Tensors:
        """Return the gradients of a call that kept nothing: run it again, chunk after chunk, with its traces.

        With `reuse` the given traces are this call's own.
        """
        made = {*self.saved, *self.program.outputs}.difference(t.name for t in self.program.inputs)
        given = {name: tensor for name, tensor in given.items() if name not in made}  # every chunk makes its own
        state = {initial(name): given[initial(name)] for name in self.state_names}
        wanted = [gradient(t.name) for t in self.program.inputs if t.name in self.key.request.wrt]
        total: Tensors = {}
        pieces: dict[str, list[torch.Tensor]] = {name: [] for name in wanted}
        for rows, part in self.chunks(extent):
            own = _rows(self, given, rows) | state
            env, state = self.chunk(
                own, part, learn=True, onward=rows.stop < extent.steps, reuse=reuse or rows.start > 0
            )
            for name in map(gradient, self._coefficients):
                total[name] = total[name] + env[name] if name in total else env[name]
            for name in wanted:
                pieces[name].append(env[name])
            if rows.start == 0:  # the states before later chunks are the rule's own
                total |= {name: env[name] for name in map(gradient, self.initial_names) if name in env}
        return total | {name: torch.cat(parts) for name, parts in pieces.items()}

    def _carried(self, given: Tensors) -> Tensors:
        return {t.name: given[initial(t.name)] for t in self.traces if initial(t.name) in given}

    def _ones(self, states: list[State], extent: Extent, neuron: int | None = None) -> Tensors:
        """Return gradients that are 1 for `states` after the chunk, of every neuron or of one."""
        seeds: Tensors = {}
        for state in states:
            shape = (extent.batch, self.program.sizes[state.axis])
            one = torch.ones(shape, dtype=self.key.dtype, device=self.device)
            if neuron is not None:
                one = torch.zeros_like(one)
                one[:, neuron] = 1
            if state.history is None:
                seeds[gradient(final(state.name))] = one
                continue
            depth = next(t.depth for t in self.program.states if t.name == state.history) or 0
            name = gradient(final(state.history))
            seeds[name] = torch.zeros((depth, *shape), dtype=self.key.dtype, device=self.device)
            seeds[name][depth - state.age] = one
        return seeds

    def _reverse(self, given: Tensors, extent: Extent, seeds: Tensors) -> Tensors:
        """Run the local reverse half: of the gradients of outputs, or of `seeds`, gradients of final states."""
        given = given | seeds
        for carry in self._ends:
            assert carry.init is not None
            if carry.init not in given or not seeds:
                shape = (extent.batch, *(self.program.sizes[a] for a in carry.current.type.axes))
                given[carry.init] = torch.zeros(shape, dtype=self.key.dtype, device=self.device)
        if seeds:
            for name in self.program.outputs:
                wanted = gradient(name)
                if wanted in self.backward_reads:
                    shape = self.shape(name, extent.steps, extent.batch)
                    zeros = torch.zeros(shape[2:], dtype=self.storage(wanted), device=self.device)
                    given[wanted] = zeros.expand(shape)
        return super().backward(given, extent)

    def _rows_of_states(self, env: Tensors) -> Tensors:
        """Return the gradients of the states before the chunk."""
        found: Tensors = {}
        histories: Tensors = {}
        for states in self._states.values():
            for state in states:
                if state.history is None:
                    parts = self.gradients.get(gradient(initial(state.name)), ())
                    if values := [env[p] for p in parts if p in env]:
                        found[state.label] = sum(values[1:], values[0])
                    continue
                if state.history not in histories:
                    total = self.history_gradient(state.history, env)
                    if total is None:
                        continue
                    histories[state.history] = total
                found[state.label] = histories[state.history][histories[state.history].shape[0] - state.age]
        return found


class Whole(Build):
    """Whole sequences: one local reverse half where memory allows, else traces carried from chunk to chunk."""

    def __init__(self, program_of: ProgramOf, key: Key, arena: Arena) -> None:
        """Build the kernels of a call that is not cut; the others when a call needs them."""
        super().__init__(program_of(key.request), key, arena)
        self._program_of = program_of
        self._made: tuple[Stream, Build] | None = None
        self._making = threading.Lock()

    def every(self, steps: int, batch: int) -> int:
        """Return how many steps a chunk of a call has.

        Raises:
            TargetError: a chunk is asked for, and gradients of initial states, which reach back over all chunks.
        """
        if _uncut(self, steps):
            return max(steps, 1)
        if isinstance(self.key.options.chunk, int):
            return self.key.options.chunk
        return self.stream().every(steps, batch)

    def crossover(self) -> int:
        """Return the number of steps from which a call is cut."""
        return self.stream().crossover()

    def stream(self) -> Stream:
        """Return the kernels that carry traces, made on first use."""
        return self._others()[0]

    def _others(self) -> tuple[Stream, Build]:
        with self._making:
            if self._made is None:
                plain = replace(self.key, request=replace(self.key.request, wrt=frozenset()))
                self._made = (
                    Stream(self._program_of, self.key, self.arena),
                    Build(self._program_of(plain.request), plain, self.arena),
                )
            return self._made

    def shape(self, name: str, steps: int, batch: int) -> tuple[int, ...]:
        """Return the shape of one of `outputs`; a call that is cut keeps no sequence."""
        shape = super().shape(name, steps, batch)
        return (0, *shape[1:]) if name in self.sequences and steps > self.every(steps, batch) else shape

    def forward(self, given: Tensors, extent: Extent) -> list[torch.Tensor]:
        """Run the forward half; see `Build.forward`."""
        if extent.steps <= self.every(extent.steps, extent.batch):
            return super().forward(given, extent)
        _, plain = self._others()
        found = dict(zip(plain.outputs, plain.forward(given, extent), strict=True))
        found |= {
            n: torch.empty(self.shape(n, extent.steps, extent.batch), dtype=self.storage(n), device=self.device)
            for n in self.saved
        }
        return [found[name] for name in self.outputs]

    def backward(self, given: Tensors, extent: Extent) -> Tensors:
        """Run the backward half; see `Build.backward`."""
        if extent.steps <= self.every(extent.steps, extent.batch):
            return super().backward(given, extent)
        stream = self.stream()
        given = {name: tensor for name, tensor in given.items() if name not in self.saved}
        zeros = {
            initial(t.name): torch.zeros(_shape(stream, t, extent), dtype=self.key.dtype, device=self.device)
            for t in stream.traces
        }
        return _by_total(self, stream.learn_again(given | zeros, extent, reuse=True))


def _uncut(build: Build, steps: int) -> bool:
    """Whether a call of `steps` is one chunk whatever its size.

    Raises:
        TargetError: a chunk is asked for, and gradients of initial states, which reach back over all chunks.
    """
    chunk = build.key.options.chunk
    if not build.key.request.wrt.intersection(build.initial_names):
        return chunk == "all"
    if isinstance(chunk, int) and chunk < steps:
        raise TargetError(
            "gradients of initial states reach back over every chunk, and no trace carries them",
            hint='use chunk="all", or initial states that are not learned',
        )
    return True


def _by_total(build: Build, env: Tensors) -> Tensors:
    """Return gradients under the names of the parts of `build`, the first of which takes the total."""
    for total, parts in build.gradients.items():
        if total in env and parts != (total,):
            env[parts[0]] = env[total]
            env |= {part: torch.zeros_like(env[total]) for part in parts[1:]}
    return env


def _rows(build: Build, given: Tensors, rows: slice) -> Tensors:
    """Return what one chunk is given: its rows of sequences, and what has none."""
    cut = {t.name for t in build.program.inputs} | {gradient(name) for name in build.program.outputs}
    return {name: tensor[rows] if name in cut else tensor for name, tensor in given.items()}


def _by_axis(traces: tuple[Trace, ...]) -> dict[str, list[State]]:
    """Return the states of every population with a trace."""
    found: dict[str, list[State]] = {}
    for trace in traces:
        states = found.setdefault(trace.state.axis, [])
        if trace.state not in states:
            states.append(trace.state)
    return found


def _shape(build: Build, trace: Trace, extent: Extent) -> tuple[int, ...]:
    return (extent.batch, *(build.program.sizes[a] for a in trace.type.axes))
