import numpy as np
import pytest
import sympy
from scipy.integrate import quad

import graphc as gc
from graphc import surrogate

C = sympy.Symbol("c", real=True)
ALL = [
    surrogate.SuperSpike(10.0),
    surrogate.FastSigmoid(),
    surrogate.Sigmoid(4.0),
    surrogate.Triangle(0.3, 0.7),
    surrogate.Rectangle(1.5),
    surrogate.ArcTan(),
    surrogate.Gaussian(0.4),
    surrogate.MultiGaussian(),
    surrogate.StraightThrough(),
    surrogate.EscapeNoise(5.0, 0.3),
    surrogate.LogSumExp(0.5),
]


def value(e, c):
    return float(e.subs(C, sympy.Float(c)))


@pytest.mark.parametrize("s", ALL, ids=lambda s: type(s).__name__)
def test_antiderivative_is_the_integral_of_the_derivative(s):
    slope, integral = s.derivative(C), s.antiderivative(C)
    for a, b in ((-3.0, -0.2), (-0.2, 0.0), (0.0, 0.31), (0.31, 2.0)):
        area, _ = quad(lambda c: value(slope, c), a, b, points=[-0.75, -0.7, 0.7, 0.75], epsabs=1e-12)
        assert value(integral, b) - value(integral, a) == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("s", ALL, ids=lambda s: type(s).__name__)
def test_symbolic_derivative_of_the_integral_is_the_derivative(s):
    difference = s.antiderivative(C).diff(C).doit()
    for c in (-2.0, -0.33, 0.21, 1.7):
        assert value(difference, c) == pytest.approx(value(s.derivative(C), c), rel=1e-9, abs=1e-12)


# The formulas of the peers, from their sources, as NumPy.
PEERS = {
    "snntorch fast_sigmoid": (surrogate.FastSigmoid(25.0), lambda x: 1 / (25.0 * abs(x) + 1.0) ** 2),
    "snntorch atan": (surrogate.ArcTan(2.0), lambda x: 2.0 / 2 / (1 + (np.pi / 2 * 2.0 * x) ** 2)),
    "snntorch sigmoid": (surrogate.Sigmoid(25.0), lambda x: 25.0 * np.exp(-25.0 * x) / (np.exp(-25.0 * x) + 1) ** 2),
    "spikingjelly sigmoid": (
        surrogate.Sigmoid(4.0),
        lambda x: (1 - 1 / (1 + np.exp(-4 * x))) / (1 + np.exp(-4 * x)) * 4,
    ),
    "spikingjelly quadratic": (surrogate.Triangle(1.0, 1 / 1.5), lambda x: max(0.0, -(1.5**2) * abs(x) + 1.5)),
    "spikingjelly erf": (
        surrogate.Gaussian(1 / (np.sqrt(2) * 2.0)),
        lambda x: np.exp(-((2.0 * x) ** 2)) * (2.0 / np.sqrt(np.pi)),
    ),
    "norse superspike": (surrogate.SuperSpike(100.0), lambda x: 1 / (100.0 * abs(x) + 1.0) ** 2),
    "norse triangle": (surrogate.Triangle(0.3, 1.0), lambda x: 0.3 * max(0.0, 1 - abs(x))),
    "lsnn": (surrogate.Triangle(0.3, 0.61), lambda x: 0.3 * max(0.0, 1 - abs(x / 0.61)) / 0.61),
}


@pytest.mark.parametrize(("ours", "theirs"), PEERS.values(), ids=PEERS)
def test_formula_is_the_peers(ours, theirs):
    for x in (-1.3, -0.4, -0.01, 0.0, 0.02, 0.5, 1.1):
        assert value(ours.derivative(C), x) == pytest.approx(theirs(x), rel=1e-12, abs=1e-15)


def test_multi_gaussian_is_negative_beside_the_bump():
    slope = surrogate.MultiGaussian().derivative(C)
    assert value(slope, 0) > 0.3 and value(slope, 2.5) < 0


def test_escape_noise_neither_overflows_nor_gives_nan():
    slope = surrogate.EscapeNoise().derivative(C)
    assert value(slope, 1e3) == 0 and value(slope, -1e3) == 0


@pytest.mark.parametrize("beta", [0, -1.0, float("nan"), float("inf"), "10", True])
def test_parameters_must_be_positive_numbers(beta):
    with pytest.raises(gc.DeclarationError, match="beta of SuperSpike must be a positive number"):
        gc.surrogate.SuperSpike(beta=beta)


def test_equal_options_make_equal_surrogates():
    assert gc.surrogate.SuperSpike(5.0) == gc.surrogate.SuperSpike(beta=5.0) != gc.surrogate.FastSigmoid(5.0)
