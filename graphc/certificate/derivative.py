"""The derivative: dot-product and Taylor tests of the reverse regions, on the program in float64.

The program is made smooth: every spike is the antiderivative of its surrogate, and no gradient is stopped. Then the
reverse regions must be the adjoint of the derivative, which differences of the outputs measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphc.ir import DeclarationError, Program, StopGradient, TargetError, final, gradient, initial
from graphc.lower import lower
from graphc.network import Network
from graphc.passes import Request, pipeline, run_passes

from .recorded import Recorded
from .table import Certificate, Row, not_applicable

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

STEPS = 8  # from the last state of the run on
ADJOINT = 1e-5  # of |u| |J^T w|: what five-point differences resolve
QUADRATIC = 1.8  # the least order of a remainder that counts as h**2


@dataclass(frozen=True)
class _Smooth:
    """The relaxed program with its gradient, at one point."""

    program: Program
    given: Tensors
    weights: Tensors
    leaves: tuple[str, ...]

    def outputs(self, **moved: torch.Tensor) -> Tensors:
        """Return the outputs with some leaves moved."""
        import torch

        from graphc.ir.interpret import Mode, interpret

        with torch.no_grad():
            return interpret(self.program, self.given | moved, Mode(relaxed=True))

    def loss(self, done: Mapping[str, torch.Tensor]) -> float:
        """Return <outputs, w>."""
        return sum(float((done[n] * w).sum()) for n, w in self.weights.items())

    def adjoint(self) -> Tensors:
        """Return J^T w as the reverse regions, and torch in the prologue, compute it."""
        import torch

        from graphc.ir.interpret import Mode, interpret, run_once

        done = self.outputs() | {gradient(n): w for n, w in self.weights.items()}
        for region in (r for r in self.program.regions if r.kind == "reverse"):
            for h in region.graph.histories:
                if h.init is not None:  # the gradient of a final history, newest first
                    last = done[gradient(final(h.init.removeprefix("d(").partition(")@")[0]))]
                    done[h.init] = last.flip(0)[: h.depth]
        with torch.no_grad():
            back = interpret(self.program, done, Mode(relaxed=True), backward=True)
        found = {n: _summed(n, back, self.given[n]) for n in self.leaves}
        inner = {n: self.given[n].clone().requires_grad_() for n in self.leaves if n in self._parameters}
        env, made = {**self.given, **inner}, []
        for region in (r for r in self.program.regions if r.kind == "once"):
            run_once(region.graph, env, Mode(), self.program.sizes)
            made += [o.name for o in region.graph.outputs if env[o.name].requires_grad]
        if made:
            seeds = [_summed(n, back, env[n]) for n in made]
            through = torch.autograd.grad([env[n] for n in made], list(inner.values()), seeds, allow_unused=True)
            for name, g in zip(inner, through, strict=True):
                found[name] = found[name] if g is None else found[name] + g
        return found

    @property
    def _parameters(self) -> set[str]:
        return {p.name for p in self.program.parameters}


def _summed(name: str, env: Mapping[str, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """Return the sum of the parts of a gradient: a weight of several connections has one for each."""
    import torch

    parts = [v for k, v in env.items() if k.partition("+")[0] == gradient(name)]
    return sum((p.reshape(like.shape) for p in parts), torch.zeros_like(like))


def check_derivative(run: Recorded) -> Certificate:
    """Test the derivative of outputs and last states with respect to every learned parameter and input."""
    title = f"derivative of the smooth program, in float64, over {STEPS} steps from the last state of the run"
    try:
        smooth = _smooth(run.network, run)
    except (DeclarationError, TargetError) as error:
        return Certificate(title, (not_applicable("every leaf", "dot product", error.message),))
    if not smooth.leaves:
        return Certificate(title, (not_applicable("every leaf", "dot product", "nothing is learned"),))
    adjoint, here = smooth.adjoint(), smooth.loss(smooth.outputs())
    rows = []
    events = {c.pre for c in run.network.connections.values() if c.rule is not None}
    for number, name in enumerate(smooth.leaves):
        if name in events:
            rows.append(not_applicable(name, "dot product", "a learning rule takes what is not 0 in it for events"))
            continue
        rows += _leaf(smooth, name, adjoint[name], here, number)
    return Certificate(title, tuple(rows))


def _smooth(network: Network, run: Recorded) -> _Smooth:
    import torch

    program = _unstopped(lower(network))
    learned = [p.name for p in program.parameters if p.learn]
    leaves = (*learned, *(t.name for t in program.inputs))
    program = run_passes(program, pipeline(Request(wrt=frozenset(leaves), final=True)))
    steps = min(STEPS, run.steps)
    given = {n: torch.as_tensor(x) for n, x in run.tensors.items()}
    given |= {n: torch.as_tensor(x[:steps].copy()) for n, x in run.inputs.items()}
    given |= {initial(t.name): torch.as_tensor(run.last[t.name]) for t in program.states}
    batch = next(iter(run.records.values())).shape[1]
    given |= {"@t": torch.tensor(run.steps), "@T": torch.tensor(steps), "@B": torch.tensor(batch)}
    smooth = _Smooth(program, given, {}, leaves)
    done = smooth.outputs()
    weights = {n: _normal(done[n].shape, 100 + k) for k, n in enumerate(program.outputs)}
    for k, t in enumerate(t for t in program.states if t.type.dtype != "int"):
        last = done[final(t.name)]  # a state counts by its size, a history, which holds what outputs hold, not at all
        size = 0.0 if t.depth is not None or t.type.dtype != "real" else 1 / max(float(last.abs().max()), 1e-6)
        weights[final(t.name)] = size * _normal(last.shape, 200 + k)
    return replace(smooth, weights=weights)


def _unstopped(program: Program) -> Program:
    """Return a lowered program in which no gradient is stopped."""
    (region,) = program.regions
    new: dict[Any, Any] = {}
    nodes = []
    for declared in region.graph.nodes:
        node = declared.substitute(new)
        if isinstance(node, StopGradient):
            new[node.result] = node.operands[0]
        else:
            nodes.append(node)
    return program.with_regions([replace(region, graph=region.graph.with_nodes(nodes).substitute_results(new))])


def _normal(shape: Any, seed: int) -> torch.Tensor:
    import torch

    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _leaf(smooth: _Smooth, name: str, g: torch.Tensor, here: float, seed: int) -> list[Row]:
    leaf = smooth.given[name]
    u = _normal(leaf.shape, seed)
    size = max(1.0, float(leaf.abs().max())) if leaf.numel() else 1.0
    slope, scale = float((u * g).sum()), float(u.norm() * g.norm())

    def at(h: float) -> Tensors:
        return smooth.outputs(**{name: leaf + h * u})

    best, found = math.inf, ""
    for h in (1e-4 * size, 1e-6 * size, 1e-8 * size):  # the first is most precise, the last stays clear of kinks
        four = {k: at(k * h) for k in (1, -1, 2, -2)}
        change = sum(
            float(((8 * (four[1][n] - four[-1][n]) - (four[2][n] - four[-2][n])) / (12 * h) * w).sum())
            for n, w in smooth.weights.items()
        )
        if scale == 0 and change == 0:
            return [not_applicable(name, "dot product", f"it does not act on the outputs within {STEPS} steps")]
        apart = abs(change - slope) / max(scale, 1e-300)
        if apart < best:
            best, found = apart, f"<J u, w> = {change:.10g}, <u, J^T w> = {slope:.10g}"
        if best < ADJOINT:
            break
    return [Row(name, "dot product", found, best < ADJOINT), _taylor(smooth, name, slope, here, at, size)]


def _taylor(smooth: _Smooth, name: str, slope: float, here: float, at: Any, size: float) -> Row:
    """Return whether |L(x + h u) - L(x) - h <g, u>| falls as h**2."""
    best = -math.inf
    for start in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        steps = [start * size / 2**k for k in range(3)]
        losses = [smooth.loss(at(h)) for h in steps]
        rest = [abs(value - here - h * slope) for value, h in zip(losses, steps, strict=True)]
        rounding = 1e-13 * max(abs(here), *map(abs, losses), *(abs(h * slope) for h in steps))
        if rest[0] <= rounding * 16:
            if best == -math.inf:
                return Row(name, "Taylor", f"linear: the remainder {rest[0]:.1e} is rounding")
            break
        if rest[-1] > rounding:
            best = max(best, math.log2(rest[-2] / rest[-1]))
            if best >= QUADRATIC:
                break
    return Row(name, "Taylor", f"the remainder falls as h**{best:.2f}", best >= QUADRATIC)
