"""The resource model of the Triton target: what it chooses, and what it refuses."""

from dataclasses import replace

import pytest

import graphc as gc
from graphc.ir import DeviceSpec, TargetError
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes, schedule

H200 = DeviceSpec("cuda", 90, 132, 232448, cooperative=True)


def network(size: int, delay: int | None = 1) -> gc.Network:
    net = gc.Network(dt=1.0)
    net.input("x", 8)
    net.population("hid", gc.zoo.CuBaLIF, size)
    net.connect("x", "hid")
    if delay is not None:
        net.connect("hid", "hid", delay=delay)
    net.output("hid")
    return net


def loops(size, device=H200, dtype="float32", precision="float32", delay=1, **tuned):
    program = lower(network(size, delay))
    learned = frozenset(p.name for p in program.parameters if p.learn)
    program = run_passes(program, pipeline(Request(wrt=learned)))
    made = schedule(program, device, dtype, "triton", tuned, precision)
    return [k for k in made.kernels if k.kind != "product"]


@pytest.mark.parametrize(
    ("size", "precision", "strategy"),
    [
        (128, "float32", "resident"),
        (129, "float32", "cooperative"),
        (256, "bfloat16", "resident"),
        (257, "float16", "cooperative"),
        (2048, "bfloat16", "cooperative"),
        (8192, "bfloat16", "stepwise"),
    ],
)
def test_the_strategy_follows_size_and_precision(size, precision, strategy):
    assert {k.strategy for k in loops(size, precision=precision)} == {strategy}


def test_without_recurrence_every_size_is_elementwise():
    assert {k.strategy for k in loops(100_000, delay=None)} == {"elementwise"}


def test_a_device_without_cooperative_launch_gets_stepwise_and_the_reason():
    kernels = loops(512, replace(H200, cooperative=False))
    assert {k.strategy for k in kernels} == {"stepwise"}
    assert "does not launch cooperative grids" in kernels[0].reason


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"strategy": "elementwise"}, "its step multiplies with hid_hid_weight"),
        ({"strategy": "resident"}, "at most 128 neurons in float32 and a population here has 512"),
        ({"strategy": "cooperative", "dtype": "float64"}, "computes in float64"),
        ({"strategy": "cooperative", "device": replace(H200, cooperative=False)}, "does not launch cooperative grids"),
        ({"strategy": "cooperative", "device": replace(H200, cores=8)}, "programs of 32 neurons must run at once"),
        ({"strategy": "fastest"}, "no strategy 'fastest'"),
        ({"lanes": 4}, "no option 'lanes'"),
        ({"strategy": "stepwise", "block": 100}, "no power of two"),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_way_out(ask, message):
    with pytest.raises(TargetError, match=message) as refused:
        loops(512, **ask)
    assert "hint:" in str(refused.value)


def test_a_forced_strategy_is_taken():
    for strategy in ("resident", "cooperative", "stepwise"):
        assert {k.strategy for k in loops(64, strategy=strategy)} == {strategy}


def test_populations_that_do_not_meet_have_kernels_of_their_own():
    net = network(100, None)
    net.population("other", gc.zoo.LIF, 3000)
    net.connect("x", "other")
    net.output("other")
    program = run_passes(lower(net), pipeline(Request()))
    made = [k for k in schedule(program, H200, "float32", "triton").kernels if k.kind == "steps"]
    assert [{a for n in k.graph.nodes for a in n.result.type.axes} for k in made] == [{"hid"}, {"other"}]
