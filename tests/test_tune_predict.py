"""Predicted times of Triton kernels: near those that were measured, and worse where something is held against them."""

import json

import pytest

from benchmarks.gpu_g2 import BATCH, STEPS, make_work
from benchmarks.gpu_predict import plan_of
from benchmarks.layers import make_network
from benchmarks.report import RESULTS
from graphc.runtime.tune.predict import MACHINES, overfull, predict_ms

H100 = MACHINES["sm_90"]


def plan(neurons, **tuned):
    return plan_of(make_network(make_work(neurons), recurrent=True), frozenset({"x"}), "bfloat16", tuned)


@pytest.mark.parametrize("neurons", [128, 1024])
def test_a_prediction_is_within_a_fifth_of_what_was_measured(neurons):
    rows = json.loads((RESULTS / "gpu.json").read_text())["rows"]
    (measured,) = (row["ours_ms"] for row in rows if row["id"] == "g2" and row["work"].endswith(f"N={neurons}"))
    assert predict_ms(plan(neurons), H100, STEPS, BATCH) == pytest.approx(measured, rel=0.2)


def test_a_recurrent_loop_by_launches_is_slower_than_by_barriers():
    times = [predict_ms(plan(1024, **options), H100, STEPS, BATCH) for options in ({}, {"strategy": "stepwise"})]
    assert times[0] < times[1]


def test_a_tile_of_too_many_neurons_per_thread_is_overfull():
    layer = make_network(make_work(1024), recurrent=False)
    wide = plan_of(layer, frozenset({"x"}), "float32", {"block": 8192, "warps": 1})
    assert "registers per thread" in overfull(wide, H100)
    assert overfull(plan_of(layer, frozenset({"x"}), "float32"), H100) == ""
