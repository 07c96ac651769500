"""What a caller passes to a model is checked before a kernel reads it."""

import functools

import pytest
import torch

import graphc as gc

x = gc.input("x")
RELU = gc.Neuron("Relu", output=gc.relu(x))


@functools.cache
def model(size: int = 3) -> gc.Model:
    net = gc.Network(dt=1.0)
    net.input("x", size)
    net.population("hid", gc.zoo.LIF, 4)
    net.connect("x", "hid", weight=1.0)
    net.output("hid")
    return gc.compile(net)


@functools.cache
def clock() -> gc.Model:
    net = gc.Network(dt=1.0)
    net.population("hid", gc.zoo.LI, 4, v=1.0)
    net.output("hid")
    return gc.compile(net)


@pytest.mark.parametrize("value", [-3, 2.5, "3", True])
@pytest.mark.parametrize("name", ["steps", "batch_size"])
def test_steps_and_samples_are_counted_by_ints(name, value):
    message = f"{name}={value!r} is no int of at least 0"
    with pytest.raises(gc.GraphcError, match=message):
        clock().run(**{"steps": 2, "batch_size": 2, name: value})
    with pytest.raises(gc.GraphcError, match=message):
        clock().explain(**{name: value})
    if name == "batch_size":
        with pytest.raises(gc.GraphcError, match=message):
            clock().initial_state(value)
    assert clock().run(steps=2, batch_size=2).output.any()


BAD = [
    ({"t": 3}, "'t' of the state is 3, no integer tensor"),
    ({"t": torch.tensor([3, 4])}, r"'t' of the state is tensor\(\[3, 4\]\), no integer tensor"),
    ({"t": torch.tensor(3.5)}, "'t' of the state is tensor.3.5.*, no integer tensor"),
    ({"t": torch.tensor(-3)}, "the state is that before step -3"),
    ({"hid.v": [0.0]}, "state 'hid.v' is a list, no tensor"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_state_that_is_none_is_refused_with_a_way_out(change, message):
    state = model().initial_state(2)
    with pytest.raises(gc.GraphcError, match=f"{message}(.|\n)*hint: start from"):
        model().run(torch.rand(3, 2, 3), state={**state, **change})
    assert model().run(torch.rand(3, 2, 3), state=state).state["t"] == 3


def test_a_list_is_no_state():
    with pytest.raises(gc.GraphcError, match="the state is a list, no mapping"):
        model().run(torch.rand(3, 2, 3), state=[1])


def test_a_sparse_input_is_refused_with_a_way_out():
    with pytest.raises(gc.GraphcError, match=r"input 'x' is sparse(.|\n)*pass x.to_dense\(\)"):
        model()(torch.rand(3, 2, 3).to_sparse())


def test_a_step_without_states_takes_its_batch_from_its_input():
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("hid", RELU, 4)
    net.connect("x", "hid")
    net.output("hid")
    plain, given = gc.compile(net), torch.rand(5, 3)
    y, state = plain.step(given, plain.initial_state(5))
    assert torch.equal(y, plain(given[None])[0]) and y.any() and state["t"] == 1


def test_a_budget_asks_nothing_of_a_run_without_steps():
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("hid", gc.zoo.LIF, 4)
    net.connect("x", "hid")
    net.output("hid")
    assert gc.compile(net, learn=gc.learn.BPTT(memory_budget=10**9))(torch.rand(0, 2, 3)).shape == (0, 2, 4)


@pytest.mark.parametrize("target", ["c", "reference"])
def test_a_lazily_negated_input_is_read_as_it_reads(target):
    net = gc.Network(dt=1.0)
    net.input("x", 2)
    net.population("hid", RELU, 2)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.output("hid")
    given = torch.randn(3, 1, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = gc.compile(net, target=target)(torch._neg_view(given))
    assert torch.equal(y, torch.relu(-given)) and y.any()


@pytest.mark.parametrize("target", ["c", "reference"])
def test_autocast_changes_no_number(target):
    torch.manual_seed(0)
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("hid", gc.zoo.LIF, 40)
    net.connect("x", "hid")
    net.connect("hid", "hid", delay=1)
    net.output("hid.v")
    plain, given = gc.compile(net, target=target), 4 * torch.rand(30, 4, 3)

    def train() -> tuple[torch.Tensor, torch.Tensor]:
        plain.zero_grad()
        y = plain(given)
        y.square().sum().backward()
        return y.detach(), plain.hid_hid.weight.grad.clone()

    wanted = train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = train()
    assert wanted[1].any() and all(map(torch.equal, ours, wanted))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "c", "schedule": {"strategy": "resident"}}, "'strategy', which target 'c' does not know"),
        ({"target": "reference", "schedule": {"rows": 8}}, "'rows', which target 'reference' does not know"),
        ({"schedule": {"block": 2**21}}, "block=2097152 of schedule= is not within 16 to 8192"),
        ({"schedule": {"warps": 64}}, "warps=64 of schedule= is not within 1 to 32"),
        ({"schedule": {"columns": 4}}, "columns=4 of schedule= is not within 16 to 256"),
    ],
)
def test_a_schedule_that_no_kernel_has_is_refused_on_its_line(options, message):
    with pytest.raises(gc.TargetError, match=rf"test_arguments.py:\d+: .*{message}(.|\n)*hint:"):
        gc.compile(model()._compiler.network, **options)
