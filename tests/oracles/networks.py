"""Small live networks of every zoo neuron, as plain data for the NumPy loops and as a `gc.Network` for the compiler.

``build(name, topology, seed)`` is deterministic. Weights and inputs are dyadic, so that they are the same numbers in
float32 and float64. Topologies:

* ``feedforward``: stim -> hid, parameters at their defaults
* ``recurrent``: stim -> hid -> hid (delay 1), learned parameters and initial values per neuron
* ``layers``: stim -> hid -> top in the same step, top -> hid (delay 2), one learned value per population
* ``delays``: stim -(1)-> hid -(3)-> hid -(2, one to one)-> top -(5)-> hid, top -(4)-> top, learned values per neuron

In the last two stim drives top as well, without delay.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import graphc as gc

from .loops import LOOPS, Population, simulate
from .scales import SCALES

TOPOLOGIES = ("feedforward", "recurrent", "layers", "delays")
KINDS = ("LIF", "ALIF", "CoBaLIF", "AdEx", "CTRNN")
"""Neurons that differ in kind: refractory, adaptive, with several inputs, nonlinear, without spikes.

What a topology does to a neuron is shown on these; every other neuron is shown in one topology.
"""
WIDE = (
    *("LIF", "CuBaLIF", "AlphaLIF", "CoBaLIF", "ALIF", "AdaptiveThreshold", "LI", "AdEx", "EIF", "QIF", "Theta"),
    *("Izhikevich", "IzhikevichPublished", "HodgkinHuxley", "MorrisLecar", "FitzHughNagumo", "CTRNN"),
)
"""Neurons of every test that is made for all of them; the others have a reference, gradients and C, in one network."""
SIZES = {"stim": 8, "hid": 6, "top": 6}
Wire = tuple[str, str, int, bool]  # pre, post, delay, one to one
WIRES: dict[str, tuple[Wire, ...]] = {
    "feedforward": (("stim", "hid", 0, False),),
    "recurrent": (("stim", "hid", 0, False), ("hid", "hid", 1, False)),
    "layers": (
        ("stim", "hid", 0, False),
        ("stim", "top", 0, False),
        ("hid", "top", 0, False),
        ("top", "hid", 2, False),
    ),
    "delays": (
        ("stim", "hid", 1, False),
        ("stim", "top", 0, False),
        ("hid", "hid", 3, False),
        ("hid", "top", 2, True),
        ("top", "hid", 5, False),
        ("top", "top", 4, False),
    ),
}


@dataclass(frozen=True)
class Case:
    """One network twice: for the compiler, and in plain data for the loops."""

    network: gc.Network
    inputs: dict[str, np.ndarray]
    T: int
    B: int
    dt: float
    populations: dict[str, Population]
    connections: tuple[tuple[str, str, str, np.ndarray, int], ...]
    outputs: tuple[str, ...]

    def expected(self) -> dict[str, dict[str, np.ndarray]]:
        """Return what the NumPy loops say: population -> signal -> array (T, B, N)."""
        return simulate(self.populations, self.connections, self.inputs, self.dt)


def dyadic(values: np.ndarray, spread: float) -> np.ndarray:
    """Round to multiples of a power of two that is about a 64th of `spread`."""
    grain = 2.0 ** (np.floor(np.log2(spread)) - 6)
    return np.round(values / grain) * grain


def overrides(name: str, topology: str, rng: np.random.Generator, size: int) -> dict[str, float | np.ndarray]:
    """Return parameter and initial values of one population, in base units and exact in float32."""
    scale, values = SCALES[name], dict(SCALES[name].values)
    for parameter in scale.learned if topology != "feedforward" else ():
        default = values.get(parameter, LOOPS[name].parameters[parameter])
        spread = rng.uniform(0.8, 1.25, () if topology == "layers" else size)
        values[parameter] = np.float32(default * spread + (default == 0) * (spread - 1)).astype(float)[()]
    if topology == "recurrent":
        state, low, high = scale.start
        values[state] = np.float32(rng.uniform(low, high, size)).astype(float)
    return values


def weights(name: str, wire: Wire, target: str, rng: np.random.Generator) -> np.ndarray:
    """Return the weights of one connection: (pre, post), or (N,) when one to one."""
    pre, post, _, one_to_one = wire
    mean, spread = SCALES[name].drive
    shape: tuple[int, ...] = (SIZES[pre],) if one_to_one else (SIZES[pre], SIZES[post])
    gain = 1.0 if pre == "stim" else SCALES[name].between
    drawn = gain * (rng.normal(0.0, spread, shape) + (mean if pre == "stim" else 0.0))
    if "inh" in LOOPS[name].inputs:  # conductances and what Dale's law keeps positive
        drawn = np.abs(drawn) * (0.5 if target == "inh" else 1.0)
    return dyadic(drawn, spread)


def stimulus(name: str, rng: np.random.Generator, T: int, B: int) -> np.ndarray:
    """Return the network input (T, B, 8): spikes, or currents that change from step to step."""
    uniform = rng.uniform(size=(T, B, SIZES["stim"]))
    density = SCALES[name].density
    return np.round(uniform * 64) / 64 if density is None else (uniform < density).astype(float)


def declare(
    name: str, topology: str, populations: Mapping[str, Population], connections: tuple, dt: float
) -> gc.Network:
    """Return the network of the plain data as a user would write it."""
    neuron, network = gc.zoo.ALL[name], gc.Network(dt=dt)
    network.input("stim", SIZES["stim"])
    for title, population in populations.items():
        per = "population" if topology == "layers" else "neuron"
        values: dict[str, object] = dict(population.values)
        for parameter in SCALES[name].learned if topology != "feedforward" else ():
            values[parameter] = gc.param(parameter, population.values[parameter], learn=True, per=per)
        network.population(title, neuron, population.size, **values)
    for pre, post, target, weight, delay in connections:
        pattern = gc.OneToOne() if weight.ndim == 1 else gc.Dense()
        network.connect(pre, post, target=target, weight=weight, connectivity=pattern, delay=delay)
    for title in populations:
        network.output(title)
    return network


def build(name: str, topology: str, seed: int = 0) -> Case:
    """Return a live network of one zoo neuron; equal arguments give equal cases."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), TOPOLOGIES.index(topology)])
    scale, wires = SCALES[name], WIRES[topology]
    B = 2 + seed % 2
    titles = [title for title in ("hid", "top") if any(title in wire[:2] for wire in wires)]
    populations = {
        title: Population(name, SIZES[title], overrides(name, topology, rng, SIZES[title])) for title in titles
    }
    connections = tuple(
        (wire[0], wire[1], target, weights(name, wire, target, rng), wire[2])
        for wire in wires
        for target in LOOPS[name].inputs
    )
    return Case(
        network=declare(name, topology, populations, connections, scale.dt),
        inputs={"stim": stimulus(name, rng, scale.T, B)},
        T=scale.T,
        B=B,
        dt=scale.dt,
        populations=populations,
        connections=connections,
        outputs=tuple(titles),
    )
