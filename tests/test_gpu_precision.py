"""Narrow numbers on a GPU: backward recomputes the spikes of forward, bit for bit; gradients are close."""

import pytest
import torch

import graphc as gc

from .models.device import DEVICE, STRATEGIES, dyadic_input, dyadic_network

pytestmark = pytest.mark.gpu

SIZE = 70
SMALLEST = {"float32": -40, "tf32": -40, "bfloat16": -36, "float16": -7}  # decimal exponents that the inputs reach
GRADIENTS = {"float32": 1e-5, "tf32": 5e-3, "bfloat16": 3e-2, "float16": 5e-3}  # relative, of the whole tensor

v, x = gc.state("v"), gc.input("x")
AT_ZERO = gc.Neuron("AtZero", update={v: v / 2 + x}, spike=gc.Spike(v > 0), reset={v: 0})


def silent_recurrence(strategy: str) -> gc.Network:
    """Return neurons with a threshold at 0, whose recurrent weights are 0 and only make the loop what it has to be."""
    net = gc.Network(dt=1.0)
    net.input("x", SIZE)
    net.population("hid", AT_ZERO, SIZE)
    net.connect("x", "hid", weight=1.0, connectivity=gc.OneToOne(), learn=False)
    if strategy != "elementwise":
        net.connect("hid", "hid", weight=0.0, learn=False, delay=1)
    net.output("hid.v")
    return net


def near_zero(precision: str, steps: int, batch: int, io: torch.dtype) -> torch.Tensor:
    """Return numbers of every magnitude and sign; half of them are 0, so that states decay towards it."""
    draw = torch.Generator().manual_seed(3)
    shape = (steps, batch, SIZE)
    low, high = SMALLEST[precision], 4
    size = 10 ** (low + (high - low) * torch.rand(shape, generator=draw, dtype=torch.float64))
    sign = torch.randint(-1, 2, shape, generator=draw) * torch.randint(0, 2, shape, generator=draw)
    return (size * sign).to(io).to(DEVICE)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("precision", SMALLEST)
def test_backward_takes_the_spikes_of_forward_bit_for_bit(precision, strategy):
    net = silent_recurrence(strategy)
    model = gc.compile(net, target="triton", precision=precision, schedule=STRATEGIES[strategy]).to(DEVICE)
    drive = near_zero(precision, 40, 17, model.io_dtype).requires_grad_()
    model(drive).sum().backward()
    with torch.no_grad():
        spikes = model.run(drive, record=["hid.spike"]).records["hid.spike"].float()
    assert 0.05 < spikes.mean() < 0.9
    gradient, rows = torch.zeros_like(spikes[0]), []
    for z in spikes.flip(0):  # v after the reset counts once; its jump is detached
        gradient = (1 + 0.5 * gradient) * (1 - z)
        rows.append(gradient)
    assert torch.equal(drive.grad == 0, spikes > 0)  # it is at least 1 where backward sees no spike
    torch.testing.assert_close(drive.grad.float(), torch.stack(rows[::-1]), rtol=torch.finfo(drive.dtype).eps, atol=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("precision", SMALLEST)
def test_factors_that_fit_give_the_spikes_of_the_reference_and_close_gradients(precision, strategy):
    net, steps = dyadic_network(strategy, SIZE), 14  # later the states of the reference have more digits than float32
    wide = gc.compile(net, target="reference", dtype=torch.float64)
    ours = gc.compile(net, target="triton", precision=precision, schedule=STRATEGIES[strategy]).to(DEVICE)
    given = dyadic_input(steps, 33)
    want, got = wide(given.double()), ours(given.to(DEVICE, ours.io_dtype))
    assert torch.equal(got.cpu().double(), want) and 0.02 < want.mean() < 0.5
    weight = torch.randn(want.shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    (want * weight).sum().backward()
    (got * weight.to(DEVICE, got.dtype)).sum().backward()
    for (name, p), (_, q) in zip(wide.named_parameters(), ours.named_parameters(), strict=True):
        error = torch.linalg.vector_norm(q.grad.cpu().double() - p.grad) / torch.linalg.vector_norm(p.grad)
        assert error <= GRADIENTS[precision], (name, float(error))


@pytest.mark.parametrize("strategy", ["resident", "cooperative", "stepwise"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_runs_are_equal_bit_for_bit(precision, strategy):
    model = gc.compile(
        dyadic_network(strategy, SIZE, delay=2), target="triton", precision=precision, schedule=STRATEGIES[strategy]
    ).to(DEVICE)
    found = []
    for _ in range(2):
        drive = dyadic_input(20, 33).to(DEVICE, model.io_dtype).requires_grad_()
        model.zero_grad()
        y = model(drive)
        y.sum().backward()
        found.append([y.detach(), drive.grad, *(p.grad.clone() for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
