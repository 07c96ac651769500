"""The neurons of other libraries, written as `update`: equal spikes and equal gradients.

Each peer runs in the environment that `make peers` makes for it, under `.peers/`.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import graphc as gc

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".peers" / "snn" / "bin" / "python"
v, i = gc.states("v i")
x = gc.input("x")
PREVIOUS = gc.previous(gc.spike)
FAST = gc.surrogate.FastSigmoid(slope=25.0)

LEAKY = gc.Neuron(
    "Leaky",
    update={v: 0.9 * v + x - gc.detach(PREVIOUS)},  # the reset acts one step late and is detached
    spike=gc.Spike(v > 1, surrogate=FAST, edge="level"),
)
RSYNAPTIC = gc.Neuron(
    "RSynaptic",
    update={i: 0.8 * i + x, v: 0.9 * v + 0.8 * i + x - gc.detach(PREVIOUS)},
    spike=gc.Spike(v > 1, surrogate=FAST, edge="level"),
)
LIF_CELL = gc.Neuron(
    "LIFCell",
    receive={i: i + x},
    update={v: v + 0.1 * (i - v), i: i - 0.2 * i},
    spike=gc.Spike(v > 1, surrogate=gc.surrogate.SuperSpike(beta=1.0), detach_reset=False),
    reset={v: 0},
)
LIF_NODE = gc.Neuron(
    "LIFNode",
    update={v: v + (x - v) / 4},
    spike=gc.Spike(v >= 1, surrogate=gc.surrogate.Sigmoid(beta=4.0), detach_reset=False),
    reset={v: 0},
)
# neuron, spread of the drive, recurrent, tolerance of the gradients
PEERS = {
    "Leaky": (LEAKY, 0.5, False, 1e-6),  # snnTorch rounds its spikes, and with them their gradients, to float32
    "RSynaptic": (RSYNAPTIC, 0.25, True, 2e-6),
    "LIFCell": (LIF_CELL, 2.0, False, 1e-10),
    "LIFNode": (LIF_NODE, 2.0, False, 1e-10),
}


def arrays(spread: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(0.3, 1.0, (40, 3, 5)) * spread,
        "weight": rng.normal(0.2, 0.5, (5, 5)),
        "g": rng.normal(size=(40, 3, 5)),
    }


def compiled(neuron: gc.Neuron, recurrent: bool, target: str) -> gc.Model:
    net = gc.Network(dt=1.0)
    net.input("x", 5)
    net.population("hid", neuron, 5)
    if recurrent:
        net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
        net.connect("hid", "hid", delay=1, name="tested")
    else:
        net.connect("x", "hid", name="tested")
    net.output("hid")
    return gc.compile(net, target=target, dtype=torch.float64)


@pytest.mark.skipif(not (PYTHON.parent.parent / ".ready").exists(), reason="peers are not installed: make peers")
@pytest.mark.parametrize("peer", PEERS)
def test_spikes_and_gradients_are_those_of_the_peer(peer, tmp_path):
    neuron, spread, recurrent, tolerance = PEERS[peer]
    given, file = arrays(spread), tmp_path / "arrays.npz"
    np.savez(file, **given)
    command = [str(PYTHON), str(Path(__file__).with_name("peer_worker.py")), peer, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    want = dict(np.load(file))
    assert 0.02 < want["spikes"].mean() < 0.8
    for target in ("reference", "c"):
        model = compiled(neuron, recurrent, target)
        with torch.no_grad():
            model.tested.weight.copy_(torch.tensor(given["weight"]))
        drive = torch.tensor(given["x"], requires_grad=True)
        spikes = model(drive)
        (torch.tensor(given["g"]) * spikes).sum().backward()
        np.testing.assert_array_equal(spikes.detach().numpy(), want["spikes"])
        for got, name in ((drive.grad, "x"), (model.tested.weight.grad, "weight")):
            assert np.abs(want[name]).max() > 0
            np.testing.assert_allclose(got.numpy(), want[name], rtol=0, atol=tolerance * np.abs(want[name]).max())
