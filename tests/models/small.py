"""Small networks whose texts are read by eye."""

import graphc as gc

v, i, b = gc.states("v i b")
x = gc.input("x")
tau_mem, tau_syn = gc.params(tau_mem=10.0, tau_syn=5.0)
theta = gc.param("theta", 1.0, learn=True)

LIF = gc.Neuron(
    "LIF",
    ode={v: (i - v) / tau_mem, i: -i / tau_syn},
    receive={i: i + x},
    spike=gc.Spike(v > theta),
    reset={v: 0},
    refractory=2.0,
)
LEAKY = gc.Neuron("Leaky", update={v: 0.5 * v + x})


def recurrent() -> gc.Network:
    """Return two spiking neurons with recurrence and a refractory time, read out by a leaky one."""
    net = gc.Network(dt=1.0)
    net.input("inp", 3)
    net.population("hid", LIF, 2)
    net.population("out", LEAKY, 1)
    net.connect("inp", "hid", weight=0.5)
    net.connect("hid", "hid", weight=-0.25, delay=2)
    net.connect("hid", "out", weight=1.0)
    net.output("out")
    return net


def feedforward() -> gc.Network:
    """Return one layer without recurrence."""
    net = gc.Network(dt=1.0)
    net.input("inp", 3)
    net.population("out", LEAKY, 2)
    net.connect("inp", "out", weight=0.5)
    net.output("out")
    return net
