"""Products over all steps by torch, as the Triton target runs them, against the interpreter."""

from dataclasses import replace

import pytest
import torch

from graphc.ir import Graph, History, Input, Output, Project, Read, Reduce, Type, Value
from graphc.runtime.products import run_product

from .models.kernels import draw, product, run_reference, schedule_of, shape_of, value, with_kind

STORAGE = {"z": "uint8", "before": "real"}


def run(plan, given, steps, batch):
    kernel = plan.kernels[0]
    tensors = {n: given[n].to(torch.uint8) if plan.buffers[n].storage == "uint8" else given[n] for n in kernel.reads}
    tensors |= {n: torch.full(shape_of(plan, n, steps, batch), 99.0, dtype=torch.float64) for n in kernel.writes}
    run_product(kernel, [tensors[n] for n in kernel.arguments], steps, torch.float64)
    return {n: tensors[n] for n in kernel.writes}


def assert_same(graph, sizes, steps, batch):
    plan = with_kind(schedule_of(graph, "steps", sizes, storage=STORAGE), "product")
    given = draw(plan, steps, batch)
    ours, wanted = run(plan, given, steps, batch), run_reference(plan, given, steps, batch)
    assert ours.keys() == wanted.keys() and all(v.any() for v in wanted.values())
    for name, tensor in wanted.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("init", [None, "before"])
@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize("op", ["project", "transposed", "outer"])
def test_products_equal_the_interpreter(op, delay, init):
    for steps in (2, 7) if init and op != "transposed" else (7,):  # 2: the history alone fills the product
        assert_same(product(op, delay, init), {"p": 9, "q": 5}, steps, 4)


@pytest.mark.parametrize("axes", [(), ("q",)])
def test_sums_equal_the_interpreter(axes):
    g, total = value("g", "q"), Value("total", Type("real", False, axes))
    node = Reduce(result=total, operands=(g,))
    assert_same(Graph("sum", (Input("g", g, "sequence"),), (node,), (Output("total", total, "fixed"),)), {"q": 5}, 6, 3)


def test_a_sum_of_an_expanded_gradient_counts_every_row():
    g, total = value("g", "q"), value("total")
    graph = Graph(
        "sum",
        (Input("g", g, "sequence"),),
        (Reduce(result=total, operands=(g,)),),
        (Output("total", total, "fixed"),),
    )
    plan = with_kind(schedule_of(graph, "steps", {"q": 5}), "product")
    assert run(plan, {"g": torch.ones((), dtype=torch.float64).expand(6, 3, 5)}, 6, 3)["total"] == 90


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_the_history_of_an_input_is_handed_on(steps):
    z, late, drive = value("z", "p", dtype="bool"), value("late", "p", dtype="bool"), value("drive", "q")
    w = Value("w", Type("real", False, ("p", "q")))
    nodes = (Read(result=late, history="past", delay=3), Project(result=drive, operands=(late, w)))
    inputs = (Input("z", z, "sequence"), Input("w", w, "fixed"))
    history = History("past", z, 3, "before", "after")
    graph = Graph("product", inputs, nodes, (Output("drive", drive, "sequence"),), (), (history,))
    plan = with_kind(schedule_of(graph, "steps", {"p": 9, "q": 5}, storage=STORAGE), "product")
    given = draw(plan, steps, 4)
    after = torch.cat([given["before"], given["z"]])[-3:]
    assert torch.equal(run(plan, given, steps, 4)["after"], after)


def test_a_product_is_the_same_every_time():
    plan = with_kind(schedule_of(product("outer"), "steps", {"p": 4, "q": 3}, storage=STORAGE), "product")
    given = draw(plan, 5, 2)
    first = run(plan, given, 5, 2)
    assert torch.equal(first["dw"], run(replace(plan), given, 5, 2)["dw"])
