"""Streaming: a run in pieces is the run in one piece, in values and in gradients."""

import functools

import pytest
import torch

import graphc as gc

from .oracles.networks import build

TARGETS = ["c", "reference"]
CASES = [("LIF", "delays"), ("CuBaLIF", "recurrent"), ("ALIF", "layers")]


@functools.cache
def model(target: str, name: str, topology: str, dtype: torch.dtype = torch.float64) -> gc.Model:
    return gc.compile(build(name, topology).network, target=target, dtype=dtype)


def drive(name: str, topology: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.as_tensor(build(name, topology).inputs["stim"]).to(dtype)


def by_name(output: torch.Tensor | dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return output if isinstance(output, dict) else {"output": output}


def assert_states_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys() and len(a) > 2
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "topology"), CASES)
def test_steps_equal_the_whole_run(target, name, topology):
    net, x = model(target, name, topology), drive(name, topology)
    whole = net.run(x)
    state, outputs = net.initial_state(x.shape[1]), []
    with torch.no_grad():
        for x_t in x:
            y_t, state = net.step(x_t, state)
            outputs.append(by_name(y_t))
    assert any(y.any() for y in by_name(whole.output).values())
    for key, value in by_name(whole.output).items():  # spikes, so equal to the bit
        torch.testing.assert_close(torch.stack([y[key] for y in outputs]), value.detach(), rtol=0, atol=0)
    assert_states_equal(state, gc.detach(whole.state))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lengths", [(13, 1, 46), (2, 2, 56)])
def test_chunks_equal_the_whole_run_in_values_and_gradients(target, lengths):
    net, x = model(target, "LIF", "delays"), drive("LIF", "delays").clone().requires_grad_()
    outputs, gradients, finals = [], [], []
    for pieces in ((60,), lengths):
        net.zero_grad()
        x.grad, state, parts = None, None, []
        for piece in x.split(pieces):
            run = net.run(piece, record=["top.v"], state=state)
            state = run.state
            parts.append(torch.cat([*by_name(run.output).values(), run.records["top.v"]], -1))
        y = torch.cat(parts)
        (y.pow(2).sum() + state["hid.v"].pow(2).sum()).backward()
        outputs.append(y.detach())
        finals.append(gc.detach(state))
        gradients.append({n: p.grad.clone() for n, p in net.named_parameters()} | {"x": x.grad.clone()})
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-12, atol=1e-12)
    assert_states_equal(*finals)
    for name, want in gradients[0].items():
        assert want.abs().max() > 0, name
        torch.testing.assert_close(gradients[1][name], want, rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("target", TARGETS)
def test_a_detached_state_cuts_the_gradient(target):
    net, x = model(target, "CuBaLIF", "recurrent"), drive("CuBaLIF", "recurrent").clone().requires_grad_()
    state = net.run(x[:20]).state
    net.run(x[20:], state=gc.detach(state)).output.pow(2).sum().backward()
    assert not x.grad[:20].any() and x.grad[20:].any()
    x.grad = None
    net.run(x[20:], state=net.run(x[:20]).state).output.pow(2).sum().backward()
    assert x.grad[:20].any()


@pytest.mark.parametrize("target", TARGETS)
def test_a_step_is_differentiable(target):
    net, x = model(target, "CuBaLIF", "recurrent"), drive("CuBaLIF", "recurrent")[:15]
    net.zero_grad()
    net(x).pow(2).sum().backward()
    want = {n: p.grad.clone() for n, p in net.named_parameters()}
    net.zero_grad()
    state, loss = net.initial_state(x.shape[1]), torch.zeros((), dtype=torch.float64)
    for x_t in x:
        y_t, state = net.step(x_t, state)
        loss = loss + y_t.pow(2).sum()
    loss.backward()
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.grad, want[name], rtol=1e-9, atol=1e-10, msg=name)
        assert want[name].any(), name


def test_any_target_takes_the_state_of_another():
    x = drive("LIF", "delays")
    c, reference = (model(target, "LIF", "delays") for target in TARGETS)
    with torch.no_grad():
        here, there = c.run(x[:25]).state, reference.run(x[:25]).state
        assert_states_equal(here, there)
        assert_states_equal(c.run(x[25:], state=there).state, reference.run(x[25:], state=here).state)


def test_a_state_is_plain_data_with_shapes_that_say_what_it_is():
    net = model("c", "LIF", "delays")
    state = net.initial_state(batch_size=4)
    assert state["hid.v"].shape == (4, 6) and state["t"] == 0
    histories = {k: v.shape for k, v in state.items() if k.endswith("@history")}
    assert histories and all(shape[1:2] == (4,) for shape in histories.values())
    assert not any(v.requires_grad for k, v in state.items() if k not in ("hid.v", "top.v"))


def test_a_run_leaves_the_state_it_was_given():
    net, x = model("c", "LIF", "delays"), drive("LIF", "delays")
    state = gc.detach(net.run(x[:20]).state)
    kept = {k: v.clone() for k, v in state.items()}
    net.run(x[20:], state=state)
    net.run(x[:0], state=state).state["hid.v"].data.fill_(7.0)
    assert all(torch.equal(state[k], v) for k, v in kept.items())


def test_bad_states_are_refused_by_name():
    net, x = model("c", "LIF", "delays"), drive("LIF", "delays")
    state = net.initial_state(x.shape[1])
    with pytest.raises(gc.GraphcError, match=r"state 'hid\.v' has shape"):
        net.run(x, state=state | {"hid.v": torch.zeros(1, 6, dtype=torch.float64)})
    with pytest.raises(gc.GraphcError, match=r"lacks 'top\.v'"):
        net.run(x, state={k: v for k, v in state.items() if k != "top.v"})
    with pytest.raises(gc.GraphcError, match="lacks 't'"):
        net.run(x, state={k: v for k, v in state.items() if k != "t"})
    with pytest.raises(gc.GraphcError, match="initial_state"):
        net.step(x[0])
    with pytest.raises(gc.GraphcError, match=r"step takes \(B, N\)"):
        net.step(x, state)


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_without_inputs_runs_for_so_many_steps(target):
    v = gc.state("v")
    clock = gc.Neuron("Clock", update={v: v + 0.25}, spike=gc.Spike(v >= 1), reset={v: 0})
    net = gc.Network(dt=1.0)
    net.population("n", clock, 2)
    net.output("n")
    free = gc.compile(net, target=target, learn=None)
    run = free.run(steps=10, batch_size=3)
    assert run.output.shape == (10, 3, 2)
    assert run.output[:, 0, 0].nonzero().flatten().tolist() == [3, 7]
    state = free.initial_state(batch_size=3)
    for _ in range(4):
        y, state = free.step(None, state)
    assert y.shape == (3, 2) and y.all() and state["t"] == 4


@pytest.mark.parametrize("target", TARGETS)
def test_the_time_of_a_later_call_goes_on(target):
    v, x = gc.state("v"), gc.input("x")
    net = gc.Network(dt=0.5)
    net.input("x", 1)
    net.population("n", gc.Neuron("Time", update={v: gc.t + 0 * v + x}), 1)
    net.connect("x", "n", weight=1.0)
    net.output("n")
    timed = gc.compile(net, target=target, dtype=torch.float64, learn=None)
    zero = torch.zeros(3, 1, 1, dtype=torch.float64)
    first = timed.run(zero)
    later = timed.run(zero, state=first.state).output.flatten()
    assert first.output.flatten().tolist() == [0.0, 0.5, 1.0] and later.tolist() == [1.5, 2.0, 2.5]
