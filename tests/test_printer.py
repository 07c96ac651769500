"""Texts of programs, graphs and schedules."""

import pytest
import sympy

import graphc as gc
from graphc.ir import (
    Const,
    DeviceSpec,
    Graph,
    Input,
    Loc,
    Map,
    Output,
    Propagator,
    Read,
    StopGradient,
    Test,
    Type,
    Value,
    show,
    symbol,
)
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes, schedule

from .models import small
from .oracles.networks import build

A = Type("real", True, ("n",))
X = Value("x", A, Loc("/home/someone/lif.py", 12))


def text(node: object) -> str:
    graph = Graph("g", (Input("x", X, "sequence"),), (node,), (Output("y", node.result, "sequence"),))
    return show(graph).splitlines()[2].strip()


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (Const(result=Value("c", Type()), value=0.1), "%c: real[] = const 0.1"),
        (Map(result=Value("y", A), operands=(X,), expr=symbol(X) ** 2), "%y: real[B, n] = map x**2"),
        (Test(result=Value("y", A), operands=(X,), strict=False), "%y: real[B, n] = test %x >= 0"),
        (StopGradient(result=Value("y", A), operands=(X,)), "%y: real[B, n] = stop_gradient %x"),
        (Read(result=Value("y", A), history="h", delay=3), "%y: real[B, n] = read h[-3]"),
        (
            Propagator(
                result=Value("y", A), operands=(X,), entries=((symbol(X),),), h=1.0, row=0, column=0, forcing=True
            ),
            "%y: real[B, n] = forcing [0, 0] of %x",
        ),
    ],
    ids=lambda p: type(p).__name__ if not isinstance(p, str) else "",
)
def test_every_node_is_one_line(node, line):
    assert text(node) == line


def test_a_line_ends_in_the_users_line_without_its_folder():
    node = StopGradient(result=Value("y", A, X.loc), operands=(X,))
    assert text(node).endswith("  # lif.py:12")


def test_numbers_are_printed_in_full():
    assert text(Const(result=Value("c", Type()), value=1 / 3)).endswith("0.3333333333333333")
    node = Map(result=Value("y", A), operands=(X,), expr=symbol(X) * sympy.Float(0.1))
    assert text(node).endswith("map 0.1*x")


def test_complete_program_text(golden):
    program = lower(small.feedforward())
    request = Request(wrt=frozenset({"inp_out.weight"}))
    golden(show(run_passes(program, pipeline(request))))


def test_equal_networks_make_equal_texts():
    def compiled() -> str:
        program = lower(build("ALIF", "layers").network)
        request = Request(wrt=frozenset(p.name for p in program.parameters if p.learn))
        program = run_passes(program, pipeline(request))
        return show(program) + show(schedule(program, DeviceSpec("cpu"), "float32", "c"))

    texts, kept = set(), []
    for count in range(6):
        texts.add(compiled())
        kept.append([object() for _ in range(997 * count)])  # other addresses, so other orders of sets
    assert len(texts) == 1


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="cannot print a Network"):
        show(gc.Network(dt=1.0))
