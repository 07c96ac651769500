"""What goes wrong after the declaration names the user's line, what is wrong there and a way out."""

import ast
import os
import subprocess
import sys
import warnings

import pytest
import sympy
import torch

import graphc as gc
from graphc.units import ms

v, i = gc.states("v i")
x = gc.input("x")
tau = gc.param("tau", 10.0)
theta = gc.param("theta", 1.0, learn=True, per="neuron", min=0.1, max=3.0)
LIF = gc.Neuron("LIF", ode={v: (x - v) / tau}, spike=gc.Spike(v > theta), reset={v: 0})
SPIKES = torch.ones(4, 2, 3)


def network(neuron=LIF, dt=1.0, **values):
    net = gc.Network(dt=dt * ms)
    net.input("x", 3)  # the input
    net.population("hid", neuron, 4, **values)  # the population
    net.connect("x", "hid")  # the connection
    net.output("hid")
    return net


def line_of(comment):
    with open(__file__) as file:
        return 1 + [line.rstrip().endswith(f"# {comment}") for line in file].index(True)


@pytest.fixture(scope="module")
def model():
    return gc.compile(network(), target="c")


def bad(value):
    spikes = SPIKES.clone()
    spikes[2, 1, 0] = value
    return spikes


INPUTS = {
    "width": (torch.ones(4, 2, 5), r"input 'x' has shape \(4, 2, 5\), but \(T, B, 3\) is declared"),
    "no batch": (torch.ones(4, 3), r"input 'x' has shape \(4, 3\), but \(T, B, 3\) is declared"),
    "dtype": (SPIKES.double(), r"is torch.float64, but the model computes in torch.float32\n.*\n  hint: pass x\.to"),
    "whole numbers": (SPIKES.long(), r"is torch.int64, but the model computes in torch.float32"),
    "device": (SPIKES.to("meta"), r"input 'x' is on meta, the model on cpu"),
    "no tensor": ([1.0], r"input 'x' is a list, no tensor"),
    "missing": (None, r"input 'x' of the network was not given"),
    "misnamed": ({"y": SPIKES}, r"input 'x' of the network was not given"),
}


@pytest.mark.parametrize(("given", "message"), INPUTS.values(), ids=INPUTS)
def test_a_wrong_input_is_reported_on_the_line_that_declares_it(model, given, message):
    with pytest.raises(gc.GraphcError, match=message) as caught:
        model(given)
    assert str(caught.value).startswith(f"test_errors.py:{line_of('the input')}: ")


def test_an_input_too_many_is_named(model):
    with pytest.raises(gc.GraphcError, match=r"the network has no input 'y'\n  hint: its inputs are 'x'"):
        model({"x": SPIKES, "y": SPIKES})


def test_an_unknown_record_is_reported_on_the_line_that_asks_for_it(model):
    with pytest.raises(gc.DeclarationError, match=r"'hid\.w' names no signal of population 'hid'") as caught:
        model.run(SPIKES, record=["hid.w"])  # asks for hid.w
    assert caught.value.loc.line == line_of("asks for hid.w") and "there are output, spike, v, x" in caught.value.hint
    with pytest.raises(gc.GraphcError, match=r"record is the text 'hid.v'.*\n  hint: record=\['hid.v'\]"):
        model.run(SPIKES, record="hid.v")


@pytest.mark.parametrize("target", ["c", "reference"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_not_finite_in_the_input_is_reported_with_population_state_and_step(target, value):
    model = gc.compile(network(), target=target)
    model(SPIKES)
    with pytest.raises(gc.NonFiniteError, match=r"state 'v' of population 'hid' .* step 2 on \(sample 1,") as caught:
        model(bad(value))
    assert str(caught.value).startswith(f"test_errors.py:{line_of('the population')}: ")
    assert "NaN in the input" in caught.value.hint


def test_a_step_longer_than_the_time_constant_is_warned_of_once_on_the_users_line():
    # fmt: off
    fast = gc.Neuron(
        "Fast",
        ode={v: (x - v) / tau},  # the fast equation
        integrator="euler",
    )
    # fmt: on
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model = gc.compile(network(fast, tau=0.5))
        model.run(SPIKES, record=["hid.v"])
    (warned,) = (w for w in found if issubclass(w.category, gc.GraphcWarning))
    assert warned.filename == __file__ and warned.lineno == line_of("the fast equation")
    assert "dt = 1.0 ms is longer than the time constant 0.5 ms of 'hid.v'" in str(warned.message)


def test_a_step_shorter_than_the_time_constant_is_not_warned_of():
    slow = gc.Neuron("Slow", ode={v: (x - v) / tau}, integrator="euler")
    with warnings.catch_warnings():
        warnings.simplefilter("error", gc.GraphcWarning)
        gc.compile(network(slow, tau=2.0))


@pytest.mark.parametrize(("value", "shown"), [(0.05, "0.05"), (3.0, "3.0"), (float("nan"), "nan")])
def test_a_value_outside_the_bounds_of_a_learned_parameter_cannot_be_assigned(value, shown):
    model = gc.compile(network())
    before = model.hid.theta.detach().clone()
    with pytest.raises(gc.GraphcError, match=rf"'hid.theta' is set to {shown}.* above 0.1 and below 3.0") as caught:
        model.hid.theta = torch.full((4,), value)
    assert caught.value.loc.line == line_of("the population")
    assert torch.equal(model.hid.theta, before)
    model.hid.theta = torch.full((4,), 2.0)
    assert torch.allclose(model.hid.theta, torch.tensor(2.0))


def test_a_parameter_replaced_by_another_shape_or_dtype_is_refused_before_a_kernel_reads_it():
    model = gc.compile(network())
    model.x_hid.weight = torch.nn.Parameter(torch.ones(1, 1))
    with pytest.raises(gc.GraphcError, match=r"'x_hid.weight' has shape \(1, 1\), but \(3, 4\)") as caught:
        model(SPIKES)
    assert caught.value.loc.line == line_of("the connection")
    model.x_hid.weight = torch.nn.Parameter(torch.ones(3, 4, dtype=torch.float64))
    with pytest.raises(gc.GraphcError, match=r"'x_hid.weight' is torch.float64 on cpu, but the model computes in"):
        model(SPIKES)


COMPILE = {
    "no network": (lambda: gc.compile(LIF), "gc.compile takes a gc.Network, not a Neuron"),
    "learning": (lambda: gc.compile(network(), learn="rtrl"), "learn='rtrl' names no learning"),
    "target": (lambda: gc.compile(network(), target="cuda"), "unknown target 'cuda'"),
}


@pytest.mark.parametrize(("compiled", "message"), COMPILE.values(), ids=COMPILE)
def test_a_wrong_call_of_compile_is_reported_on_its_line(compiled, message):
    with pytest.raises(gc.GraphcError, match=message) as caught:
        compiled()
    assert str(caught.value).startswith("test_errors.py:") and "gc.compile(" in caught.value.loc.text


def test_an_unsupported_dtype_is_refused():
    with pytest.raises(gc.TargetError, match=r"torch.int8 is not supported\n  hint: use torch.float32"):
        gc.compile(network(), dtype=torch.int8)


NO_COMPILER = """
import sys
import torch, graphc as gc
v, x = gc.state("v"), gc.input("x")
net = gc.Network(dt=1)
net.input("x", 2)
net.population("p", gc.Neuron("N", ode={v: x - v}), 2)
net.connect("x", "p")
net.output("p")
try:
    gc.compile(net, target="c")(torch.ones(2, 1, 2))
except gc.TargetError as error:
    print(error)
print(gc.compile(net, target="reference")(torch.ones(2, 1, 2)).shape)
"""


def test_without_a_c_compiler_the_way_out_works():
    clean = {k: value for k, value in os.environ.items() if k != "CC"}
    done = subprocess.run(
        [sys.executable, "-c", NO_COMPILER], env={**clean, "PATH": ""}, capture_output=True, text=True, check=True
    )
    assert "there is no C compiler" in done.stdout and 'use target="reference"' in done.stdout
    assert "torch.Size([2, 1, 2])" in done.stdout


def named(state="u", param="p0", input="given", population="pop", let="drive", weight="w_in"):
    """Return a network with one name of each kind, all of which reach the generated code."""
    u, p, drive = gc.state(state), gc.param(param, 5.0, learn=True), sympy.Symbol(let)
    neuron = gc.Neuron(
        "N", ode={u: (drive - u) / p}, let={let: gc.input("x") - u**2}, spike=gc.Spike(u > 0.1), reset={u: 0}
    )
    net = gc.Network(dt=1)
    net.input(input, 4)
    net.population(population, neuron, 4)
    net.connect(input, population, connectivity=gc.OneToOne(), name=weight)
    net.connect(population, population, delay=1, name="again")
    net.output(population, f"{population}.{let}")
    return net


def refused_on_its_line(build):
    try:
        build()
    except gc.DeclarationError as error:
        return str(error).startswith("test_errors.py:") and error.loc.text != ""
    return False


@pytest.mark.parametrize("name", ["_x", "for", "lambda", "int", "double", "register", "1a", "a-b", "ü", "None"])
@pytest.mark.parametrize("kind", ["state", "param", "input", "population", "let", "weight"])
def test_names_of_keywords_and_of_generated_names_are_refused_on_their_line(kind, name):
    assert refused_on_its_line(lambda: named(**{kind: name}))


@pytest.mark.parametrize("name", ["exp", "tl", "max", "torch", "triton", "where", "exprel"])
@pytest.mark.parametrize("kind", ["state", "param"])
def test_symbols_named_as_functions_of_generated_code_are_refused_on_their_line(kind, name):
    assert refused_on_its_line(lambda: named(**{kind: name}))


def compiles(text):
    """Whether the system's C compiler accepts `text`."""
    command = ["gcc", "-std=gnu11", "-fopenmp", "-march=native", "-fsyntax-only", "-x", "c", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True).returncode == 0


def hidden(text):
    """Return the names that a Triton text binds although it means a function by them."""
    tree = ast.parse(text)
    functions = {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}
    called = {"tl", "triton", "range", "float", "int", *(f for f in functions if f.startswith("_"))}
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return (bound | {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}) & called


ALLOWED = [
    {"input": name} for name in ("T", "B", "n", "k", "found", "row", "tl", "exp", "main", "linux", "NULL", "isnan")
] + [
    {"input": "real", "population": "int32", "state": "s"},
    {"input": "forward_1", "population": "INT32", "state": "MAX"},
    {"input": "EXIT_SUCCESS", "population": "now", "state": "E", "param": "I"},
    {"input": "int64_t", "population": "tl", "state": "load", "param": "pi"},
    {"let": "exp"},
    {"let": "tl", "weight": "where"},
    {"population": "exp", "state": "step", "let": "rows", "weight": "size"},
]


@pytest.mark.parametrize("names", ALLOWED, ids=lambda names: "-".join(names.values()))
def test_every_other_name_works_in_both_languages(names):
    model = gc.compile(named(**names))
    for half in ("forward", "backward"):
        assert compiles(model.source(half, "c")) and not hidden(model.source(half, "triton"))


def test_a_network_of_odd_names_computes_what_one_of_plain_names_does():
    results = []
    for names in ({}, {"input": "NULL", "population": "INT32", "state": "MAX", "param": "I", "let": "N"}):
        torch.manual_seed(0)
        model = gc.compile(named(**names))
        spikes = (torch.rand(6, 2, 4) * 3).requires_grad_()
        out = model(spikes)
        sum(y.sum() for y in out.values()).backward()
        results.append([*out.values(), spikes.grad, *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert results[0][0].any() and all(g.abs().sum() > 0 for g in results[0][2:])
