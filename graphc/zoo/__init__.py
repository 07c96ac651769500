"""The model zoo: neurons and learning rules of the literature, each a few lines of sympy.

Every neuron is a module-level value with its equations, units and source beside it. Override parameters where the
population is made: ``net.population("hid", gc.zoo.LIF, 256, tau_mem=20 * ms)``. A learning rule is a function of its
numbers: ``net.connect("x", "hid", plasticity=gc.zoo.PairSTDP(tau_plus=15 * ms))``.
"""

from collections.abc import Callable

from graphc.neuron import Neuron
from graphc.plasticity import Plasticity

from .adaptive import ALIF, MAT2, MAT_CLASSES, AdaptiveThreshold, AdLIF, SEAdLIF
from .astrocytes import AstrocyteModulated, LiRinzel, NadkarniJung
from .compartments import PassiveCable, PinskyRinzel, passive_cable
from .conductance import CoBaLIF
from .consolidation import SynapticIntelligence
from .cortical import TraubMiles, WangBuzsaki
from .elm import ELM, elm
from .exponential import EIF, AdEx
from .force import force
from .gated import GRU, LRU, gru, minimal_gated
from .glif import GLIF1, GLIF2, GLIF3, GLIF4, GLIF5
from .hodgkin_huxley import HodgkinHuxley
from .izhikevich import IZHIKEVICH_CLASSES, Izhikevich, IzhikevichPublished
from .layers import dale, gap_junction
from .leaky import LI, LIF, AlphaLIF, CuBaLIF
from .maps import Rulkov
from .nmda import NMDA
from .oscillators import FitzHughNagumo, HindmarshRose, MorrisLecar
from .plasticity import BCM, BennaFusi, EProp, Oja, SuperSpikeRule, TsodyksMarkram
from .quadratic import QIF, Theta
from .rate import CTRNN, LTC, SSN, DaleRate, Prospective, WilsonCowan
from .resonators import BalancedHarmonicRF, BalancedRF, ResonateAndFire
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
        TraubMiles,
        WangBuzsaki,
        HindmarshRose,
        MAT2,
        ResonateAndFire,
        BalancedRF,
        BalancedHarmonicRF,
        AdLIF,
        SEAdLIF,
        GLIF1,
        GLIF2,
        GLIF3,
        GLIF4,
        GLIF5,
        Rulkov,
        WilsonCowan,
        SSN,
        Prospective,
        LTC,
        GRU,
        LRU,
        DaleRate,
        LiRinzel,
        NadkarniJung,
        AstrocyteModulated,
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
    "GLIF1",
    "GLIF2",
    "GLIF3",
    "GLIF4",
    "GLIF5",
    "GRU",
    "IZHIKEVICH_CLASSES",
    "LI",
    "LIF",
    "LRU",
    "LTC",
    "MAT2",
    "MAT_CLASSES",
    "NMDA",
    "QIF",
    "RULES",
    "SRM0",
    "SSN",
    "AdEx",
    "AdLIF",
    "AdaptiveThreshold",
    "AlphaLIF",
    "AstrocyteModulated",
    "BalancedHarmonicRF",
    "BalancedRF",
    "BennaFusi",
    "CalciumRule",
    "CoBaLIF",
    "CuBaLIF",
    "DaleRate",
    "DendriticPrediction",
    "EProp",
    "FitzHughNagumo",
    "HindmarshRose",
    "HodgkinHuxley",
    "InhibitorySTDP",
    "Izhikevich",
    "IzhikevichPublished",
    "LiRinzel",
    "MorrisLecar",
    "NadkarniJung",
    "NoisyLIF",
    "Oja",
    "OrnsteinUhlenbeck",
    "PairSTDP",
    "PassiveCable",
    "PinskyRinzel",
    "Prospective",
    "ResonateAndFire",
    "RewardSTDP",
    "Rulkov",
    "SEAdLIF",
    "SuperSpikeRule",
    "SynapticIntelligence",
    "Theta",
    "TraubMiles",
    "TripletSTDP",
    "TsodyksMarkram",
    "UrbanczikSenn",
    "VoltageSTDP",
    "WangBuzsaki",
    "WilsonCowan",
    "dale",
    "elm",
    "force",
    "gap_junction",
    "gru",
    "minimal_gated",
    "passive_cable",
]
