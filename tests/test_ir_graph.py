"""Graphs, nodes and names."""

import networkx
import pytest
import sympy

from graphc.ir import Carry, Graph, History, Input, Map, Names, Output, Read, Type, Value, symbol

T = Type("real", True, ("n",))
X, V = Value("x", T), Value("v", T)


def add(name: str, *operands: Value) -> Map:
    return Map(result=Value(name, T), operands=operands, expr=sympy.Add(*map(symbol, operands)))


PAST = Read(result=Value("past", T), history="h", delay=2)
SUM = add("sum", X, V, PAST.result)
NEXT = add("next", SUM.result, X)
GRAPH = Graph(
    "g",
    (Input("x", X, "sequence"),),
    (PAST, SUM, NEXT),
    (Output("y", SUM.result, "sequence"),),
    (Carry("v", V, NEXT.result, None, None),),
    (History("h", SUM.result, 2, None, None),),
)


def test_next_values_and_history_values_are_results():
    assert GRAPH.results == (SUM.result, NEXT.result, SUM.result)
    assert GRAPH.arguments == (X, V)


def test_users_name_each_reader_once():
    assert GRAPH.users()[X] == [SUM, NEXT] and GRAPH.users()[NEXT.result] == []


def test_definition_finds_the_node():
    assert GRAPH.definition()[SUM.result] is SUM and X not in GRAPH.definition()


def test_dependences_across_steps_close_the_loops():
    inside, across = GRAPH.to_networkx(across_steps=False), GRAPH.to_networkx()
    assert networkx.is_directed_acyclic_graph(inside)
    assert networkx.has_path(across, NEXT.result, SUM.result)
    assert across.has_edge(SUM.result, PAST.result) and not inside.has_edge(SUM.result, PAST.result)


def test_equal_nodes_keep_the_object():
    assert GRAPH.with_nodes(list(GRAPH.nodes)) is GRAPH
    assert GRAPH.with_nodes(GRAPH.nodes[:2]) is not GRAPH


def test_substitution_rewrites_operands_and_expression():
    w = Value("w", T)
    node = SUM.substitute({V: w})
    assert node.operands == (X, w, PAST.result) and symbol(w) in node.expr.free_symbols
    assert SUM.substitute({w: V}) is SUM


def test_substitution_of_two_operands_by_one_keeps_it_once():
    node = SUM.substitute({V: X})
    assert node.operands == (X, PAST.result)
    assert node.expr == 2 * symbol(X) + symbol(PAST.result)
    node.verify()


def test_results_are_substituted_everywhere():
    w = Value("w", T)
    moved = GRAPH.substitute_results({SUM.result: w, NEXT.result: w})
    assert moved.results == (w, w, w)


def test_values_compare_by_identity():
    assert Value("x", T) != Value("x", T) and repr(X) == "%x"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("hid.v", ["hid_v", "hid_v_2", "hid_v_3"]), ("@@", ["value", "value_2", "value_3"]), ("x", ["x_2", "x_3", "x_4"])],
)
def test_names_are_identifiers_and_never_repeat(wanted, expected):
    names = Names(["x"])
    assert [names.fresh(wanted) for _ in range(3)] == expected
