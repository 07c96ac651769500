"""Triton kernels under Triton's interpreter, against the interpreter of the IR."""

import math
import os

import pytest
import sympy
import torch

import graphc as gc
from graphc.codegen.triton import emit, plan
from graphc.ir import Carry, Graph, History, Input, Output, Read, TargetError
from graphc.ir.functions import exprel, exprel_prime, sigmoid, softplus
from graphc.runtime import Run

from .models.kernels import adaptive, adjoint, cuba, draw, let, run_reference, schedule_of, value
from .models.triton_kernels import for_triton, run_triton
from .oracles.networks import KINDS, SCALES, WIDE, Case, build

pytestmark = pytest.mark.interpret

TOLERANCE = {"float64": 1e-12, "float32": 2e-4}  # float32: steps of rounding, no spike at the threshold
STORAGE = {"held": "uint8", "k0": "int32", "k1": "int32", "z": "uint8"}


def assert_same(plan, steps, batch, start=0, given=None):
    given = given or draw(plan, steps, batch)
    ours, wanted = run_triton(plan, given, steps, batch, start), run_reference(plan, given, steps, batch, start)
    for name, tensor in wanted.items():
        scale = max(1.0, float(tensor.abs().max()) if tensor.numel() else 0.0)
        torch.testing.assert_close(
            ours[name].double(), tensor.double(), rtol=0, atol=TOLERANCE[plan.dtype] * scale, msg=name
        )
    return ours


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("delay", [1, 3])
def test_recurrence_equals_the_interpreter(delay, dtype):
    for neurons, steps, batch in ((3, 2, 1), (100, 4, 17), (37, 12, 5)):  # 100: the product is made in two blocks
        plan = schedule_of(cuba(delay), "steps", {"hid": neurons}, dtype, {}, STORAGE)
        ours = assert_same(for_triton(plan, "resident"), steps, batch)
    assert 0 < ours["z"].sum() < ours["z"].numel()


@pytest.mark.parametrize("unroll", [1, 4])
@pytest.mark.parametrize("kind", ["steps", "reverse"])
def test_elementwise_loops_equal_the_interpreter(kind, unroll):
    for neurons, steps, batch in (
        (5, 9, 30),
        (70, 6, 2),
        (1, 3, 1),
    ):  # three programs, whose borders cross rows, and one
        plan = schedule_of(adaptive(), kind, {"h": neurons}, "float64", {"unroll": unroll}, STORAGE)
        ours = assert_same(for_triton(plan, "elementwise", {"block": 64}), steps, batch, start=7)
    assert float(ours["total"]) != 0


def test_unrolled_steps_are_bitwise_those_of_the_plain_loop():
    plan = schedule_of(cuba(0), "steps", {"hid": 20}, "float32")
    given = draw(plan, 11, 3)
    given["x"] += 1.0
    plain, unrolled = (run_triton(for_triton(plan, "elementwise", {"unroll": u}), given, 11, 3) for u in (1, 4))
    assert plain["z"].any() and all(torch.equal(plain[name], unrolled[name]) for name in plain)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_through_weights_equal_the_interpreter(dtype):
    for neurons, outputs, steps, batch in ((37, 20, 4, 19), (16, 1, 3, 2)):
        plan = schedule_of(adjoint(), "reverse", {"h": neurons, "o": outputs}, dtype)
        assert_same(for_triton(plan, "resident"), steps, batch)


@pytest.mark.parametrize("kind", ["steps", "reverse"])
@pytest.mark.parametrize("depth", [2, 8, 11])  # registers in both strategies, in one, a ring in both
def test_histories_reach_back_by_their_delay(kind, depth):
    x, old, new, total = (value(n, "h") for n in ("x", "old", "new", "total"))
    nodes = (
        Read(result=old, history="past", delay=depth),
        Read(result=new, history="past", delay=1),
        let(total, "x + old/2 - new/4", x, old, new),
    )
    history = History("past", total, depth, "before", "after")
    graph = Graph("delayed", (Input("x", x, "sequence"),), nodes, (Output("y", total, "sequence"),), (), (history,))
    for strategy in ("elementwise", "resident"):
        for steps in (depth - 1, depth + 5):
            assert_same(for_triton(schedule_of(graph, kind, {"h": 5}), strategy, {"unroll": 2}), steps, 3)


@pytest.mark.parametrize("strategy", ["elementwise", "resident"])
def test_a_history_that_nothing_reads_costs_the_loop_nothing(strategy):
    x, y, twice = value("x", "p"), value("y", "h"), value("twice", "h")
    inputs = (Input("x", x, "sequence"), Input("y", y, "sequence"))
    histories = (History("past x", x, 4, "x0", "x1"), History("past y", twice, 4, None, "y1"))
    graph = Graph("kept", inputs, (let(twice, "2*y", y),), (Output("z", twice, "sequence"),), (), histories)
    made = for_triton(schedule_of(graph, "steps", {"p": 700, "h": 5}), strategy)
    for steps in (1, 9):
        assert_same(made, steps, 3)
    assert set(plan(made, made.kernels[0]).extent) == {"h"}


def test_a_loop_without_steps_hands_the_state_on():
    plan = for_triton(schedule_of(cuba(3), "steps", {"hid": 4}), "resident")
    given = draw(plan, 0, 2)
    ours = run_triton(plan, given, 0, 2)
    assert torch.equal(ours["v1"], given["v0"]) and torch.equal(ours["z1"], given["z0"])
    assert not ours["i1"].any()


def test_strides_of_sequences_are_honoured():
    plan = for_triton(schedule_of(cuba(1), "steps", {"hid": 20}), "resident")
    given = draw(plan, 6, 5)
    wanted = run_triton(plan, given, 6, 5)
    given["x"] = given["x"].transpose(0, 1).contiguous().transpose(0, 1)  # batch first in memory
    assert torch.equal(run_triton(plan, given, 6, 5)["c"], wanted["c"])
    given["x"] = given["x"][:1, :1].expand(6, 5, 20)  # one row for all
    assert_same(plan, 6, 5, given=given)


@pytest.mark.parametrize("strategy", ["elementwise", "resident"])
def test_the_earliest_value_that_is_not_finite_is_reported(strategy):
    plan = schedule_of(cuba(0), "steps", {"hid": 70}, checks=("i2", "v2"))
    plan = for_triton(plan, strategy, {"block": 512, "unroll": 4})  # three programs, two of them with bad values
    given, bad = draw(plan, 9, 20), torch.zeros(4, dtype=torch.int64)
    run_triton(plan, given, 9, 20, start=100, bad=bad)
    assert bad.tolist() == [0, 0, 0, 0]
    for step, sample, neuron in ((7, 0, 3), (5, 19, 66), (5, 19, 69)):
        given["x"][step, sample, neuron] = math.nan
    run_triton(plan, given, 9, 20, start=100, bad=bad)
    assert bad.tolist() == [1, 105, 19, 66]
    given["v0"][2, 1] = math.inf
    run_triton(plan, given, 9, 20, start=100, bad=bad)
    assert bad.tolist() == [2, 100, 2, 1]


FUNCTIONS = {  # expression and points; the wanted values are torch's in float64
    "exp(x)": [-87.0, -20.3, -1e-4, 0.0, 0.4, 3.0, 88.0],
    "log(x)": [1e-20, 0.3, 0.99999, 1.0, 7.0, 1e20],
    "tanh(x)": [-30.0, -1.0, -1e-3, -1e-30, 0.0, 0.2, 9.0],
    "exprel(x)": [-50.0, -0.5, -1e-5, 0.0, 1e-20, 0.3, 2.0, 80.0],
    "exprel_prime(x)": [-50.0, -0.71, -0.69, -1e-5, 0.0, 0.3, 0.69, 0.71, 2.0, 60.0],
    "sigmoid(x)": [-80.0, -1.0, 0.0, 1e-3, 20.0],
    "softplus(x)": [-80.0, -1.0, 0.0, 1e-3, 20.0],
    "sinh(x)": [-30.0, -1e-4, 0.0, 0.5, 25.0],
    "cosh(x)": [-30.0, 0.0, 0.5, 25.0],
    "atan(x)": [-1e9, -3.0, -0.5, -1e-5, 0.0, 0.3, 0.5, 2.0, 1e30],
    "asin(x)": [-1.0, -0.3, 0.0, 0.9],
    "acos(x)": [-1.0, -0.3, 0.0, 0.9],
    "x**7 + x**-2": [-1.5, -0.2, 0.3, 2.0],
    "(x + 3)**2.5": [-2.9, -1.0, 0.0, 5.0],
    "2**x": [-40.0, -0.5, 0.0, 3.0],
    "Mod(x, 3)": [-4.5, -3.0, 0.0, 2.5, 10.0],
    "Mod(x, 41)": [-82.0, 20.5, 41.0, 123.0],  # 41 * (1/41) is less than 1 in float32
    "sign(x)*Abs(x)": [-2.0, 0.0, 3.0],
    "Max(x, 1) + Min(x, 0)": [-2.0, 0.5, 3.0],
    "Heaviside(x, 1/2)": [-2.0, 0.0, 3.0],
    "Piecewise((0.1, x > 0), (0.3, True))": [-2.0, 3.0],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("text", FUNCTIONS)
def test_functions_keep_their_digits(text, dtype):
    x, y = value("x", "h"), value("y", "h")
    expr = sympy.parse_expr(text, local_dict={"x": sympy.Symbol("x", real=True), **FUNCTION_NAMES})
    node = let(y, "x", x)
    node = type(node)(result=y, operands=(x,), expr=expr)
    graph = Graph("function", (Input("x", x, "sequence"),), (node,), (Output("y", y, "sequence"),))
    points = torch.tensor(FUNCTIONS[text], dtype=getattr(torch, dtype)).double()
    plan = for_triton(schedule_of(graph, "steps", {"h": len(points)}, dtype), "elementwise")
    given = {"x": points.reshape(1, 1, -1)}
    ours, wanted = run_triton(plan, given, 1, 1)["y"].double(), run_reference(plan, given, 1, 1)["y"]
    ulp = torch.finfo(getattr(torch, dtype)).eps
    assert ((ours - wanted).abs() <= 8 * ulp * wanted.abs() + 1e-37).all(), (ours, wanted)


FUNCTION_NAMES = {"exprel": exprel, "exprel_prime": exprel_prime, "sigmoid": sigmoid, "softplus": softplus}


def test_nan_goes_through_maximum_and_is_no_spike():
    x, y = value("x", "h"), value("y", "h")
    graph = Graph("most", (Input("x", x, "sequence"),), (let(y, "Max(x, 0)", x),), (Output("y", y, "sequence"),))
    plan = for_triton(schedule_of(graph, "steps", {"h": 2}), "elementwise")
    assert run_triton(plan, {"x": torch.tensor([[[math.nan, -1.0]]]).double()}, 1, 1)["y"].isnan().tolist() == [
        [[True, False]]
    ]
    spiking = for_triton(schedule_of(cuba(0), "steps", {"hid": 2}), "elementwise")
    given = draw(spiking, 1, 1)
    given["x"][0, 0, 0] = math.nan
    assert run_triton(spiking, given, 1, 1)["z"][0, 0, 0] == 0


def test_carries_may_trade_places():
    a, b, x = value("a", "h"), value("b", "h"), value("x", "h")
    carries = (Carry("a", a, b, "a0", "a1"), Carry("b", b, a, "b0", "b1"))
    graph = Graph("swap", (Input("x", x, "sequence"),), (), (Output("y", a, "sequence"),), carries)
    assert_same(for_triton(schedule_of(graph, "steps", {"h": 3}), "elementwise"), 5, 2)


def test_a_strategy_of_another_target_is_refused():
    with pytest.raises(TargetError, match="no strategy 'rows'"):
        emit(for_triton(schedule_of(cuba(0), "steps", {"hid": 2}), "rows"))


def trained(case: Case, target: str, steps: int, dtype: torch.dtype) -> tuple[gc.Model, torch.Tensor, Run]:
    """Return a model, its first `steps` steps of input, and their run, which saves what gradients read."""
    torch.manual_seed(0)
    model = gc.compile(case.network, target=target, dtype=dtype)
    x = torch.as_tensor(case.inputs["stim"][:steps].copy()).to(dtype).requires_grad_()
    return model, x, model.run(x)


def gradients(case: Case, target: str, steps: int) -> dict[str, torch.Tensor]:
    """Return outputs, final states and all gradients of one run over the first `steps` steps."""
    model, x, run = trained(case, target, steps, torch.float64)
    found = dict(run.output) if isinstance(run.output, dict) else {"output": run.output}
    found |= {name: v for name, v in run.state.items() if v.is_floating_point()}
    torch.manual_seed(1)
    loss = sum((v * torch.randn(v.shape, dtype=torch.float64)).sum() for v in found.values())
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()} | {"x": x.grad}
    return {name: v.detach().double() for name, v in (found | grads).items() if v is not None}


EVERY = [(name, topology) for name in SCALES for topology in ("recurrent", "delays")]
LATE = ("AdEx", "EIF", "QIF", "Theta")  # which fire first after a dozen steps
SOME_MORE = ("SEAdLIF", "GLIF5", "Rulkov", "GRU", "PassiveCable")
SOME = [(name, "delays" if name in KINDS else "recurrent") for name in (*WIDE, *SOME_MORE)]


@pytest.mark.parametrize(("name", "topology"), EVERY if os.environ.get("GRAPHC_EVERY_CASE") else SOME)
def test_every_neuron_equals_the_reference(name, topology):
    case, steps = build(name, topology), 10 if name in ("HodgkinHuxley", "MorrisLecar") else 24 if name in LATE else 12
    wanted, ours = (gradients(case, target, steps) for target in ("reference", "triton"))
    assert wanted.keys() == ours.keys() and wanted["x"].any()
    for key, tensor in wanted.items():
        scale = float(tensor.abs().max()) + 1e-30
        torch.testing.assert_close(ours[key] / scale, tensor / scale, rtol=0, atol=1e-9, msg=key)


@pytest.mark.parametrize("name", ["LIF", "ALIF", "CoBaLIF"])
def test_spikes_of_float32_equal_the_reference(name):
    case = build(name, "recurrent")
    wanted = trained(case, "reference", case.T, torch.float64)[2].output.detach()
    ours = trained(case, "triton", case.T, torch.float32)[2].output.detach().double()
    assert torch.equal(ours, wanted) and 0.01 < float(wanted.mean()) < 0.9
