"""What makes every neuron of the zoo respond: the drive of its figure, and of networks named ``zoo:NAME``."""

from __future__ import annotations

from typing import Literal, NamedTuple

from graphc.connectivity import Dense
from graphc.distributions import Uniform
from graphc.network import Network

from . import ALL


class Drive(NamedTuple):
    """How a neuron is driven.

    Attributes:
        dt: step in ms.
        duration: ms in which the response shows.
        size: of the drive, in the unit of the neuron's first input.
        kind: "held" is a current, "volley" one jump every 10 ms.
    """

    dt: float
    duration: float
    size: float
    kind: Literal["held", "volley"]

    @property
    def steps(self) -> int:
        """Steps of the duration."""
        return round(self.duration / self.dt)


DRIVES: dict[str, Drive] = {
    "LIF": Drive(0.1, 100, 0.15, "held"),
    "CuBaLIF": Drive(0.1, 100, 0.6, "volley"),
    "AlphaLIF": Drive(0.1, 100, 0.6, "volley"),
    "CoBaLIF": Drive(0.1, 100, 20.0, "volley"),
    "ALIF": Drive(1.0, 400, 0.2, "held"),
    "AdaptiveThreshold": Drive(0.1, 100, 0.25, "held"),
    "LI": Drive(0.1, 100, 1.0, "volley"),
    "AdEx": Drive(0.02, 200, 1000.0, "held"),
    "EIF": Drive(0.02, 100, 80.0, "held"),
    "QIF": Drive(0.02, 100, 1.0, "held"),
    "Theta": Drive(0.02, 100, 1.0, "held"),
    "Izhikevich": Drive(0.05, 300, 10.0, "held"),
    "IzhikevichPublished": Drive(1.0, 300, 10.0, "held"),
    "HodgkinHuxley": Drive(0.02, 100, 10.0, "held"),
    "MorrisLecar": Drive(0.05, 500, 120.0, "held"),
    "FitzHughNagumo": Drive(0.05, 200, 0.5, "held"),
    "CTRNN": Drive(0.1, 100, 1.0, "held"),
    "NoisyLIF": Drive(0.1, 500, 14.0, "held"),
    "OrnsteinUhlenbeck": Drive(0.1, 200, 200.0, "held"),
    "GIF": Drive(0.1, 500, 120.0, "held"),
    "SRM0": Drive(0.5, 500, 10.0, "volley"),
    "PassiveCable": Drive(0.1, 200, 100.0, "held"),
    "PinskyRinzel": Drive(0.05, 1000, 0.75, "held"),
    "UrbanczikSenn": Drive(0.1, 100, 0.6, "held"),
    "NMDA": Drive(0.1, 500, 10.0, "volley"),
    "ELM": Drive(1.0, 300, 1.0, "volley"),
    "TraubMiles": Drive(0.02, 100, 500.0, "held"),
    "WangBuzsaki": Drive(0.01, 100, 1.0, "held"),
    "HindmarshRose": Drive(0.05, 1500, 2.0, "held"),
    "MAT2": Drive(0.1, 500, 600.0, "held"),
    "ResonateAndFire": Drive(0.1, 60, 1.2, "volley"),
    "BalancedRF": Drive(1.0, 400, 1.0, "held"),
    "BalancedHarmonicRF": Drive(1.0, 400, 1.5, "volley"),
    "AdLIF": Drive(1.0, 400, 10.0, "held"),
    "SEAdLIF": Drive(1.0, 400, 60.0, "held"),
    "GLIF1": Drive(0.05, 400, 400.0, "held"),
    "GLIF2": Drive(0.05, 400, 400.0, "held"),
    "GLIF3": Drive(0.05, 400, 400.0, "held"),
    "GLIF4": Drive(0.05, 400, 400.0, "held"),
    "GLIF5": Drive(0.05, 400, 400.0, "held"),
    "Rulkov": Drive(1.0, 1000, 0.1, "held"),
    "WilsonCowan": Drive(0.1, 300, 1.25, "held"),
    "SSN": Drive(0.1, 200, 10.0, "held"),
    "Prospective": Drive(0.1, 60, 1.0, "held"),
    "LTC": Drive(0.1, 100, 1.0, "held"),
    "GRU": Drive(1.0, 100, 1.0, "held"),
    "LRU": Drive(1.0, 100, 1.0, "held"),
    "DaleRate": Drive(0.1, 100, 1.0, "held"),
    "LiRinzel": Drive(10.0, 120000, 0.1, "held"),
    "NadkarniJung": Drive(5.0, 120000, 0.0004, "volley"),
    "AstrocyteModulated": Drive(1.0, 3000, 1.0, "held"),
}

INPUTS, NEURONS, RATE = 64, 64, 0.05
"""Of a network ``zoo:NAME``: its input lines, its neurons, and the spikes per line and step that drive it as above."""


def network(name: str) -> Network:
    """Return a small trainable network of one zoo neuron: random spikes, learned weights, a population."""
    neuron, drive = ALL[name], DRIVES[name]
    each = drive.size / (INPUTS * RATE) * (1.0 if drive.kind == "held" else drive.dt / 10)
    net = Network(dt=drive.dt)
    net.input("x", INPUTS)
    net.population("hid", neuron, NEURONS)
    weight = Uniform(0.5 * each, 1.5 * each)
    net.connect("x", "hid", target=neuron.inputs[0].name, weight=weight, connectivity=Dense())
    net.output("hid")
    return net
