"""What a synapse delivers: products where an expression separates, a sum per synapse where it does not."""

import pytest
import sympy
import torch

import graphc as gc
from tests.models.synapses import DELAY, MASK, WEIGHT, N, recurrent, spikes_in

T, B = 12, 3
w, z = gc.weight, gc.pre()
q = gc.param("q", 0.7, per="synapse", learn=True)

CASES = {
    "gap junction": (w * (gc.pre("v") - gc.post("v")), lambda w, z, v, u: w * (v - u)),
    "nonlinear": (
        0.2 * gc.sigmoid(w * gc.pre("v") - gc.post("v")) - 0.1,
        lambda w, z, v, u: 0.2 * torch.sigmoid(w * v - u) - 0.1,
    ),
    "saturating": (w * z * sympy.exp(-(gc.post("v") ** 2)), lambda w, z, v, u: w * z * torch.exp(-(u**2))),
    "quantised": (
        (w + gc.detach(sympy.floor(4 * w) / 4 - w)) * z,
        lambda w, z, v, u: (w + (torch.floor(4 * w) / 4 - w).detach()) * z,
    ),
    "affine": (w * z + 0.01 * gc.post("v"), lambda w, z, v, u: w * z + 0.01 * u),
}


@pytest.fixture(autouse=True)
def passes_are_compared_for_one_case(monkeypatch, request):
    if "nonlinear" not in request.node.name:
        monkeypatch.setenv("GRAPHC_VERIFY", "1")


class Surrogate(torch.autograd.Function):
    """A step with the derivative of SuperSpike(beta=2)."""

    @staticmethod
    def forward(ctx, c):
        ctx.save_for_backward(c)
        return (c > 0).to(c.dtype)

    @staticmethod
    def backward(ctx, g):
        return g / (1 + 2 * ctx.saved_tensors[0].abs()) ** 2


def by_hand(x, w_in, w, deliver, delay, mask):
    """Return the spikes of `recurrent`, whose synapses deliver what `deliver` says, by a plain loop."""
    v = torch.zeros(x.shape[1], N, dtype=x.dtype)
    vs, zs = [v] * 8, [torch.zeros_like(v)] * 8
    for t in range(len(x)):
        drive = x[t] @ w_in
        for d in delay.unique().tolist():
            here = mask * (delay == d)
            each = deliver(w, zs[-d].unsqueeze(-1), vs[-d].unsqueeze(-1), vs[-1].unsqueeze(-2))
            drive = drive + (each * here).sum(-2)
        v = 0.8 * vs[-1] + drive
        z = Surrogate.apply(v - 1)
        stopped = z.detach()
        v = v - stopped  # the reset
        vs.append(v)
        zs.append(z)
    return torch.stack(zs[8:])


PAIRS = [(case, "dense") for case in CASES]
PAIRS += [("nonlinear", "list"), ("gap junction", "delays"), ("nonlinear", "delays")]


@pytest.mark.parametrize(("case", "shape"), PAIRS)
def test_transmit_is_a_plain_loop_over_synapses(case, shape):
    expression, deliver = CASES[case]
    delay = torch.from_numpy(DELAY) if shape == "delays" else torch.full((N, N), 2)
    mask = torch.ones(N, N) if shape == "dense" else torch.from_numpy(MASK).double()
    options = {"delay": delay.numpy() if shape == "delays" else 2}
    if shape != "dense":
        options["connectivity"] = gc.Sparse(mask=MASK)
    net = recurrent(transmit=expression, weight=WEIGHT * mask.numpy(), **options)
    model = gc.compile(net, target="c", dtype=torch.float64)
    x = spikes_in(T, B)
    leaf = torch.tensor(WEIGHT, dtype=torch.float64, requires_grad=True)
    w_in = model.inp_hid.weight.detach().clone().requires_grad_()
    want = by_hand(x, w_in, leaf, deliver, delay, mask)
    y = model(x)
    assert 0.02 < y.mean() < 0.98
    assert torch.equal(y, want)
    loss = torch.randn_like(y)
    found = torch.autograd.grad((y * loss).sum(), [model.inp_hid.weight, model.hid_hid.weight])
    expected = torch.autograd.grad((want * loss).sum(), [w_in, leaf])
    assert expected[1].abs().max() > 1e-4
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=1e-10)
    of_synapses = expected[1] if shape == "dense" else expected[1][MASK]
    torch.testing.assert_close(found[1], of_synapses, rtol=1e-9, atol=1e-10)


def test_a_parameter_per_synapse_is_learned():
    net = recurrent(transmit=w * z * q, delay=1, connectivity=gc.Sparse(mask=MASK), weight=WEIGHT * MASK)
    model = gc.compile(net, target="c", dtype=torch.float64)
    (model(spikes_in(T, B)) * torch.randn(T, B, N, dtype=torch.float64)).sum().backward()
    assert model.hid_hid.q.shape == model.hid_hid.weight.shape
    ratio = model.hid_hid.q.grad * model.hid_hid.q / (model.hid_hid.weight.grad * model.hid_hid.weight)
    torch.testing.assert_close(ratio[~ratio.isnan()], torch.ones_like(ratio[~ratio.isnan()]), rtol=1e-8, atol=0)


def test_one_connection_feeds_several_inputs():
    g, h = gc.states("g h")
    a, b = gc.inputs("a b")
    two = gc.Neuron("Two", update={g: 0.5 * g + a, h: 0.9 * h + b}, output=g - h)
    net = gc.Network(dt=1.0)
    net.input("x", 4)
    net.population("y", two, 3)
    net.connect("x", "y", transmit={"a": w * z, "b": w**2 * z})
    net.output("y.g", "y.h")
    model = gc.compile(net, target="c", dtype=torch.float64)
    x = torch.rand(1, 2, 4, dtype=torch.float64)
    y, weight = model(x), model.x_y.weight
    torch.testing.assert_close(y["y.g"][0], x[0] @ weight)
    torch.testing.assert_close(y["y.h"][0], x[0] @ weight**2)


def test_what_separates_becomes_products_and_the_rest_is_told():
    def program(transmit):
        model = gc.compile(recurrent(transmit=transmit, delay=1), target="c")
        return model.graph("lower"), model.explain()

    text, _ = program(w * (gc.pre("v") - gc.post("v")))
    assert "project" in text
    assert "= synapses" not in text
    text, told = program(sympy.tanh(w * gc.pre("v") * gc.post("v")))
    assert "= synapses tanh" in text
    assert "sum over synapses of tanh" in told
