"""Programs that wait for each other once in several steps, under Triton's interpreter in lock step."""

import functools
import re
from dataclasses import replace

import pytest
import torch

import graphc as gc
from graphc.codegen.triton import emit
from graphc.passes import tile_time

from .models import triton_kernels
from .models.kernels import cuba, draw, schedule_of
from .models.triton_kernels import for_triton, run_triton
from .models.triton_lockstep import lockstep
from .test_tile_time import OFF, RATE, assert_equal, network, run

pytestmark = pytest.mark.interpret

COOPERATIVE = {"strategy": "cooperative", "columns": 16}  # two programs
TOLERANCE = 2e-5  # float32 against itself, in the same order of sums; against float64, rounding of some steps


@pytest.fixture(autouse=True)
def passes_are_not_compared_again(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def train(net, steps=8, pieces=None, seed=0, **schedule):
    """Return what one run and its gradients give, the model, and how often programs passed the baton."""
    with lockstep("random", seed) as launches:
        found, model = run(
            net, steps, 2, pieces, target="triton", dtype=torch.float32, schedule={**COOPERATIVE, **schedule}
        )
    together = [launch for launch in launches if launch.grid[1] > 1]
    return found, model, sum(launch.switches for launch in together)


CASES = {
    "spikes": lambda: network(3),
    "rates": lambda: network(4, neuron=RATE),
    "mixed": lambda: network(2, 5),
    "two populations": lambda: network(3, back=4, across=3, neuron=RATE),
    "a history in registers": lambda: network(2, neuron=RATE),
}


@pytest.mark.parametrize(
    ("name", "pieces"), [*((name, None) for name in CASES), ("mixed", 3), ("a history in registers", 3)]
)
def test_programs_compute_the_same_as_when_they_wait_at_every_step(name, pieces):
    ours, model, waits = train(CASES[name](), pieces=pieces)
    wanted, _, more = train(CASES[name](), pieces=pieces, **OFF)
    assert_equal(ours, wanted, TOLERANCE)
    assert waits < more and model.source("forward").count("if _last:") == 2


def test_programs_equal_the_reference():
    for steps in (1, 3, 7):
        ours, _, _ = train(network(3, neuron=RATE), steps)
        wanted, _ = run(network(3, neuron=RATE), steps, 2, target="c", dtype=torch.float32)
        assert_equal(ours, wanted, TOLERANCE)


def test_there_is_one_barrier_for_as_many_steps_as_the_delay():
    _, model, _ = train(network(5, neuron=RATE))
    forward, backward = loop(model, "forward"), loop(model, "backward")
    assert "_last = (_t + 1) % 5 == 0" in forward
    assert re.findall(r"( +)(_turn = _arrive|_wait)\(", forward) == [(" " * 12, "_turn = _arrive"), (" " * 12, "_wait")]
    assert "if ((_k + 1) % 5 == 0) | (_k + 1 == _T):" in backward and backward.count("_wait(") == 1


def loop(model, half):
    """Return the time loop of the first kernel of a half that has weights in it."""
    text = model.source(half)
    text = text[text.index("_heard,") :]
    return text[text.index("    for _t in" if half == "forward" else "    for _k in") : text.index("\n\n\n")]


def test_explain_says_that_programs_wait_less_or_why_not():
    assert "one barrier for 5 steps, of which each makes its own products" in train(network(5))[1].explain()
    assert "step by step, although delays allow 4 steps together" in train(network(back=4))[1].explain()
    for strategy in ("resident", "stepwise"):
        model = gc.compile(network(4), target="triton", schedule={"strategy": strategy})
        model(torch.zeros(2, 1, 6))
        assert "step by step, although delays allow 4 steps together" in model.explain()


def tiled(tile, programs=3, delay=4):
    """Return the schedule of one hand-built kernel by `programs` programs."""
    plan = for_triton(schedule_of(cuba(delay), "steps", {"hid": 40}, "float32", {}, {"z": "uint8"}), "cooperative")
    kernel = plan.kernels[0]
    found = tile_time.between_barriers(kernel.graph, delay)
    assert found is not None
    kernel = replace(kernel, options={**kernel.options, "programs": programs}, graph=found[0], phases=found[1])
    return replace(plan, kernels=(replace(kernel, tile=tile),))


@functools.cache
def in_order():
    """Return what 9 steps are given, and what programs that wait at every step make of it in their own order."""
    given = draw(tiled(1), 9, 3)
    with lockstep():
        return given, run_triton(tiled(1), given, 9, 3)


@pytest.mark.parametrize("tile", [1, 2, 4])
def test_the_order_in_which_programs_run_does_not_matter(tile):
    given, wanted = in_order()
    for seed in range(3):
        with lockstep("random", seed):
            ours = run_triton(tiled(tile), given, 9, 3)
        assert wanted["z"].any() and all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_programs_that_wait_less_often_than_their_delay_hear_the_wrong_step():
    given = draw(tiled(1), 14, 3)
    with lockstep("random", 1):
        wanted = run_triton(tiled(1), given, 14, 3)
        assert not torch.equal(run_triton(tiled(9), given, 14, 3)["z"], wanted["z"])


def test_programs_that_do_not_wait_at_all_hear_the_wrong_step(monkeypatch):
    given = draw(tiled(4), 14, 3)
    with lockstep("random", 1):
        wanted = run_triton(tiled(4), given, 14, 3)
        texts = {half: re.sub(r"\n +if _last:\n +_wait\(.*", "", text) for half, text in emit(tiled(4)).items()}
        monkeypatch.setattr(triton_kernels, "emit", lambda plan: texts)
        assert not torch.equal(run_triton(tiled(4), given, 14, 3)["z"], wanted["z"])


def test_the_scratch_is_as_large_as_what_is_told_between_barriers():
    kernel = tiled(4).kernels[0]
    (source,) = {n.operands[0] for phase in kernel.phases for n in phase.products}
    assert kernel.heard_slots(source) == 8 and replace(kernel, tile=1).heard_slots(source) == 2
