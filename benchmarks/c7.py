"""c7: Hodgkin-Huxley cells without connections, each with a constant current of its own, simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import graphc as gc
from benchmarks.peers.worker import Check, Run
from benchmarks.works import C7, Arrays, Work
from graphc.units import mV, pA
from graphc.zoo import hodgkin_huxley as squid

WORK = C7
PEERS = ("jax_scan", "brian")


def make_network(work: Work, current: NDArray[Any]) -> gc.Network:
    """Return a population of the zoo's neuron, its input a constant per cell."""
    v, m, h, n = squid.v, squid.m, squid.h, squid.n
    held = gc.param("current", 0 * pA, per="neuron")
    sodium, potassium = squid.g_Na * m**3 * h * (squid.E_Na - v), squid.g_K * n**4 * (squid.E_K - v)
    gates = {m: (squid.alpha_m, squid.beta_m), h: (squid.alpha_h, squid.beta_h), n: (squid.alpha_n, squid.beta_n)}
    neuron = gc.Neuron(
        "HodgkinHuxley",
        ode={
            v: (sodium + potassium + squid.g_L * (squid.E_L - v) + held) / squid.C,
            **{gate: alpha * (1 - gate) - beta * gate for gate, (alpha, beta) in gates.items()},
        },
        spike=gc.Spike(v > 0 * mV, edge="rising"),
        init={v: -65 * mV, **{gate: alpha / (alpha + beta) for gate, (alpha, beta) in gates.items()}},
        integrator="exponential_euler",
    )
    net = gc.Network(dt=work.dt)
    net.population("cells", neuron, work.neurons, current=current)
    net.output("cells")
    return net


def set_up_ours(work: Work, arrays: Arrays, target: str = "c", device: str = "cpu") -> tuple[Run, Check]:
    """Return the simulation as graphc compiles it; its result is every spike (T, B, N) and the last state."""
    model = gc.compile(make_network(work, arrays["current"]), learn=None, target=target).to(device)

    def run() -> Any:
        return model.run(steps=work.steps, batch_size=work.batch)

    def check(weight: NDArray[Any]) -> Arrays:
        found = run()
        spikes: torch.Tensor = found.output
        return {"spikes": spikes.cpu().numpy().astype("uint8"), "v": found.state["cells.v"][0].cpu().numpy()}

    return run, check


def check_all(contenders: dict[str, Any], work: Work) -> dict[str, str]:
    """Return how far each contender agrees with ours; raise where a cell has another number of spikes.

    Cells are not coupled, so rounding moves a spike by a step at most, and v at the end by what that step is worth.
    """
    found = {name: one.check(np.ones(work.batch, np.float32)) for name, one in contenders.items()}
    ours = found["ours"]["spikes"] > 0
    told = {}
    for name, other in found.items():
        theirs = other["spikes"] > 0
        counts = float((ours.sum(0) == theirs.sum(0)).mean())
        same = float((ours & theirs).sum() / (ours | theirs).sum())
        errors = np.abs(found["ours"]["v"] - other["v"])
        told[name] = (
            f"{100 * counts:.2f} % of the spike counts, {100 * same:.2f} % of the spikes in the same step, "
            f"v at the end within {np.quantile(errors, 0.99):.1g} mV in 99 % of the cells"
        )
        if counts < 0.999 or same < 0.99:
            raise RuntimeError(f"{work.id}: {name} does not do the same work as ours: {told[name]}")
    return told | {"rate": f"{100 * float(ours.mean()):.2f} %"}
