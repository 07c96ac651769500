"""Every rule of the verifier, shown on a graph that breaks it."""

from dataclasses import replace

import pytest
import sympy

from graphc.ir import (
    Carry,
    Const,
    Count,
    Graph,
    History,
    Input,
    Loc,
    Map,
    Node,
    Output,
    Program,
    Project,
    ProjectTransposed,
    Propagator,
    Read,
    Reduce,
    Reset,
    Spike,
    Spread,
    Type,
    Value,
    VerifyError,
    symbol,
    verify,
)
from graphc.ir.verify import verify_graph
from graphc.lower import lower
from graphc.passes import run_passes
from graphc.passes.discretize import Discretize
from graphc.passes.prologue import SplitPrologue

from .models import small

HID = Type("real", True, ("hid",))
OUT = Type("real", True, ("out",))
FLAG = HID.with_dtype("bool")
X, Y, R = Value("x", HID, Loc("lif.py", 7)), Value("y", HID), Value("r", HID, Loc("lif.py", 9))
W = Value("w", Type("real", False, ("hid", "out")))
OTHER, Z = Value("other", OUT), Value("z", FLAG)
INPUTS = tuple(Input(v.name, v, "fixed" if v is W else "sequence") for v in (X, Y, W, OTHER, Z))


def graph(*nodes: Node, **parts: object) -> Graph:
    return replace(Graph("step", INPUTS, nodes), **parts)


def fires(result: Value, *operands: Value) -> Spike:
    one = sympy.S.One
    return Spike(result=result, operands=operands, strict=True, derivative=one, antiderivative=one)


def add(result: Value, *operands: Value, expr: sympy.Expr | None = None) -> Map:
    return Map(result=result, operands=operands, expr=sympy.Add(*map(symbol, operands)) if expr is None else expr)


def test_valid_graph_is_accepted():
    verify_graph(graph(add(R, X, Y), outputs=(Output("r", R, "sequence"),)))


V = Value("v", HID)
CARRY_TYPE = Carry("v", V, OTHER, None, None)
BROKEN = {
    "defined twice": (graph(add(X, Y, Z)), r"lif.py:7: %x is defined twice in graph 'step'"),
    "one name twice": (graph(add(Value("y", HID), X, Y)), r"%y is defined twice"),
    "input twice": (graph(inputs=(INPUTS[0], INPUTS[0])), r"%x is defined twice"),
    "read before": (graph(add(R, X, V)), r"lif.py:9: %r \(Map\) reads %v before it is defined"),
    "result missing": (graph(outputs=(Output("r", R, "sequence"),)), r"graph 'step' returns %r, which is not defined"),
    "history missing": (graph(histories=(History("h", R, 1, None, None),)), r"returns %r, which is not defined"),
    "next missing": (graph(carries=(Carry("v", V, R, None, None),)), r"returns %r, which is not defined"),
    "carry type": (graph(carries=(CARRY_TYPE,)), r"carry 'v' changes type: real\[B, hid\] to real\[B, out\]"),
    "wrong type": (graph(add(Value("r", OUT), X, Y)), r"has type real\[B, out\] but its operands make real\[B, hid\]"),
    "map mixes axes": (graph(add(R, X, OTHER)), r"mixes axes: x: real\[B, hid\], other: real\[B, out\]"),
    "map reads more": (graph(add(R, X, Y, expr=symbol(X))), r"reads \['x', 'y'\] but its expression uses \['x'\]"),
    "map reads less": (graph(add(R, X, expr=symbol(X) * symbol(Y))), r"reads \['x'\] but its expression uses"),
    "reset mixes axes": (graph(Reset(result=R, operands=(X, Z, OTHER))), r"\(Reset\) mixes axes"),
    "spike blocked by number": (
        graph(fires(Value("s", FLAG), X, Y)),
        r"%s \(Spike\) is blocked by a value that is not bool",
    ),
    "spike is real": (
        graph(fires(R, X)),
        r"has type real\[B, hid\] but its operands make bool\[B, hid\]",
    ),
    "product": (graph(Project(result=R, operands=(OTHER, W))), r"multiplies real\[B, out\] with real\[hid, out\]"),
    "transposed product": (graph(ProjectTransposed(result=R, operands=(X, W))), r"with the transpose of"),
    "sum keeps an axis": (
        graph(Reduce(result=Value("s", Type("real", False, ("out",))), operands=(X,))),
        r"keeps an axis that its operand lacks",
    ),
    "spread loses": (
        graph(Spread(result=Value("s", Type()), operands=(X,))),
        r"cannot spread real\[B, hid\] to real\[\]",
    ),
    "read unknown": (graph(Read(result=R, history="h", delay=1)), r"reads the unknown history 'h'"),
    "read too far": (
        graph(Read(result=R, history="h", delay=3), histories=(History("h", X, 2, None, None),)),
        r"reads 3 steps back in 'h', which keeps 2 of real\[B, hid\]",
    ),
    "read other type": (
        graph(Read(result=Value("s", OUT), history="h", delay=1), histories=(History("h", X, 2, None, None),)),
        r"reads 1 steps back in 'h', which keeps 2 of real\[B, hid\]",
    ),
    "read now": (
        graph(Read(result=R, history="h", delay=0), histories=(History("h", X, 2, None, None),)),
        r"reads with delay 0; the value itself is the operand then",
    ),
    "count is real": (
        graph(Count(result=R, operands=(Z, Z, Z))),
        r"has type real\[B, hid\] but its operands make bool",
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_graph_is_refused(rule):
    broken, message = BROKEN[rule]
    with pytest.raises(VerifyError, match=message):
        verify_graph(broken)


# --- programs --------------------------------------------------------------------------------------------------------


def declared() -> Program:
    return lower(small.recurrent())


def discrete() -> Program:
    return run_passes(declared(), [Discretize(), SplitPrologue()])


def edited(program: Program, kind: str, **parts: object) -> Program:
    regions = [replace(r, graph=replace(r.graph, **parts)) if r.kind == kind else r for r in program.regions]
    return program.with_regions(regions)


def test_unknown_stage_is_refused():
    with pytest.raises(VerifyError, match="unknown stage 'fried'"):
        verify(replace(declared(), stage="fried"))


def test_ode_is_illegal_after_discretize():
    with pytest.raises(VerifyError, match=r"small.py:\d+: %hid_v_2 \(Ode\) is not legal at stage 'discrete'"):
        verify(replace(declared(), stage="discrete"))


def test_stop_gradient_is_illegal_after_the_adjoint():
    with pytest.raises(VerifyError, match=r"\(StopGradient\) is legal in the prologue alone"):
        verify(replace(discrete(), stage="differentiated"))


def test_propagator_belongs_into_the_prologue():
    fixed = Value("a", Type())
    node = Propagator(
        result=Value("p", Type()),
        operands=(fixed,),
        entries=((symbol(fixed),),),
        h=1.0,
        row=0,
        column=0,
        forcing=False,
    )
    program = run_passes(lower(small.feedforward()), [Discretize(), SplitPrologue()])
    (graph,) = (r.graph for r in program.regions if r.kind == "steps")
    nodes = (Const(result=fixed, value=1.0), node, *graph.nodes)
    with pytest.raises(VerifyError, match=r"%p \(Propagator\) belongs into the prologue"):
        verify(replace(edited(program, "steps", nodes=nodes), stage="differentiated"))


def test_once_graph_has_no_carries():
    carry = discrete().region("steps").graph.carries[0]
    node = add(carry.next, carry.current)
    broken = edited(discrete(), "once", carries=(carry,), nodes=(node,), outputs=(), inputs=())
    with pytest.raises(VerifyError, match="graph 'prologue' runs once and has carries"):
        verify(broken)


def test_source_that_nothing_writes_is_refused():
    program = discrete()
    unread = [r for r in program.regions if r.kind != "once"]
    with pytest.raises(VerifyError, match=r"graph 'step' reads 'hid_\w+', which nothing before it writes"):
        verify(program.with_regions(unread))


def test_output_that_no_region_writes_is_refused():
    with pytest.raises(VerifyError, match=r"no region writes the output 'hid.v'"):
        verify(replace(declared(), outputs=("hid.v",)))


def test_error_of_a_pass_names_the_pass_and_shows_the_graph():
    class Spoil:
        name = "spoil"

        def run(self, program: Program) -> Program:
            return replace(program, outputs=("nothing",))

    with pytest.raises(VerifyError, match="nothing") as caught:
        run_passes(declared(), [Spoil()])
    (note,) = caught.value.__notes__
    assert note.startswith("in pass 1 'spoil', on this program:\nprogram declared") and "%hid_v" in note
