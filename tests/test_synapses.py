"""Connections that are no full matrix do what the full matrix does, in numbers and in gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from tests.models.synapses import (
    DELAY,
    DELAYS,
    KINDS,
    MASK,
    WEIGHT,
    N,
    dense_gradient,
    dense_weight,
    recurrent,
    spikes_in,
)

T, B = 14, 3


@pytest.fixture(autouse=True)
def passes_are_compared_once(monkeypatch, request):
    """Let one test per kind compare the numbers before and after every pass; the others only run the same passes."""
    if "matrix_does" not in request.node.name:
        monkeypatch.setenv("GRAPHC_VERIFY", "1")


def run(model, x, loss):
    y = model(x)
    (y * loss).sum().backward()
    return y.detach()


CASES = [(k, "one") for k in KINDS] + [(k, "per synapse") for k in ("pairs", "list of a dense mask", "blocks")]


@pytest.mark.parametrize(("kind", "delay"), CASES)
def test_a_list_of_synapses_does_what_its_matrix_does(kind, delay):
    net = recurrent(**KINDS[kind], **DELAYS[delay])
    sparse = gc.compile(net, target="c", dtype=torch.float64)
    full = gc.compile(recurrent(weight=dense_weight(net, sparse), **DELAYS[delay]), target="c", dtype=torch.float64)
    with torch.no_grad():
        full.inp_hid.weight.copy_(sparse.inp_hid.weight)
    x, loss = spikes_in(T, B), torch.randn(T, B, N, dtype=torch.float64)
    y = run(sparse, x, loss)
    assert 0.1 < y.mean() < 0.9
    assert torch.equal(y, run(full, x, loss))
    torch.testing.assert_close(sparse.inp_hid.weight.grad, full.inp_hid.weight.grad, rtol=1e-10, atol=1e-10)
    expected = dense_gradient(net, full.hid_hid.weight.grad)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(sparse.hid_hid.weight.grad, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("kind", ["mask"])
def test_gradients_are_those_of_autograd_through_the_reference(kind, delay):
    models = [
        gc.compile(recurrent(**KINDS[kind], **DELAYS[delay]), target=t, dtype=torch.float64) for t in ("c", "reference")
    ]
    models[1].load_state_dict(models[0].state_dict())
    program = models[1]
    x, loss = spikes_in(T, B), torch.randn(T, B, N, dtype=torch.float64)
    run(models[0], x, loss)
    found = autograd_of_the_interpreter(program, x, loss)
    for name in ("inp_hid.weight", "hid_hid.weight"):
        mine = models[0].get_parameter(name).grad
        torch.testing.assert_close(mine, found[name], rtol=1e-10, atol=1e-10)


def autograd_of_the_interpreter(model, x, loss):
    """Return gradients of torch autograd through the declared steps: no pass that makes gradients takes part."""
    from graphc.ir.interpret import interpret
    from graphc.passes.discretize import Discretize

    program = Discretize().run(model._compiler.lowered(()))
    named = dict(model.named_parameters())
    env = {p.name: named.get(p.name) for p in program.parameters}
    buffers = dict(model.named_buffers())
    env = {n: v if v is not None else buffers[n] for n, v in env.items()}
    state = model.initial_state(x.shape[1])
    env |= {f"{n}@initial": v for n, v in state.items() if n != "t"}
    done = interpret(program, {**env, "inp": x, "@t": torch.tensor(0)})
    leaves = {n: p for n, p in named.items()}
    grads = torch.autograd.grad((done["hid.output"] * loss).sum(), list(leaves.values()))
    return dict(zip(leaves, grads, strict=True))


@pytest.fixture(scope="module")
def relays():
    """One input that reaches ten outputs, each after another delay."""
    net = gc.Network(dt=1.0)
    net.input("inp", 1)
    net.population("out", gc.Neuron("Relay", output=gc.input("x")), 10)
    net.connect("inp", "out", delay=np.arange(10)[None], weight=1.0)
    for d in (0, 4, 9):
        net.population(f"out_{d}", gc.Neuron("Relay", output=gc.input("x")), 1)
        net.connect("inp", f"out_{d}", delay=d, weight=1.0)
    net.output("out", "out_0", "out_4", "out_9")
    return {target: gc.compile(net, learn=None, target=target) for target in ("c", "reference")}


@pytest.mark.parametrize("target", ["c", "reference"])
@settings(max_examples=12, deadline=None)
@given(start=st.integers(0, 150))
def test_an_impulse_through_delay_d_arrives_d_steps_later(relays, target, start):
    pulse = torch.zeros(160, 1, 1)  # many times the longest delay: rings wrap around
    pulse[start] = 1
    y = relays[target](pulse)
    for d in range(10):
        assert y["out"][:, 0, d].nonzero().flatten().tolist() == [start + d] * (start + d < 160)
    for d in (0, 4, 9):
        assert y[f"out_{d}"].flatten().nonzero().flatten().tolist() == [start + d] * (start + d < 160)


@pytest.mark.parametrize("target", ["c", "reference"])
def test_delays_per_synapse_are_the_sum_of_one_delay_each(target):
    parts = gc.Network(dt=1.0)
    x = gc.input("x")
    relay = gc.Neuron("Relay", output=x)
    weight, delay = WEIGHT[:5], DELAY[:5] - 1  # 0 among them
    parts.input("inp", 5)
    parts.population("one", relay, N)
    parts.population("each", relay, N)
    parts.connect("inp", "one", weight=weight, delay=delay)
    for d in range(6):
        parts.connect("inp", "each", weight=weight * (delay == d), delay=d, name=f"after_{d}")
    parts.output("one", "each")
    y = gc.compile(parts, learn=None, target=target, dtype=torch.float64)(spikes_in(60, 2))
    assert y["one"].abs().max() > 0.1
    torch.testing.assert_close(y["one"], y["each"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("target", ["c", "reference"])
@pytest.mark.parametrize("kind", ["per synapse", "one"])
def test_streaming_and_chunks_equal_the_whole_sequence_bit_for_bit(kind, target):
    model = gc.compile(recurrent(weight=WEIGHT, **DELAYS[kind]), target=target)
    x = spikes_in(25, 5).float()
    with torch.no_grad():
        whole = model.run(x, record=["hid.v"])
        state, spikes = model.initial_state(5), []
        for t in range(12):
            y, state = model.step(x[t], state)
            spikes.append(y)
        rest = model.run(x[12:], record=["hid.v"], state=state)
    assert 0.05 < whole.output.mean() < 0.95
    assert torch.equal(torch.cat([torch.stack(spikes), rest.output]), whole.output)
    assert torch.equal(rest.records["hid.v"], whole.records["hid.v"][12:])
    assert all(torch.equal(rest.state[n], whole.state[n]) for n in whole.state)


@pytest.mark.parametrize("target", ["c", "reference"])
@pytest.mark.parametrize("cut", [2, 9])
def test_gradients_flow_through_the_histories_between_chunks(cut, target):
    x, loss = spikes_in(T, B), torch.randn(T, B, N, dtype=torch.float64)
    grads = []
    for pieces in ([x], [x[:cut], x[cut:]]):
        torch.manual_seed(0)
        model = gc.compile(recurrent(weight=WEIGHT, delay=DELAY), target=target, dtype=torch.float64)
        state, outputs = None, []
        for piece in pieces:
            done = model.run(piece, state=state)
            outputs.append(done.output)
            state = done.state
        ((torch.cat(outputs) * loss).sum() + (state["hid.v"] ** 2).sum()).backward()
        grads.append([p.grad for p in model.parameters()])
    for whole, cut_up in zip(*grads, strict=True):
        torch.testing.assert_close(cut_up, whole, rtol=1e-9, atol=1e-10)


def test_checkpoints_change_no_gradient_of_delayed_synapses():
    x, loss = spikes_in(T, B), torch.randn(T, B, N, dtype=torch.float64)
    grads = []
    for learn in (gc.learn.BPTT(), gc.learn.BPTT(checkpoint=4)):
        torch.manual_seed(0)
        model = gc.compile(recurrent(weight=WEIGHT, delay=DELAY), learn=learn, target="c", dtype=torch.float64)
        run(model, x, loss)
        grads.append([p.grad for p in model.parameters()])
    for plain, again in zip(*grads, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-10)


def test_few_rows_and_many_go_through_delays_alike():
    model = gc.compile(recurrent(weight=WEIGHT, delay=DELAY), target="c", dtype=torch.float64)
    x = spikes_in(20, 19)
    with torch.no_grad():
        many, few = (model.run(part, record=["hid.v"]) for part in (x, x[:, :2].contiguous()))
    assert torch.equal(many.output[:, :2], few.output)
    torch.testing.assert_close(many.records["hid.v"][:, :2], few.records["hid.v"], rtol=1e-12, atol=1e-12)


def test_memory_of_a_list_grows_with_its_synapses():
    sizes = []
    for n in (500, 1000):
        net = gc.Network(dt=1.0)
        net.population("n", gc.zoo.CuBaLIF, n)
        net.connect("n", "n", delay=1, connectivity=gc.Sparse(0.02, seed=1), weight=0.01)
        net.output("n")
        model = gc.compile(net, learn=None, target="c")
        model.run(steps=3, batch_size=1)
        synapses = model.n_n.weight.numel()
        sizes.append(sum(t.numel() * t.element_size() for t in model.n_n.buffers()) / synapses)
        assert "a list of targets" in model.explain()
    assert sizes[0] < 8.5  # a weight and a target of 4 bytes each, and the rows
    assert sizes[1] < 8.3


def test_the_layout_is_chosen_by_density_and_told():
    def told(p):
        net = recurrent(connectivity=gc.Sparse(p, seed=0), delay=1)
        return gc.compile(net, target="c").explain()

    assert "a list of targets per source neuron" in told(0.05)
    assert "a matrix with zeros" in told(0.5)


def test_shared_weights_of_lists_add_their_gradients():
    connectivity = gc.Sparse(mask=MASK)
    net = recurrent(connectivity=connectivity, weight=WEIGHT * MASK, delay=1)
    net.connect("hid", "hid", connectivity=connectivity, weight="hid_hid", delay=3, name="late")
    apart = recurrent(connectivity=connectivity, weight=WEIGHT * MASK, delay=1)
    apart.connect("hid", "hid", connectivity=connectivity, weight=WEIGHT * MASK, delay=3, name="late")
    models = [gc.compile(n, target="c", dtype=torch.float64) for n in (net, apart)]
    with torch.no_grad():
        models[1].inp_hid.weight.copy_(models[0].inp_hid.weight)
    x, loss = spikes_in(T, B), torch.randn(T, B, N, dtype=torch.float64)
    assert torch.equal(run(models[0], x, loss), run(models[1], x, loss))
    expected = models[1].hid_hid.weight.grad + models[1].late.weight.grad
    torch.testing.assert_close(models[0].hid_hid.weight.grad, expected, rtol=1e-10, atol=1e-12)


def test_a_drawn_list_has_the_probability_and_no_pair_twice():
    found = gc.Sparse(0.03, seed=5).synapses(*sides(400, 300), "a")
    flat = found.pre * 300 + found.post
    assert (np.diff(flat) > 0).all()
    assert abs(len(flat) / 120_000 - 0.03) < 0.002
    again = gc.Sparse(0.03, seed=5).synapses(*sides(400, 300), "a")
    assert (again.pre == found.pre).all()
    other = gc.Sparse(0.03, seed=6).synapses(*sides(400, 300), "a")
    assert len(other.pre) != len(found.pre) or (other.pre != found.pre).any()


def procedural(layout, target="c", **connection):
    v = gc.state("v")
    x = gc.input("x")
    neuron = gc.Neuron("Leaky", update={v: 0.8 * v + x}, spike=gc.Spike(v > 1), reset={v: v - 1})
    net = gc.Network(dt=1.0)
    net.input("inp", 5)
    net.population("hid", neuron, N)
    net.connect("inp", "hid", weight=0.4, connectivity=gc.Sparse(0.4, seed=1, layout=layout))
    sparse = gc.Sparse(0.3, seed=1, layout=layout, autapses=False)
    net.connect("hid", "hid", weight=0.1, delay=2, connectivity=sparse, **connection)
    net.output("hid")
    return gc.compile(net, target=target, dtype=torch.float64)


@pytest.mark.parametrize("target", ["c", "reference"])
def test_synapses_drawn_at_every_spike_are_those_of_the_list(target):
    drawn, kept = procedural("procedural", target), procedural("list", target)
    assert sum(t.numel() for t in drawn.hid_hid.parameters()) == 1
    assert not list(drawn.hid_hid.buffers())
    x, loss = spikes_in(T, B), torch.randn(T, B, N, dtype=torch.float64)
    y = run(drawn, x, loss)
    assert 0.1 < y.mean() < 0.9
    assert torch.equal(y, run(kept, x, loss))
    for name in ("inp_hid", "hid_hid"):
        each = getattr(kept, name).weight.grad
        torch.testing.assert_close(getattr(drawn, name).weight.grad, each.sum(), rtol=1e-10, atol=1e-10)


def test_drawn_synapses_say_what_they_cannot_do():
    with pytest.raises(gc.DeclarationError, match="give a probability"):
        gc.Sparse(mask=MASK, layout="procedural")
    with pytest.raises(gc.DeclarationError, match="does not separate"):
        procedural("procedural", transmit=gc.sigmoid(gc.weight * gc.pre("v") * gc.post("v")))
    with pytest.raises(gc.TargetError, match="draws its synapses"):
        procedural("procedural", target="triton")
    with pytest.raises(gc.DeclarationError, match="one weight for all"):
        recurrent(delay=1, connectivity=gc.Sparse(0.5, layout="procedural"), weight=WEIGHT)
    with pytest.raises(gc.DeclarationError, match="one delay"):
        recurrent(delay=DELAY, connectivity=gc.Sparse(0.5, layout="procedural"), weight=0.1)


def sides(*sizes):
    net = gc.Network(dt=1.0)
    return [net.population(f"p{k}", gc.zoo.LI, n) for k, n in enumerate(sizes)]
