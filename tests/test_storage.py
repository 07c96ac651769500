"""How sequences are stored, by who reads them."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

import graphc as gc
from graphc.codegen.triton import emit
from graphc.ir import DeviceSpec, Graph, Input, Kernel, Output
from graphc.lower import lower
from graphc.passes import Request, keep_exact, pipeline, run_passes, schedule
from graphc.passes.fuse import loops_of
from graphc.passes.storage import buffers_of
from graphc.runtime.stored import element_dtype, row_shape

from .models.kernels import fire, let, value

H100 = DeviceSpec("cuda", 90, 132, 232448, cooperative=True)


def network(size: int = 48, recurrent: bool = False) -> gc.Network:
    net = gc.Network(dt=1.0)
    net.input("x", 8)
    net.population("hid", gc.zoo.LIF, size, t_ref=2.0)
    net.population("out", gc.zoo.LI, 4)
    net.connect("x", "hid")
    net.connect("hid", "out")
    if recurrent:
        net.connect("hid", "hid", delay=1)
    net.output("out")
    return net


def program_of(net, records=()):
    lowered = lower(net, records)
    learned = frozenset(p.name for p in lowered.parameters if p.learn)
    return run_passes(lowered, pipeline(Request(tuple(records), learned)))


def storages(net, precision="float32", target="triton", records=()):
    plan = schedule(program_of(net, records), H100, "float32", target, None, precision)
    return {b.name: b.storage for b in plan.buffers.values() if b.kind == "sequence"}


def test_narrow_precisions_round_what_callers_and_products_see():
    for precision in ("bfloat16", "float16"):
        found = storages(network(), precision)
        assert found.pop("saved hid_condition") == "condition" and found.pop("saved hid_held") == "bits"
        assert {"x", "out.output", "d(out.output)", "hid_out_drive", "d_hid_spike", "saved hid_spike"} <= found.keys()
        assert set(found.values()) == {"narrow"}


def test_float32_and_tf32_round_nothing():
    for precision in ("float32", "tf32"):
        assert Counter(storages(network(), precision).values()) == Counter({"real": 10, "bits": 1})


def test_spikes_take_a_byte_where_their_words_would_cost_more():
    assert storages(network(31))["saved hid_held"] == storages(network(48, True))["saved hid_held"] == "uint8"
    assert storages(network(), target="c")["saved hid_spike"] == "uint8"


def test_every_choice_has_a_reason():
    plan = schedule(program_of(network()), H100, "float32", "triton", None, "bfloat16")
    assert all(b.reason for b in plan.buffers.values() if b.kind == "sequence")


def reverse_of(*nodes, reads) -> Kernel:
    graph = Graph("back", (Input("saved c", reads, "sequence"),), nodes, (Output("g", nodes[-1].result, "sequence"),))
    return Kernel("back", "reverse", graph, loops_of(graph), "elementwise", {}, True)


def saved_storage(*nodes, reads):
    program = SimpleNamespace(outputs=(), inputs=(), states=(), drivers=(), sizes={"hid": 64})
    return buffers_of(program, [reverse_of(*nodes, reads=reads)], "triton", "bfloat16")["saved c"].storage


def test_a_condition_keeps_its_sign_alone_only_if_nothing_else_is_compared():
    c, v, c2, g = (value(n, "hid") for n in ("c", "v", "c2", "g"))
    z, z2 = (value(n, "hid", dtype="bool") for n in ("z", "z2"))
    slope = let(g, "z/(1 + 10*Abs(c))**2", z, c)
    assert saved_storage(fire(z, c), slope, reads=c) == "condition"
    shifted = (let(v, "c + 1", c), let(c2, "v - 2", v), fire(z2, c2))
    assert saved_storage(*shifted, fire(z, c), slope, reads=c) == "real"
    assert saved_storage(let(c2, "c - 1", c), fire(z, c2), let(g, "z*2", z), reads=c) == "real"
    assert saved_storage(let(g, "2*c", c), reads=c) == "real"


def test_a_state_that_leaves_rounded_is_kept_exact_for_time_loops():
    v, x = gc.state("v"), gc.input("x")
    net = gc.Network(dt=1.0)
    net.input("x", 8)
    net.population("n", gc.Neuron("N", update={v: 0.5 * v + x}, output=v**3), 40)
    net.connect("x", "n")
    net.output("n")
    program = program_of(net, ["n.v"])
    assert keep_exact(program, "float32") is keep_exact(program, "tf32") is program
    kept = keep_exact(program, "bfloat16")
    assert keep_exact(kept, "bfloat16") is kept and kept is not program
    found = storages(net, "bfloat16", records=["n.v"])
    assert found["n.v"] == "narrow" and found["exact n.v"] == "real"
    reverse = next(r.graph for r in kept.regions if r.kind == "reverse")
    read = {i.source for i in reverse.inputs}
    assert "exact n.v" in read and "n.v" not in read


def test_elements_and_rows_of_every_storage():
    kinds = {"real": torch.float32, "narrow": torch.float16, "condition": torch.float16, "uint8": torch.uint8}
    for storage, dtype in (kinds | {"bits": torch.int32, "int32": torch.int32}).items():
        assert element_dtype(storage, torch.float32, "float16") is dtype
    assert [row_shape("bits", (n,)) for n in (32, 33)] == [(1,), (2,)] and row_shape("narrow", (33,)) == (33,)


@pytest.mark.ahead
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_kernels_access_memory_widely_and_spill_nothing(precision):
    from graphc.runtime.ahead import compile_ahead

    net = gc.Network(dt=1.0)
    net.input("x", 64)
    net.population("hid", gc.zoo.LIF, 1024, t_ref=2.0)
    net.connect("x", "hid")
    net.output("hid")
    plan = schedule(program_of(net), H100, "float32", "triton", None, precision)
    for report in compile_ahead(plan, emit(plan), 90):
        assert report.spills == report.local == report.atomics == 0
        narrow = [line for line in report.assembly.splitlines() if ".U16" in line and ("LDG" in line or "STG" in line)]
        assert not narrow and report.wide[0] >= 15  # 4 neurons of 2 bytes a thread
