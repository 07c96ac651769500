"""Equal nodes become one, what nothing reads goes, nothing else changes."""

from dataclasses import replace

import pytest
import sympy

from graphc.ir import (
    Carry,
    Graph,
    History,
    Input,
    Map,
    Output,
    Read,
    Region,
    Spike,
    StopGradient,
    Type,
    Value,
    show,
    symbol,
    verify,
)
from graphc.passes.simplify import Simplify, merge_equal, remove_dead

from .models.passes import assert_same_numbers, experiments, until

EXPERIMENTS = experiments()
T = Type("real", True, ("n",))
X, Y = Value("x", T), Value("y", T)


def add(name: str, *operands: Value, number: int = 0) -> Map:
    expr = sympy.Add(*map(symbol, dict.fromkeys(operands)), number)
    return Map(result=Value(name, T), operands=tuple(dict.fromkeys(operands)), expr=expr)


def graph(*nodes: object, out: tuple[Value, ...] = (), **parts: object) -> Graph:
    inputs = (Input("x", X, "sequence"), Input("y", Y, "sequence"))
    outputs = tuple(Output(f"out{k}", v, "sequence") for k, v in enumerate(out))
    return replace(Graph("g", inputs, nodes, outputs), **parts)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_simplify_keeps_the_numbers(name):
    e = EXPERIMENTS[name]
    assert_same_numbers(e, *until("simplify", e))


def test_simplify_twice_is_the_same_object():
    program = until("simplify", EXPERIMENTS["recurrent"])[1]
    assert Simplify().run(program) is program


def test_equal_nodes_become_one_and_dead_ones_go(golden):
    a, b = add("a", X, number=1), add("b", X, number=1)
    c = add("c", a.result, b.result)
    dead = add("dead", c.result, number=1)
    c = replace(c, expr=symbol(a.result) * symbol(b.result))
    small = graph(a, b, c, dead, out=(c.result,))
    after = remove_dead(merge_equal(small))
    assert [n.result.name for n in after.nodes] == ["a", "c"]
    assert after.nodes[1].expr == symbol(a.result) ** 2
    golden(f"{show(small)}\n\n{show(after)}")


def test_stop_gradients_are_not_merged():
    one, two = (StopGradient(result=Value(n, T), operands=(X,)) for n in ("one", "two"))
    total = add("total", one.result, two.result, X)
    kept = merge_equal(graph(one, two, total, out=(total.result,)))
    assert kept.nodes == (one, two, total)


def test_spikes_are_not_merged():
    flag = T.with_dtype("bool")
    options = {"strict": True, "derivative": sympy.S.One, "antiderivative": sympy.S.One}
    one, two = (Spike(result=Value(n, flag), operands=(X,), **options) for n in ("one", "two"))
    assert merge_equal(graph(one, two, out=(one.result, two.result))).nodes == (one, two)


def test_equal_reads_become_one_and_others_stay():
    reads = [Read(result=Value(f"r{k}", T), history="h", delay=d) for k, d in enumerate((1, 1, 2))]
    total = add("total", *(r.result for r in reads))
    after = merge_equal(graph(*reads, total, out=(total.result,), histories=(History("h", X, 2, None, None),)))
    assert [n.delay for n in after.nodes if isinstance(n, Read)] == [1, 2]


def test_carry_that_only_feeds_itself_goes_unless_it_is_wanted():
    v = Value("v", T)
    step = add("next", v, X)
    lonely = graph(step, carries=(Carry("v", v, step.result, None, None),), out=(Y,))
    assert remove_dead(lonely).carries == () and remove_dead(lonely).nodes == ()
    wanted = replace(lonely, carries=(replace(lonely.carries[0], final="v@final"),))
    assert remove_dead(wanted).nodes == (step,)


def test_history_that_nothing_reads_goes_unless_it_is_wanted():
    h = History("h", X, 2, None, None)
    assert remove_dead(graph(histories=(h,), out=(Y,))).histories == ()
    assert len(remove_dead(graph(histories=(replace(h, final="h@final"),), out=(Y,))).histories) == 1


def test_live_graph_is_the_same_object():
    node = add("a", X, Y)
    live = graph(node, out=(node.result,))
    assert merge_equal(live) is live and remove_dead(live) is live


def test_coefficient_without_reader_leaves_the_prologue():
    program = until("simplify", EXPERIMENTS["recurrent"])[1]
    once = program.region("once")
    extra = Output("unused", once.graph.nodes[-1].result, "fixed")
    bigger = replace(once.graph, outputs=(*once.graph.outputs, extra))
    program = program.with_regions([Region("once", bigger) if r is once else r for r in program.regions])
    after = Simplify().run(program)
    verify(after)
    assert {o.name for o in after.region("once").graph.outputs} == {o.name for o in once.graph.outputs}
