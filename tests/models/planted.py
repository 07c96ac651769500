"""A network in which every fault shows: two states that a spike moves, one by the other, a delay, a readout."""

import torch

import graphc as gc
from graphc.certificate.recorded import Recorded, record
from graphc.certificate.reference import Call

v, w = gc.states("v w")
x = gc.input("x")
tau = gc.param("tau", 8.0, learn=True)

ADAPTS = gc.Neuron(
    "Adapts",
    ode={v: -(v + w) / tau, w: -w / 20},
    receive={v: v + x},
    spike=gc.Spike(v > 1),
    reset={v: v - 1, w: w + 0.25 * v},
)


def network(neuron: gc.Neuron = ADAPTS, recurrent: bool = True) -> gc.Network:
    """Return three inputs on four neurons that hear each other two steps later, and two units that read them out."""
    net = gc.Network(dt=1)
    net.input("x", 3)
    net.population("hid", neuron, 4)
    net.population("out", gc.zoo.LI, 2)
    net.connect("x", "hid", weight=gc.Uniform(0, 1.5))
    if recurrent:
        net.connect("hid", "hid", delay=2)
    net.connect("hid", "out")
    net.output("out")
    return net


def spikes(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return spikes (20, 2, 3)."""
    return (torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(1)) < 0.4).to(dtype)


def compiled(net: gc.Network | None = None, target: str = "c", **options: object) -> gc.Model:
    """Return a model with the same weights each time."""
    torch.manual_seed(0)
    return gc.compile(net or network(), target=target, **options)


def recorded(net: gc.Network | None = None) -> Recorded:
    """Return a run of the reference."""
    model = compiled(net, "reference", dtype=torch.float64)
    drawn = model.initial_state(2) if model._program.draws else None
    return record(model, Call(spikes(torch.float64), drawn, 20, 2), 20, 2)
