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
}
