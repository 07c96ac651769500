"""The model zoo: neurons and learning rules of the literature, each a few lines of sympy.

Every neuron is a module-level value with its equations, units and source beside it. Override parameters where the
population is made: ``net.population("hid", gc.zoo.LIF, 256, tau_mem=20 * ms)``. A learning rule is a function of its
numbers: ``net.connect("x", "hid", plasticity=gc.zoo.PairSTDP(tau_plus=15 * ms))``.

A file of the zoo is imported when one of its models is first used: a script that takes one neuron waits for no other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.neuron import Neuron
    from graphc.plasticity import Plasticity

    from .adaptive import ALIF, MAT2, MAT_CLASSES, AdaptiveThreshold, AdLIF, SEAdLIF
    from .astrocytes import AstrocyteModulated, LiRinzel, NadkarniJung
    from .compartments import PassiveCable, PinskyRinzel, passive_cable
    from .conductance import CoBaLIF
    from .consolidation import SynapticIntelligence
    from .cortical import TraubMiles, WangBuzsaki
    from .exponential import EIF, AdEx
    from .expressive import ELM, elm
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
    from .recursive_least_squares import force
    from .resonators import BalancedHarmonicRF, BalancedRF, ResonateAndFire
    from .stdp import CalciumRule, InhibitorySTDP, PairSTDP, RewardSTDP, TripletSTDP, VoltageSTDP
    from .stochastic import GIF, SRM0, NoisyLIF, OrnsteinUhlenbeck
    from .urbanczik import DendriticPrediction, UrbanczikSenn

    ALL: dict[str, Neuron]
    RULES: dict[str, Callable[..., Plasticity]]

_SOURCES = {
    "adaptive": ("ALIF", "MAT2", "MAT_CLASSES", "AdaptiveThreshold", "AdLIF", "SEAdLIF"),
    "astrocytes": ("AstrocyteModulated", "LiRinzel", "NadkarniJung"),
    "compartments": ("PassiveCable", "PinskyRinzel", "passive_cable"),
    "conductance": ("CoBaLIF",),
    "consolidation": ("SynapticIntelligence",),
    "cortical": ("TraubMiles", "WangBuzsaki"),
    "exponential": ("EIF", "AdEx"),
    "expressive": ("ELM", "elm"),
    "gated": ("GRU", "LRU", "gru", "minimal_gated"),
    "glif": ("GLIF1", "GLIF2", "GLIF3", "GLIF4", "GLIF5"),
    "hodgkin_huxley": ("HodgkinHuxley",),
    "izhikevich": ("IZHIKEVICH_CLASSES", "Izhikevich", "IzhikevichPublished"),
    "layers": ("dale", "gap_junction"),
    "leaky": ("LI", "LIF", "AlphaLIF", "CuBaLIF"),
    "maps": ("Rulkov",),
    "nmda": ("NMDA",),
    "oscillators": ("FitzHughNagumo", "HindmarshRose", "MorrisLecar"),
    "plasticity": ("BCM", "BennaFusi", "EProp", "Oja", "SuperSpikeRule", "TsodyksMarkram"),
    "quadratic": ("QIF", "Theta"),
    "rate": ("CTRNN", "LTC", "SSN", "DaleRate", "Prospective", "WilsonCowan"),
    "recursive_least_squares": ("force",),
    "resonators": ("BalancedHarmonicRF", "BalancedRF", "ResonateAndFire"),
    "stdp": ("CalciumRule", "InhibitorySTDP", "PairSTDP", "RewardSTDP", "TripletSTDP", "VoltageSTDP"),
    "stochastic": ("GIF", "SRM0", "NoisyLIF", "OrnsteinUhlenbeck"),
    "urbanczik": ("DendriticPrediction", "UrbanczikSenn"),
}
_LAZY = {name: file for file, names in _SOURCES.items() for name in names}
_TABLES = {
    "ALL": (
        "LIF",
        "CuBaLIF",
        "AlphaLIF",
        "CoBaLIF",
        "ALIF",
        "AdaptiveThreshold",
        "LI",
        "AdEx",
        "EIF",
        "QIF",
        "Theta",
        "Izhikevich",
        "IzhikevichPublished",
        "HodgkinHuxley",
        "MorrisLecar",
        "FitzHughNagumo",
        "CTRNN",
        "NoisyLIF",
        "OrnsteinUhlenbeck",
        "GIF",
        "SRM0",
        "PassiveCable",
        "PinskyRinzel",
        "UrbanczikSenn",
        "NMDA",
        "ELM",
        "TraubMiles",
        "WangBuzsaki",
        "HindmarshRose",
        "MAT2",
        "ResonateAndFire",
        "BalancedRF",
        "BalancedHarmonicRF",
        "AdLIF",
        "SEAdLIF",
        "GLIF1",
        "GLIF2",
        "GLIF3",
        "GLIF4",
        "GLIF5",
        "Rulkov",
        "WilsonCowan",
        "SSN",
        "Prospective",
        "LTC",
        "GRU",
        "LRU",
        "DaleRate",
        "LiRinzel",
        "NadkarniJung",
        "AstrocyteModulated",
    ),
    "RULES": (
        "TsodyksMarkram",
        "PairSTDP",
        "TripletSTDP",
        "VoltageSTDP",
        "CalciumRule",
        "InhibitorySTDP",
        "RewardSTDP",
        "EProp",
        "SuperSpikeRule",
        "BCM",
        "Oja",
        "BennaFusi",
        "DendriticPrediction",
    ),
}
"""`ALL`, every neuron of the zoo by name, and `RULES`, every learning rule."""


def __getattr__(name: str) -> Any:
    """Import a model on its first use."""
    value: Any
    if name in _TABLES:
        value = {
            model: getattr(importlib.import_module(f"{__name__}.{_LAZY[model]}"), model) for model in _TABLES[name]
        }
    elif name in _LAZY:
        value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})


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
