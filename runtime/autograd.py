"""The torch operator: one node of the autograd graph for a whole run of a network.

Its parameters, not only the coefficients computed from them, are arguments of the operator, so that the prologue runs
inside it and `torch.compile` sees a single opaque call.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from graphc.ir import GraphcError, gradient, initial
from graphc.ir.errors import StaleError

from .build import Build, Extent
from .prologue import Coefficients, Tensors, recording

BUILDS: weakref.WeakValueDictionary[str, Build] = weakref.WeakValueDictionary()
"""The builds alive, by the key that the operator is called with."""


class _Beside(threading.local):
    """What goes beside the operators, which take tensors alone, from the half of a call that computed it to the other.

    Attributes:
        asked: whether the forward half that runs in this thread is to leave its coefficients.
        coefficients: that it left, or that the backward half is to take; None: it computes them.
    """

    asked: bool = False
    coefficients: Coefficients | None = None


_beside = _Beside()

_library = torch.library.Library("graphc", "DEF")
_library.define(
    "run(str key, SymInt steps, SymInt batch, Tensor[] inputs, Tensor[] parameters, Tensor[] state) -> Tensor[]"
)
_library.define(
    "run_backward(str key, SymInt steps, SymInt batch, Tensor[] inputs, Tensor[] parameters, Tensor[] state, "
    "Tensor[] saved, Tensor?[] grads) -> Tensor[]"
)


def run(
    build: Build,
    steps: int,
    batch: int,
    inputs: Sequence[torch.Tensor],
    parameters: Sequence[torch.Tensor],
    state: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Return outputs, final states and saved sequences; an empty `state` is the initial one, else "t" comes last.

    Where the network draws noise, its seed comes after the state.
    """
    build.watch.poll()
    with _own_precision(build.device):
        given, extent, coefficients = _given(build, steps, batch, inputs, parameters, state)
        if _beside.asked:
            _beside.coefficients = coefficients
        own = {id(t) for t in given.values()}
        return [t.clone() if id(t) in own else t for t in build.forward(given, extent)]


def _own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which torch's products round what the precision says, also where a caller uses autocast."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _given(
    build: Build,
    steps: int,
    batch: int,
    inputs: Sequence[torch.Tensor],
    parameters: Sequence[torch.Tensor],
    state: Sequence[torch.Tensor],
    coefficients: Coefficients | None = None,
) -> tuple[Tensors, Extent, Coefficients]:
    """Return everything that kernels read, laid out as they read it; `coefficients` where they are known."""
    given: Tensors = {p.name: t.contiguous() for p, t in zip(build.program.parameters, parameters, strict=True)}
    coefficients = coefficients or build.prologue(given)
    given |= coefficients.given
    for tensor, x in zip(build.program.inputs, inputs, strict=True):
        given[tensor.name] = sequence(x)
    state, drawn = _without_seed(build, state)
    seed = int(drawn[0]) if drawn else 0
    if not state:
        return given | coefficients.initial(batch), Extent(steps, batch, 0, seed=seed), coefficients
    for name, x in zip(build.initial_names, state[:-1], strict=True):
        given[name] = x.resolve_neg().contiguous()
    if (start := int(state[-1])) < 0:
        raise GraphcError(f"the state is that before step {start}", hint="start from model.initial_state()")
    return given, Extent(steps, batch, start, seed=seed), coefficients


def _without_seed(build: Build, state: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the state that a call was given, and the seed of noise where its network draws any."""
    end = len(state) - (build.program.streams > 0)
    return list(state[:end]), list(state[end:])


def sequence(x: torch.Tensor) -> torch.Tensor:
    """Return `x` with its last axis contiguous, which is all that kernels ask of a sequence.

    An expanded tensor, such as the gradient of a sum, is laid out once and expanded again.
    """
    x = x.resolve_neg()
    if x.shape[-1] <= 1 or x.stride(-1) == 1:
        return x
    shape = x.shape
    for axis in range(x.dim() - 1):
        if x.stride(axis) == 0 and shape[axis] > 1:
            x = x.narrow(axis, 0, 1)
    return x.contiguous().expand(shape)


def run_backward(
    build: Build,
    steps: int,
    batch: int,
    inputs: Sequence[torch.Tensor],
    parameters: Sequence[torch.Tensor],
    state: Sequence[torch.Tensor],
    saved: Sequence[torch.Tensor],
    grads: Sequence[torch.Tensor | None],
) -> list[torch.Tensor]:
    """Return the gradients of `wanted(build)`, in that order."""
    build.watch.poll()
    given, extent, coefficients = _given(build, steps, batch, inputs, parameters, state, _beside.coefficients)
    given |= dict(zip(saved_names(build), saved, strict=True))
    arriving = dict(zip(build.outputs, grads, strict=False))
    for name, grad in arriving.items():
        wanted_name = gradient(name)
        if name in build.program.outputs:
            shape = build.shape(name, steps, batch)
            # One row of zeros, expanded: an output that takes no part in the loss costs no memory.
            zeros = torch.zeros(shape[2:], dtype=build.storage(wanted_name), device=build.device)
            given[wanted_name] = zeros.expand(shape) if grad is None else sequence(grad)
        elif wanted_name in build.backward_reads or name in build.history_finals:
            before = given[initial(name.removesuffix("@final"))]
            given[wanted_name] = torch.zeros_like(before) if grad is None else grad.contiguous()
    env = build.backward(given, extent)
    explicit = bool(_without_seed(build, state)[0])
    found = _parameter_gradients(build, parameters, coefficients, env, batch, internal=not explicit)
    for name in wanted(build, explicit):
        if name not in found:
            history = build.histories.get(name)
            total = _summed(build, name, env) if history is None else build.history_gradient(history, env)
            found[name] = (
                torch.zeros_like(given[name], memory_format=torch.contiguous_format) if total is None else total
            )
    return [found[name] for name in wanted(build, explicit)]


def _parameter_gradients(
    build: Build,
    parameters: Sequence[torch.Tensor],
    coefficients: Coefficients,
    env: Tensors,
    batch: int,
    internal: bool,
) -> Tensors:
    """Return the gradients of the parameters: what the kernels found, through prologue and initial state."""
    wrt = build.key.request.wrt
    found: dict[str, torch.Tensor | None] = {}
    for p in build.program.parameters:
        if p.name in wrt:
            found[p.name] = _summed(build, p.name, env)
    leaves = {name: t for name, t in coefficients.leaves.items() if t.requires_grad}
    if leaves:
        sources = dict(coefficients.sources)
        if internal:
            sources |= coefficients.initial_sources(batch)
        pairs = []
        for name, source in sources.items():
            if source.requires_grad:
                history = build.histories.get(name)
                grad = _summed(build, name, env) if history is None else build.history_gradient(history, env)
                if grad is not None:
                    pairs.append((source, grad.to(source.dtype).reshape(source.shape)))
        if pairs:
            with recording():
                through = torch.autograd.grad(
                    [s for s, _ in pairs],
                    list(leaves.values()),
                    [g for _, g in pairs],
                    retain_graph=True,
                    allow_unused=True,
                )
            for name, part in zip(leaves, through, strict=True):
                direct = found[name]
                found[name] = direct if part is None else part if direct is None else part + direct
    result = {}
    for p, leaf in zip(build.program.parameters, parameters, strict=True):
        if p.name in found:
            total = found[p.name]
            result[p.name] = (
                torch.zeros_like(leaf, memory_format=torch.contiguous_format)
                if total is None
                else total.to(leaf.dtype).reshape(leaf.shape)
            )
    return result


def _summed(build: Build, name: str, env: Tensors) -> torch.Tensor | None:
    """Return the gradient of a fixed tensor; a weight used by several connections has several parts."""
    total: torch.Tensor | None = None
    for part in build.gradients.get(gradient(name), ()):
        total = env[part] if total is None else total + env[part]
    return total


def wanted(build: Build, explicit: bool) -> list[str]:
    """Return the names whose gradients the operator returns: inputs, parameters, and states that were given."""
    wrt = build.key.request.wrt
    names = [t.name for t in build.program.inputs] + [p.name for p in build.program.parameters]
    return [n for n in (*names, *(build.initial_names if explicit else ())) if n in wrt]


def saved_names(build: Build) -> tuple[str, ...]:
    """Return the outputs that the backward half reads."""
    return tuple(n for n in build.outputs if n in build.backward_reads)


def _find(key: str) -> Build:
    build = BUILDS.get(key)
    if build is None:
        raise GraphcError(
            "the model of this operator call is gone", hint="keep the model alive while its graph is in use"
        )
    return build


def _run(key: str, steps: int, batch: int, inputs: Any, parameters: Any, state: Any) -> list[torch.Tensor]:
    return run(_find(key), steps, batch, inputs, parameters, state)


def _run_fake(key: str, steps: int, batch: int, inputs: Any, parameters: Any, state: Any) -> list[torch.Tensor]:
    build = _find(key)
    return [
        torch.empty(build.shape(name, steps, batch), dtype=build.storage(name), device=build.device)
        for name in build.outputs
    ]


def _run_backward(key: str, *args: Any) -> list[torch.Tensor]:
    build = _find(key)
    with _own_precision(build.device):
        return run_backward(build, *args)


def _run_backward_fake(
    key: str, steps: int, batch: int, inputs: Any, parameters: Any, state: Any, saved: Any, grads: Any
) -> list[torch.Tensor]:
    build = _find(key)
    tensors: Tensors = {t.name: x for t, x in zip(build.program.inputs, inputs, strict=True)}
    tensors |= {p.name: x for p, x in zip(build.program.parameters, parameters, strict=True)}
    state, _ = _without_seed(build, state)
    tensors |= dict(zip(build.initial_names, state[:-1], strict=True)) if state else {}
    return [
        torch.empty_like(tensors[name], memory_format=torch.contiguous_format) for name in wanted(build, bool(state))
    ]


class _Run(torch.autograd.Function):
    """The autograd formula of `graphc::run`; it takes the tensors of the three lists one after the other."""

    @staticmethod
    def forward(ctx: Any, key: str, steps: int, batch: int, counts: tuple[int, int], *tensors: torch.Tensor) -> Any:
        build = _find(key)
        _beside.asked = True
        try:
            with torch._C._AutoDispatchBelowAutograd():
                results = torch.ops.graphc.run(key, steps, batch, *_split(tensors, counts))
        finally:
            ctx.coefficients = _beside.coefficients
            _beside.asked, _beside.coefficients = False, None
        ctx.build, ctx.key, ctx.steps, ctx.batch, ctx.counts = build, key, steps, batch, counts
        named = dict(zip(build.outputs, results, strict=True))
        ctx.save_for_backward(*tensors, *(named[n] for n in saved_names(build)))
        ctx.set_materialize_grads(False)
        own = len(build.outputs) - len(build.saved)
        visible = results[:own] if build.links else results[: len(build.program.outputs)]
        ctx.mark_non_differentiable(*(t for t in results[len(visible) :]))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> Any:
        try:
            kept = ctx.saved_tensors
        except RuntimeError as error:
            if "inplace" not in str(error):
                raise
            raise StaleError(
                "a parameter, input or state was modified by an inplace operation between the two halves of this call",
                hint="call backward before optimiser.step(), and step the model again after it",
            ) from error
        given = len(kept) - len(saved_names(ctx.build))
        tensors, saved = kept[:given], kept[given:]
        inputs, parameters, state = _split(tensors, ctx.counts)
        _beside.coefficients = ctx.coefficients
        try:
            found = torch.ops.graphc.run_backward(
                ctx.key, ctx.steps, ctx.batch, inputs, parameters, state, list(saved), list(grads)
            )
        finally:
            _beside.coefficients = None
        state, drawn = _without_seed(ctx.build, state)
        by_name = dict(zip(wanted(ctx.build, bool(state)), found, strict=True))
        program = ctx.build.program
        names = [t.name for t in program.inputs] + [p.name for p in program.parameters]
        names += [*ctx.build.initial_names, ""] if state else []
        names += [""] * len(drawn)
        return (None, None, None, None, *(by_name.get(name) for name in names))


class _RunBackward(torch.autograd.Function):
    """The autograd formula of `graphc::run_backward`: there is none."""

    @staticmethod
    def forward(ctx: Any, arguments: Any, *tensors: torch.Tensor | None) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(torch.ops.graphc.run_backward(*arguments))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise GraphcError(
            "graphc has no second derivative",
            hint="call backward without create_graph=True",
        )


def _split(tensors: Sequence[Any], counts: tuple[int, int]) -> tuple[list[Any], list[Any], list[Any]]:
    first, second = counts[0], counts[0] + counts[1]
    return list(tensors[:first]), list(tensors[first:second]), list(tensors[second:])


def _run_recorded(key: str, steps: int, batch: int, inputs: Any, parameters: Any, state: Any) -> list[torch.Tensor]:
    if torch.is_grad_enabled() and _find(key).key.request.wrt:
        counts = (len(inputs), len(parameters))
        return list(_Run.apply(key, steps, batch, counts, *inputs, *parameters, *state))
    with torch._C._AutoDispatchBelowAutograd():
        found: list[torch.Tensor] = torch.ops.graphc.run(key, steps, batch, inputs, parameters, state)
        return found


def _run_backward_recorded(*arguments: Any) -> list[torch.Tensor]:
    tensors = [t for group in arguments[3:] for t in group]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return list(_RunBackward.apply(arguments, *tensors))
    with torch._C._AutoDispatchBelowAutograd():
        found: list[torch.Tensor] = torch.ops.graphc.run_backward(*arguments)
        return found


for _device in ("CPU", "CUDA"):
    _library.impl("run", _run, _device)
    _library.impl("run_backward", _run_backward, _device)
_library.impl("run", _run_recorded, "Autograd")
_library.impl("run_backward", _run_backward_recorded, "Autograd")
torch.library.register_fake("graphc::run", _run_fake, lib=_library)
torch.library.register_fake("graphc::run_backward", _run_backward_fake, lib=_library)
