"""A run of the reference with every signal kept, as numpy arrays, and what the declaration says of its beginning."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from graphc import symbols as gs
from graphc.distributions import Distribution
from graphc.ir.functions import at_threshold, previous
from graphc.network import Network, Population
from graphc.records import signals

from .declared_step import parameter_arrays
from .reference import SEED, Call, by_name, first_step, observed, start_of
from .walk import Array, walk

if TYPE_CHECKING:
    from graphc.runtime import Model


@dataclass(frozen=True)
class Recorded:
    """What the reference recorded.

    Attributes:
        network: what ran.
        records: every signal of every population, (T, B, N) by name.
        inputs: (T, B, N) by name.
        tensors: parameters by name, bounded and signed.
        state: where it began, None for the initial state of a network that draws none.
        steps: T.
        last: the states after the last step.
        stored: parameters and buffers as the module keeps them.
    """

    network: Network
    records: dict[str, Array]
    inputs: dict[str, Array]
    tensors: dict[str, Any]
    state: Mapping[str, Any] | None
    steps: int
    last: dict[str, Any]
    stored: dict[str, Any]

    def delayed(self, now: Array, steps: int, before: Any) -> Array:
        """Return a sequence as it was `steps` ago, and `before` that it began."""
        lead = np.broadcast_to(np.asarray(before, float), (min(steps, self.steps), *now.shape[1:]))
        return np.concatenate([lead, now[: self.steps - lead.shape[0]]])

    def read(self, owner: str, signal: str, steps: int) -> Array:
        """Return a signal of an input or population, `steps` ago."""
        if owner in self.inputs:
            return self.delayed(self.inputs[owner], steps, 0.0)
        start = self.start(self.network.populations[owner])
        neuron = self.network.populations[owner].neuron
        named: dict[str, sympy.Basic] = {s.name: s for s in (*neuron.states, *neuron.inputs)}
        named |= {"output": neuron.output, "spike": gs.spike, "refractory": sympy.S.Zero} | neuron.let
        return self.delayed(self.records[f"{owner}.{signal}"], steps, walk(named[signal], start))

    def parameters(self, population: Population) -> dict[sympy.Basic, Any]:
        """Return the parameters of a population by symbol."""
        own = f"{population.name}."
        read = {n.removeprefix(own): x for n, x in self.tensors.items() if n.startswith(own)}
        for p in population.parameters.values():
            if p.per == "channel" and p.name in read:
                read[p.name] = np.repeat(read[p.name], population.size // population.shape[0])
        return parameter_arrays(population.neuron, read)

    def start(self, population: Population) -> dict[sympy.Basic, Any]:
        """Return what a population is before step 0, by symbol: no spike, no input."""
        env = self.parameters(population)
        env |= {i: 0.0 for i in population.neuron.inputs} | {gs.spike: 0.0, gs.t: 0.0, gs.dt: self.network.dt}
        todo = dict(population.init)
        for _ in range(len(todo)):
            for s in [s for s in todo if not _reads(todo[s], todo)]:
                value = todo.pop(s)
                if isinstance(value, Distribution):  # drawn: no declaration says which number
                    assert self.state is not None
                    env[s] = np.asarray(self.state[f"{population.name}.{s.name}"], float)
                else:
                    env[s] = walk(value, env) if isinstance(value, sympy.Basic) else np.asarray(value, float)
        marks = {m for e in (population.neuron.output, *population.neuron.let.values()) for m in marks_of(e)}
        for m in sorted(marks, key=str):  # before step 0 everything is as it began
            env[m] = walk(m.args[0], env)
        return env


def _reads(value: Any, states: Mapping[Any, Any]) -> bool:
    return isinstance(value, sympy.Basic) and bool(value.free_symbols & set(states))


def marks_of(e: sympy.Basic) -> set[sympy.Basic]:
    """Return the parts of an expression that are read before the reset or at earlier steps."""
    return set(e.atoms(previous, at_threshold))


def record(model: Model, call: Call, steps: int, batch: int) -> Recorded:
    """Interpret the discretised program in float64 and keep every signal of every population.

    Args:
        model: the model, for the values of its parameters.
        call: what it is run on.
        steps: T.
        batch: B.
    """
    import torch

    from graphc.ir.interpret import interpret
    from graphc.lower import lower
    from graphc.passes import Request, pipeline
    from graphc.runtime.parameters import read_parameters

    network: Network = model._compiler.network  # type: ignore[attr-defined]
    records = dict.fromkeys(observed(network))
    for population in network.populations.values():
        records |= dict.fromkeys(f"{population.name}.{s}" for s in signals(population))
    program = pipeline(Request())[0].run(lower(network, tuple(records)))
    twin = copy.deepcopy(model).to(device="cpu", dtype=torch.float64)
    with torch.no_grad():
        tensors = dict(zip((p.name for p in program.parameters), read_parameters(twin, program), strict=True))
        given = {n: x.detach().to("cpu", torch.float64) for n, x in by_name(model, call.inputs).items()}
        env = {**tensors, **given, "@t": first_step(call.state), "@T": torch.tensor(steps), "@B": torch.tensor(batch)}
        env["@seed"] = torch.tensor(SEED)
        done = interpret(program, env | start_of(program, tensors, call.state, batch))
    return Recorded(
        network,
        {name: done[name].numpy() for name in records},
        {name: x.numpy() for name, x in given.items()},
        {name: x.detach().numpy() for name, x in tensors.items()},
        None if call.state is None else {n: x.detach().cpu().numpy() for n, x in call.state.items()},
        steps,
        {n.removesuffix("@final"): x.numpy() for n, x in done.items() if n.endswith("@final")},
        {n: x.detach() for n, x in (*twin.named_parameters(), *twin.named_buffers())},
    )
