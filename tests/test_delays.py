"""Delays: what is sent in step t acts in step t + d, also across calls, and the pass says what it found."""

from dataclasses import replace

import pytest
import torch

import graphc as gc
from graphc.ir import Read, final, initial, show
from graphc.ir.interpret import interpret
from graphc.lower import lower
from graphc.passes import run_passes
from graphc.passes.delays import Delays
from graphc.passes.discretize import Discretize
from graphc.passes.prologue import SplitPrologue

from .models import small
from .models.gradients import discrete, experiment, real

v, x = gc.state("v"), gc.input("x")
RELAY = gc.Neuron("Relay", update={v: x}, spike=gc.Spike(v > 0.5))
ANALOG = gc.Neuron("Analog", update={v: x})
STEPS = 9


def reference(net: gc.Network) -> gc.Model:
    return gc.compile(net, learn=None, target="reference", dtype=torch.float64)


def impulse(at: int) -> torch.Tensor:
    sequence = torch.zeros(STEPS, 1, 1, dtype=torch.float64)
    sequence[at] = 1
    return sequence


def chain(middle: gc.Neuron, first: int, second: int) -> gc.Network:
    """Return inp -> a -> b with two delays."""
    net = gc.Network(dt=0.5)
    net.input("inp", 1)
    net.population("a", middle, 1)
    net.population("b", ANALOG, 1)
    net.connect("inp", "a", weight=1.0, delay=first)
    net.connect("a", "b", weight=1.0, delay=second)
    net.output("b")
    return net


@pytest.mark.parametrize("middle", [RELAY, ANALOG], ids=["spikes", "signals"])
@pytest.mark.parametrize("delay", range(6))
def test_impulse_arrives_exactly_d_steps_later(delay, middle):
    for first, second in ((delay, 0), (0, delay), (delay, 1)):
        out = reference(chain(middle, first, second))(impulse(1)).flatten()
        assert out.nonzero().flatten().tolist() == [t for t in [1 + first + second] if t < STEPS]


@pytest.mark.parametrize("middle", [RELAY, ANALOG], ids=["spikes", "signals"])
@pytest.mark.parametrize("delay", range(6))
def test_impulse_arrives_at_the_same_step_when_streamed(delay, middle):
    model = reference(chain(middle, delay, delay))
    whole, state, rows = model(impulse(0)), model.initial_state(batch_size=1), []
    for x_t in impulse(0):
        y_t, state = model.step(x_t, state)
        rows.append(y_t)
    assert torch.equal(torch.stack(rows), whole)
    assert whole.sum() == (1 if 2 * delay < STEPS else 0)


@pytest.mark.parametrize("pieces", [(4, 5), (1, 2, 6), (8, 1)])
def test_a_delay_crosses_the_border_of_two_calls(pieces):
    model, inputs = reference(chain(RELAY, 3, 2)), impulse(2)
    state, rows = None, []
    for part in torch.split(inputs, pieces):
        run = model.run(part, state=state)
        rows.append(run.output)
        state = run.state
    assert torch.equal(torch.cat(rows), model(inputs)) and torch.cat(rows).sum() == 1


def test_delay_as_a_time_counts_steps():
    net = chain(RELAY, 0, 0)
    net.connect("inp", "b", weight=2.0, delay=1.5 * gc.units.ms)
    assert reference(net)(impulse(0)).flatten().tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0]


def test_delay_between_steps_is_refused():
    net = chain(RELAY, 0, 0)
    with pytest.raises(gc.DeclarationError, match="multiple of dt"):
        net.connect("inp", "b", delay=0.7 * gc.units.ms)


def test_loop_echoes_with_its_delay():
    net = gc.Network(dt=1.0)
    net.input("inp", 1)
    net.population("a", RELAY, 1)
    net.connect("inp", "a", weight=1.0)
    net.connect("a", "a", weight=1.0, delay=3)
    net.output("a.spike")
    assert reference(net)(impulse(1)).flatten().tolist() == [0, 1, 0, 0, 1, 0, 0, 1, 0]


def test_loop_without_delay_is_refused():
    net = gc.Network(dt=1.0)
    net.population("a", RELAY, 1)
    net.population("b", RELAY, 1)
    net.connect("a", "b")
    with pytest.raises(gc.DeclarationError, match="delay"):
        net.connect("b", "a")
        gc.compile(net)


def test_signal_before_the_run_is_that_of_the_initial_state():
    net = gc.Network(dt=1.0)
    net.population("a", gc.Neuron("A", update={v: v + 1}, init={v: 5}), 1)
    net.population("b", ANALOG, 1)
    net.connect("a", "b", weight=1.0, delay=2)
    net.output("b")
    assert reference(net)(steps=5).flatten().tolist() == [5, 5, 6, 7, 8]


def test_state_holds_histories_oldest_first():
    model = reference(chain(ANALOG, 3, 0))
    inputs = torch.arange(1.0, 6.0, dtype=torch.float64).reshape(5, 1, 1)
    assert model.run(inputs).state["inp@history"].flatten().tolist() == [3, 4, 5]


# --- the pass --------------------------------------------------------------------------------------------------------


def prepared() -> list:
    return [Discretize(), SplitPrologue(), Delays()]


def notes(net: gc.Network) -> list[str]:
    return [line for about, line in run_passes(lower(net), prepared()).notes if about == "delays"]


def test_note_names_depth_and_minimum_delay_of_a_loop():
    (line,) = notes(small.recurrent())
    assert line == "hid.spike@history: keeps 2 steps, read 2 back; recurrent, minimum delay 2"


def test_note_of_a_forward_delay_is_not_recurrent():
    (line,) = notes(chain(RELAY, 3, 0))
    assert line == "inp@history: keeps 3 steps, read 3 back"


def test_one_history_serves_all_delays_of_a_source():
    net = chain(RELAY, 0, 2)
    net.connect("a", "b", weight=1.0, delay=4, name="late")
    graph = lower(net).regions[0].graph
    assert [(h.name, h.depth) for h in graph.histories] == [("a.spike@history", 4)]
    assert sorted(n.delay for n in graph.nodes if isinstance(n, Read)) == [2, 4]


def test_without_delays_nothing_is_noted():
    assert notes(small.feedforward()) == []


def test_delays_twice_is_the_same_object():
    program = run_passes(lower(small.recurrent()), prepared())
    assert Delays().run(program) is program
    plain = run_passes(lower(small.feedforward()), prepared())
    assert Delays().run(plain) is plain


def test_delays_changes_no_region():
    before = run_passes(lower(small.recurrent()), prepared()[:2])
    assert all(a is b for a, b in zip(before.regions, Delays().run(before).regions, strict=True))


def test_delays_leaves_the_text_alone(golden):
    golden(show(run_passes(lower(chain(RELAY, 2, 3)), prepared())))


def test_a_read_one_step_off_is_noticed():
    e = experiment(lower(chain(ANALOG, 2, 3)), {"inp": real(STEPS, 2, 1)})
    program = discrete(e.program)
    region = program.region("steps")
    nodes = [replace(n, delay=n.delay - 1) if isinstance(n, Read) else n for n in region.graph.nodes]
    moved = program.with_regions(
        [replace(r, graph=r.graph.with_nodes(nodes)) if r is region else r for r in program.regions]
    )
    right, wrong = interpret(program, e.given), interpret(moved, e.given)
    assert (right["b.output"] - wrong["b.output"]).abs().max() > 0.1
    assert initial("inp@history") in e.given and final("inp@history") in right
