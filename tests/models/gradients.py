"""Gradients of a program three ways: reverse regions, torch autograd through the forward half, differences."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from graphc.ir import Program, StopGradient, final, gradient, initial
from graphc.ir.interpret import Mode, interpret, run_once
from graphc.passes import Request, pipeline, run_passes
from graphc.passes.discretize import Discretize
from graphc.passes.prologue import SplitPrologue

Tensors = dict[str, torch.Tensor]
EXACT = 1e-10  # float64 of two orders of summation, over some tens of steps


def real(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unstopped(program: Program) -> Program:
    """Return a lowered `program` in which no gradient is stopped."""
    (region,) = program.regions
    new, nodes = {}, []
    for node in region.graph.nodes:
        node = node.substitute(new)
        if isinstance(node, StopGradient):
            new[node.result] = node.operands[0]
        else:
            nodes.append(node)
    return program.with_regions([replace(region, graph=region.graph.with_nodes(nodes).substitute_results(new))])


@lru_cache(maxsize=8)
def discrete(program: Program) -> Program:
    """Return a lowered program with its solvers and its prologue, and nothing else done."""
    return run_passes(program, (Discretize(), SplitPrologue()))


@dataclass(frozen=True)
class Experiment:
    """A lowered program, what it is run on, and the linear loss of its outputs and final states."""

    program: Program
    given: Tensors
    loss: Tensors

    @property
    def wrt(self) -> list[str]:
        """Names of the leaves: learned parameters, inputs, initial states and histories."""
        learned = [p.name for p in self.program.parameters if p.learn]
        states = [initial(t.name) for t in self.program.states if t.type.dtype != "int"]
        return learned + [t.name for t in self.program.inputs] + states

    def complete(self, program: Program | None = None) -> Program:
        """Return the program after every pass."""
        request = Request(wrt=frozenset(self.wrt), final=True)
        return run_passes(program or self.program, pipeline(request))

    def total(self, env: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of what a forward half wrote."""
        return sum(((env[name] * w).sum() for name, w in self.loss.items()), torch.zeros(()))

    def value(self, mode: Mode, **moved: torch.Tensor) -> torch.Tensor:
        """Return the loss with some of the leaves moved."""
        return self.total(interpret(discrete(self.program), self.given | moved, mode))

    def autograd(self, mode: Mode | None = None, program: Program | None = None) -> Tensors:
        """Return the gradients that torch finds through the interpreter, of `program` where it is given."""
        leaves = {name: self.given[name].clone().requires_grad_() for name in self.wrt}
        total = self.total(interpret(program or discrete(self.program), self.given | leaves, mode or Mode()))
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        return {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in zip(leaves, found, strict=True)}

    def adjoint(self, program: Program, mode: Mode | None = None) -> Tensors:
        """Return the gradients that the reverse regions of `program` compute, through its prologue."""
        mode = mode or Mode()
        env = interpret(program, self.given, mode)
        env |= {gradient(name): w for name, w in self.loss.items()}
        histories = [h for r in program.regions if r.kind == "reverse" for h in r.graph.histories]
        for h in histories:
            if h.init:  # the gradient of a final history, newest first
                last = env[gradient(final(h.init.removeprefix("d(").partition(")@")[0]))]
                env[h.init] = last.flip(0)[: h.depth]
        back = interpret(program, env, mode, backward=True)
        found = {name: _summed(name, back, self.given[name]) for name in self.wrt}
        for h in histories:
            if h.final:
                state = initial(h.final.removeprefix("d(").partition(")@")[0])
                part = back[h.final].flip(0)
                found[state][found[state].shape[0] - part.shape[0] :] += part
        for name, g in self._through_prologue(program, back).items():
            found[name] = found[name] + g
        return found

    def _through_prologue(self, program: Program, back: Tensors) -> Tensors:
        leaves = {p.name: self.given[p.name].clone().requires_grad_() for p in program.parameters if p.learn}
        env = self.given | leaves
        made: list[str] = []
        for region in program.regions:
            if region.kind == "once":
                run_once(region.graph, env, Mode())
                made += [o.name for o in region.graph.outputs]
        made = [name for name in made if env[name].requires_grad]
        if not made:
            return {}
        grads = [_summed(name, back, env[name]) for name in made]
        found = torch.autograd.grad([env[n] for n in made], list(leaves.values()), grads, allow_unused=True)
        return {n: g for n, g in zip(leaves, found, strict=True) if g is not None}

    def slope(self, name: str, mode: Mode, h: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a random direction of one leaf, and the derivative along it by a five-point central difference."""
        leaf = self.given[name]
        direction = real(*leaf.shape, seed=5)
        step = h * max(1.0, float(leaf.abs().max()))

        def at(k: int) -> torch.Tensor:
            return self.value(mode, **{name: leaf + k * step * direction})

        return direction, (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def _summed(name: str, env: Tensors, like: torch.Tensor) -> torch.Tensor:
    """Return the sum of the parts of a gradient: a weight of several connections has one for each."""
    parts = [v for k, v in env.items() if k.partition("+")[0] == gradient(name)]
    return sum((p.reshape(like.shape) for p in parts), torch.zeros_like(like))


def experiment(program: Program, inputs: Mapping[str, torch.Tensor]) -> Experiment:
    """Return an experiment with spikes and signals in every history.

    Args:
        program: a lowered program whose parameters and initial states have numbers or arrays as values.
        inputs: sequences (T, B, N) by name.
    """
    given: Tensors = {n: x.to(torch.float64) for n, x in inputs.items()}
    steps, batch, _ = next(iter(inputs.values())).shape
    for p in (*program.parameters, *program.draws):
        shape = tuple(program.sizes[a] for a in p.type.axes)
        given[p.name] = torch.tensor(p.value, dtype=torch.float64).expand(shape).clone()
    run_once(program.initial, given, Mode())
    for k, t in enumerate(program.states):
        lead = () if t.depth is None else (t.depth,)
        shape = (*lead, batch, *(program.sizes[a] for a in t.type.axes))
        value = given.get(initial(t.name), torch.zeros((), dtype=torch.float64)).expand(shape).clone()
        if t.depth is not None and t.type.dtype == "bool":
            value = (real(*shape, seed=k) > 0.5).double()
        elif t.depth is not None:
            value = value + 0.1 * real(*shape, seed=k)
        given[initial(t.name)] = value
    given["@t"] = torch.tensor(0)
    loss = {n: real(steps, batch, _width(program, n), seed=100 + k) for k, n in enumerate(program.outputs)}
    for k, t in enumerate(program.states):
        if t.type.dtype != "int":
            loss[final(t.name)] = real(*given[initial(t.name)].shape, seed=200 + k)
    return Experiment(program, given, loss)


def _width(program: Program, output: str) -> int:
    (region,) = program.regions
    value = next(o.value for o in region.graph.outputs if o.name == output)
    return program.sizes[value.type.axes[0]]


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest entry wanted."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-300)) if wanted.numel() else 0.0
