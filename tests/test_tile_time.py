"""Steps that go together: what sets how many, and the same numbers as step by step."""

import re
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.ir import DeviceSpec, TargetError, show
from graphc.passes import schedule, tile_time
from graphc.passes.tile_time import MOST, TileTime

from .models.passes import assert_same_numbers, experiments, until
from .models.triton_kernels import trained

(h, i), x = gc.states("h i"), gc.input("x")
RATE = gc.Neuron("Rate", update={h: 0.8 * h + gc.softplus(x) - 0.6})
LAG = gc.Neuron("Lag", update={i: 0.5 * i + x, h: 0.9 * h + i}, output=h)
PAST = gc.Neuron("Past", update={h: 0.5 * h + x + 0.3 * gc.previous(h, 2)}, output=h)
EXPERIMENTS = experiments()
scheduling = sys.modules["graphc.passes.schedule"]  # `graphc.passes.schedule` is the function
SIZE, INPUTS, OFF = 19, 6, {"tile_time": 1}


@pytest.fixture(autouse=True)
def passes_are_not_compared_again(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def network(*delays: int, neuron=gc.zoo.CuBaLIF, back: int | None = None, across: int = 0) -> gc.Network:
    """Return one population with recurrence of `delays`; with `back`, a second one to it and back."""
    net = gc.Network(dt=1.0)
    net.input("x", INPUTS)
    net.population("hid", neuron, SIZE)
    net.population("out", gc.zoo.LI, 3)
    net.connect("x", "hid", weight=gc.Normal(0.3, 0.4))
    for number, delay in enumerate(delays):
        net.connect("hid", "hid", delay=delay, name=f"rec{number}", weight=gc.Normal(0.0, 0.3))
    if back is not None:
        net.population("top", neuron, 5)
        net.connect("hid", "top", delay=across, weight=gc.Normal(0.1, 0.4))
        net.connect("top", "hid", delay=back, weight=gc.Normal(0.0, 0.4))
    net.connect("hid", "out", weight=gc.Normal(0.0, 0.5))
    net.output("out")
    return net


def run(net, steps=9, batch=3, pieces=None, target="c", dtype=torch.float64, record="hid.output", **options):
    """Return outputs, states and gradients of a run, in `pieces` that hand on their state."""
    torch.manual_seed(0)
    model = gc.compile(net, target=target, dtype=dtype, **options)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=draw) / (p.shape[0] ** 0.5 if p.dim() == 2 else 4))
    inputs = (2 * torch.rand(steps, batch, INPUTS, generator=draw)).to(dtype).requires_grad_()
    found, state = [], None
    for part in torch.split(inputs, pieces or steps):
        run = model.run(part, state=state, record=[record])
        found.append(torch.cat([run.output, run.records[record]], -1))
        state = run.state
    ends = {name: v for name, v in state.items() if v.is_floating_point()}
    y = torch.cat(found)
    draw.manual_seed(2)
    total = sum((v * torch.randn(v.shape, generator=draw).to(v)).sum() for v in (y, *ends.values()))
    total.backward()
    grads = {f"d({n})": p.grad for n, p in model.named_parameters() if p.grad is not None} | {"d(x)": inputs.grad}
    return {n: v.detach().double() for n, v in ({"y": y} | ends | grads).items()}, model


def assert_equal(ours, wanted, near=1e-10):
    assert ours.keys() == wanted.keys() and wanted["d(x)"].any()
    for name, tensor in wanted.items():
        scale = float(tensor.abs().max()) + 1e-30
        torch.testing.assert_close(ours[name] / scale, tensor / scale, rtol=0, atol=near, msg=name)


def tiles(net, half=None):
    """Return the tiles of the loops that multiply."""
    regions = [r for r in trained(net).regions if r.kind in ("steps", "reverse") and half in (None, r.kind)]
    return [r.tile for r in regions if any(type(n).__name__.startswith("Project") for n in r.graph.nodes)]


def notes(net):
    return [line for about, line in trained(net).notes if about == "tile-time"]


# --- the pass --------------------------------------------------------------------------------------------------------


def test_the_minimum_delay_is_the_tile_of_both_halves():
    assert tiles(network(7)) == [7, 7]
    assert tiles(network(7, 3)) == [3, 3]
    assert tiles(network(1)) == [1, 1]


def test_a_tile_is_capped():
    assert tiles(network(MOST + 9)) == [MOST, MOST]
    assert f"read {MOST + 9} back, of which {MOST} at most go together" in notes(network(MOST + 9))[0]


def test_a_connection_without_delay_inside_a_cycle_is_a_stage_of_its_own():
    assert tiles(network(back=4)) == [4, 4]
    assert tiles(network(2, back=4, across=3)) == [2, 2]


def test_notes_name_the_history_that_sets_the_tile():
    assert notes(network(7, 3)) == [
        "forward_1: 3 steps at once, hid.spike@history is read 3 back",
        "backward_3: 3 steps at once, d(hid.spike@history)@3 is read 3 back",
    ]


def test_a_past_that_no_product_waits_for_sets_no_tile():
    assert notes(network(4, neuron=PAST))[0] == "forward_1: 4 steps at once, hid.output@history is read 4 back"


def test_notes_say_why_a_loop_goes_step_by_step():
    first, second = notes(network(5, 1))
    assert first.startswith("forward_1: step by step, rec1_drive waits for hid.spike@history, read 1 back")
    assert "step by step" in second


def test_loops_without_products_are_left_alone():
    program = trained(network())
    assert not notes(network()) and TileTime().run(program) is program
    assert all(r.tile == 1 for r in program.regions)


def test_tile_time_twice_is_the_same_object():
    program = trained(network(4))
    assert TileTime().run(program) is program


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_tile_time_keeps_the_numbers(name):
    assert_same_numbers(EXPERIMENTS[name], *until("tile-time", EXPERIMENTS[name]))


def test_the_printer_shows_the_tile():
    text = show(trained(network(4)))
    assert "steps by 4 graph forward_1:" in text and "reverse backward by 4 graph backward_3:" in text


# --- C ---------------------------------------------------------------------------------------------------------------

CASES = {
    "spikes": lambda: network(4),
    "rates": lambda: network(4, neuron=RATE),
    "mixed": lambda: network(3, 7),
    "mixed rates": lambda: network(3, 7, neuron=RATE),
    "capped rates": lambda: network(40, neuron=RATE),
    "a stage between": lambda: network(6, back=4),
    "a stage between rates": lambda: network(back=3, neuron=RATE),
    "two populations": lambda: network(2, 5, back=4, across=3),
    "a product of a state backward": lambda: network(3, 3, neuron=LAG),
    "a past of its own": lambda: network(4, neuron=PAST),
    "adaptive": lambda: network(3, neuron=gc.zoo.ALIF),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("steps", [2, 9])
def test_c_computes_the_same_as_step_by_step_and_as_the_reference(name, steps):
    ours, model = run(CASES[name](), steps, batch=9)
    assert "_begin" in model.source("forward") and "_begin" in model.source("backward")
    if name in ("mixed", "a stage between rates"):  # the others against the reference alone
        alone, single = run(CASES[name](), steps, batch=9, schedule=OFF)
        assert "_begin" not in single.source("forward") + single.source("backward")
        assert_equal(ours, alone)
    wanted, _ = run(CASES[name](), steps, batch=9, target="reference")
    assert_equal(ours, wanted)
    if name in ("spikes", "mixed", "a stage between", "two populations", "adaptive"):
        assert torch.equal(ours["y"][..., 3:], wanted["y"][..., 3:]) and wanted["y"][..., 3:].any()


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 23),
    st.lists(st.integers(1, 9), min_size=1, max_size=2),
    st.one_of(st.none(), st.integers(1, 5)),
    st.integers(1, 10),
    st.sampled_from([gc.zoo.CuBaLIF, RATE]),
    st.sampled_from([1, 3, 32]),
)
def test_any_delays_chunks_and_caps_give_the_same(steps, delays, back, pieces, neuron, most):
    net = network(*delays, neuron=neuron, back=back)
    ours, _ = run(net, steps, 2, pieces, schedule={"tile_time": most})
    wanted, _ = run(net, steps, 2, target="reference")
    assert_equal(ours, wanted)


@pytest.mark.parametrize("every", [2, 5])
def test_checkpoints_cut_blocks(every):
    ours, _ = run(network(3, 4), 13, learn=gc.learn.BPTT(checkpoint=every))
    wanted, _ = run(network(3, 4), 13, target="reference")
    assert_equal(ours, wanted)


def test_single_precision_gives_the_same_bits_with_and_without():
    ours, _ = run(network(4, neuron=RATE), 11, 8, dtype=torch.float32)
    alone, _ = run(network(4, neuron=RATE), 11, 8, dtype=torch.float32, schedule=OFF)
    assert all(torch.equal(ours[name], alone[name]) for name in alone)


@pytest.mark.parametrize("neuron", [gc.zoo.CuBaLIF, RATE], ids=["spikes", "rates"])
def test_a_tile_larger_than_the_minimum_delay_is_wrong(monkeypatch, neuron):
    known = tile_time.levels
    wanted, _ = run(network(3, neuron=neuron), 12)
    monkeypatch.setattr(tile_time, "largest_tile", lambda graph: 5)
    monkeypatch.setattr(tile_time, "levels", lambda graph, tile: known(graph, min(tile, 3)))
    wrong, model = run(network(3, neuron=neuron), 12)
    assert "_begin += 5" in model.source("forward")
    assert not torch.allclose(wrong["y"], wanted["y"])


def test_a_state_that_is_not_finite_is_found_in_a_block():
    model = gc.compile(network(back=4, neuron=RATE), target="c", dtype=torch.float64)
    inputs = torch.zeros(9, 2, INPUTS, dtype=torch.float64)
    inputs[5, 1] = float("nan")
    with torch.no_grad(), pytest.raises(gc.GraphcError, match="step 5"):
        model(inputs)


def test_the_option_is_a_bound_and_one_is_off():
    texts = [gc.compile(network(6), target="c", schedule={"tile_time": n}).source("forward") for n in (1, 4, 6, 32)]
    assert [re.findall(r"_begin \+= (\d+)", text) for text in texts] == [[], ["4"], ["6"], ["6"]]
    for value in (0, 64, True):
        with pytest.raises(TargetError, match="tile_time"):
            gc.compile(network(6), schedule={"tile_time": value})
    with pytest.raises(TargetError, match="reference"):
        gc.compile(network(6), target="reference", schedule={"tile_time": 2})


def test_explain_says_how_many_steps_go_together():
    text = gc.compile(network(6), target="c").explain()
    assert "6 steps together" in text and "tile-time: forward_1: 6 steps at once" in text
    assert "steps together" not in gc.compile(network(1), target="c").explain()


def test_the_text_of_a_block(golden):
    text = run(network(4), dtype=torch.float32)[1].source("forward")
    text = text[text.index("for (int64_t _begin") :]
    golden(re.sub(r"(\w+\.py):\d+", r"\1", text[: text.index("free(_m)")]))


def test_as_many_steps_go_together_as_caches_have_room_for(monkeypatch):
    for most in (3, 1):
        monkeypatch.setattr(scheduling, "BLOCK", most * 8 * SIZE)
        made = schedule(trained(network(6)), DeviceSpec("cpu"), "float32", "c")
        loops = [k for k in made.kernels if k.strategy == "rows"]
        assert {k.tile for k in loops} == {most}
        assert ("although delays allow 6 steps" in loops[0].reason) is (most == 1)
