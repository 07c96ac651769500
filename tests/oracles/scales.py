"""What makes a network of one zoo neuron live."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scale:
    """What makes a network of one neuron live: step, length, drive, weights and the parameters that are learned."""

    dt: float
    T: int
    drive: tuple[float, float]
    """Mean and spread of the input weights; the spread is also that of the weights between populations..."""
    between: float
    """... times this."""
    learned: tuple[str, ...]
    start: tuple[str, float, float] = ("v", 0.0, 0.5)
    """A state and the range of its initial value."""
    values: Mapping[str, float] = field(default_factory=dict)
    density: float | None = 0.3
    """Probability of an input spike; None for a current in [0, 1]."""
    least: float = 0.02
    """The spike rate per step that every population reaches; 0 for units that do not spike..."""
    swing: float = 0.1
    """... whose output has at least this standard deviation."""


SCALES: dict[str, Scale] = {
    "LIF": Scale(1.0, 60, (0.08, 0.125), 2.0, ("tau_mem", "theta"), values={"t_ref": 2.0}),
    "CuBaLIF": Scale(1.0, 60, (0.06, 0.08), 1.5, ("tau_mem", "tau_syn")),
    "AlphaLIF": Scale(1.0, 60, (0.05, 0.05), 1.5, ("tau_mem", "theta")),
    "CoBaLIF": Scale(0.5, 60, (4.0, 2.0), 1.0, ("tau_e", "V_T"), ("v", -60.0, -52.0), {"t_ref": 1.5}),
    "ALIF": Scale(1.0, 60, (0.2, 0.3), 1.0, ("tau_adapt", "beta")),
    "AdaptiveThreshold": Scale(1.0, 60, (2.0, 2.0), 1.0, ("tau_v", "jump"), ("v", 0.0, 8.0)),
    "LI": Scale(1.0, 40, (0.0, 0.5), 0.03, ("tau_mem",), least=0.0),
    "AdEx": Scale(0.2, 100, (800.0, 400.0), 10.0, ("tau_w", "b"), ("v", -70.0, -52.0), density=None),
    "EIF": Scale(0.1, 120, (200.0, 100.0), 10.0, ("C", "Delta_T"), ("v", -65.0, -58.0), {"t_ref": 0.5}, None),
    "QIF": Scale(0.2, 100, (4.0, 2.0), 10.0, ("tau",), ("v", -2.0, 2.0), density=None),
    "Theta": Scale(0.25, 100, (4.0, 2.0), 10.0, ("tau",), ("theta", -1.0, 1.0), density=None),
    "Izhikevich": Scale(0.1, 120, (10.0, 10.0), 10.0, ("a", "d"), ("v", -65.0, -50.0), density=None),
    "IzhikevichPublished": Scale(1.0, 40, (6.0, 6.0), 1.0, ("a", "d"), ("v", -65.0, -50.0), density=None),
    "HodgkinHuxley": Scale(
        0.05, 200, (20.0, 10.0), 4.0, ("g_Na", "g_K"), ("v", -70.0, -55.0), density=None, least=0.004
    ),
    "MorrisLecar": Scale(0.4, 150, (60.0, 30.0), 4.0, ("phi", "g_Ca"), ("v", -60.0, -30.0), density=None, least=0.006),
    "FitzHughNagumo": Scale(0.25, 150, (0.3, 0.2), 10.0, ("tau",), ("v", -1.2, 1.0), density=None, least=0.008),
    "CTRNN": Scale(1.0, 40, (0.0, 1.0), 1.0, ("tau", "bias"), ("v", -1.0, 1.0), density=None, least=0.0),
    "PassiveCable": Scale(0.5, 40, (40.0, 20.0), 0.1, ("L", "g_L"), ("v[2]", -75.0, -60.0), density=None, least=0.0),
    "PinskyRinzel": Scale(0.05, 80, (12.0, 6.0), 1.0, ("g_c", "g_Ca"), ("v_s", -5.0, 20.0), density=None, least=0.004),
    "UrbanczikSenn": Scale(0.5, 40, (0.1, 0.1), 2.0, ("g_D", "tau_L"), ("u", 0.0, 1.0), least=0.0, swing=0.02),
    "NMDA": Scale(0.5, 60, (4.0, 2.0), 0.1, ("C", "Mg"), ("v", -70.0, -52.0)),
    "ELM": Scale(1.0, 40, (0.3, 0.5), 1.0, ("tau_m1", "A_0_1"), ("m[1]", -1.0, 1.0), least=0.0),
    "TraubMiles": Scale(
        0.05, 100, (800.0, 400.0), 4.0, ("g_Na", "V_T"), ("v", -65.0, -45.0), density=None, least=0.004
    ),
    "WangBuzsaki": Scale(0.05, 100, (3.0, 1.0), 10.0, ("g_Na", "phi"), ("v", -68.0, -55.0), density=None, least=0.004),
    "HindmarshRose": Scale(0.1, 120, (1.0, 0.5), 10.0, ("r", "b"), ("v", -1.6, 1.5), density=None, least=0.008),
    "MAT2": Scale(1.0, 80, (150.0, 150.0), 4.0, ("tau_m", "alpha_1"), ("v", -65.0, -50.0), density=None),
    "ResonateAndFire": Scale(0.5, 80, (0.1, 0.5), 1.0, ("b", "omega")),
    "BalancedRF": Scale(1.0, 60, (0.1, 0.3), 1.0, ("omega", "b")),
    "BalancedHarmonicRF": Scale(1.0, 60, (0.1, 0.5), 1.0, ("omega", "b")),
    "AdLIF": Scale(1.0, 60, (2.0, 4.0), 2.0, ("tau_u", "a")),
    "SEAdLIF": Scale(1.0, 60, (6.0, 8.0), 2.0, ("tau_w", "b")),
    "GLIF1": Scale(0.75, 80, (100.0, 100.0), 4.0, ("C", "theta"), ("v", -75.0, -55.0), density=None),
    "GLIF2": Scale(0.75, 80, (100.0, 100.0), 4.0, ("f_v", "d_theta"), ("v", -75.0, -55.0), density=None),
    "GLIF3": Scale(0.75, 80, (100.0, 100.0), 4.0, ("k_2", "dI_1"), ("v", -75.0, -55.0), density=None),
    "GLIF4": Scale(0.75, 80, (100.0, 100.0), 4.0, ("k_1", "dv"), ("v", -75.0, -55.0), density=None),
    "GLIF5": Scale(0.75, 80, (100.0, 100.0), 4.0, ("a_v", "b_v"), ("v", -75.0, -55.0), density=None),
    "Rulkov": Scale(1.0, 80, (0.05, 0.05), 4.0, ("alpha", "sigma"), ("v", -1.0, -0.5), density=None),
    "WilsonCowan": Scale(1.0, 60, (0.4, 0.4), 4.0, ("c_1", "tau"), ("E", 0.0, 0.3), {}, None, 0.0, swing=0.05),
    "SSN": Scale(1.0, 40, (0.5, 2.0), 0.1, ("k", "n"), ("r", 0.0, 4.0), density=None, least=0.0),
    "Prospective": Scale(1.0, 40, (0.0, 1.0), 0.1, ("tau", "tau_a"), ("v", -1.0, 1.0), density=None, least=0.0),
    "LTC": Scale(1.0, 40, (-1.0, 2.0), 1.0, ("tau", "A"), ("v", -1.0, 1.0), density=None, least=0.0),
    "GRU": Scale(1.0, 30, (0.0, 1.0), 1.0, ("b_r", "b_c"), ("h", -1.0, 1.0), density=None, least=0.0),
    "LRU": Scale(1.0, 30, (0.0, 1.0), 0.1, ("nu", "theta"), ("a", -1.0, 1.0), density=None, least=0.0),
    "DaleRate": Scale(1.0, 40, (0.5, 0.5), 0.8, ("tau", "bias"), ("v", 0.0, 1.0), {}, None, 0.0, swing=0.05),
    "LiRinzel": Scale(200.0, 60, (0.02, 0.02), 1.0, ("c_0", "d_2"), ("C", 0.05, 0.3), density=None, least=0.0),
    "NadkarniJung": Scale(100.0, 60, (0.005, 0.005), 0.1, ("c_0", "tau_p"), ("C", 0.4, 0.6), least=0.0),
    "AstrocyteModulated": Scale(1.0, 40, (0.0, 1.0), 1.0, ("tau", "w_a"), ("v", -1.0, 1.0), density=None, least=0.0),
}
