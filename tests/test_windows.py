"""Convolutions and means between populations in space are torch's."""

import pytest
import torch
from torch.nn import functional as F

import graphc as gc


@pytest.fixture(autouse=True)
def passes_are_compared_elsewhere(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


CASES = {
    "conv2d": ((2, 5, 6), (3, 5, 6), gc.Conv2d(3, padding=1), lambda x, w: F.conv2d(x, w, padding=1)),
    "stride and pairs": (
        (2, 7, 6),
        (4, 3, 2),
        gc.Conv2d((3, 4), stride=2),
        lambda x, w: F.conv2d(x, w, stride=2),
    ),
    "conv1d": ((2, 9), (3, 5), gc.Conv1d(3, stride=2, padding=1), lambda x, w: F.conv1d(x, w, stride=2, padding=1)),
    "dilated, in groups": (
        (4, 7, 6),
        (6, 3, 6),
        gc.Conv2d(3, padding=(0, 1), dilation=(2, 1), groups=2),
        lambda x, w: F.conv2d(x, w, padding=(0, 1), dilation=(2, 1), groups=2),
    ),
    "depthwise": (
        (3, 9),
        (3, 5),
        gc.Conv1d(3, dilation=2, groups=3),
        lambda x, w: F.conv1d(x, w, dilation=2, groups=3),
    ),
    "transposed": (
        (3, 3, 4),
        (2, 5, 7),
        gc.ConvTranspose(3, stride=2, padding=1),
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
    ),
    "transposed over time": (
        (3, 4),
        (2, 9),
        gc.ConvTranspose(3, stride=2),
        lambda x, w: F.conv_transpose1d(x, w, stride=2),
    ),
    "means": ((2, 6, 4), (2, 3, 2), gc.AvgPool(2), lambda x, w: w * F.avg_pool2d(x, 2)),
    "sums": ((2, 6, 9), (2, 3, 3), gc.SumPool((2, 3)), lambda x, w: w * 6 * F.avg_pool2d(x, (2, 3))),
    "overlapping means": ((2, 7), (2, 3), gc.AvgPool(3, stride=2), lambda x, w: w * F.avg_pool1d(x, 3, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_window_does_what_torch_does(case):
    before, after, connectivity, expected = CASES[case]
    net = gc.Network(dt=1.0)
    net.input("x", before)
    net.population("y", gc.Neuron("Relay", output=gc.input("x")), after)
    net.connect("x", "y", connectivity=connectivity)
    net.output("y")
    model = gc.compile(net, target="c", dtype=torch.float64)
    x = torch.rand(4, 3, *before, dtype=torch.float64, requires_grad=True)
    weight = model.x_y.weight
    y = model(x.flatten(2))
    want = expected(x.flatten(0, 1), weight).reshape(4, 3, -1)
    torch.testing.assert_close(y, want, rtol=1e-12, atol=1e-12)
    loss = torch.randn_like(y)
    leaves = [x, weight] if weight.requires_grad else [x]
    mine = torch.autograd.grad((y * loss).sum(), leaves)
    for a, b in zip(mine, torch.autograd.grad((want * loss).sum(), leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
