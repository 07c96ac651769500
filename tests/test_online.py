"""Online learning against plain torch: every rule's gradient, in one call, in chunks and step by step."""

import functools

import pytest
import torch

import graphc as gc

from .models.online import IN, NEURONS, SIZE, START, network
from .oracles import online
from .oracles.online import STEPS, Layer, Net, filtered, run, spike, traces

T, B = 24, 2
EXACT = 1e-10
RULES = {
    "bptt": gc.learn.BPTT,
    "diagonal": gc.learn.BlockDiagonal,
    "snap1": gc.learn.SnAp1,
    "ottt": gc.learn.OTTT,
    "sltt": gc.learn.SLTT,
}
ON_C = ("LIF soft, detached", "LIF hard, attached", "CoBa-LIF", "refractory, clamped")
Gradients = dict[str, torch.Tensor]


@functools.cache
def compiled(name: str, rule: str = "diagonal", target: str = "reference", chunk=None, **options) -> gc.Model:
    learn = RULES[rule]() if rule == "bptt" else RULES[rule](chunk=chunk)
    return gc.compile(network(name, **options), learn=learn, target=target, dtype=torch.float64)


def stimulus(late: int = 0) -> torch.Tensor:
    return (torch.rand(T, B, IN, generator=torch.Generator().manual_seed(2 + late)) < 0.4).double()


def signal(y: torch.Tensor, t: int) -> torch.Tensor:
    """Return the loss of step t: not linear, so that learning signals depend on what happened."""
    return (y - torch.sin(torch.tensor(0.7 * t + 0.3))).pow(2).sum()


def loss_of(outputs: torch.Tensor) -> torch.Tensor:
    return sum(signal(y, t) for t, y in enumerate(outputs))


def by_hand(name: str, weights: Gradients, late: int = 0, feedback=None) -> tuple[Net, Gradients]:
    """Return the oracle's network with the weights of a model, and its leaves."""
    leaves = {n: w.detach().clone().requires_grad_() for n, w in weights.items()}
    layers = []
    for title in [t for t in ("hid", "top") if f"w_{t}.weight" in leaves]:
        p = {n.partition(".")[2]: w for n, w in leaves.items() if n.startswith(f"{title}.")}
        states = 1 if name.startswith("LIF") else 2
        start = tuple(torch.full((SIZE,), s, dtype=torch.float64) for s in START.get(name, (0.0,) * states))
        back = leaves.get(f"back_{title}.weight")
        layers.append(Layer(STEPS[name], start, p, leaves[f"w_{title}.weight"], back))
    return Net(layers, leaves["w_out.weight"], leaves["out.kappa"], late, feedback or {}), leaves


def expected(name: str, weights: Gradients, rule: str, late: int = 0, feedback=None) -> Gradients:
    """Return the oracle's gradients; every layer spikes, but not always."""
    net, leaves = by_hand(name, weights, late, feedback)
    outputs, spikes = run(net, stimulus(late), rule)
    assert all(0.02 < z.mean() < 0.8 for z in spikes), [float(z.mean()) for z in spikes]
    grads = torch.autograd.grad(loss_of(outputs), list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, grads, strict=True))


def gradients(model: gc.Model, x: torch.Tensor) -> Gradients:
    model.zero_grad()
    loss_of(model(x)).backward()
    return {n: p.grad.clone() for n, p in model.named_parameters()}


def apart(found: Gradients, wanted: Gradients) -> float:
    """Return the largest difference of any gradient, relative to that gradient."""
    assert found.keys() == wanted.keys()
    return max(float((found[n] - w).abs().max() / w.abs().max()) for n, w in wanted.items())


def assert_equal(found: Gradients, wanted: Gradients) -> None:
    for name, grad in wanted.items():
        assert grad.isfinite().all() and 0 < grad.abs().max() < 1e8, name
        assert (found[name] - grad).abs().max() <= EXACT * grad.abs().max(), name


# --- the oracle against itself ---------------------------------------------------------------------------------------


def initial(name: str, **options) -> Gradients:
    return {n: p.detach() for n, p in compiled(name, **options).named_parameters()}


@pytest.mark.parametrize("name", NEURONS)
def test_traces_forward_give_the_gradients_of_the_detached_graph(name):
    net, _ = by_hand(name, initial(name))
    wanted = expected(name, initial(name), "diagonal")
    outputs, (z,) = run(net, x := stimulus(), "diagonal")
    (errors,) = torch.autograd.grad(loss_of(y := outputs.detach().requires_grad_()), y)
    learning = filtered(errors @ net.w.detach().T, net.kappa.item())
    late = torch.cat([torch.zeros_like(z[:1]), z[:-1]])
    for key, source in (("w_hid.weight", x), ("back_hid.weight", late)):
        found = torch.einsum("tbn,tbmn->mn", learning, traces(net.layers[0], x, z, source).spike)
        torch.testing.assert_close(found, wanted[key], rtol=1e-11, atol=1e-11 * float(wanted[key].abs().max()))


@pytest.mark.parametrize("name", ["LIF soft, attached", "ALIF, reset detached"])
def test_traces_without_any_one_entry_of_the_jacobian_are_wrong(name, monkeypatch):
    net, _ = by_hand(name, initial(name))
    _, (z,) = run(net, x := stimulus(), "diagonal")
    whole = traces(net.layers[0], x, z, x).spike
    for stopped in range(len(net.layers[0].start)):
        step = STEPS[name]

        def without(h, drive, p, stopped=stopped, step=step):
            return step(tuple(s.detach() if k == stopped else s for k, s in enumerate(h)), drive, p)

        wrong = traces(Layer(without, *(getattr(net.layers[0], f) for f in ("start", "p", "w", "back"))), x, z, x).spike
        assert (wrong - whole).abs().max() > 1e-2 * whole.abs().max()


@pytest.mark.parametrize("rule", ["diagonal", "snap1", "ottt", "sltt"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_copies_of_a_rule_have_the_values_of_the_network(rule, layers):
    net, _ = by_hand("ALIF, reset detached", initial("ALIF, reset detached", layers=layers))
    wanted, found = (run(net, stimulus(), r)[0] for r in ("bptt", rule))
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-13)


def test_a_neuron_without_recurrence_has_the_whole_gradient():
    weights = initial("ALIF, attached", recurrent=False)
    found, wanted = (expected("ALIF, attached", weights, rule) for rule in ("diagonal", "bptt"))
    assert apart(found, wanted) < 1e-13


def test_the_surrogate_is_a_derivative_of_a_step():
    c = torch.linspace(-2, 2, 9, dtype=torch.float64).requires_grad_()
    z = spike(c)
    assert torch.equal(z, (c > 0).double())
    torch.testing.assert_close(torch.autograd.grad(z.sum(), c)[0], 1 / (1 + 2 * c.detach().abs()) ** 2)


def test_the_oracle_imports_nothing_of_graphc():
    assert not [n for n, m in vars(online).items() if str(getattr(m, "__name__", "")).startswith("graphc")]


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "target"), [*((n, "reference") for n in NEURONS), *((n, "c") for n in ON_C)])
def test_block_diagonal_is_the_graph_whose_recurrent_spikes_are_detached(name, target):
    model = compiled(name, target=target)
    wanted = expected(name, weights := dict(model.named_parameters()), "diagonal")
    assert_equal(gradients(model, stimulus()), wanted)
    assert apart(wanted, expected(name, weights, "bptt")) > 1e-3


@pytest.mark.parametrize("name", NEURONS)
def test_the_whole_gradient_is_that_of_plain_torch(name):
    model = compiled(name, "bptt")
    assert_equal(gradients(model, stimulus()), expected(name, dict(model.named_parameters()), "bptt"))


@pytest.mark.parametrize("rule", ["diagonal", "snap1", "ottt", "sltt"])
@pytest.mark.parametrize("layers", [1, 2])
def test_rules_stop_gradients_where_they_say(rule, layers):
    name = "LIF soft, detached" if rule == "ottt" else "ALIF, reset detached"
    model = compiled(name, rule, layers=layers)
    weights = dict(model.named_parameters())
    found = gradients(model, stimulus())
    wanted = expected(name, weights, rule)
    assert_equal(found, wanted)
    others = {r: apart(expected(name, weights, r), wanted) for r in RULES if r != rule}
    assert min(others.values()) > 1e-3, others


def test_inputs_may_arrive_late():
    model = compiled("ALIF, attached", late=3)
    wanted = expected("ALIF, attached", dict(model.named_parameters()), "diagonal", late=3)
    assert_equal(gradients(model, stimulus(3)), wanted)


@pytest.mark.parametrize("layers", [1, 2])
def test_given_feedback_stands_for_the_weights_backward(layers):
    name, draw = "ALIF, reset detached", torch.Generator().manual_seed(4)
    model = compiled(name, layers=layers)
    shapes = {"w_top": (SIZE, SIZE), "w_out": (SIZE, 2)} if layers == 2 else {"w_out": (SIZE, 2)}
    given = {n: torch.randn(s, generator=draw, dtype=torch.float64) for n, s in shapes.items()}
    learn = gc.learn.BlockDiagonal(feedback=given)
    ours = gc.compile(network(name, layers=layers), learn=learn, target="reference", dtype=torch.float64)
    feedback = {k + 1: b for k, b in enumerate(given.values())}
    weights = dict(ours.named_parameters())
    wanted = expected(name, weights, "diagonal", feedback=feedback)
    assert_equal(gradients(ours, stimulus()), wanted)
    assert apart(wanted, expected(name, dict(model.named_parameters()), "diagonal")) > 1e-2


@pytest.mark.parametrize("name", ["LIF hard, attached", "ALIF, reset detached", "CoBa-LIF"])
def test_real_time_recurrent_learning_is_the_whole_gradient(name):
    model = gc.compile(network(name), learn=gc.learn.RTRL(chunk=5), target="reference", dtype=torch.float64)
    assert_equal(gradients(model, stimulus()), expected(name, dict(model.named_parameters()), "bptt"))


# --- chunks and streams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "target"), [*((k, "reference") for k in (1, 2, 3, 7, T)), (1, "c"), (7, "c")])
def test_chunks_give_the_gradient_of_the_whole(chunk, target):
    model = compiled("ALIF, reset detached", target=target, chunk=chunk)
    wanted = expected("ALIF, reset detached", dict(model.named_parameters()), "diagonal")
    assert_equal(gradients(model, stimulus()), wanted)


def streamed(model: gc.Model, x: torch.Tensor, pieces: list[int] | None) -> Gradients:
    """Return what accumulates when every step, or every piece, has its own backward."""
    model.zero_grad()
    state, t = model.initial_state(B), 0
    for part in x.split(pieces or [1] * len(x)):
        if pieces is None:
            y, state = model.step(part[0], state)
            outputs = y[None]
        else:
            piece = model.run(part, state=state)
            outputs, state = piece.output, piece.state
        sum(signal(y, t + k) for k, y in enumerate(outputs)).backward()
        t += len(part)
    return {n: p.grad.clone() for n, p in model.named_parameters()}


STREAMS = [
    ("LIF soft, detached", "reference", {"late": 2}),
    ("ALIF, reset detached", "reference", {"layers": 2}),
    ("ALIF, reset detached", "c", {}),
    ("CoBa-LIF", "c", {}),
    ("refractory, clamped", "reference", {}),
    ("Izhikevich", "reference", {}),
]


@pytest.mark.parametrize("pieces", [None, [1, 5, 2, 16]], ids=["steps", "pieces"])
@pytest.mark.parametrize(("name", "target", "options"), STREAMS)
def test_a_stream_adds_up_to_the_gradient_of_the_whole(name, target, options, pieces):
    model = compiled(name, target=target, **options)
    late = options.get("late", 0)
    wanted = expected(name, dict(model.named_parameters()), "diagonal", late)
    assert_equal(streamed(model, stimulus(late), pieces), wanted)


@pytest.mark.parametrize("name", ["LIF soft, detached", "ALIF, reset detached", "CuBa-LIF", "CoBa-LIF"])
def test_the_state_carries_the_traces_of_every_step(name):
    model = compiled(name)
    net, _ = by_hand(name, dict(model.named_parameters()))
    x, state = stimulus(), model.initial_state(B)
    _, (z,) = run(net, x, "diagonal")
    wanted = traces(net.layers[0], x, z, x).states
    titles = {"CuBa-LIF": ("v", "i"), "CoBa-LIF": ("v", "ge")}.get(name, ("v", "a"))[: wanted.shape[-1]]
    for t in range(T):
        _, state = model.step(x[t], state)
        for k, title in enumerate(titles):
            found, want = state[f"w_hid.weight~hid.{title}"], wanted[t, ..., k]
            found = found.unsqueeze(-1).expand_as(want) if found.dim() == 2 else found
            torch.testing.assert_close(found, want, rtol=EXACT, atol=EXACT)
            assert t < T - 1 or want.abs().max() > 1e-2
        state = gc.detach(state)
