"""Reference semantics in torch: slow, obvious, any dtype and device, differentiable by torch autograd."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch

from .errors import VerifyError
from .evaluate import Evaluator, evaluate, evaluator, gathered_noise, matrix_exp
from .graph import Graph, History
from .interpret_noise import normal, philox, uniform
from .interpret_synapses import prepare, run_delayed, run_synapses, spread_side
from .node import Node, Value
from .ops import (
    Const,
    Count,
    Diagonal,
    Diffusion,
    Map,
    Noise,
    Outer,
    Pool,
    Project,
    ProjectTransposed,
    Propagator,
    Read,
    Reduce,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Test,
    Time,
    Via,
)
from .program import Program, Region
from .synapses import DelayedSynapses, Place, Repeat, Synapses, Take, Total

Tensors = MutableMapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Mode:
    """How to execute. `relaxed` replaces every spike by its surrogate's antiderivative and stops no gradient."""

    dtype: torch.dtype = torch.float64
    relaxed: bool = False


def interpret(
    program: Program, tensors: Mapping[str, torch.Tensor], mode: Mode | None = None, backward: bool = False
) -> dict[str, torch.Tensor]:
    """Run the regions of `program` and return every tensor they wrote, beside those given.

    Args:
        program: a program after `discretize`.
        tensors: parameters, inputs (T, B, N), initial states by name, the number of the first step "@t" and the seed
            of noise "@seed". With `backward`, also what the forward half wrote and the gradients of its outputs.
        mode: dtype and relaxation.
        backward: run the backward regions, else the others.
    """
    mode = mode or Mode()
    env = dict(tensors)
    for region in program.regions:
        if region.backward is backward:
            run_region(region, program, env, mode)
    return env


def run_region(region: Region, program: Program, env: Tensors, mode: Mode) -> None:
    """Execute one region, reading and writing `env`."""
    if region.kind == "once":
        run_once(region.graph, env, mode, program.sizes)
        return
    steps, batch = extent(program, env)
    if region.kind == "all_steps":
        _run_all_steps(region.graph, program, env, mode, steps, batch)
    else:
        _run_steps(region, program, env, mode, steps, batch)


def extent(program: Program, env: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Return (T, B) of the inputs in `env`; the entries "@T" and "@B" stand in for a network without inputs."""
    for tensor in program.inputs:
        if tensor.name in env:
            return env[tensor.name].shape[0], env[tensor.name].shape[1]
    return int(env["@T"]), int(env["@B"])


def run_once(graph: Graph, env: Tensors, mode: Mode, sizes: Mapping[str, int] | None = None) -> None:
    """Execute a graph without time; its fixed outputs go to `env`. Nodes that widen a value need the `sizes`."""
    run = _Step(graph, mode, env, lambda value: tuple(sizes[a] for a in value.type.axes) if sizes else ())
    run.values.update({i.value: _cast(env[i.source], mode) for i in graph.inputs})
    for node in graph.nodes:
        run.node(node)
    for output in graph.outputs:
        env[output.name] = run.values[output.value]


def _cast(tensor: torch.Tensor, mode: Mode) -> torch.Tensor:
    return tensor.to(mode.dtype) if tensor.is_floating_point() or tensor.dtype == torch.uint8 else tensor


def _shape(value: Value, program: Program, batch: int) -> tuple[int, ...]:
    return ((batch,) if value.type.batched else ()) + tuple(program.sizes[a] for a in value.type.axes)


def _run_steps(region: Region, program: Program, env: Tensors, mode: Mode, steps: int, batch: int) -> None:
    graph = region.graph
    device = next((env[i.source].device for i in graph.inputs), None)

    def shape(value: Value) -> tuple[int, ...]:
        return _shape(value, program, batch)

    def zeros(value: Value, *lead: int) -> torch.Tensor:
        return torch.zeros((*lead, *shape(value)), dtype=mode.dtype, device=device)

    state = {c.current: _cast(env[c.given], mode) if c.given else zeros(c.current) for c in graph.carries}
    past = {h.name: list(_cast(env[h.init], mode) if h.init else zeros(h.value, h.depth)) for h in graph.histories}
    written: dict[str, list[torch.Tensor]] = {o.name: [] for o in graph.outputs}
    fixed = {i.value: _cast(env[i.source], mode) for i in graph.inputs if i.kind == "fixed"}
    start = int(env["@t"]) if "@t" in env else 0
    evaluators: dict[Node, Evaluator] = {}  # of all steps: to find one by its expression takes as long as to run it
    for t in range(steps) if region.kind == "steps" else range(steps - 1, -1, -1):
        run = _Step(graph, mode, env, shape, step=start + t, past=past, evaluators=evaluators)
        run.values |= fixed | state
        run.values |= {i.value: _cast(env[i.source][t], mode) for i in graph.inputs if i.kind == "sequence"}
        for node in graph.nodes:
            run.node(node)
        state = {c.current: run.values[c.next] for c in graph.carries}
        for h in graph.histories:
            past[h.name] = [*past[h.name][1:], run.values[h.value]]
        for output in graph.outputs:
            written[output.name].append(run.values[output.value])
    for output in graph.outputs:
        rows = written[output.name]
        if output.kind == "sequence":
            rows = rows if region.kind == "steps" else rows[::-1]
            env[output.name] = torch.stack(rows) if rows else zeros(output.value, 0)
        else:
            env[output.name] = sum(rows[1:], rows[0]) if rows else zeros(output.value)
    for c in graph.carries:
        if c.final:
            env[c.final] = state[c.current]
    for h in graph.histories:
        if h.final:
            env[h.final] = torch.stack(past[h.name])


def _run_all_steps(graph: Graph, program: Program, env: Tensors, mode: Mode, steps: int, batch: int) -> None:
    run = _Step(graph, mode, env, lambda value: _shape(value, program, batch), leading=True)
    for i in graph.inputs:
        run.values[i.value] = _cast(env[i.source], mode)

    def shifted(history: History, delay: int) -> torch.Tensor:
        sequence = run.values[history.value]
        before = (
            _cast(env[history.init], mode) if history.init else sequence.new_zeros((history.depth, *sequence.shape[1:]))
        )
        return torch.cat([before[history.depth - delay :], sequence])[:steps]

    run.shifted = shifted
    for node in graph.nodes:
        run.node(node)
    for output in graph.outputs:
        env[output.name] = run.values[output.value]


class _Step:
    """The values of one pass over a graph; `leading` when they carry a T axis."""

    def __init__(
        self,
        graph: Graph,
        mode: Mode,
        env: Mapping[str, torch.Tensor],
        shape: Callable[[Value], tuple[int, ...]],
        step: int = 0,
        past: Mapping[str, list[torch.Tensor]] | None = None,
        leading: bool = False,
        evaluators: dict[Node, Evaluator] | None = None,
    ) -> None:
        self.graph, self.mode, self.env, self.step, self.past, self.leading = graph, mode, env, step, past, leading
        self.shape = shape
        self.values: dict[Value, torch.Tensor] = {}
        self.device: torch.device | None = None
        self.evaluators = {} if evaluators is None else evaluators
        self.shifted: Callable[[History, int], torch.Tensor] | None = None
        self._propagators: dict[object, torch.Tensor] = {}

    def node(self, node: Node) -> None:
        """Compute the result of `node`."""
        args = [self.values[v] for v in node.operands]
        if self.device is None:
            self.device = next((v.device for v in self.values.values()), None)
        self.values[node.result] = self._result(node, args)

    def _result(self, node: Node, args: list[torch.Tensor]) -> torch.Tensor:
        match node:
            case Const(value=value):
                return torch.full((), value, dtype=self.mode.dtype, device=self.device)
            case Time(dt=dt):
                return torch.full((), self.step * dt, dtype=self.mode.dtype, device=self.device)
            case Noise():
                return self._noise(node)
            case Map(expr=expr):
                if node not in self.evaluators:
                    self.evaluators[node] = evaluator(expr)
                named = {v.name: a for v, a in zip(node.operands, args, strict=True)}
                return self.evaluators[node](named, self.mode.dtype, self.device)
            case Test(strict=strict):
                return _fires(args[0], strict).to(self.mode.dtype)
            case Spike():
                return self._spike(node, args)
            case Reset():
                v, z, r = args
                return v + z * (r - v) if self.mode.relaxed else _reset(v, z, r)
            case Count():
                count, z, n = args
                return torch.where(z.detach() > 0, n.detach(), torch.clamp(count - 1, min=0)).to(self.mode.dtype)
            case StopGradient():
                return args[0] if self.mode.relaxed else args[0].detach()
            case Via():
                return args[0] + sum(a - a.detach() for a in args[1:])
            case Diagonal():
                return torch.diagonal(args[0], dim1=-2, dim2=-1)
            case Project():
                return _project(*args)
            case ProjectTransposed():
                return args[0] @ args[1].transpose(-1, -2)
            case Outer():
                return torch.einsum("bi,bj->ij", args[0].flatten(0, -2), args[1].flatten(0, -2))
            case Reduce():
                return self._reduce(node, args[0])
            case Pool(mean=mean):
                return (args[0].mean(0) if mean else args[0].sum(0)).expand_as(args[0])
            case Spread(side=side, result=result):
                shape = self.shape(result)
                if side is not None:
                    return spread_side(side, args, shape)
                return args[0].expand(
                    (args[0].shape[0], *shape) if self.leading and args[0].dim() > len(shape) else shape
                )
            case Read(history=name, delay=delay):
                if self.shifted is not None:
                    return self.shifted(self.graph.history(name), delay)
                assert self.past is not None
                return self.past[name][-delay]
            case Propagator():
                return self._propagator(node, args)
            case Diffusion():
                return self._diffusion(node, args)
            case Synapses(result=result):
                shape = self.shape(result)[1 if result.type.batched else 0 :]
                return run_synapses(node, args, shape, self.mode.dtype, self.leading)
            case DelayedSynapses(result=result):
                return run_delayed(node, args, self.shape(result)[1 if result.type.batched else 0 :])
            case Repeat(times=times):
                return args[0].repeat_interleave(times)
            case Take() | Place() | Total():
                return prepare(node, args, self.shape(node.result))
            case _:
                raise VerifyError(
                    f"the interpreter has no rule for {type(node).__name__}; discretize removes Ode", node.result.loc
                )

    def _spike(self, node: Spike, args: list[torch.Tensor]) -> torch.Tensor:
        condition, blocked = args[0], (args[1] > 0) if len(args) > 1 else None
        if self.mode.relaxed:
            z = evaluate(node.antiderivative, {"c": condition}, self.mode.dtype, condition.device)
        else:
            z = _SpikeFunction.apply(condition, node)
        return z if blocked is None else torch.where(blocked, torch.zeros_like(z), z)

    def _noise(self, node: Noise) -> torch.Tensor:
        batch, *axes = self.shape(node.result)
        samples = torch.arange(batch, device=self.device)[:, None]
        elements = torch.arange(math.prod(axes), device=self.device)
        words = philox(int(self.env.get("@seed", 0)), self.step, samples, elements, node.stream)
        drawn = normal(words) if node.kind == "normal" else uniform(words)
        return drawn.to(self.mode.dtype).reshape(batch, *axes)

    def _reduce(self, node: Reduce, arg: torch.Tensor) -> torch.Tensor:
        lead = arg.dim() - len(node.result.type.axes)
        return arg.sum(dim=tuple(range(lead))) if lead else arg

    def _propagator(self, node: Propagator, args: list[torch.Tensor]) -> torch.Tensor:
        key = (node.entries, node.operands, node.forcing)
        if key not in self._propagators:
            a = self._matrix(node.entries, node, args) * node.h
            k = a.shape[-1]
            if node.forcing:  # exp([[A, I], [0, 0]]) has phi_1(A) in its upper right block
                top = torch.cat([a, torch.eye(k, dtype=a.dtype, device=a.device).expand_as(a)], -1)
                full = matrix_exp(torch.cat([top, torch.zeros_like(top)], -2))
                self._propagators[key] = full.narrow(-2, 0, k).narrow(-1, k, k) * node.h
            else:
                self._propagators[key] = matrix_exp(a)
        return self._propagators[key].select(-2, node.row).select(-1, node.column)

    def _diffusion(self, node: Diffusion, args: list[torch.Tensor]) -> torch.Tensor:
        key = (node.entries, node.operands, node.driving)
        if key not in self._propagators:
            both = self._matrix((*node.entries, node.driving), node, args)
            self._propagators[key] = gathered_noise(both.narrow(-2, 0, both.shape[-1]), both.select(-2, -1), node.h)
        return self._propagators[key].select(-2, node.row).select(-1, node.column)

    def _matrix(
        self, entries: tuple[tuple[sympy.Expr, ...], ...], node: Node, args: list[torch.Tensor]
    ) -> torch.Tensor:
        """Return the matrix of expressions of the operands of a node."""
        named = {v.name: a for v, a in zip(node.operands, args, strict=True)}
        rows = [[evaluate(e, named, self.mode.dtype, self.device) for e in row] for row in entries]
        shape = torch.broadcast_shapes(*(e.shape for row in rows for e in row))
        return torch.stack([torch.stack([e.expand(shape) for e in row], -1) for row in rows], -2)


def _project(z: torch.Tensor, w: torch.Tensor, feedback: torch.Tensor | None = None) -> torch.Tensor:
    if feedback is None:
        return z @ w
    back = z @ feedback.detach()
    return z.detach() @ w + (back - back.detach())


def _fires(condition: torch.Tensor, strict: bool) -> torch.Tensor:
    return condition > 0 if strict else condition >= 0


class _SpikeFunction(torch.autograd.Function):
    """The step function with the surrogate as its derivative."""

    @staticmethod
    def forward(ctx: Any, condition: torch.Tensor, node: Spike) -> torch.Tensor:
        ctx.save_for_backward(condition)
        ctx.node = node
        return _fires(condition, node.strict).to(condition.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (condition,) = ctx.saved_tensors
        expr: sympy.Expr = ctx.node.derivative
        return grads[0] * evaluate(expr, {"c": condition}, condition.dtype, condition.device), None


class _ResetFunction(torch.autograd.Function):
    """``where(z, r, v)`` with d/dv = 1 - z, d/dr = z, d/dz = r - v."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, z: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(v, z, r)
        return torch.where(z > 0, r, v)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        v, z, r = ctx.saved_tensors
        g = grads[0]
        return g * (1 - z), g * (r - v), g * z


def _reset(v: torch.Tensor, z: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    v, z, r = torch.broadcast_tensors(v, z, r)
    result: torch.Tensor = _ResetFunction.apply(v, z, r)
    return result
