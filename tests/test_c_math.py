"""The functions of the C text against mpmath, and their bits in a vector against those alone."""

import ctypes

import mpmath
import numpy as np
import pytest

from graphc.codegen.c.prelude import prelude
from graphc.codegen.expr import c_dialect
from graphc.runtime.compiler import build

SMOOTH = {
    "exp": (mpmath.exp, 1.0),
    "expm1": (mpmath.expm1, 2.0),
    "log": (lambda x: mpmath.log(abs(x)), 2.0),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), 4.0),
    "tanh": (mpmath.tanh, 4.0),
    "sinh": (mpmath.sinh, 4.0),
    "cosh": (mpmath.cosh, 4.0),
    "tan": (mpmath.tan, 4.0),
    "sin": (mpmath.sin, 2.0),
    "cos": (mpmath.cos, 2.0),
    "softplus": (lambda x: mpmath.log(1 + mpmath.exp(x)), 4.0),
    "exprel": (lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1), 2.0),
    "exprel_prime": (lambda x: (mpmath.exp(x) * (x - 1) + 1) / x**2 if x else mpmath.mpf("0.5"), 6.0),
    "sqrt": (lambda x: mpmath.sqrt(abs(x)), 0.5),
    "floor": (mpmath.floor, 0.0),
    "sign": (mpmath.sign, 0.0),
    "relu": (lambda x: max(x, mpmath.mpf(0)), 0.0),
    "pow7": (lambda x: x**7, 4.0),
    "erf": (mpmath.erf, 2.0),
}
ABSOLUTE = {"log", "sqrt"}  # defined for positive arguments


def library(dtype):
    """Return every function as `v_name(x, y, n)` over arrays, and max, min, mod, pow of two arrays."""
    dialect = c_dialect(dtype)
    two = {"max", "min", "mod", "pow"}
    text = prelude({f"_{name}" for name in (*SMOOTH, *two)}, dialect)
    loop = "{{\n#pragma omp simd\nfor (int i = 0; i < n; i++) y[i] = {}; }}\n"
    for name in SMOOTH:
        text += f"void v_{name}(const real *x, real *y, int n) " + loop.format(f"_{name}(x[i])")
    for name in sorted(two):
        text += f"void w_{name}(const real *x, const real *z, real *y, int n) " + loop.format(f"_{name}(x[i], z[i])")
    return ctypes.CDLL(str(build(text)))


@pytest.fixture(scope="module", params=["float32", "float64"])
def functions(request):
    return np.dtype(request.param), library(request.param)


def call(function, *arrays):
    out = np.empty_like(arrays[0])
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, out)]
    function(*pointers, len(out))
    return out


def arguments(dtype):
    draw = np.random.default_rng(3)
    wide = [
        draw.uniform(-5, 5, 100),
        draw.uniform(-80, 80, 60),
        draw.uniform(-1e-3, 1e-3, 40),
        draw.normal(0, 1e-6, 20),
    ]
    return np.concatenate([*wide, [0.5, -0.5, 1, -1, 0.7, -0.7]]).astype(dtype)


@pytest.mark.parametrize("name", SMOOTH)
def test_a_function_is_accurate_to_a_few_units_in_the_last_place(functions, name):
    dtype, lib = functions
    exact, bound = SMOOTH[name]
    x = np.abs(arguments(dtype)) if name in ABSOLUTE else arguments(dtype)
    got = call(getattr(lib, f"v_{name}"), x)
    with mpmath.workprec(200):
        for argument, y in zip(x.tolist(), got.tolist(), strict=True):
            wanted = exact(mpmath.mpf(argument))
            unit = float(np.spacing(dtype.type(abs(float(wanted)))))
            assert abs(mpmath.mpf(y) - wanted) <= (bound + 0.01) * unit, (argument, y, wanted)


@pytest.mark.parametrize("name", SMOOTH)
def test_a_function_has_the_same_bits_in_a_vector_as_alone(functions, name):
    dtype, lib = functions
    x = np.abs(arguments(dtype)) if name in ABSOLUTE else arguments(dtype)
    together = call(getattr(lib, f"v_{name}"), x)
    alone = np.concatenate([call(getattr(lib, f"v_{name}"), x[k : k + 1].copy()) for k in range(len(x))])
    assert together.tobytes() == alone.tobytes()


def test_functions_at_the_ends_of_the_range(functions):
    dtype, lib = functions
    x = np.array([np.inf, -np.inf, np.nan, 0.0], dtype=dtype)
    wanted = {
        "exp": [np.inf, 0, np.nan, 1],
        "expm1": [np.inf, -1, np.nan, 0],
        "log": [np.inf, np.nan, np.nan, -np.inf],
        "sigmoid": [1, 0, np.nan, 0.5],
        "tanh": [1, -1, np.nan, 0],
        "relu": [np.inf, 0, np.nan, 0],
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(call(getattr(lib, f"v_{name}"), x), np.array(values, dtype=dtype), err_msg=name)


def test_functions_of_two_arguments_follow_torch(functions):
    torch = pytest.importorskip("torch")
    dtype, lib = functions
    x = np.array([1, -1, 2.5, -2.5, np.nan, 3, 0.0, 7.25], dtype=dtype)
    z = np.array([2, -2, 0.75, 0.75, 1, np.nan, -1.5, -2], dtype=dtype)
    rules = {"max": torch.maximum, "min": torch.minimum, "mod": torch.remainder}
    for name, rule in rules.items():
        wanted = rule(torch.from_numpy(x), torch.from_numpy(z)).numpy()
        np.testing.assert_array_equal(call(getattr(lib, f"w_{name}"), x, z), wanted, err_msg=name)
    base, exponent = np.array([2, 0.5, -3, 4, 0, 5], dtype=dtype), np.array([0.5, -2, 3, 1.7, 2, 0], dtype=dtype)
    wanted = np.power(base.astype(float), exponent.astype(float))
    np.testing.assert_allclose(call(lib.w_pow, base, exponent), wanted, rtol=4 * np.finfo(dtype).eps)
