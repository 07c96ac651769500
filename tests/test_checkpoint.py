"""A run that keeps the state of every K-th step alone gives the numbers of one that keeps everything."""

import functools
import os
from collections.abc import Mapping

import pytest
import torch

import graphc as gc

from .oracles.networks import SCALES, TOPOLOGIES, build

TARGETS = ["c", "reference"]
EVERY = os.environ.get("GRAPHC_EVERY_CASE") == "1"
CASES = [(n, t) for n in SCALES for t in TOPOLOGIES if EVERY or (n, t) in {("LIF", "delays"), ("CoBaLIF", "recurrent")}]


@functools.cache
def case(name: str, topology: str):
    return build(name, topology)


@functools.cache
def model(
    name: str, topology: str, every: int | str, target: str = "c", dtype: torch.dtype = torch.float64
) -> gc.Model:
    learn = gc.learn.BPTT(checkpoint=every)
    return gc.compile(case(name, topology).network, learn=learn, target=target, dtype=dtype)


def stimulus(name: str, topology: str, steps: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(case(name, topology).inputs["stim"][:steps], dtype=dtype)


def signals(name: str, topology: str) -> list[str]:
    return [f"{p}.{s}" for p in case(name, topology).populations for s in ("v", "spike") if name == "LIF"]


def everything(model: gc.Model, x: torch.Tensor, record: list[str], state: Mapping | None = None) -> dict:
    """Return outputs, records, final state and every gradient of a loss that reads all of them."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    given = None
    if state is not None:
        given = {k: v.detach().clone().requires_grad_() if v.is_floating_point() else v for k, v in state.items()}
    run = model.run(x, record=record, state=given)
    output = run.output if isinstance(run.output, dict) else {"output": run.output}
    found = {**output, **run.records, **{f"final {k}": v for k, v in run.state.items()}}
    loss = sum((v * torch.linspace(-1, 1.3, v.numel(), dtype=v.dtype).reshape(v.shape)).sum() for v in found.values())
    loss.backward()
    found |= {f"d {k}": p.grad for k, p in model.named_parameters()} | {"d x": x.grad}
    found |= {f"d {k}": v.grad for k, v in (given or {}).items() if v.is_floating_point()}
    return {k: v.detach() for k, v in found.items() if v is not None}


def assert_equal(got: dict, want: dict, tolerance: float = 1e-11) -> None:
    """Everything but gradients is equal bit for bit; gradients are summed in another order."""
    assert got.keys() == want.keys()
    for name in want:
        exact = not name.startswith("d ")
        scale = 0.0 if exact else float(want[name].abs().max())
        torch.testing.assert_close(got[name], want[name], rtol=0, atol=tolerance * scale, msg=name)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "topology"), CASES)
def test_chunks_give_the_numbers_of_the_whole(name, topology, target):
    x, record = stimulus(name, topology, 23), signals(name, topology)
    state = model(name, topology, "none", target).run(stimulus(name, topology, 40)).state
    want = everything(model(name, topology, "none", target), x, record, state)
    got = everything(model(name, topology, 7, target), x, record, state)
    assert_equal(got, want)
    assert len(want) > 7 and want["d stim_hid.weight"].abs().max() > 0
    got = everything(model(name, topology, 7, target), x, record)  # from the initial state, which may be learned
    assert_equal(got, everything(model(name, topology, "none", target), x, record))
