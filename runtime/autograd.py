"""The torch operator: one node of the autograd graph for a whole run of a network.

Its parameters, not only the coefficients computed from them, are arguments of the operator, so that the prologue runs
inside it and `torch.compile` sees a single opaque call.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from graphc.ir import GraphcError, gradient, initial

from .build import Build, Extent, Tensors

BUILDS: weakref.WeakValueDictionary[str, Build] = weakref.WeakValueDictionary()
"""The builds alive, by the key that the operator is called with."""

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
    """Return outputs, final states and saved sequences; an empty `state` is the initial one, else "t" comes last."""
    given, extent = _given(build, steps, batch, inputs, parameters, state)
    outputs = build.forward(given, extent)
    arguments = {id(t) for t in (*inputs, *parameters, *state)}
    return [t.clone() if id(t) in arguments else t for t in outputs]


def _named(build: Build, parameters: Sequence[torch.Tensor]) -> Tensors:
    return {p.name: t for p, t in zip(build.program.parameters, parameters, strict=True)}


def _given(
    build: Build,
    steps: int,
    batch: int,
    inputs: Sequence[torch.Tensor],
    parameters: Sequence[torch.Tensor],
    state: Sequence[torch.Tensor],
) -> tuple[Tensors, Extent]:
    named = _named(build, parameters)
    given: Tensors = {t.name: x for t, x in zip(build.program.inputs, inputs, strict=True)}
    with torch.no_grad():
        coefficients = build.prologue(named)
        for name, value in coefficients.items():
            given[name] = value.detach().to(build.key.dtype).contiguous()
        if not state:
            given |= build.initial(named, {}, batch)
            start = 0
        else:
            given |= {n: t.contiguous() for n, t in zip(build.initial_names, state[:-1], strict=True)}
            start = int(state[-1])
    return given, Extent(steps, batch, start)


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
    given, extent = _given(build, steps, batch, inputs, parameters, state)
    given |= dict(zip(saved_names(build), saved, strict=True))
    dtype, device = build.key.dtype, build.device
    for name, grad in zip(build.outputs, grads, strict=False):
        if grad is not None:
            given[gradient(name)] = _strided(grad)
        elif name in build.program.outputs:
            shape = (steps, batch, build.program.sizes[build.axes[name]])
            given[gradient(name)] = torch.zeros((), dtype=dtype, device=device).expand(shape)
        elif name.endswith("@final"):
            given[gradient(name)] = torch.zeros_like(given[initial(name.removesuffix("@final"))], dtype=dtype)
    env = build.backward(given, extent)
    by_parameter = _parameter_gradients(build, parameters, env, batch, internal=not state)
    found = []
    for name in wanted(build):
        if name in by_parameter:
            found.append(by_parameter[name])
        elif name in build.histories:
            total = build.history_gradient(build.histories[name], env)
            found.append(torch.zeros_like(given[name]) if total is None else total)
        else:
            found.append(env.get(gradient(name), torch.zeros_like(given[name])))
    return found


def _strided(grad: torch.Tensor) -> torch.Tensor:
    """Return `grad` with its last axis contiguous, which is all that kernels ask of a sequence."""
    return grad if grad.shape[-1] <= 1 or grad.stride(-1) == 1 else grad.contiguous()


def _parameter_gradients(
    build: Build, parameters: Sequence[torch.Tensor], env: Tensors, batch: int, internal: bool
) -> Tensors:
    """Return the gradients of the parameters: what the kernels found, through prologue and initial state."""
    program, wrt = build.program, build.key.request.wrt
    names = [p.name for p in program.parameters if p.name in wrt]
    if not names:
        return {}
    with _recording():
        leaves = {
            p.name: t.detach().requires_grad_(p.name in wrt)
            for p, t in zip(program.parameters, parameters, strict=True)
        }
        sources = build.prologue(leaves)
        if internal:
            sources |= build.initial(leaves, {}, batch)
        pairs = []
        for name, source in sources.items():
            history = build.histories.get(name)
            grad = _summed(name, env) if history is None else build.history_gradient(history, env)
            if grad is not None and source.requires_grad and name not in leaves:
                pairs.append((source, grad.to(source.dtype).reshape(source.shape)))
        wanted_leaves = [leaves[n] for n in names]
        through: Sequence[torch.Tensor | None] = [None] * len(names)
        if pairs:
            through = torch.autograd.grad(
                [s for s, _ in pairs], wanted_leaves, [g for _, g in pairs], allow_unused=True
            )
    result = {}
    for name, leaf, part in zip(names, wanted_leaves, through, strict=True):
        direct = _summed(name, env)
        total = direct if part is None else part if direct is None else part + direct
        result[name] = torch.zeros_like(leaf) if total is None else total.to(leaf.dtype).reshape(leaf.shape)
    return result


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """Let torch record gradients inside the operator, below which its dispatcher has switched them off."""
    key = torch._C.DispatchKey
    with contextlib.ExitStack() as stack:
        for layer in (key.AutogradFunctionality, key.AutogradOther, key.ADInplaceOrView):
            stack.enter_context(torch._C._SetExcludeDispatchKeyGuard(layer, False))
        stack.enter_context(torch.enable_grad())
        yield


def _summed(name: str, env: Tensors) -> torch.Tensor | None:
    """Return the gradient of a fixed tensor; a weight used by several connections has several parts."""
    wanted_name = gradient(name)
    parts = [t for key, t in env.items() if key == wanted_name or key.startswith(f"{wanted_name}+")]
    total = parts[0] if parts else None
    for part in parts[1:]:
        total = total + part
    return total


def wanted(build: Build) -> list[str]:
    """Return the names whose gradients the operator returns: inputs, parameters, states, in the order of its arguments."""
    wrt = build.key.request.wrt
    program = build.program
    names = [t.name for t in program.inputs] + [p.name for p in program.parameters]
    return [n for n in (*names, *build.initial_names) if n in wrt]


def saved_names(build: Build) -> tuple[str, ...]:
    """Return the outputs that the backward half reads."""
    return tuple(n for n in build.outputs if n in build.backward_reads)


def _find(key: str) -> Build:
    build = BUILDS.get(key)
    if build is None:
        raise GraphcError("the model of this operator call is gone", hint="keep the model alive while its graph is in use")
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
    return run_backward(_find(key), *args)


def _run_backward_fake(
    key: str, steps: int, batch: int, inputs: Any, parameters: Any, state: Any, saved: Any, grads: Any
) -> list[torch.Tensor]:
    build = _find(key)
    tensors: Tensors = {t.name: x for t, x in zip(build.program.inputs, inputs, strict=True)}
    tensors |= _named(build, parameters)
    tensors |= dict(zip(build.initial_names, state[:-1], strict=True)) if state else {}
    return [torch.empty_like(tensors[name], memory_format=torch.contiguous_format) for name in wanted(build)]


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    key, steps, batch, xs, parameters, state = inputs
    build = _find(key)
    ctx.build, ctx.key, ctx.steps, ctx.batch = build, key, steps, batch
    ctx.counts = (len(xs), len(parameters), len(state))
    named = dict(zip(build.outputs, output, strict=True))
    saved = [named[n] for n in saved_names(build)]
    ctx.save_for_backward(*xs, *parameters, *state, *saved)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grads: Any) -> Any:
    tensors = ctx.saved_tensors
    a, b, c = ctx.counts
    xs, parameters, state, saved = tensors[:a], tensors[a : a + b], tensors[a + b : a + b + c], tensors[a + b + c :]
    found = torch.ops.graphc.run_backward(
        ctx.key, ctx.steps, ctx.batch, list(xs), list(parameters), list(state), list(saved), list(grads)
    )
    by_name = dict(zip(wanted(ctx.build), found, strict=True))
    program = ctx.build.program
    return (
        None,
        None,
        None,
        [by_name.get(t.name) for t in program.inputs],
        [by_name.get(p.name) for p in program.parameters],
        [*(by_name.get(n) for n in ctx.build.initial_names), None] if c else [],
    )


def _no_second_derivative(ctx: Any, grads: Any) -> Any:
    raise GraphcError(
        "graphc has no second derivative", hint="call backward without create_graph=True, or use target='reference' with torch"
    )


def _nothing(ctx: Any, inputs: Any, output: Any) -> None:
    return None


for _device in ("CPU", "CUDA"):
    _library.impl("run", _run, _device)
    _library.impl("run_backward", _run_backward, _device)
torch.library.register_fake("graphc::run", _run_fake, lib=_library)
torch.library.register_fake("graphc::run_backward", _run_backward_fake, lib=_library)
torch.library.register_autograd("graphc::run", _differentiate, setup_context=_setup, lib=_library)
torch.library.register_autograd("graphc::run_backward", _no_second_derivative, setup_context=_nothing, lib=_library)
