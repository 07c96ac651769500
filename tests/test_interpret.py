"""The reference semantics of every op, against numbers written by hand."""

import math

import pytest
import sympy
import torch

from graphc.ir import (
    C,
    Carry,
    Const,
    Count,
    Graph,
    History,
    Input,
    Map,
    Node,
    OdeSystem,
    Outer,
    Output,
    Program,
    Project,
    ProjectTransposed,
    Read,
    Reduce,
    Region,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Tensor,
    Test,
    Time,
    Type,
    Value,
    VerifyError,
    final,
    initial,
    symbol,
)
from graphc.ir import Ode as OdeNode
from graphc.ir.evaluate import evaluate
from graphc.ir.functions import relu, sigmoid, softplus
from graphc.ir.interpret import Mode, interpret

A = Type("real", True, ("n",))
FLAG, COUNT = A.with_dtype("bool"), A.with_dtype("int")


def f64(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def program(graph: Graph, kind: str = "steps", **sizes: int) -> Program:
    inputs = tuple(Tensor(i.source, i.value.type) for i in graph.inputs if i.kind == "sequence")
    outputs = tuple(o.name for o in graph.outputs)
    start = Graph("initial")
    states = tuple(Tensor(c.name, c.current.type) for c in graph.carries)
    return Program("discrete", 0.5, {"n": 1} | sizes, (), inputs, outputs, states, start, (), (Region(kind, graph),))


def apply(
    make: type[Node], type: Type, *operands: torch.Tensor, mode: Mode | None = None, **options: object
) -> torch.Tensor:
    """Return the result of one node on one step of one sample, each operand (N,)."""
    values = [Value(f"v{k}", A) for k in range(len(operands))]
    node = make(result=Value("r", type), operands=tuple(values), **options)
    inputs = tuple(Input(v.name, v, "sequence") for v in values)
    graph = Graph("g", inputs, (node,), (Output("r", node.result, "sequence"),))
    given = {v.name: x.reshape(1, 1, -1) for v, x in zip(values, operands, strict=True)}
    return interpret(program(graph, n=operands[0].numel()), given, mode)["r"].reshape(-1)


SLOPE = {"derivative": 1 / (1 + C**2), "antiderivative": sympy.atan(C)}


@pytest.mark.parametrize(("strict", "expected"), [(True, [0, 0, 1, 0]), (False, [0, 1, 1, 0])])
def test_spike_compares_and_nan_is_none(strict, expected):
    condition = f64(-1, 0, 2, math.nan)
    assert apply(Spike, FLAG, condition, strict=strict, **SLOPE).tolist() == expected
    assert apply(Test, FLAG, condition, strict=strict).tolist() == expected


def test_spike_has_the_surrogate_as_its_slope_and_none_where_blocked():
    condition, blocked = f64(-1, 2, 2).requires_grad_(), f64(0, 0, 1)
    z = apply(Spike, FLAG, condition, blocked, strict=True, **SLOPE)
    z.sum().backward()
    assert z.tolist() == [0, 1, 0]
    assert condition.grad.tolist() == [0.5, 0.2, 0]


def test_relaxed_spike_is_the_antiderivative():
    z = apply(Spike, FLAG, f64(-1, 2), strict=True, mode=Mode(relaxed=True), **SLOPE)
    assert z.tolist() == pytest.approx([math.atan(-1), math.atan(2)], rel=1e-15)


def test_reset_takes_the_target_exactly_and_has_three_slopes():
    v, z, r = (f64(*x).requires_grad_() for x in ((3, math.inf), (0, 1), (0.1, 0.1)))
    out = apply(Reset, A, v, z, r)
    assert out.tolist() == [3, 0.1]
    out[0].backward()
    assert v.grad.tolist()[0] == 1 and r.grad.tolist()[0] == 0 and z.grad.tolist()[0] == pytest.approx(0.1 - 3)


def test_relaxed_reset_is_linear_in_the_spike():
    out = apply(Reset, A, f64(3), f64(0.25), f64(1), mode=Mode(relaxed=True))
    assert out.tolist() == [2.5]


def test_count_starts_at_a_spike_and_stops_at_zero():
    out = apply(Count, COUNT, f64(0, 0, 3, 1), f64(1, 0, 0, 0), f64(4, 4, 4, 4))
    assert out.tolist() == [4, 0, 2, 0]


def test_stop_gradient_stops_unless_relaxed():
    x = f64(2).requires_grad_()
    assert not apply(StopGradient, A, x).requires_grad
    assert apply(StopGradient, A, x, mode=Mode(relaxed=True)).requires_grad


def run(
    nodes: list[Node], given: dict[str, torch.Tensor], kinds: dict[str, tuple[Value, str]], **parts: object
) -> dict:
    inputs = tuple(Input(name, v, kind) for name, (v, kind) in kinds.items())
    graph = Graph("g", inputs, tuple(nodes), **parts)
    return interpret(program(graph, m=2, n=3), given)


Z, G = Value("z", Type("real", True, ("m",))), Value("g", Type("real", True, ("n",)))
W = Value("w", Type("real", False, ("m", "n")))
WEIGHT = f64(*range(6)).reshape(2, 3)


def test_products_follow_their_axes():
    drive, back, outer = (Value(n, t) for n, t in (("d", G.type), ("b", Z.type), ("o", W.type)))
    nodes = [
        Project(result=drive, operands=(Z, W)),
        ProjectTransposed(result=back, operands=(G, W)),
        Outer(result=outer, operands=(Z, G)),
    ]
    z, g = f64(1, 2, 3, 4).reshape(1, 2, 2), f64(*range(6)).reshape(1, 2, 3)
    kinds = {"z": (Z, "sequence"), "g": (G, "sequence"), "w": (W, "fixed")}
    outputs = (Output("d", drive, "sequence"), Output("b", back, "sequence"), Output("o", outer, "sum"))
    out = run(nodes, {"z": z, "g": g, "w": WEIGHT}, kinds, outputs=outputs)
    assert out["d"][0, 0].tolist() == [6, 9, 12]  # 1 * row 0 + 2 * row 1
    assert out["b"][0, 1].tolist() == [3 * 0 + 4 * 1 + 5 * 2, 3 * 3 + 4 * 4 + 5 * 5]
    assert out["o"].tolist() == [[9, 13, 17], [12, 18, 24]]  # over both samples


def test_reduce_sums_the_batch_and_spread_repeats():
    per, total, wide = Value("p", Type("real", False, ("n",))), Value("t", Type()), Value("s", G.type)
    nodes = [
        Reduce(result=per, operands=(G,)),
        Reduce(result=total, operands=(G,)),
        Spread(result=wide, operands=(total,)),
    ]
    outputs = (Output("p", per, "sum"), Output("t", total, "sum"), Output("s", wide, "sequence"))
    g = f64(*range(12)).reshape(2, 2, 3)
    out = run(nodes, {"g": g}, {"g": (G, "sequence")}, outputs=outputs)
    assert out["p"].tolist() == [18, 22, 26] and out["t"].item() == 66
    assert out["s"][0].tolist() == [[15] * 3] * 2


def loop(kind: str) -> dict[str, torch.Tensor]:
    """Run %r = x + read h[-2] + carry over 4 steps in one direction."""
    x, carried, past, r = (Value(n, A) for n in ("x", "c", "p", "r"))
    nodes = (
        Read(result=past, history="h", delay=2),
        Map(result=r, operands=(x, past, carried), expr=symbol(x) + 10 * symbol(past) + 100 * symbol(carried)),
    )
    graph = Graph(
        "g",
        (Input("x", x, "sequence"),),
        nodes,
        (Output("r", r, "sequence"), Output("sum", r, "sum")),
        (Carry("c", carried, x, initial("c"), final("c")),),
        (History("h", x, 2, initial("h"), final("h")),),
    )
    given = {"x": f64(1, 2, 3, 4).reshape(4, 1, 1), initial("c"): f64(9).reshape(1, 1)}
    given[initial("h")] = f64(7, 8).reshape(2, 1, 1)
    return interpret(program(graph, kind), given)


def test_ascending_loop_reads_what_was():
    out = loop("steps")
    assert out["r"].flatten().tolist() == [971, 182, 213, 324]
    assert out["sum"].item() == 971 + 182 + 213 + 324
    assert out[final("c")].item() == 4 and out[final("h")].flatten().tolist() == [3, 4]


def test_descending_loop_reads_what_will_be():
    out = loop("reverse")
    assert out["r"].flatten().tolist() == [231, 342, 483, 974]
    assert out[final("c")].item() == 1 and out[final("h")].flatten().tolist() == [2, 1]


def test_all_steps_shifts_a_sequence():
    x, past = Value("x", A), Value("p", A)
    graph = Graph(
        "g",
        (Input("x", x, "sequence"),),
        (Read(result=past, history="h", delay=2),),
        (Output("p", past, "sequence"),),
        (),
        (History("h", x, 3, initial("h"), None),),
    )
    given = {"x": f64(1, 2, 3).reshape(3, 1, 1), initial("h"): f64(7, 8, 9).reshape(3, 1, 1)}
    assert interpret(program(graph, "all_steps"), given)["p"].flatten().tolist() == [8, 9, 1]


def test_time_counts_from_the_start_of_the_run():
    t = Value("t", Type())
    graph = Graph("g", (), (Time(result=t, dt=0.5),), (Output("t", t, "sequence"),))
    env = {"@T": torch.tensor(3), "@B": torch.tensor(1), "@t": torch.tensor(10)}
    assert interpret(program(graph), env)["t"].tolist() == [5.0, 5.5, 6.0]


def test_no_steps_give_empty_sequences():
    x = Value("x", A)
    graph = Graph("g", (Input("x", x, "sequence"),), (), (Output("y", x, "sequence"),))
    assert interpret(program(graph), {"x": torch.zeros(0, 2, 1)})["y"].shape == (0, 2, 1)


def test_ode_is_left_to_discretize():
    system = OdeSystem("n", ("v",), (sympy.S.One,), "euler", 1.0, (False,), None, None)
    with pytest.raises(VerifyError, match="no rule for Ode; discretize removes Ode"):
        apply(OdeNode, A, f64(1), system=system, index=0)


def test_const_has_the_dtype_of_the_mode():
    k = Value("k", Type())
    graph = Graph("g", (), (Const(result=k, value=0.1),), (Output("k", k, "sequence"),))
    env = {"@T": torch.tensor(1), "@B": torch.tensor(1)}
    assert interpret(program(graph), env, Mode(torch.float32))["k"].dtype == torch.float32


S = sympy.Symbol("s", real=True)
FUNCTIONS = [
    sympy.exp(S), sympy.log(S), sympy.sqrt(S), S**-2, S**2.5, sympy.sin(S), sympy.cos(S), sympy.tan(S), sympy.tanh(S),
    sympy.sinh(S), sympy.cosh(S), sympy.atan(S), sympy.asin(S), sympy.acos(S), sympy.erf(S), sympy.Abs(S),
    sympy.sign(S),
    sympy.floor(3 * S), sympy.ceiling(3 * S), sympy.Max(S, 0.5), sympy.Min(S, 0.5), sympy.Mod(3 * S, 1), sympy.pi * S,
    sympy.Piecewise((S, S > 0.4), (2 * S, True)), sympy.Heaviside(S, 0), sigmoid(S), softplus(S), relu(S), S + 1 / S,
]  # fmt: skip


@pytest.mark.parametrize("expr", FUNCTIONS, ids=str)
def test_evaluate_agrees_with_sympy(expr):
    for point in (0.3, 0.7):
        value = evaluate(expr, {"s": f64(point)[0]}, torch.float64, None)
        assert value.item() == pytest.approx(float(expr.subs(S, point).evalf(30)), rel=1e-14)


@pytest.mark.parametrize(
    ("expr", "slope"),
    [
        (relu(S), 0),
        (sympy.Abs(S), 0),
        (sympy.floor(S), 0),
        (sympy.sign(S), 0),
        (sympy.Heaviside(S, 0), 0),
        (sympy.Max(S, 0), 0.5),
        (sympy.Min(S, 0), 0.5),
    ],
    ids=str,
)
def test_kinks_have_the_stated_slope_at_zero(expr, slope):
    point = f64(0)[0].requires_grad_()
    value = evaluate(expr, {"s": point}, torch.float64, None)
    (found,) = torch.autograd.grad(value + 0 * point, point)
    assert found.item() == slope


def test_evaluate_refuses_what_it_does_not_know():
    with pytest.raises(VerifyError, match="cannot evaluate gamma"):
        evaluate(sympy.gamma(S), {"s": f64(1)}, torch.float64, None)
