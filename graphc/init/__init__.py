"""Initial weights: from the neuron's own response to a spike, or from the number of synapses.

Source:
    Rossbroich, Gygax & Zenke (2022), Fluctuation-driven initialization for spiking neural network training,
    Neuromorph. Comput. Eng. 2, 044016; He et al. (2015), ICCV, arXiv:1502.01852; Glorot & Bengio (2010), AISTATS 9,
    249-256.
"""

from .fan import KaimingNormal, KaimingUniform, XavierNormal, XavierUniform
from .fluctuation import fluctuation_driven
from .scheme import FluctuationDriven, Scheme

__all__ = [
    "FluctuationDriven",
    "KaimingNormal",
    "KaimingUniform",
    "Scheme",
    "XavierNormal",
    "XavierUniform",
    "fluctuation_driven",
]


def __getattr__(name: str) -> object:
    """Name the scheme that was meant."""
    from graphc.names import did_you_mean

    hint = did_you_mean(name, __all__) or f"there are {', '.join(__all__)}"
    raise AttributeError(f"gc.init has no scheme {name!r}; {hint}")
