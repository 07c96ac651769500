"""The model zoo: neurons of the literature, each a few lines of sympy, ready for `Network.population`.

Every neuron is a module-level value with its equations, units and source beside it. Override parameters where the
population is made: ``net.population("hid", gc.zoo.LIF, 256, tau_mem=20 * ms)``.
"""

from graphc.neuron import Neuron

from .adaptive import ALIF, AdaptiveThreshold
from .conductance import CoBaLIF
from .exponential import EIF, AdEx
from .hodgkin_huxley import HodgkinHuxley
from .izhikevich import IZHIKEVICH_CLASSES, Izhikevich, IzhikevichPublished
from .leaky import LI, LIF, AlphaLIF, CuBaLIF
from .oscillators import FitzHughNagumo, MorrisLecar
from .quadratic import QIF, Theta
from .rate import CTRNN

ALL: dict[str, Neuron] = {
    neuron.name: neuron
    for neuron in (
        LIF,
        CuBaLIF,
        AlphaLIF,
        CoBaLIF,
        ALIF,
        AdaptiveThreshold,
        LI,
        AdEx,
        EIF,
        QIF,
        Theta,
        Izhikevich,
        IzhikevichPublished,
        HodgkinHuxley,
        MorrisLecar,
        FitzHughNagumo,
        CTRNN,
    )
}
"""Every neuron of the zoo by name."""

__all__ = [
    "ALIF",
    "ALL",
    "CTRNN",
    "EIF",
    "IZHIKEVICH_CLASSES",
    "LI",
    "LIF",
    "QIF",
    "AdEx",
    "AdaptiveThreshold",
    "AlphaLIF",
    "CoBaLIF",
    "CuBaLIF",
    "FitzHughNagumo",
    "HodgkinHuxley",
    "Izhikevich",
    "IzhikevichPublished",
    "MorrisLecar",
    "Theta",
]
