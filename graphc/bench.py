"""Time a network on several targets, in turns, beside its eager version; the figures of ``graphc bench``."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from graphc.ir import TargetError
from graphc.passes.footprint import traffic
from graphc.runtime.floor import copy_bandwidth, synchronize

from .compile import NetworkCompiler
from .compile import compile as compile_network
from .eager import Eager

if TYPE_CHECKING:
    from graphc.runtime import Model

    from .network import Network

EAGER = "eager"
TARGETS = ("c", "triton", "reference", EAGER)
STREAMED = 50
"""Steps of a stream that are timed together."""
PROFILED = 2000
"""Steps up to which the memory of the eager version is measured: its profile has an entry per operation."""


@dataclass(frozen=True)
class Work:
    """What is timed: a network, how it is compiled, and on what it runs."""

    network: Network
    inputs: Mapping[str, torch.Tensor]
    steps: int
    batch: int
    learn: Any = "bptt"
    dtype: torch.dtype = torch.float32
    precision: str = "float32"
    seed: int = 0

    @property
    def neurons(self) -> int:
        """The neurons of all populations."""
        return sum(p.size for p in self.network.populations.values())

    def compiled(self, target: str, device: str) -> Model:
        """Return a model of its own, with the weights that the seed gives."""
        torch.manual_seed(self.seed)
        learn = self.learn
        found = compile_network(self.network, learn=learn, target=target, dtype=self.dtype, precision=self.precision)
        return found.to(device)


@dataclass
class Task:
    """One thing that is timed again and again: how, and the seconds that it took."""

    run: Callable[[], Any]
    device: torch.device
    per: int = 1
    after: Callable[[], None] = lambda: None
    samples: list[float] = field(default_factory=list)
    floor: float | None = None

    def sample(self) -> float:
        """Run once; keep and return the seconds."""
        synchronize(self.device)
        started = time.perf_counter()
        self.run()
        synchronize(self.device)
        taken = time.perf_counter() - started
        self.samples.append(taken / self.per)
        self.after()
        return taken

    def warm(self) -> None:
        """Run once, untimed."""
        self.run()
        self.after()

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """The range between the quartiles as a part of the median."""
        if len(self.samples) < 4:
            return (max(self.samples) - min(self.samples)) / self.median
        low, _, high = statistics.quantiles(self.samples, n=4)
        return (high - low) / self.median


@dataclass
class Contender:
    """One target, or the eager version, on one device.

    Attributes:
        name: such as "c", or "eager, cuda".
        device: where it runs.
        first: seconds of a first call, which builds what the cache lacks; None for the eager version.
        tasks: "forward", "forward+backward", "step".
        predicted: bytes of a call, from its schedule.
        measured: most bytes that torch had allocated at once during a call.
    """

    name: str
    device: torch.device
    tasks: dict[str, Task]
    first: float | None = None
    predicted: int | None = None
    measured: int | None = None


def available() -> list[tuple[str, str]]:
    """Return the (target, device) that this machine runs, the eager version after each device's target."""
    from graphc.runtime.compiler import find_compiler

    found = []
    try:
        find_compiler()
        found.append(("c", "cpu"))
    except TargetError:
        pass
    found.append((EAGER, "cpu"))
    if torch.cuda.is_available():
        found += [("triton", "cuda"), (EAGER, "cuda")]
    return found


def wanted(targets: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (target, device) of the named targets.

    Raises:
        TargetError: Triton has no device here.
    """
    cuda, found = torch.cuda.is_available(), []
    for target in dict.fromkeys(targets):
        if target == "triton":
            if not cuda and os.environ.get("TRITON_INTERPRET") != "1":
                hint = "leave it out, or set TRITON_INTERPRET=1 to try it, slowly, without one"
                raise TargetError("target 'triton' needs a CUDA device, and there is none", hint=hint)
            found.append((target, "cuda" if cuda else "cpu"))
        elif target == EAGER:
            beside = {"cuda" if t == "triton" and cuda else "cpu" for t in targets if t != EAGER} or {"cpu"}
            found += [(EAGER, device) for device in sorted(beside)]
        else:
            found.append((target, "cpu"))
    return found


def set_up(work: Work, target: str, device: str, backward: bool) -> Contender:
    """Return a contender after its first call, whose memory was measured."""
    if target == EAGER:
        return _eager(work, device, backward)
    here = torch.device(device)
    started = time.perf_counter()
    model = work.compiled(target, device)
    inputs = {n: x.to(device, model.io_dtype) for n, x in work.inputs.items()}
    kept = _kept(model)

    def call(xs: Mapping[str, torch.Tensor], steps: int, batch: int) -> list[torch.Tensor]:
        extent = {} if xs else {"steps": steps, "batch_size": batch}
        out = model(dict(xs) or None, **extent)
        return list(out.values()) if isinstance(out, dict) else [out]

    def forward(xs: Mapping[str, torch.Tensor] = inputs, steps: int = work.steps, batch: int = work.batch) -> None:
        with torch.no_grad():
            call(xs, steps, batch)

    def train(xs: Mapping[str, torch.Tensor] = inputs, steps: int = work.steps, batch: int = work.batch) -> None:
        _train(model, call(xs, steps, batch))

    def restore() -> None:
        _restore(model, kept)

    whole = train if backward else forward
    one = {n: x[:1, :1] for n, x in inputs.items()}
    whole(one, 1, 1)  # builds what a call needs, but for its memory
    synchronize(here)
    first = time.perf_counter() - started
    forward(one, 1, 1)
    tasks = {"forward": Task(forward, here, after=restore, floor=_bytes(model, work, False))}
    if backward:
        whole(one, 1, 1)
        tasks["forward+backward"] = Task(train, here, after=restore, floor=_bytes(model, work, True))
    footprint = model.last_build().footprint(work.steps, work.batch)
    predicted = None if footprint is None else footprint.peak if backward else footprint.forward
    measured = peak(whole, here)
    restore()
    tasks["step"] = _stream(work, model, inputs, restore)
    return Contender(target, here, tasks, first, predicted, measured)


def _eager(work: Work, device: str, backward: bool) -> Contender:
    """Return the eager version, whose gradients are those of backpropagation through time."""
    here = torch.device(device)
    model = work.compiled("reference", device)
    eager = Eager(model, NetworkCompiler(work.network))
    inputs = {n: x.to(device, model.dtype) for n, x in work.inputs.items()}

    def forward() -> None:
        with torch.no_grad():
            eager(inputs, work.steps, work.batch)

    def train() -> None:
        _train(model, eager(inputs, work.steps, work.batch))

    tasks = {"forward": Task(forward, here)} | ({"forward+backward": Task(train, here)} if backward else {})
    whole = train if backward else forward
    measured = peak(whole, here) if work.steps <= PROFILED else None
    return Contender(EAGER if device == "cpu" else f"{EAGER}, {device}", here, tasks, measured=measured)


def _train(model: Model, outputs: Iterable[torch.Tensor]) -> None:
    for parameter in model.parameters():
        parameter.grad = None
    torch.stack([y.float().sum() for y in outputs]).sum().backward()


def _kept(model: Model) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return what rules of the network write after a run, with its value now."""
    return [(p, p.detach().clone()) for p in model.parameters()] if model._program.applied else []


def _restore(model: Model, kept: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, value in kept:
        tensor.data.copy_(value)


def _stream(work: Work, model: Model, inputs: Mapping[str, torch.Tensor], after: Callable[[], None]) -> Task:
    """Return the task of a stream: one call per step, from the state that the step before left."""
    torch.manual_seed(work.seed)
    start, count = model.initial_state(work.batch), min(STREAMED, work.steps)

    def run() -> None:
        state = start
        with torch.no_grad():
            for step in range(count):
                _, state = model.step({n: x[step] for n, x in inputs.items()} or None, state)

    return Task(run, model._like.device, count, after)


def _bytes(model: Model, work: Work, backward: bool) -> float | None:
    """Return the bytes of sequences that one call of the build used last moves."""
    schedule = getattr(model.last_build(), "schedule", None)
    if schedule is None:
        return None
    kernels = [*schedule.half(False), *(schedule.half(True) if backward else ())]
    return float(work.steps * work.batch * sum(traffic(schedule, k) for k in kernels))


def peak(call: Callable[[], Any], device: torch.device) -> int:
    """Return the most bytes that torch has allocated at once during `call`, beyond those before."""
    if device.type == "cuda":
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _quiet(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    most = now = 0
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the profiler writes to stderr, past Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def time_in_turns(contenders: Sequence[Contender], repeats: int, budget: float) -> None:
    """Time every task `repeats` times, one after the other, round by round.

    A task that used up its share of `budget` seconds stays out of later rounds; every task runs at least once.
    """
    tasks = [task for c in contenders for task in c.tasks.values()]
    spent = dict.fromkeys(range(len(tasks)), 0.0)
    for task in tasks:
        if task.device.type == "cuda" or task.per > 1 or task.floor is not None:  # eager: slow, and nothing to build
            task.warm()
    for _ in range(repeats):
        for index, task in enumerate(tasks):
            if spent[index] < budget / len(tasks):
                spent[index] += task.sample()


def floors(contenders: Sequence[Contender]) -> dict[str, float]:
    """Return the measured bytes per second of a copy on every device in use."""
    return {str(device): copy_bandwidth(device) for device in dict.fromkeys(c.device for c in contenders)}


def rates(work: Work) -> dict[str, float]:
    """Return the spikes per neuron and step of every population that spikes, by the eager version."""
    names = tuple(f"{n}.spike" for n, p in work.network.populations.items() if p.neuron.spike is not None)
    if not names:
        return {}
    model = work.compiled("reference", "cpu")
    eager = Eager(model, NetworkCompiler(work.network), names)
    with torch.no_grad():
        found = eager.run({n: x.to(model.dtype) for n, x in work.inputs.items()}, work.steps, work.batch)
    return {name.removesuffix(".spike"): float(found[name].double().mean()) for name in names}


def busy() -> float | None:
    """Return the load per core where other programs keep this machine busy, else None."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] / cores
    return load if load > 0.5 else None
