"""The works of the CPU suite that have a network of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import c4, c6, cuba
from benchmarks.peers import torch_online
from benchmarks.peers.torch_delays import lay_out
from benchmarks.works import C4, C6, LONGEST_DELAY, compare, make_inputs


@pytest.mark.parametrize("chunk", [7, 20])
def test_c4_learns_from_a_stream_what_local_backpropagation_learns(chunk):
    work = replace(C4, steps=20, batch=3, neurons=16, inputs=60, chunk=chunk)
    arrays = make_inputs(work)
    arrays["w_in"] *= 8
    arrays["w_rec"] *= 2
    weight = np.array([1, 0.5, 2])
    ours = c4.set_up_ours(work, arrays, target="reference", dtype=torch.float64)[1](weight)
    oracle = torch_online.set_up(work, arrays, torch.float64)[1](weight)
    whole = replace(work, chunk=work.steps)
    bptt = c4.set_up_ours(whole, arrays, c4.gc.learn.BPTT(), target="reference", dtype=torch.float64)[1](weight)
    agreement = compare(oracle, ours)
    assert agreement.spikes_equal == 1 and 0.02 < agreement.rate < 0.5
    assert agreement.gradient_error < 1e-10
    assert compare(bptt, ours).gradient_error > 1e-2


def test_a_synapse_of_c5_reads_the_spikes_of_its_delay():
    size, draw = 6, np.random.default_rng(0)
    delays = torch.from_numpy(draw.integers(1, LONGEST_DELAY + 1, (size, size)))
    weights = torch.from_numpy(draw.standard_normal((size, size)))
    history = torch.from_numpy(draw.standard_normal((LONGEST_DELAY, size)))  # of the step before, of two before, ...
    at = lay_out(delays)
    matrix = torch.sparse_csr_tensor(*at.rows, weights.reshape(-1)[at.order], at.shape)
    transposed = torch.sparse_csr_tensor(*at.columns, weights.reshape(-1)[at.transposed], at.shape[::-1])
    delivered = (weights * history[delays - 1, torch.arange(size)[:, None]]).sum(0)
    torch.testing.assert_close(matrix @ history.reshape(-1), delivered)
    torch.testing.assert_close(matrix.to_dense().t(), transposed.to_dense())


def test_c6_has_every_pair_once():
    net, arrays = c6.make_network(C6, make_inputs(C6)), make_inputs(C6)
    model = c6.gc.compile(net, learn=None, target="reference")
    counts = {name: getattr(model, name).weight.numel() for name in ("exc_exc_exc", "exc_inh_exc", "inh_exc_inh")}
    assert counts["exc_exc_exc"] + counts["exc_inh_exc"] == len(arrays["exc_pre"])
    assert counts["inh_exc_inh"] == (arrays["inh_post"] < cuba.EXCITATORY).sum()


def test_c6_counts_rates_in_hertz():
    spikes = np.zeros((10_000, 4000), np.uint8)
    spikes[::500, : cuba.EXCITATORY] = 1
    spikes[::1000, cuba.EXCITATORY :] = 1
    assert {name: round(value, 6) for name, value in c6.describe(spikes, 0.1).items()} == {
        "exc rate": 20.0, "inh rate": 10.0, "CV": 0.0,
    }  # fmt: skip
