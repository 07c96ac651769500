"""What can be said of Triton kernels without a GPU: their text, and what they use when built ahead of time."""

import ast
import os
import re

import pytest
import sympy

from graphc.codegen.triton import emit, plan
from graphc.ir import Graph, Input, Output
from graphc.ir.functions import exprel, exprel_prime, sigmoid, softplus
from graphc.runtime.ahead import KernelReport, compile_ahead

from .models.kernels import let, schedule_of, value
from .models.triton_kernels import for_triton, network_of, schedule_network
from .oracles.networks import SCALES

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets in this process")
SHARED = {80: 163 * 1024, 90: 227 * 1024, "gfx942": 64 * 1024}
EVERY = bool(os.environ.get("GRAPHC_EVERY_CASE"))
RECURRENT = {32: {"warps": 4}, 64: {"warps": 8}, 128: {"warps": 16}}  # neurons -> what spills nothing


def without_lines(text: str) -> str:
    return re.sub(r"(\w+\.py):\d+", r"\1", text)


@pytest.mark.parametrize("half", ["forward", "backward"])
@pytest.mark.parametrize("neuron, delay", [("LIF", None), ("CuBaLIF", 1), ("CuBaLIF", 5)])
def test_text_of(golden, neuron, delay, half):
    golden(without_lines(emit(schedule_network(network_of(neuron, 20, delay)))[half]))


def test_text_is_python_without_paths_and_always_the_same():
    first, second = (emit(schedule_network(network_of("ALIF", 20, 2))) for _ in range(2))
    assert first == second and set(first) == {"forward", "backward"}
    for text in first.values():
        names = [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
        assert len(names) == len(set(names)) and "/" + "home" not in text and os.getcwd() not in text


def test_a_network_without_gradients_has_no_backward_half():
    made = schedule_network(network_of("LIF", 20))
    assert set(emit(made)) == {"forward", "backward"}
    forward = type(made)(**{**{f: getattr(made, f) for f in made.__slots__}, "kernels": made.half(False)})
    assert set(emit(forward)) == {"forward"}


def test_a_long_step_is_not_unrolled():
    unrolls = {
        neuron: [plan(made, k).unroll for k in made.kernels if k.kind != "product"]
        for neuron in ("LIF", "HodgkinHuxley")
        for made in [schedule_network(network_of(neuron, 20))]
    }
    assert unrolls["LIF"] == [4, 4] and unrolls["HodgkinHuxley"] == [1, 1]


def assert_fits(reports: list[KernelReport], arch: int | str) -> None:
    assert reports
    for report in reports:
        assert report.registers and report.shared <= SHARED[arch], report.name
        assert report.spills == 0 and report.local == 0, (report.name, report.spills)
        assert report.atomics == 0


@pytest.mark.parametrize("arch", [80, 90, "gfx942"])
def test_elementwise_kernels_fit_and_access_memory_widely(arch):
    made = schedule_network(network_of("CuBaLIF", 1024))
    reports = compile_ahead(made, emit(made), arch)
    assert_fits(reports, arch)
    if arch != "gfx942":
        assert all(report.wide[0] >= 0.6 * report.wide[1] for report in reports)


@pytest.mark.parametrize("neuron", list(SCALES) if EVERY else ["AdEx", "HodgkinHuxley", "Theta"])
def test_elementwise_kernels_of_the_zoo_fit(neuron):
    made = schedule_network(network_of(neuron, 1024))
    assert_fits(compile_ahead(made, emit(made), 90), 90)


@pytest.mark.parametrize(
    "neuron, size, arch", [("LIF", 64, 80), ("CoBaLIF", 64, 90), ("ALIF", 128, 90), ("CuBaLIF", 32, "gfx942")]
)
def test_recurrent_kernels_fit(neuron, size, arch):
    made = schedule_network(network_of(neuron, size, 1), tuned=RECURRENT[size])
    assert_fits(compile_ahead(made, emit(made), arch), arch)


def test_the_time_loop_does_not_load_the_weights():
    made = schedule_network(network_of("CuBaLIF", 64, 1), tuned=RECURRENT[64])
    for report in compile_ahead(made, emit(made), 90):
        assert (
            0 < max(loads_in_loops(report.assembly)) <= 4
        )  # one vector of a row per sequence; the weights would be 4 more


def loads_in_loops(assembly: str) -> list[int]:
    lines = assembly.splitlines()
    labels = {m[1]: n for n, line in enumerate(lines) if (m := re.match(r"(\.L_x_\d+):", line))}
    jumps = [(labels[m[1]], n) for n, line in enumerate(lines) if (m := re.search(r"BRA `\((\.L_x_\d+)\)", line))]
    bodies = [lines[start:end] for start, end in jumps if end - start > 1]
    return [sum("LDG" in line for line in body) for body in bodies if any("FFMA" in line for line in body)]


def test_float64_builds():
    made = schedule_network(network_of("CuBaLIF", 32, 1), "float64", {"warps": 8})
    assert_fits(compile_ahead(made, emit(made), 90, checks=False), 90)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_builds(dtype):
    x, y = value("x", "h"), value("y", "h")
    s = sympy.Symbol("x", real=True)
    smooth = (exprel(s), exprel_prime(s), sigmoid(s), softplus(s), sympy.tanh(s), sympy.sinh(s), sympy.cosh(s))
    others = (sympy.atan(s), sympy.asin(s), sympy.acos(s), sympy.erf(s), sympy.log(s), sympy.sqrt(s))
    waves = (sympy.sin(s), sympy.cos(s), sympy.tan(s))
    powers = (2**s, s**2.5, s**7, s**-2, sympy.Mod(s, 3), sympy.sign(s), sympy.floor(s), sympy.ceiling(s))
    kinks = (sympy.Max(s, 1), sympy.Min(s, 0), sympy.Heaviside(s, sympy.Rational(1, 2)), sympy.Abs(s))
    choice = sympy.Piecewise((sympy.Float(0.1), (s > 0) & ~(s >= 2)), (sympy.Float(0.3), True))
    node = let(y, "x", x)
    node = type(node)(result=y, operands=(x,), expr=sympy.Add(*smooth, *others, *waves, *powers, *kinks, choice))
    graph = Graph("function", (Input("x", x, "sequence"),), (node,), (Output("y", y, "sequence"),))
    made = for_triton(schedule_of(graph, "steps", {"h": 64}, dtype), "elementwise")
    for arch in (90, "gfx942"):
        assert_fits(compile_ahead(made, emit(made), arch), arch)
