"""Online learning over the zoo: exact without recurrence, the same in chunks, and what it is not."""

import pytest
import torch

import graphc as gc

from .models.online import network
from .oracles.networks import KINDS, WIDE, build
from .oracles.online import traces
from .test_online import B, apart, assert_equal, by_hand, compiled, gradients, initial, loss_of, stimulus

STEPS = 11
Gradients = dict[str, torch.Tensor]


def learned(name: str, topology: str, learn, target="reference", dtype=torch.float64, weights=None):
    """Return the gradients of a random weighting of all outputs, and the weights."""
    case = build(name, topology)
    model = gc.compile(case.network, learn=learn, target=target, dtype=dtype)
    if weights is not None:
        model.load_state_dict(weights)
    draw, x = torch.Generator().manual_seed(0), torch.as_tensor(case.inputs["stim"])[:STEPS].to(dtype)
    y = model({"stim": x})
    outputs = list(y.values()) if isinstance(y, dict) else [y]
    sum((torch.randn(v.shape, generator=draw, dtype=torch.float64).to(dtype) * v).sum() for v in outputs).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, model.state_dict()


def check(found: Gradients, wanted: Gradients, tolerance: float) -> None:
    assert wanted
    assert any(grad.abs().max() > 0 for grad in wanted.values())
    for name, grad in wanted.items():
        assert grad.isfinite().all()
        assert (found[name] - grad).abs().max() <= tolerance * grad.abs().max(), name


@pytest.mark.parametrize("name", WIDE)
def test_one_layer_without_recurrence_has_the_whole_gradient(name):
    wanted, weights = learned(name, "feedforward", "bptt")
    found, _ = learned(name, "feedforward", gc.learn.BlockDiagonal(chunk=5), weights=weights)
    check(found, wanted, 1e-10)


@pytest.mark.parametrize("topology", ["layers", "delays"])
@pytest.mark.parametrize("name", KINDS)
def test_chunks_of_every_kind_of_neuron_and_network_give_the_gradient_of_the_whole(name, topology):
    wanted, weights = learned(name, topology, gc.learn.BlockDiagonal(chunk="all"))
    found, _ = learned(name, topology, gc.learn.BlockDiagonal(chunk=5), weights=weights)
    check(found, wanted, 1e-10)


@pytest.mark.parametrize("name", ["LIF", "ALIF", "CTRNN"])
def test_chunks_in_float32_give_the_gradient_within_a_thousand_roundings(name):
    wanted, weights = learned(name, "recurrent", gc.learn.BlockDiagonal(chunk="all"))
    single = {n: w.float() for n, w in weights.items()}
    found, _ = learned(name, "recurrent", gc.learn.BlockDiagonal(chunk=4), "c", torch.float32, single)
    check(found, wanted, 1e-4)


def test_the_whole_gradient_is_what_total_learning_signals_say_of_spike_eligibilities():
    name = "ALIF, reset detached"
    net, _ = by_hand(name, initial(name))
    (layer,), x = net.layers, stimulus()
    h = tuple(s.expand(B, -1) for s in layer.start)
    z, y = torch.zeros_like(h[0]), 0.0
    spikes, outputs = [], []
    for now in x:  # the axon's copy of the spike is a leaf, so that autograd gives its total derivative
        h, own = layer.step(h, now @ layer.w + z @ layer.back, layer.p)
        z = own.clone()
        spikes.append(z)
        y = net.kappa * y + z @ net.w
        outputs.append(y)
    total = torch.autograd.grad(loss_of(torch.stack(outputs)), spikes)
    fired = torch.stack([s.detach() for s in spikes])
    q = traces(layer, x, fired, x).spike
    found = torch.einsum("tbn,tbmn->mn", torch.stack(total), q)
    model = compiled(name, "bptt")
    wanted = gradients(model, x)["w_hid.weight"]
    assert wanted.abs().max() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("feedback", ["random", "adaptive"])
def test_drawn_feedback_stands_for_the_weights_and_adaptive_feedback_learns_as_they_do(feedback):
    net = network("ALIF, reset detached")
    ours = gc.compile(net, learn=gc.learn.BlockDiagonal(chunk=5, feedback=feedback), dtype=torch.float64, target="c")
    given = {"w_out": ours.w_out.feedback.detach().clone()}
    other = gc.compile(net, learn=gc.learn.BlockDiagonal(feedback=given), dtype=torch.float64, target="reference")
    other.load_state_dict(ours.state_dict())
    found, wanted = gradients(ours, stimulus()), gradients(other, stimulus())
    learns = found.pop("w_out.feedback", None)
    assert_equal(found, wanted)
    assert (learns is not None) == (feedback == "adaptive")
    if learns is not None:
        torch.testing.assert_close(learns, found["w_out.weight"])


def test_weights_that_change_inside_the_window_change_the_gradient():
    model = compiled("ALIF, reset detached", target="c")
    wanted = gradients(model, x := stimulus())
    kept = {n: p.detach().clone() for n, p in model.named_parameters()}
    found, distances = {}, []
    for rate in (1e-6, 1e-4):
        model.zero_grad()
        state = model.initial_state(B)
        total = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
        for t, now in enumerate(x):
            y, state = model.step(now, state)
            model.zero_grad()
            (y - torch.sin(torch.tensor(0.7 * t + 0.3))).pow(2).sum().backward()
            with torch.no_grad():
                for n, p in model.named_parameters():
                    total[n] += p.grad
                    p -= rate * p.grad
        found = total
        distances.append(apart(found, wanted))
        with torch.no_grad():
            for n, p in model.named_parameters():
                p.copy_(kept[n])
    assert 1e-9 < distances[0] < 1e-2 * distances[1]  # about proportional to the learning rate


@pytest.mark.parametrize("target", ["reference", "c"])
def test_a_record_of_a_hidden_population_survives_a_call_that_is_cut(target):
    x, found, kept = stimulus(), [], []
    for chunk in (None, 3):
        model = compiled("LIF soft, attached", target=target, chunk=chunk)
        model.zero_grad()
        piece = model.run(x, record=["hid.spike"])
        kept.append(piece.records["hid.spike"].detach().clone())
        loss_of(piece.output).backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters()})
        assert torch.equal(piece.records["hid.spike"], kept[-1])
    assert_equal(found[1], found[0])


@pytest.mark.parametrize("where", ["stim_hid", "hid_hid"])
def test_a_delay_for_every_synapse_is_the_same_in_chunks_and_calls(where):
    delays = {"stim_hid": torch.arange(12).reshape(3, 4) % 5, "hid_hid": 1 + torch.arange(16).reshape(4, 4) % 4}
    v, x = gc.state("v"), gc.input("x")
    neuron = gc.Neuron("L", update={v: 0.9 * v + x}, spike=gc.Spike(v > 1), reset={v: v - 1})
    net = gc.Network(dt=1.0)
    net.input("stim", 3)
    net.population("hid", neuron, 4)
    net.population("out", gc.zoo.LI, 2)
    net.connect("stim", "hid", weight=0.9, delay=delays["stim_hid"] if where == "stim_hid" else 0)
    net.connect("hid", "hid", weight=-0.1, delay=delays["hid_hid"] if where == "hid_hid" else 1)
    net.connect("hid", "out", weight=1.0)
    net.output("out")
    x = (torch.rand(12, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    found = []
    for chunk, target, run in (("all", "reference", False), (4, "c", False), (4, "c", True)):
        model = gc.compile(net, learn=gc.learn.BlockDiagonal(chunk=chunk), target=target, dtype=torch.float64)
        (model.run(x).output if run else model(x)).sin().sum().backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for other in found[1:]:
        assert_equal(other, found[0])
