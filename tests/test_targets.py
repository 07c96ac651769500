"""The C target agrees with the float64 reference on every zoo neuron: spike by spike, and in every gradient.

Spikes are compared one by one, in lockstep, up to the first step at which a spike's condition lies within rounding of
0: there a target may decide otherwise, and everything after it differs.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import graphc as gc

from .oracles.networks import KINDS, SCALES, TOPOLOGIES, WIDE, Case, build

EVERY = bool(os.environ.get("GRAPHC_EVERY_CASE"))  # all topologies in both dtypes; by default each in one of them
DOUBLE = [(n, t) for n in SCALES for t in (TOPOLOGIES if EVERY else ("delays",) if n in KINDS else ("recurrent",))]
SINGLE = [(n, t) for n in WIDE for t in (TOPOLOGIES if EVERY else ("layers",) if n in KINDS else ("feedforward",))]
GRADIENTS = 1e-10
TOLERANCE = {"Theta": 2e-3}
"""Difference of float32, relative to the range of a state, where 2e-4 is too little: a phase runs fast as it spikes."""


@pytest.fixture(autouse=True)
def passes_are_checked_elsewhere(monkeypatch):
    """The tests of the zoo and of the adjoint compare the numbers of these networks after every pass."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def records(case: Case) -> list[str]:
    """Return the names of what is compared: every state after its reset and before it, and the spikes."""
    names = []
    for title, population in case.populations.items():
        neuron = gc.zoo.ALL[population.neuron]
        names += [f"{title}.{state.name}" for state in neuron.states]
        names += [f"{title}.{state.name}@threshold" for state in neuron.states] if neuron.spike else []
        names += [f"{title}.spike"] if neuron.spike else []
    return names


def simulated(model: gc.Model, case: Case, names: list[str]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        run = model.run({k: torch.as_tensor(v).to(model.dtype) for k, v in case.inputs.items()}, record=names)
    return {name: value.double().numpy() for name, value in run.records.items()}


def compared(case: Case, want: dict[str, np.ndarray], got: dict[str, np.ndarray], tolerance: float) -> int:
    """Compare spikes and states in lockstep; return the number of steps before the spikes part.

    Where they part, some state at threshold must be as near to the other target's as rounding: the decision was close.
    """
    spikes = [name for name in want if name.endswith(".spike")]
    equal = np.ones(case.T, dtype=bool)
    for name in spikes:
        equal &= (want[name] == got[name]).reshape(case.T, -1).all(1)
    steps = case.T if equal.all() else int(np.argmin(equal))
    for name in want:
        scale = 1 + np.abs(want[name][: steps + 1]).max()
        before_reset = name.endswith("@threshold")
        until = steps + 1 if before_reset else steps
        np.testing.assert_allclose(
            got[name][:until] / scale, want[name][:until] / scale, rtol=0, atol=tolerance, err_msg=name
        )
    return steps


@pytest.mark.parametrize(("name", "topology"), SINGLE)
def test_c_in_float32_equals_the_reference_until_a_decision_is_close(name, topology, monkeypatch):
    monkeypatch.delenv("GRAPHC_CFLAGS", raising=False)  # as users build
    case = build(name, topology)
    names = records(case)
    reference = gc.compile(case.network, learn=None, target="reference", dtype=torch.float64)
    c = gc.compile(case.network, learn=None, target="c", dtype=torch.float32)
    steps = compared(case, simulated(reference, case, names), simulated(c, case, names), TOLERANCE.get(name, 2e-4))
    assert steps >= case.T // 2


@pytest.mark.parametrize(("name", "topology"), DOUBLE)
def test_c_equals_the_reference_in_float64_and_so_do_its_gradients(name, topology, monkeypatch):
    if name not in WIDE:  # what the optimiser makes of kernels is shown on these
        monkeypatch.setenv("GRAPHC_CFLAGS", "-O0")
    case = build(name, topology)
    want, got = (
        differentiated(gc.compile(case.network, target=target, dtype=torch.float64), case)
        for target in ("reference", "c")
    )
    spikes = [n for n in want.records if n.endswith(".spike")]
    assert all(want.records[n].any() and not want.records[n].all() for n in spikes)
    assert compared(case, want.records, got.records, 1e-9) == case.T
    assert want.gradients.keys() == got.gradients.keys()
    live = [key for key, gradient in want.gradients.items() if gradient.any()]
    assert "stim" in live and any(key.startswith("stim_hid") and key.endswith(".weight") for key in live)
    for key, gradient in want.gradients.items():
        scale = gradient.abs().max() + 1e-300
        torch.testing.assert_close(got.gradients[key] / scale, gradient / scale, rtol=0, atol=GRADIENTS, msg=key)


@dataclass(frozen=True)
class Differentiated:
    """Records of one run, and the gradients of a random loss for parameters, inputs and the initial state."""

    records: dict[str, np.ndarray]
    gradients: dict[str, torch.Tensor]


def differentiated(model: gc.Model, case: Case) -> Differentiated:
    x = {k: torch.as_tensor(v).clone().requires_grad_() for k, v in case.inputs.items()}
    start = model.initial_state(case.B)
    state = {k: v.detach().clone().requires_grad_(v.is_floating_point()) for k, v in start.items()}
    run = model.run(x, record=records(case), state=state)
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros((), dtype=torch.float64)
    plain = [v for k, v in run.records.items() if "@" not in k]
    for value in (*plain, *(v for v in run.state.values() if v.is_floating_point())):
        loss = loss + (torch.randn(value.shape, generator=generator, dtype=torch.float64) * value).sum()
    loss.backward()
    leaves = {**dict(model.named_parameters()), **x, **{k: v for k, v in state.items() if v.requires_grad}}
    return Differentiated(
        {k: v.detach().numpy() for k, v in run.records.items()},
        {k: torch.zeros_like(v) if v.grad is None else v.grad for k, v in leaves.items()},
    )
