"""Nodes over one axis stand together, in an order that computes the same."""

from dataclasses import replace

import pytest
import sympy

from graphc.ir import Graph, Input, Map, Output, Type, Value, show, symbol, verify
from graphc.passes.fuse import Fuse, group_of, loops_of, reordered

from .models.passes import assert_same_numbers, experiments, until

EXPERIMENTS = experiments()


def chain(name: str, axis: str, *operands: Value) -> Map:
    expr = sympy.Add(*map(symbol, operands)) + 1
    return Map(result=Value(name, Type("real", True, (axis,))), operands=operands, expr=expr)


X, U = Value("x", Type("real", True, ("hid",))), Value("u", Type("real", True, ("out",)))
A, B = chain("a", "hid", X), chain("b", "out", U)
CC = chain("c", "hid", A.result)
MIXED = Graph(
    "g",
    (Input("x", X, "sequence"), Input("u", U, "sequence")),
    (A, B, CC),
    (Output("b", B.result, "sequence"), Output("c", CC.result, "sequence")),
)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_fuse_keeps_the_numbers(name):
    e = EXPERIMENTS[name]
    assert_same_numbers(e, *until("fuse", e))


def test_interleaved_populations_become_two_loops(golden):
    after = reordered(MIXED)
    assert after.nodes == (A, CC, B)
    assert [len(run) for run in loops_of(after)] == [2, 1]
    golden(f"{show(MIXED)}\n\n{show(after)}")


def test_fuse_twice_is_the_same_object():
    program = until("fuse", EXPERIMENTS["recurrent"])[1]
    assert Fuse().run(program) is program


def test_ordered_graph_is_left_alone():
    ordered = replace(MIXED, nodes=(A, CC, B))
    assert reordered(ordered) is ordered


def test_operands_stay_before_their_users():
    program = until("fuse", EXPERIMENTS["recurrent"])[1]
    verify(program)
    before = until("fuse", EXPERIMENTS["recurrent"])[0]
    for one, two in zip(before.regions, program.regions, strict=True):
        assert sorted(n.result.name for n in one.graph.nodes) == sorted(n.result.name for n in two.graph.nodes)


def test_loops_are_never_more_than_before():
    before, after = until("fuse", EXPERIMENTS["recurrent"])
    for one, two in zip(before.regions, after.regions, strict=True):
        assert len(loops_of(two.graph)) <= len(loops_of(one.graph))


def test_every_product_is_a_loop_of_its_own():
    for region in until("fuse", EXPERIMENTS["recurrent"])[1].regions:
        for run in loops_of(region.graph):
            assert len({group_of(n) for n in run}) == 1
            assert group_of(run[0])[0:1] != ("product",) or len(run) == 1
