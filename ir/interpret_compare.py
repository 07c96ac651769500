"""Run a program on seeded random tensors, and say where two such runs differ."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import torch

from .interpret import Mode, interpret, run_once
from .program import Parameter, Program, Tensor, gradient, initial
from .types import Type

Tensors = dict[str, torch.Tensor]
STEPS, BATCH = 6, 2
STRONG = 30.0  # the drive of the second sample, under which most neurons spike
TOLERANCE = 1e-9  # float64; a pass may reorder sums and products, nothing else


def random_run(program: Program, seed: int = 0) -> Tensors:
    """Return what a few steps of `program` give on random tensors: outputs, final states and gradients by name.

    A tensor's values depend on its name and `seed` alone, so that two programs that share names share values. Where the
    program is not differentiated yet, its gradients are those of torch autograd.

    Args:
        program: a program after `discretize`.
        seed: of every draw.
    """
    env: Tensors = {p.name: _parameter(p, program, seed) for p in (*program.parameters, *program.draws)}
    run_once(program.initial, env, Mode())
    env = {n: v.detach() for n, v in env.items()}
    for tensor in program.inputs:
        drive = _uniform(tensor.name, (STEPS, *_shape(tensor.type, program)), seed)
        env[tensor.name] = drive * torch.tensor([1.0, STRONG], dtype=torch.float64).unsqueeze(1)
    for tensor in program.states:
        env[initial(tensor.name)] = _start(tensor, env, program, seed)
    env |= {"@t": torch.tensor(0), "@T": torch.tensor(STEPS), "@B": torch.tensor(BATCH)}
    if any(region.backward for region in program.regions):
        return _both_halves(program, env, seed)
    return _forward(program, env, seed)


def differences(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> list[str]:
    """Return a line for every tensor that both have and that differs by more than rounding."""
    found = []
    for name in before.keys() & after.keys():
        a, b = before[name], after[name]
        if a.shape != b.shape:
            found.append(f"'{name}' has shape {tuple(a.shape)} before and {tuple(b.shape)} after")
        elif not torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * _scale(a), equal_nan=True):
            where = (a - b).abs().nan_to_num(torch.inf).argmax()
            values = f"{float(a.flatten()[where])!r} before and {float(b.flatten()[where])!r} after"
            found.append(f"'{name}' is {values} at element {int(where)} of shape {tuple(a.shape)}")
    return sorted(found)


def _scale(a: torch.Tensor) -> float:
    finite = a[torch.isfinite(a)]
    return max(1.0, float(finite.abs().max())) if finite.numel() else 1.0


def _forward(program: Program, env: Tensors, seed: int) -> Tensors:
    learned = [p.name for p in program.parameters if env[p.name].is_floating_point()]
    leaves = {n: env[n].clone().requires_grad_() for n in (*learned, *(t.name for t in program.inputs))}
    done = interpret(program, {**env, **leaves})
    outputs = {name: done[name] for name in program.outputs}
    loss = torch.stack([(_uniform(gradient(n), y.shape, seed) * y).sum() for n, y in outputs.items()]).sum()
    found = {n: y.detach() for n, y in outputs.items()} | _finals(program, done)
    if loss.requires_grad and program.stage == "discrete":  # after the adjoint no StopGradient is left
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        found |= {f"autograd {n}": g for n, g in zip(leaves, gradients, strict=True) if g is not None}
    return found


def _both_halves(program: Program, env: Tensors, seed: int) -> Tensors:
    with torch.no_grad():
        done = interpret(program, env)
        found = {n: done[n] for n in program.outputs} | _finals(program, done)
        given = set(done)
        _give_gradients(program, done, seed)
        done = interpret(program, done, backward=True)
    known = {*program.outputs, *(p.name for p in program.parameters), *(t.name for t in program.inputs)}
    known |= {initial(t.name) for t in program.states} | {o.name for r in program.regions for o in r.graph.outputs}
    wanted = {gradient(n) for n in known}
    return found | {n: done[n] for n in done.keys() - given if n in wanted}


def _give_gradients(program: Program, env: Tensors, seed: int) -> None:
    """Add what the backward half reads and nothing computes: the gradients of outputs and final states."""
    written = {o.name for r in program.regions for o in r.graph.outputs}
    for region in (r for r in program.regions if r.backward):
        wanted: list[tuple[str, Type, bool, int | None]]
        wanted = [(i.source, i.value.type, i.kind == "sequence", None) for i in region.graph.inputs]
        wanted += [(c.init, c.current.type, False, None) for c in region.graph.carries if c.init]
        wanted += [(h.init, h.value.type, False, h.depth) for h in region.graph.histories if h.init]
        for name, type, sequence, depth in wanted:
            if name not in env and name not in written:
                lead = (STEPS,) if sequence else () if depth is None else (depth,)
                env[name] = _uniform(name, (*lead, *_shape(type, program)), seed) - 0.5


def _finals(program: Program, done: Mapping[str, torch.Tensor]) -> Tensors:
    names = [c.final for r in program.regions for c in r.graph.carries if c.final and not r.backward]
    return {n: done[n].detach().to(torch.float64) for n in names}


def _start(tensor: Tensor, env: Mapping[str, torch.Tensor], program: Program, seed: int) -> torch.Tensor:
    """Return the declared initial state, and random spikes before step 0."""
    name, shape = initial(tensor.name), _shape(tensor.type, program)
    full = shape if tensor.depth is None else (tensor.depth, *shape)
    if tensor.depth is not None and tensor.type.dtype == "bool":
        return _uniform(name, full, seed).round()
    return env.get(name, torch.zeros((), dtype=torch.float64)).to(torch.float64).expand(full).contiguous()


def _parameter(p: Parameter, program: Program, seed: int) -> torch.Tensor:
    """Return the value of `p`, or random numbers of its distribution's size."""
    shape, value = _shape(p.type, program), p.value
    if p.type.dtype == "int":  # the list of synapses is part of what the program means
        return torch.tensor(value, dtype=torch.int32)
    if isinstance(value, (int, float)):
        return torch.full(shape, float(value), dtype=torch.float64)
    if hasattr(value, "shape"):
        return torch.tensor(value, dtype=torch.float64).expand(shape).clone()
    u = _uniform(p.name, shape, seed)
    if value is None:
        return (u * 2 - 1) / math.sqrt(p.fan_in or 1)
    return _drawn(value, u)


def _drawn(distribution: Any, u: torch.Tensor) -> torch.Tensor:
    numbers = [torch.as_tensor(a, dtype=torch.float64) for a in distribution.arguments]
    u = u.clamp(1e-6, 1 - 1e-6)
    match type(distribution).__name__:
        case "Uniform":
            return u * (numbers[1] - numbers[0]) + numbers[0]
        case "Exponential":
            return -torch.log1p(-u) * numbers[0]
    normal: torch.Tensor = torch.special.ndtri(u) * numbers[1] + numbers[0]
    return normal.exp() if type(distribution).__name__ == "LogNormal" else normal


def _shape(type: Type, program: Program) -> tuple[int, ...]:
    return ((BATCH,) if type.batched else ()) + tuple(program.sizes[a] for a in type.axes)


def _uniform(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)
    return torch.rand(shape, dtype=torch.float64, generator=generator)
