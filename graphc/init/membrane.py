"""The post-synaptic potential of a neuron, from the matrix of its own discretised step.

A step without spikes is s' = F(s, x), with the states s and the summed inputs x of the step. About its fixed point it
is s' - s* = M (s - s*) + b (x - x*): one unit of input makes the potential b_v, (M b)_v, (M M b)_v, ... in the steps
that follow. A linear neuron has the same M and b everywhere. About any other the fixed point is that of the mean over
a normal distribution of states and inputs (sigma points), so that what multiplies two of them, as a conductance does
the potential, is exact to second order.

Source:
    Julier & Uhlmann (2004), Unscented filtering and nonlinear estimation, Proc. IEEE 92, 401-422.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sympy

from graphc.connectivity import OneToOne
from graphc.distributions import Distribution
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.names import did_you_mean
from graphc.shaped import identifier
from graphc.values import is_array

if TYPE_CHECKING:
    import torch

    from graphc.network import Network, Population
    from graphc.neuron import Neuron

DRAWS = 256
"""Neurons whose responses are averaged where parameters are drawn."""

FAR = 1e9
"""How much the margin of a spike is lowered, so that there is none."""


@dataclass(frozen=True)
class Response:
    """The potential at a mean input, as means over neurons; post-synaptic potentials by input, in its order.

    Attributes:
        mean: of the potential.
        variance: of the potential over time.
        integral: sum over steps of the potential after one unit of input.
        square: sum over steps of its square.
    """

    mean: float
    variance: float
    integral: list[float]
    square: list[float]


class Membrane:
    """The neurons of one population, without spikes.

    Attributes:
        inputs: names of the inputs, in the order of `x`.
    """

    def __init__(self, population: Population, dt: float, state: str | None, loc: Loc) -> None:
        import torch

        from graphc.ir.interpret import Mode, run_once
        from graphc.ir.program import initial
        from graphc.lower import lower
        from graphc.passes import Request, pipeline
        from graphc.runtime.parameters import draw

        self.population, self.loc = population, loc
        states = [s.name for s in population.neuron.states]
        if state is not None and state not in states:
            hint = did_you_mean(state, states) or f"its states are {', '.join(states)}"
            message = f"neuron '{population.neuron.name}' of '{population.name}' has no state '{state}'"
            raise DeclarationError(message, loc.entry("state"), hint)
        self.state = state or states[0]
        if population.neuron.noises:
            hint = "give weights, or leave the noise out while they are chosen"
            message = f"the membrane of '{population.name}' has noise of its own, which no initialisation counts"
            raise DeclarationError(message, loc, hint)
        self.inputs = [i.name for i in population.neuron.inputs]
        self.mode = Mode(torch.float64)
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # the network itself warns
            torch.manual_seed(0)
            net = _alone(population, dt)
            self.program = pipeline(Request())[0].run(lower(net))
            sizes = self.program.sizes
            self.env: dict[str, Any] = {p.name: draw(p, sizes, torch.float64) for p in self.program.parameters}
            start = self.env | {p.name: draw(p, sizes, torch.float64, 1) for p in self.program.draws}
            run_once(self.program.initial, start, self.mode)
        self.size = net.populations["cell"].size
        self.rows = [  # of the vector of states: a tensor, and which of its steps
            (t.name, k) for t in self.program.states if t.type.dtype == "real" for k in range(t.depth or 1)
        ]
        parts = []
        for t in self.program.states:
            lead = (1,) if t.depth is None else (t.depth, 1)
            value = start.get(initial(t.name), torch.zeros(()))
            value = value.to(torch.float64).expand(*lead, self.size)
            self.env[initial(t.name)] = value
            if t.type.dtype == "real":
                parts.append(value.reshape(-1, self.size))
        self.s = torch.cat(parts).T  # (N, K)
        self.v = self.rows.index((f"cell.{self.state}", 0))

    def step(self, s: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the states (B, N, K) after one step from `s` (B, N, K) with inputs (B, N, I)."""
        import torch

        from graphc.ir.interpret import interpret
        from graphc.ir.program import final, initial

        env = dict(self.env)
        for k, name in enumerate(self.inputs):
            env[f"to_{identifier(name)}"] = x[None, :, :, k]
        for t in self.program.states:
            columns = [k for k, (name, _) in enumerate(self.rows) if name == t.name]
            value = s[..., columns].movedim(-1, 0) if columns else env[initial(t.name)]
            value = value.expand(t.depth or 1, len(s), self.size)
            env[initial(t.name)] = value if t.depth is not None else value[0]
        done = interpret(self.program, env, self.mode)
        parts = []
        for name in dict.fromkeys(n for n, _ in self.rows):
            value = done[final(name)]
            parts.append(value.reshape(-1, len(s), self.size))
        return torch.cat(parts).movedim(0, -1)

    def respond(self, x: list[float], covariance: list[list[float]]) -> Response:
        """Return the potential under inputs of this mean and covariance in every step.

        Raises:
            DeclarationError: there is no potential to which the neuron settles.
        """
        import torch

        mean = torch.tensor(x, dtype=torch.float64).expand(self.size, -1)
        noise = torch.tensor(covariance, dtype=torch.float64)
        eye = torch.eye(len(self.rows), dtype=torch.float64)
        for _ in range(100):
            at, M, b = self._linear(mean)
            spread = self._total(M, b @ noise @ b.mT)
            if noise.any():
                at = self._expected(mean, spread, noise)
            move = (torch.linalg.pinv(eye - M) @ (at - self.s)[..., None])[..., 0]
            self.s = self.s + move
            if not self.s.isfinite().all():
                break
            if (move.abs() <= 1e-10 * (1 + self.s.abs())).all():
                first = self._sum(M, b)[:, self.v].mean(0)
                second = [self._total(M, b[..., k : k + 1] @ b[..., k : k + 1].mT) for k in range(len(self.inputs))]
                return Response(
                    self.s[:, self.v].mean().item(),
                    spread[:, self.v, self.v].mean().item(),
                    first.tolist(),
                    [p[:, self.v, self.v].mean().item() for p in second],
                )
        raise self._unsettled()

    def _linear(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return F, dF/ds and dF/dx at the states, by central differences: exact where F is linear."""
        import torch

        K, joint = len(self.rows), torch.cat([self.s, x], -1)
        h = 1e-5 * torch.clamp(joint.abs(), min=1.0)
        moves = torch.diag_embed(h).movedim(1, 0)  # (K + I, N, K + I)
        points = torch.cat([joint[None], joint + moves, joint - moves])
        after = self.step(points[..., :K], points[..., K:])
        up, down = after[1:].tensor_split(2)
        slope = (up - down).movedim(0, -1) / (2 * h[:, None, :])
        return after[0], slope[..., :K], slope[..., K:]

    def _expected(self, x: torch.Tensor, spread: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return the mean of F over a normal distribution of states and inputs."""
        import torch

        K, n = len(self.rows), len(self.rows) + len(self.inputs)
        root = spread.new_zeros(self.size, n, n)
        root[:, :K, :K], root[:, K:, K:] = _root(spread), _root(noise)
        moves = (n**0.5) * root.movedim(-1, 0)
        joint = torch.cat([self.s, x], -1)
        points = torch.cat([joint + moves, joint - moves])
        return self.step(points[..., :K], points[..., K:]).mean(0)

    def _sum(self, M: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return b + M b + M M b + ..., by doubling the number of terms until the potential has all of them."""
        for k in range(50):
            more = M @ b
            b, M = b + more, M @ M
            if k >= 10 and (more[:, self.v].abs() <= 1e-12 * b[:, self.v].abs().amax()).all():
                return b
        raise self._unsettled()

    def _total(self, M: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        """Return p + M p M' + M M p M' M' + ..., likewise."""
        for k in range(50):
            more = M @ p @ M.mT
            p, M = p + more, M @ M
            if k >= 10 and (more[:, self.v, self.v] <= 1e-12 * p[:, self.v, self.v]).all():
                return p
        raise self._unsettled()

    def _unsettled(self) -> DeclarationError:
        name, neuron = self.population.name, self.population.neuron.name
        message = f"'{self.state}' of population '{name}' settles nowhere without spikes: '{neuron}' forgets no input"
        hint = "at this mean it has no stable potential, or no leak; ask for another mean, or give a weight"
        return DeclarationError(message, self.loc, hint)


def _root(p: torch.Tensor) -> torch.Tensor:
    """Return a square root of covariances."""
    import torch

    values, vectors = torch.linalg.eigh((p + p.mT) / 2)
    root: torch.Tensor = vectors * values.clamp(min=0).sqrt()[..., None, :]
    return root


def _alone(population: Population, dt: float) -> Network:
    """Return a network of neurons like those of `population` that never spike, with one line per neuron and input."""
    from graphc.network import Network

    values = [p.value for p in population.parameters.values()]
    if any(is_array(v) for v in (*values, *population.init.values())):
        size = population.size
    else:
        size = DRAWS if any(isinstance(v, Distribution) for v in values) else 1
    net = Network(dt)
    shape = population.shape if size == population.size else (size,)
    net.populations["cell"] = replace(
        population, name="cell", neuron=_silent(population.neuron), size=size, shape=shape
    )
    for i in population.neuron.inputs:
        own = f"to_{identifier(i.name)}"
        net.input(own, size)
        net.connect(own, "cell", target=i.name, connectivity=OneToOne(), weight=1.0, learn=False)
    net.output(f"cell.{population.neuron.states[0].name}")
    return net


def _silent(neuron: Neuron) -> Neuron:
    """Return the neuron with a threshold that is never reached."""
    if neuron.spike is None:
        return neuron
    silent = copy.copy(neuron)
    condition = sympy.Gt(neuron.spike.margin - sympy.Float(FAR), 0)
    silent.__dict__["spike"] = replace(neuron.spike, condition=condition, escape=None)
    return silent
