"""The memory that a schedule predicts is the memory that a training call takes."""

import functools

import numpy as np
import pytest
import torch

import graphc as gc

STEPS, BATCH = 200, 16


@functools.cache
def network(kind: str) -> gc.Network:
    net = gc.Network(dt=1.0)
    net.input("x", 96)
    net.population("hid", gc.zoo.CuBaLIF, 128)
    net.connect("x", "hid", weight=gc.Normal(0.0, 0.05))
    if kind != "feedforward":
        net.connect("hid", "hid", delay=1, weight=gc.Normal(0.0, 0.03))
    if kind == "layers":
        net.population("top", gc.zoo.ALIF, 80)
        net.connect("hid", "top", weight=gc.Normal(0.02, 0.15))
        net.connect("top", "top", delay=2)
        net.population("out", gc.zoo.LI, 32)
        net.connect("top", "out")
        net.output("out")
    else:
        net.output("hid")
    return net


def allocated(events) -> list[int]:
    """Return the running sum of what was allocated and freed."""
    sizes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    return np.cumsum([0, *(size for _, size in sorted(sizes, key=lambda entry: entry[0]))]).tolist()


def measured(model: gc.Model, x: torch.Tensor, grad: torch.Tensor) -> tuple[int, int]:
    """Return the most that was allocated at once, until the end of forward and until the end of backward."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        y = model(x)
        with torch.profiler.record_function("halfway"):
            pass
        y.backward(grad)
    events = list(profile.profiler.kineto_results.events())
    half = next(e.start_ns() for e in events if e.name() == "halfway")
    return max(allocated(e for e in events if e.start_ns() < half)), max(allocated(events))


@pytest.mark.parametrize("every", ["none", 32, 7])
@pytest.mark.parametrize("kind", ["feedforward", "recurrent", "layers"])
def test_predicted_peaks_are_measured(kind, every):
    torch.manual_seed(0)
    model = gc.compile(network(kind), learn=gc.learn.BPTT(checkpoint=every))
    x = (torch.rand(STEPS, BATCH, 96) < 0.05).float().requires_grad_(kind == "recurrent")
    rates = model.run(x.detach(), record=["hid.spike"] + ["top.spike"] * (kind == "layers")).records
    assert all(0.01 < rate.mean() < 0.2 for rate in rates.values())  # a product of many spikes makes a copy of them
    grad = torch.rand_like(model(x).detach())
    model(x).backward(grad)  # builds both halves
    model.zero_grad()
    x.grad = rates = None
    model._arena._storages.clear()
    forward, backward = measured(model, x, grad)
    found = model.last_build().footprint(STEPS, BATCH)
    assert forward == pytest.approx(found.forward, rel=0.05)
    assert backward == pytest.approx(found.backward, rel=0.05) and backward > 1 << 21
