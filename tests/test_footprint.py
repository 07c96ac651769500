"""The memory that a schedule predicts is the memory that a training call takes."""

import functools
import gc as garbage
import os

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.passes.footprint import last_uses

STEPS, BATCH = 200, 16
EVERY = os.environ.get("GRAPHC_EVERY_CASE") == "1"
CASES = [("feedforward", "none"), ("recurrent", 32), ("layers", "none"), ("layers", 7)]
MORE = [("feedforward", 32), ("recurrent", "none"), ("recurrent", 7), ("layers", 32)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Other tests compare the numbers after every pass; networks of this size would take seconds."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


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


@pytest.mark.parametrize(("kind", "every"), CASES + MORE * EVERY)
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
    garbage.collect()  # else models of earlier tests may be freed while this one is measured
    forward, backward = measured(model, x, grad)
    found = model.last_build().footprint(STEPS, BATCH)
    assert forward == pytest.approx(found.forward, rel=0.05)
    assert backward == pytest.approx(found.backward, rel=0.05) and backward > 1 << 21


def test_explanation_predicts_a_call_of_the_size_asked_for():
    model = gc.compile(network("feedforward"), learn=gc.learn.BPTT(checkpoint=32))
    found = model.build().footprint(STEPS, BATCH)
    text = model.explain(steps=STEPS, batch_size=BATCH).partition("memory of a call of 200 steps, 16 samples")[2]
    assert f"most at once: {found.forward:,} bytes in forward, {found.backward:,} bytes in backward" in text
    assert f"outputs and records: {4 * STEPS * BATCH * 128:,} bytes" in text
    assert "checkpoints: 7 chunks of 32 steps, checkpoint=32" in text
    assert f"inputs and outputs: {6 * 2 * 4 * BATCH * 128:,} bytes" in text  # two states at six borders
    assert "forward_1 moves 1,536 bytes per step and sample, 12 per neuron" in text  # drive, spike, saved condition


def test_explanation_says_why_a_call_is_not_cut():
    for learn, why in (
        (gc.learn.BPTT(), "none, no memory_budget"),
        (gc.learn.BPTT(checkpoint="none"), 'none, checkpoint="none"'),
        (gc.learn.BPTT(checkpoint=32), "none, a chunk has 32 steps"),
        (gc.learn.BPTT(memory_budget=10**9), "none, everything stays within memory_budget=1,000,000,000"),
    ):
        assert f"checkpoints: {why}\n" in gc.compile(network("feedforward"), learn=learn).explain(steps=20)
    tight = gc.compile(network("feedforward"), learn=gc.learn.BPTT(memory_budget=10)).explain(steps=20)
    assert "refused: a run of 20 steps and 1 samples needs" in tight and "saved for backward" in tight
    assert "not predicted" in gc.compile(network("feedforward"), target="reference").explain()


def test_what_no_kernel_reads_any_more_is_given_up():
    schedule = gc.compile(network("layers")).build().schedule
    kernels = schedule.half(False)
    dead = dict(zip((k.name for k in kernels), last_uses(kernels, {"out.output", *schedule.saved}), strict=True))
    assert dead["forward_1"][0] == "x_hid_drive" and "hid_top_drive" in dead["forward_3"]
    assert not any(name in schedule.saved for names in dead.values() for name in names)
