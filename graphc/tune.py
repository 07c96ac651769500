"""Find the schedule with which a network runs fastest on the device at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.ir import GraphcError, Loc, TargetError

from .compile import compile as compile_network
from .network import Network

if TYPE_CHECKING:
    from graphc.runtime import Model
    from graphc.runtime.tune.database import Entry
    from graphc.runtime.tune.dry import Ranked
    from graphc.runtime.tune.search import Search, Tried
    from graphc.runtime.tune.space import Call, Options

Progress = Callable[["Search", "Tried"], None]


@dataclass(frozen=True)
class Tuning:
    """What a run of the tuner found.

    Attributes:
        schedule: the options that were fastest, for `schedule=` of gc.compile; empty where the defaults were.
        gain: how many times faster than the defaults.
        ms: milliseconds of a call.
        default_ms: of a call with the defaults.
        tried: every candidate, and what became of it.
        interrupted: whether Ctrl-C ended the search.
        entry: what was written to the tuning database; None where nothing was.
    """

    schedule: Mapping[str, int | str]
    gain: float
    ms: float
    default_ms: float
    tried: tuple[Tried, ...]
    interrupted: bool = False
    entry: Entry | None = None


def tune(
    network: Network,
    example_input: Any = None,
    *,
    learn: Any = "bptt",
    target: str = "auto",
    dtype: Any = None,
    precision: str | None = None,
    device: Any = None,
    steps: int | None = None,
    batch_size: int | None = None,
    budget: float = 60.0,
    seed: int = 0,
    database: str | Path | None = None,
    save: bool = True,
    name: str = "",
    progress: Progress | None = None,
) -> Tuning:
    """Search for the fastest schedule and write it to the tuning database, which gc.compile reads.

    Candidates that the resource model refuses, that do not build or that compute other numbers are given up; the others
    are timed in alternation, and the winner is compared with the defaults once more before it is kept. Ctrl-C ends the
    search and keeps what is known. The example inputs, the user's models and torch's generators stay as they are.

    Args:
        network: what is compiled.
        example_input: (T, B, N) or by name, of the size that is used and with realistic spikes, since products skip
            what is silent; nothing for a network without inputs.
        learn: as of gc.compile; None tunes the forward half alone.
        target: as of gc.compile; "auto" is triton for inputs on a GPU, else c.
        dtype: as of gc.compile.
        precision: as of gc.compile.
        device: what the network runs on; that of the inputs by default.
        steps: T, for a network without inputs.
        batch_size: B, for a network without inputs.
        budget: seconds that the search may take, once the defaults are built.
        seed: of weights and of the order of trials.
        database: the file to write to; the one that models read by default.
        save: whether to write.
        name: of the network in the database.
        progress: is told of every candidate that ends.

    Raises:
        DeclarationError: the network is wrong.
        TargetError: the target cannot run here.
        GraphcError: the inputs do not fit, or the database cannot be written.
    """
    import torch

    from graphc.runtime.tune.database import Database, Entry
    from graphc.runtime.tune.search import Search
    from graphc.runtime.tune.space import changes
    from graphc.runtime.tune.trial import ModelTrial, agree

    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not 0 < budget < float("inf"):
        raise GraphcError(f"budget={budget!r} is no positive number of seconds", Loc.caller())
    if target == "reference":
        raise TargetError("target 'reference' interprets the program: it has no schedule", Loc.caller(), 'use "c"')
    where = torch.device(device) if device is not None else _device_of(example_input)
    if where.type == "cuda" and not torch.cuda.is_available():
        hint = "leave device out, or rank candidates by `graphc tune --dry-run`"
        raise TargetError("there is no CUDA device to tune on", Loc.caller(), hint)
    given = _kept(example_input, where)
    file = Database.open(None if database is None else Path(database)) if save else None
    if file is not None:
        file.prepare()  # before the time is spent
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first = compile_network(network, learn=learn, target=target, dtype=dtype, precision=precision, schedule={})
    first.to(where)
    length, samples = _sizes(given, steps, batch_size)
    if length == 0 or samples == 0:
        raise GraphcError(f"a call of {length} steps and {samples} samples runs no kernel", Loc.caller())

    def make(options: Options) -> ModelTrial:
        model = copy.deepcopy(first)  # the same weights; what the passes made is shared
        model._options = replace(first._options, schedule=tuple(sorted(options.items())))
        return ModelTrial(model, given, length, samples)

    kind = precision if precision not in (None, "float32") else str(first.dtype).removeprefix("torch.")
    search = Search(make, lambda found, wanted: agree(kind, found, wanted), seed, float(budget))
    if progress is not None:
        search.report = progress
    with torch.random.fork_rng():
        search.run(changes(call_of(first, length, samples)))
    found = Tuning(
        dict(search.best), search.gain, search.ms, search.default_ms, tuple(search.tried), search.interrupted
    )
    timed = sum(tried.ratio is not None for tried in search.tried)
    if file is None or not timed:
        return found
    identity = identity_of(first, length, samples)
    entry = Entry(identity, name, found.schedule, found.ms, found.default_ms, timed, seed)
    (number,) = file.add([entry])
    return replace(found, entry=file.get(number))


def call_of(model: Model, steps: int, batch: int) -> Call:
    """Return what is tuned: the default schedule of a model, for a call of this size."""
    import torch

    from graphc.runtime.device import scheduled_for
    from graphc.runtime.tune.identity import vector_bits
    from graphc.runtime.tune.space import Call

    build = model.build()
    assert build.schedule is not None
    options = build.key.options
    return Call(
        build.schedule,
        scheduled_for(build.key.target, build.device),
        steps,
        batch,
        torch.get_num_threads(),
        vector_bits(),
        bool(build.key.request.wrt),
        options.rule is not None and options.chunk is None,
        options.checkpoint != "auto" or options.memory_budget is not None or options.rule is not None,
    )


def identity_of(model: Model, steps: int, batch: int) -> Any:
    """Return what an entry for a call of `model` is valid for."""
    from graphc.runtime.tune.identity import graph_hash, identify

    key = model.build().key
    graph = graph_hash(model._compiler.lowered(()), key.options.rule, key.options.precision)
    dtype = str(key.dtype).removeprefix("torch.")
    return identify(graph, key.target, model._like.device, dtype, bool(key.request.wrt), steps, batch)


def _device_of(inputs: Any) -> Any:
    import torch

    tensors = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    return next((t.device for t in tensors if isinstance(t, torch.Tensor)), torch.device("cpu"))


def _kept(inputs: Any, device: Any) -> Any:
    """Return copies of the inputs: what the tuner does never reaches the user's tensors."""
    import torch

    if isinstance(inputs, Mapping):
        return {name: _kept(value, device) for name, value in inputs.items()}
    return inputs.detach().clone().to(device) if isinstance(inputs, torch.Tensor) else inputs


def _sizes(inputs: Any, steps: int | None, batch: int | None) -> tuple[int, int]:
    import torch

    tensors = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and tensor.dim() > 1:
            for name, given, own in (("steps", steps, tensor.shape[0]), ("batch_size", batch, tensor.shape[1])):
                if given not in (None, own):
                    message = f"{name}={given} contradicts inputs of shape {tuple(tensor.shape)}"
                    raise GraphcError(message, Loc.caller(), f"leave {name} out")
            return int(tensor.shape[0]), int(tensor.shape[1])
    if inputs is not None:
        raise GraphcError("example_input is no tensor (T, B, N), nor a dict of such by name", Loc.caller())
    if steps is None:
        raise GraphcError("a network without inputs is tuned for a number of steps", Loc.caller(), "steps=1000")
    return steps, 1 if batch is None else batch


def rank(
    network: Network,
    *,
    learn: Any = "bptt",
    dtype: str = "float32",
    precision: Any = "float32",
    arch: str = "sm_90",
    steps: int = 100,
    batch_size: int = 32,
    budget: float = 40.0,
    told: Callable[[Ranked], None] = lambda one: None,
) -> list[Ranked]:
    """Return Triton candidates by predicted time, on a machine without a GPU, each with what is held against it.

    Args:
        network: what is compiled.
        learn: as of gc.compile.
        dtype: "float32" or "float64".
        precision: as of gc.compile.
        arch: of the device, "sm_80", "sm_90" or "gfx942".
        steps: T.
        batch_size: B.
        budget: seconds in which candidates are built; the rest is ranked by the model alone.
        told: is told of every candidate that was built.

    Raises:
        DeclarationError: the network is wrong.
        TargetError: nothing is known of the architecture, or the target cannot run the network.
    """
    import torch

    from graphc.passes import schedule
    from graphc.runtime.tune.dry import Case, machine_of, rank_candidates
    from graphc.runtime.tune.space import Call, changes

    kinds: dict[str, Any] = {"float32": torch.float32, "float64": torch.float64}
    model = compile_network(network, learn=learn, target="triton", dtype=kinds[dtype], precision=precision, schedule={})
    request = model._key((), model._learned(), False).request

    def program(again: bool) -> Any:
        return model._compiler.program(replace(request, recompute=again))

    case = Case(program, "float64" if dtype == "float64" else "float32", precision, arch, steps, batch_size)
    _, device = machine_of(arch)
    plan = schedule(program(True), device, case.dtype, "triton", {}, precision=precision)
    call = Call(plan, device, steps, batch_size, learns=bool(request.wrt), online=model._options.rule is not None)
    return rank_candidates(case, changes(call), budget, told)
