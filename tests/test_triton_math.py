"""Sine, cosine and tangent of the Triton target, digit by digit, under Triton's interpreter."""

import math

import mpmath
import numpy as np
import pytest
import torch

from graphc.codegen.triton import emit
from graphc.ir import Const, Graph, Input, Output

from .models.kernels import let, schedule_of, value
from .models.triton_kernels import for_triton, run_triton

pytestmark = pytest.mark.interpret

UNITS = {"sin": 2, "cos": 2, "tan": 4}  # allowed error, in units in the last place


def one_step(text, dtype, count, constant=None):
    x, y, angle = value("x", "h"), value("y", "h"), value("angle")
    fixed = () if constant is None else (Const(result=angle, value=constant),)
    nodes = (*fixed, let(y, text, x, *((angle,) if fixed else ())))
    graph = Graph("function", (Input("x", x, "sequence"),), nodes, (Output("y", y, "sequence"),))
    return for_triton(schedule_of(graph, "steps", {"h": count}, dtype), "elementwise", {"block": 1024})


def compute(text, points, dtype, constant=None):
    given = {"x": torch.as_tensor(points).reshape(1, 1, -1)}
    return run_triton(one_step(text, dtype, len(points), constant), given, 1, 1)["y"].flatten().numpy()


def angles(dtype):
    random = np.random.default_rng(0)
    quarters = np.concatenate([np.arange(-20, 21), random.integers(1, 10**7, 150)]) * (np.pi / 2)
    hardest = [45.553093477052, 91.106186954104, 14461176.67027838]  # float64 closest to multiples of pi/2
    parts = (np.linspace(-9, 9, 150), random.uniform(-(2.0**24), 2.0**24, 150), [1e-30, -1e-9, 2.0**24], hardest)
    x = np.concatenate([quarters, *parts]).astype(dtype)
    return np.concatenate([x, np.nextafter(x, x.dtype.type(0)), np.nextafter(x, x.dtype.type(np.inf))])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", UNITS)
def test_angles_below_two_to_the_24_keep_their_digits(name, dtype):
    points = angles(dtype)
    with mpmath.workprec(200):
        for x, ours in zip(points, compute(f"{name}(x)", points, dtype), strict=True):
            wanted = getattr(mpmath, name)(mpmath.mpf(float(x)))
            unit = float(np.spacing(np.abs(np.dtype(dtype).type(wanted))))
            assert abs(float(ours) - wanted) <= UNITS[name] * unit, (x, ours)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", UNITS)
def test_no_angle_no_value(name, dtype):
    lost = np.array([math.nan, math.inf, -math.inf, 2.0**52, -1e38], dtype)
    assert np.isnan(compute(f"{name}(x)", lost, dtype)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_digits_fade_beyond_two_to_the_24(dtype):
    points = np.array([2.0**26, 3e8, -(2.0**31)], dtype)
    assert np.abs(compute("sin(x)", points, dtype) - np.sin(points.astype(float))).max() < 1e-6


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", UNITS)
def test_a_constant_angle_is_computed(name, dtype):
    ours = compute(f"x*{name}(angle)", np.ones(3, dtype), dtype, constant=2.5)
    np.testing.assert_allclose(ours, getattr(math, name)(2.5), rtol=1e-6 if dtype == "float32" else 1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_step_uses_no_wave_of_triton_itself(dtype):
    text = emit(one_step("sin(x) + cos(x) + tan(x)", dtype, 4))["forward"]  # theirs index an array on the stack
    assert "tl.sin" not in text and "tl.cos" not in text and text.count("def _wave(") == 1
