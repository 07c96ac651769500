"""The model zoo: neurons and learning rules of the literature, each a few lines of sympy.

Every neuron is a module-level value with its equations, units and source beside it. Override parameters where the
population is made: ``net.population("hid", gc.zoo.LIF, 256, tau_mem=20 * ms)``. A learning rule is a function of its
numbers: ``net.connect("x", "hid", plasticity=gc.zoo.PairSTDP(tau_plus=15 * ms))``.
"""

from collections.abc import Callable

from graphc.neuron import Neuron
from graphc.plasticity import Plasticity

from .adaptive import ALIF, AdaptiveThreshold
from .compartments import PassiveCable, PinskyRinzel, passive_cable
from .conductance import CoBaLIF
from .elm import ELM, elm
from .exponential import EIF, AdEx
from .hodgkin_huxley import HodgkinHuxley
from .izhikevich import IZHIKEVICH_CLASSES, Izhikevich, IzhikevichPublished
from .leaky import LI, LIF, AlphaLIF, CuBaLIF
from .nmda import NMDA
from .oscillators import FitzHughNagumo, MorrisLecar
from .plasticity import BCM, BennaFusi, EProp, Oja, SuperSpikeRule, TsodyksMarkram
from .quadratic import QIF, Theta
from .rate import CTRNN
from .stdp import CalciumRule, InhibitorySTDP, PairSTDP, RewardSTDP, TripletSTDP, VoltageSTDP
from .stochastic import GIF, SRM0, NoisyLIF, OrnsteinUhlenbeck
from .urbanczik import DendriticPrediction, UrbanczikSenn

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
        NoisyLIF,
        OrnsteinUhlenbeck,
        GIF,
        SRM0,
        PassiveCable,
        PinskyRinzel,
        UrbanczikSenn,
        NMDA,
        ELM,
    )
}
"""Every neuron of the zoo by name."""

RULES: dict[str, Callable[..., Plasticity]] = {
    rule.__name__: rule
    for rule in (
        TsodyksMarkram,
        PairSTDP,
        TripletSTDP,
        VoltageSTDP,
        CalciumRule,
        InhibitorySTDP,
        RewardSTDP,
        EProp,
        SuperSpikeRule,
        BCM,
        Oja,
        BennaFusi,
        DendriticPrediction,
    )
}
"""Every learning rule of the zoo by name."""

__all__ = [
    "ALIF",
    "ALL",
    "BCM",
    "CTRNN",
    "EIF",
    "ELM",
    "GIF",
    "IZHIKEVICH_CLASSES",
    "LI",
    "LIF",
    "NMDA",
    "QIF",
    "RULES",
    "SRM0",
    "AdEx",
    "AdaptiveThreshold",
    "AlphaLIF",
    "BennaFusi",
    "CalciumRule",
    "CoBaLIF",
    "CuBaLIF",
    "DendriticPrediction",
    "EProp",
    "FitzHughNagumo",
    "HodgkinHuxley",
    "InhibitorySTDP",
    "Izhikevich",
    "IzhikevichPublished",
    "MorrisLecar",
    "NoisyLIF",
    "Oja",
    "OrnsteinUhlenbeck",
    "PairSTDP",
    "PassiveCable",
    "PinskyRinzel",
    "RewardSTDP",
    "SuperSpikeRule",
    "Theta",
    "TripletSTDP",
    "TsodyksMarkram",
    "UrbanczikSenn",
    "VoltageSTDP",
    "elm",
    "passive_cable",
]
