import copy
import math
import pickle

import mpmath
import numpy as np
import pytest
import sympy

import graphc as gc
from graphc.ir import functions
from graphc.ir.functions import at_threshold, detach, exprel, exprel_prime, previous, relu, sigmoid, softplus

X = sympy.Symbol("x", real=True)
POINTS = [-30.0, -2.5, -0.11, -0.09, -1e-5, 0.0, 1e-9, 0.05, 0.0999, 0.1001, 1.0, 7.5, 30.0]
EXACT = {
    exprel: lambda x: mpmath.mpf(1) if x == 0 else mpmath.expm1(x) / x,
    sigmoid: lambda x: 1 / (1 + mpmath.exp(-x)),
    softplus: lambda x: mpmath.log(1 + mpmath.exp(x)),
}


@pytest.mark.parametrize("function", EXACT, ids=str)
@pytest.mark.parametrize("x", POINTS)
def test_value_and_derivative_equal_fifty_digits(function, x):
    with mpmath.workdps(50):
        value, slope = EXACT[function](mpmath.mpf(x)), mpmath.diff(EXACT[function], mpmath.mpf(x), h=mpmath.mpf(1e-15))
    assert float(function(x)) == pytest.approx(float(value), rel=1e-14)
    assert float(function(X).diff(X).subs(X, x)) == pytest.approx(float(slope), rel=1e-13)


@pytest.mark.parametrize("x", POINTS)
def test_second_derivative_of_exprel_has_no_singularity(x):
    def series(x):
        return mpmath.nsum(lambda k: mpmath.mpf(x) ** k / (mpmath.factorial(k) * (k + 3)), [0, mpmath.inf])

    with mpmath.workdps(40):
        wanted = series(x) if abs(x) < 2 else mpmath.diff(EXACT[exprel], mpmath.mpf(x), 2)
    assert float(exprel_prime(X).diff(X).subs(X, x)) == pytest.approx(float(wanted), rel=1e-10)


def test_values_at_zero_are_the_limits():
    assert [float(f(0)) for f in (exprel, exprel_prime, sigmoid)] == [1, 0.5, 0.5]
    assert float(softplus(0)) == math.log(2)


@pytest.mark.parametrize("x", [800.0, 1e4, -800.0, -1e4, sympy.oo, -sympy.oo])
def test_far_arguments_neither_raise_nor_give_nan(x):
    assert not any(math.isnan(float(f(x))) for f in (exprel, exprel_prime, sigmoid, softplus, relu))


def test_relu_is_max_and_its_slope_at_zero_is_zero():
    assert [relu(x) for x in (-2, 0, 3)] == [0, 0, 3]
    assert [relu(X).diff(X).subs(X, x) for x in (-1, 0, 1)] == [0, 0, 1]


def test_structure_is_kept_as_written():
    e = exprel(2 * X) * sigmoid(X + 1)
    assert {exprel(2 * X), sigmoid(X + 1)} == e.atoms(sympy.Function)


def test_clip_and_where_are_sympy_expressions():
    clipped, chosen = gc.clip(X, -1, 2), gc.where(X > 0, X, -2 * X)
    assert [clipped.subs(X, x) for x in (-3, 0, 5)] == [-1, 0, 2]
    assert [chosen.subs(X, x) for x in (-3, 5)] == [6, 5]


def test_detach_has_derivative_zero_inside_and_out():
    assert (X * detach(X**2)).diff(X) == detach(X**2)
    assert detach(3) == 3


def test_markers_survive_pickle_and_deepcopy():
    e = previous(X, 2) + at_threshold(X) * detach(X) + exprel(X)
    assert pickle.loads(pickle.dumps(e)) == e == copy.deepcopy(e)


def test_detach_of_a_state_cuts_every_tensor():
    class Tensor:
        def detach(self):
            return "cut"

    assert gc.detach({"hid.v": Tensor(), "t": Tensor()}) == {"hid.v": "cut", "t": "cut"}


def test_functions_are_real_for_real_arguments():
    names = ("exprel", "exprel_prime", "sigmoid", "softplus", "relu", "detach", "at_threshold", "previous")
    assert all(getattr(functions, name)(X).is_real for name in names)
    assert np.isfinite(float(exprel(sympy.pi).evalf()))
