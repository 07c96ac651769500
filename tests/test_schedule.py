"""A program becomes kernels over named buffers."""

import pytest

import graphc as gc
from graphc.ir import DeviceSpec, Program, Schedule, TargetError, show
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes, schedule

from .models import small

CPU, GPU = DeviceSpec("cpu", cores=2), DeviceSpec("cuda", 90, 132, 232448)


def program(net: gc.Network, learn: bool = True) -> Program:
    lowered = lower(net)
    wrt = frozenset(p.name for p in lowered.parameters if p.learn) if learn else frozenset()
    return run_passes(lowered, pipeline(Request(wrt=wrt)))


def plan(target: str = "c", learn: bool = True, dtype: str = "float32") -> Schedule:
    device = CPU if target == "c" else GPU
    return schedule(program(small.recurrent(), learn), device, dtype, target)


def wide(size: int) -> gc.Network:
    net = gc.Network(dt=1.0)
    net.population("n", small.LIF, size)
    net.connect("n", "n", delay=1)
    net.output("n")
    return net


@pytest.mark.parametrize("target", ["c", "triton"])
def test_schedule_text(target, golden):
    golden(show(plan(target)))


def test_kernels_stand_in_the_order_of_their_reads():
    for target in ("c", "triton"):
        p = plan(target)
        written = set()
        for kernel in p.kernels:
            mine = {o.name for k in p.kernels for o in k.graph.outputs}
            assert {i.source for i in kernel.graph.inputs} & mine <= written, kernel.name
            written |= {o.name for o in kernel.graph.outputs}


def test_every_argument_has_a_buffer():
    for target in ("c", "triton"):
        p = plan(target)
        assert {n for k in p.kernels for n in k.arguments} == set(p.buffers)


def test_saved_is_what_both_halves_touch():
    p = plan()
    forward = {n for k in p.half(False) for n in k.arguments}
    backward = {n for k in p.half(True) for n in k.reads}
    assert set(p.saved) == forward & backward and "saved hid_condition" in p.saved


def test_spikes_between_kernels_take_one_byte_and_counters_four():
    buffers = plan().buffers
    assert buffers["saved hid_spike"].storage == "uint8"
    assert buffers["hid.refractory@initial"].storage == "int32"
    assert buffers["out.output"].storage == buffers["hid.v@initial"].storage == "real"


def test_recorded_spikes_are_real_numbers():
    lowered = lower(small.recurrent(), ["hid.spike"])
    p = schedule(run_passes(lowered, pipeline(Request())), CPU, "float32", "c")
    assert p.buffers["hid.spike"].storage == "real"


def test_without_learning_there_is_no_backward_half():
    p = plan(learn=False)
    assert p.half(True) == () and p.saved == ()


def test_prologue_is_no_kernel():
    assert all(k.kind in ("steps", "reverse", "product") for k in plan().kernels)


def test_states_are_checked_before_their_reset():
    (kernel,) = [k for k in plan().kernels if any(name == "hid.v" for _, name in k.checks)]
    value = next(v for v, name in kernel.checks if name == "hid.v")
    after = next(c.next for c in kernel.graph.carries if c.name == "hid.v")
    assert value is not after and {name for _, name in kernel.checks} == {"hid.v", "hid.i"}


RESIDENT = {"strategy": "resident"}
LIMITS = [("float32", "float32", 128), ("float64", "float32", 64), ("float32", "bfloat16", 256)]


@pytest.mark.parametrize(("dtype", "precision", "limit"), LIMITS)
def test_resident_strategy_refuses_what_does_not_fit(dtype, precision, limit):
    schedule(program(wide(limit)), GPU, dtype, "triton", RESIDENT, precision)
    with pytest.raises(TargetError, match=rf"at most {limit} neurons(.|\n)*has {limit + 1}(.|\n)*hint: use strategy="):
        schedule(program(wide(limit + 1)), GPU, dtype, "triton", RESIDENT, precision)


def test_strategy_follows_the_recurrence():
    strategies = {k.graph.name: k.strategy for k in plan("triton").kernels if k.kind == "steps"}
    assert strategies == {"forward_1": "resident", "forward_3": "elementwise"}


def test_tuned_options_replace_the_defaults():
    p = schedule(program(small.recurrent()), CPU, "float32", "c", {"rows": 3})
    assert {k.options["rows"] for k in p.kernels if k.kind != "product"} == {3}


def test_sums_leave_the_loops_of_triton():
    reverse = [k for k in plan("triton").kernels if k.kind == "reverse"]
    assert not any(o.kind == "sum" for k in reverse for o in k.graph.outputs)
    assert any(k.strategy == "sum" for k in plan("triton").kernels)
