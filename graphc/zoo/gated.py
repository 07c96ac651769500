"""Gated units and diagonal linear recurrence: maps, one step of which is one step of the network.

What mixes the units, such as ``W h``, is a connection, so that every gate has an input of its own. `gru` and
`minimal_gated` make the populations and the connections of a layer.
"""

from typing import Any

from sympy import cos, exp, sin, sqrt, tanh

import graphc as gc

h = gc.state("h")
r_in, z_in, c_in, c_rec = gc.inputs("r z c c_rec")
b_r, b_z, b_c, b_rec = (gc.param(name, 0.0, learn=True, per="neuron") for name in ("b_r", "b_z", "b_c", "b_rec"))
reset, keep = gc.sigmoid(r_in + b_r), gc.sigmoid(z_in + b_z)

GRU = gc.Neuron("GRU", update={h: (1 - keep) * tanh(c_in + b_c + reset * (c_rec + b_rec)) + keep * h})
"""Gated recurrent unit: ``h[t] = (1 - k) tanh(c + b_c + g (c_rec + b_rec)) + k h[t-1]``.

``g = sigmoid(r + b_r)`` and ``k = sigmoid(z + b_z)``. The inputs r, z and c take what comes from below and, but for c,
from the layer itself one step later; c_rec takes that alone. `gru` connects a layer, which is torch.nn.GRU's.

Source:
    Cho et al. (2014), EMNLP, 1724-1734, with the gate behind the recurrent product, as in cuDNN and PyTorch.
"""

x_re, x_im = gc.inputs("x_re x_im")
a, b = gc.states("a b")
nu, phase = gc.param("nu", -3.0, learn=True, per="neuron"), gc.param("theta", -1.0, learn=True, per="neuron")
size = exp(-exp(nu))
norm, turn = sqrt(1 - size**2), exp(phase)

LRU = gc.Neuron(
    "LRU",
    update={
        a: size * (cos(turn) * a - sin(turn) * b) + norm * x_re,
        b: size * (sin(turn) * a + cos(turn) * b) + norm * x_im,
    },
)
"""Linear recurrent unit, diagonal and complex: ``a + j b`` is multiplied by lambda, and ``norm (x_re + j x_im)`` added.

``lambda = exp(-exp(nu) + j exp(theta))`` lies within the unit circle whatever is learned, ``norm = sqrt(1 -
|lambda|^2)``. It sends a; what reads b as well connects with ``transmit=gc.weight * gc.pre("b")``.

Source:
    Orvieto et al. (2023), ICML, PMLR 202, 26670-26698.
"""

# The minimal gated unit is two populations: `Gate` hands what it lets through to the product U (f h), `MGU` takes that.
f_in, before = gc.inputs("f before")
b_f, b_h = (gc.param(name, 0.0, learn=True, per="neuron") for name in ("b_f", "b_h"))
gate, candidate = gc.inputs("gate candidate")
Gate = gc.Neuron("Gate", let={"open": gc.sigmoid(f_in + b_f)}, output=gc.sigmoid(f_in + b_f) * before)
MGU = gc.Neuron("MGU", update={h: (1 - gate) * h + gate * tanh(candidate + b_h)})


def gru(net: gc.Network, name: str, size: int, source: Any, **options: Any) -> Any:
    """Make a layer of gated recurrent units and return its population.

    Connections are ``<source>_<name>_r``, ``_z``, ``_c`` and ``<name>_<name>_r``, ``_z``, ``_c_rec``. With weights
    ``W.T`` and the biases of the two products added up for r and z, it is torch.nn.GRU.

    Args:
        net: the network.
        name: of the population.
        size: units.
        source: what the layer reads.
        options: of the recurrent connections, such as init.
    """
    layer = net.population(name, GRU, size)
    for gate in ("r", "z", "c"):
        net.connect(source, layer, target=gate)
    for gate in ("r", "z", "c_rec"):
        net.connect(layer, layer, target=gate, delay=1, **options)
    return layer


def minimal_gated(net: gc.Network, name: str, size: int, source: Any, **options: Any) -> Any:
    """Make a layer of minimal gated units and return its population.

    ``f = sigmoid(W_f x + U_f h[t-1] + b_f)``, ``h[t] = (1 - f) h[t-1] + f tanh(W_h x + U_h (f h[t-1]) + b_h)``. The
    gates are the population ``<name>_gate``; ``<name>_gate_<name>_candidate`` is U_h.

    Args:
        net: the network.
        name: of the population.
        size: units.
        source: what the layer reads.
        options: of the recurrent connections, such as init.

    Source:
        Zhou, Wu, Zhang & Zhou (2016), Int. J. Autom. Comput. 13, 226-234.
    """
    gates, layer = net.population(f"{name}_gate", Gate, size), net.population(name, MGU, size)
    one: dict[str, Any] = {"connectivity": gc.OneToOne(), "weight": 1.0, "learn": False}
    net.connect(source, gates, target="f")
    net.connect(source, layer, target="candidate")
    net.connect(layer, gates, target="f", delay=1, **options)
    net.connect(layer, gates, target="before", delay=1, **one)
    net.connect(gates, layer, target="gate", transmit=gc.weight * gc.pre("open"), **one)
    net.connect(gates, layer, target="candidate", **options)
    return layer
