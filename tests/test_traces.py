"""Traces: the table of classes, found by structure and confirmed in numbers."""

import pytest
import torch

import graphc as gc

from .models.trace_models import CLASSES, TABLE, network

STEPS, BATCH = 16, 2
ROWS = [(name, per) for name in TABLE for per in ("population", "neuron") if (name, per) != ("Izhikevich", "neuron")]
GAIN = {"Izhikevich": 12.0, "CoBa-LIF": 0.9, "CuBa-LIF": 0.3, "CuBa-LIF, own gain": 0.3}


def declared(name: str, per: str) -> gc.Network:
    make = TABLE[name][0]
    return network(make(per), per, gain=GAIN.get(name, 0.6))


def spikes() -> torch.Tensor:
    return (torch.rand(STEPS, BATCH, 4, generator=torch.Generator().manual_seed(1)) < 0.4).double()


def streamed(net: gc.Network, learn) -> tuple[gc.Model, dict[str, torch.Tensor], torch.Tensor]:
    """Return the state after a stream of a few chunks, and the mean rate."""
    model = gc.compile(net, learn=learn, target="reference", dtype=torch.float64)
    state, fired = model.initial_state(BATCH), []
    for part in spikes().split(8):
        run = model.run(part, state=state, record=["hid.spike"])
        state = run.state
        fired.append(run.records["hid.spike"].detach())
    return model, state, torch.cat(fired).mean()


@pytest.mark.parametrize(("name", "per"), ROWS)
def test_a_trace_has_the_class_of_the_table(name, per):
    expected = TABLE[name][1 if per == "population" else 2]
    model = gc.compile(declared(name, per), learn=gc.learn.BlockDiagonal(), target="reference", dtype=torch.float64)
    state = model.initial_state(BATCH)
    axes = {s: len(state[key].shape) - 1 for s in expected if (key := f"w0.weight~hid.{s}") in state}
    found = {s: {1: "shared", 2: "dense"}[axes[s]] if s in axes else "zero" for s in expected}
    assert found == {s: CLASSES[c] for s, c in expected.items()}


@pytest.mark.parametrize(("name", "per"), ROWS)
def test_all_targets_have_the_same_trace_where_it_is_shared_and_nowhere_else(name, per):
    expected = TABLE[name][1 if per == "population" else 2]
    _, state, rate = streamed(declared(name, per), gc.learn.RTRL())  # its traces know nothing of classes
    assert 0.02 < rate < 0.8
    for s, kind in expected.items():
        trace = state[f"w0.weight~hid.{s}"]  # (B, neuron, pre, post); without recurrence the neuron is the target
        own = torch.diagonal(trace, dim1=1, dim2=3)
        scale = own.abs().max()
        spread = (own - own[..., :1]).abs().max()
        assert scale < 1e6
        match kind:
            case "Z":
                assert scale == 0
            case "S":
                assert scale > 0.1 and spread < 1e-12
            case "D":
                assert spread > 1e-6


@pytest.mark.parametrize("target", ["reference", "c"])
@pytest.mark.parametrize("name", ["CoBa-LIF", "ALIF, reset detached", "LIF soft, attached"])
def test_block_diagonal_traces_are_the_own_neurons_part_of_all_traces(name, target):
    net = declared(name, "population")
    full, everything, _ = streamed(net, gc.learn.RTRL())
    model = gc.compile(net, learn=gc.learn.BlockDiagonal(), target=target, dtype=torch.float64)
    model.load_state_dict(full.state_dict())
    state = model.initial_state(BATCH)
    for x in spikes():
        _, state = model.step(x, state)
        state = gc.detach(state)
    compared = 0
    for key, trace in state.items():
        if key.startswith("w0.weight~hid."):
            own = torch.diagonal(everything[key], dim1=1, dim2=3)
            torch.testing.assert_close(trace if trace.dim() == 3 else trace.unsqueeze(-1).expand_as(own), own)
            compared += 1
    assert compared
