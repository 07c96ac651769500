"""Every zoo neuron under every strategy on a GPU: states, spikes one by one, and gradients, against the reference."""

from functools import lru_cache

import pytest
import torch

import graphc as gc

from .models.device import DEVICE, STRATEGIES, Trained, same_steps, train, wide
from .oracles.networks import SCALES, WIDE, Case

pytestmark = pytest.mark.gpu

SIZE = 37  # no multiple of anything: three programs of 16 neurons, the last of which has 5
EXACT = 1e-8  # float64 of another order of summation over some hundred steps
VALUES = {"IzhikevichPublished": 2e-2}  # float32, relative to a state's range; else 5e-4
GRADIENTS = {"AdEx": 2e-2, "EIF": 1e-2, "HodgkinHuxley": 1e-2, "Izhikevich": 1e-2, "IzhikevichPublished": 0.3}
"""What float32 may cost where a neuron amplifies rounding; 5e-3 for the others."""
LAYERED = ("LIF", "ALIF", "CoBaLIF")


@lru_cache(maxsize=4)
def reference(name: str, topology: str) -> tuple[Case, Trained]:
    case = wide(name, topology, SIZE)
    return case, train(gc.compile(case.network, target="reference", dtype=torch.float64), case)


def assert_same(name: str, topology: str, strategy: str, dtype: torch.dtype) -> None:
    case, want = reference(name, topology)
    torch.manual_seed(0)
    model = gc.compile(case.network, target="triton", dtype=dtype, schedule=STRATEGIES[strategy]).to(DEVICE)
    got, single = train(model, case), dtype is torch.float32
    strategies = {k.strategy for k in model.last_build().schedule.kernels if k.kind != "product"}
    assert strategy in strategies <= {strategy, "elementwise"}  # what is left of a step may be elementwise
    steps = same_steps(want, got)
    assert steps >= (case.T // 2 if single else case.T)
    for record, wanted in want.records.items():
        scale = 1 + float(wanted.detach()[:steps].abs().max())
        distance = (got.records[record].detach().cpu().double() - wanted.detach())[:steps].abs().max()
        assert distance <= (VALUES.get(name, 5e-4) if single else EXACT) * scale, (record, float(distance), scale)
    found = got.gradients(steps)
    for key, wanted in want.gradients(steps).items():
        scale, distance = float(wanted.abs().max()) + 1e-300, float((found[key] - wanted).abs().max())
        assert distance <= (GRADIENTS.get(name, 5e-3) if single else 10 * EXACT) * scale, (key, distance, scale)


@pytest.mark.parametrize(
    ("name", "strategy"), [(n, s) for n in SCALES for s in STRATEGIES if n in WIDE or s == "elementwise"]
)
def test_every_neuron_equals_the_reference(name, strategy):
    topology = "feedforward" if strategy == "elementwise" else "recurrent"
    assert_same(name, topology, strategy, torch.float32 if strategy == "cooperative" else torch.float64)


@pytest.mark.parametrize("strategy", ["resident", "cooperative", "stepwise"])
@pytest.mark.parametrize("topology", ["layers", "delays"])
@pytest.mark.parametrize("name", LAYERED)
def test_populations_that_hear_of_each_other_equal_the_reference(name, topology, strategy):
    assert_same(name, topology, strategy, torch.float32)


@pytest.mark.parametrize("strategy", ["elementwise", "resident", "stepwise"])
@pytest.mark.parametrize("name", ["LIF", "ALIF", "AdEx"])
def test_in_float32_spikes_part_only_where_a_decision_is_close(name, strategy):
    assert_same(name, "feedforward" if strategy == "elementwise" else "recurrent", strategy, torch.float32)
