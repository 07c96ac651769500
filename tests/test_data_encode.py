"""Encoders say what they encode: order of latencies, expected rates, signals that can be read back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.data import delta, events_to_dense, latency, level_crossing, population, rate


def seeded(n=0):
    return torch.Generator().manual_seed(n)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.sampled_from([None, 5.0]))
@settings(max_examples=60, deadline=None)
def test_the_larger_the_earlier_and_once(values, tau):
    spikes = latency(values, steps=40, tau=tau, threshold=0.2)
    x = torch.tensor(values)
    assert torch.equal(spikes.sum(0), (x > 0.2).float())
    first = spikes.argmax(0)[x > 0.2][x[x > 0.2].argsort()]
    assert (first.diff() <= 0).all()


def test_latencies_are_those_of_the_formulas():
    assert latency([0.0, 0.5, 1.0], steps=11, threshold=0.0).argmax(0).tolist() == [0, 5, 0]
    assert latency([0.5, 0.5 + 1e-9], steps=11, threshold=0.5).sum() == 0, "up to the threshold, in float32"
    found = latency([0.25, 0.8], steps=200, tau=20.0, threshold=0.2).argmax(0)
    assert found.tolist() == [round(20 * np.log(5)), round(20 * np.log(4 / 3))]
    membrane = 0.25 * (1 - np.exp(-np.arange(200) / 20))
    assert abs(int(found[0]) - int((membrane >= 0.2).argmax())) <= 1, "a leaky integrator fires there"


def test_jitter_moves_spikes_and_loses_none():
    still, moved = (latency(torch.full((2000,), 0.5), steps=50, jitter=j, generator=seeded()) for j in (0.0, 3.0))
    assert moved.sum() == still.sum() == 2000
    assert 2.7 < moved.argmax(0).float().std() < 3.3
    assert torch.equal(moved, latency(torch.full((2000,), 0.5), steps=50, jitter=3.0, generator=seeded()))


@pytest.mark.parametrize(("poisson", "values"), [(False, [0.0, 0.2, 1.0]), (True, [0.0, 0.2, 3.0])])
def test_rates_are_expectations(poisson, values):
    spikes = rate(values, steps=20_000, generator=seeded(), poisson=poisson)
    x = torch.tensor(values)
    variance = x if poisson else x * (1 - x)
    assert ((spikes.mean(0) - x).abs() <= 4 * (variance / 20_000).sqrt()).all()
    assert torch.allclose(spikes.var(0), variance, rtol=0.06)
    assert spikes.shape == (20_000, 3) and spikes[:, 0].sum() == 0


signals = st.integers(0, 2**32 - 1).map(lambda n: torch.randn(30, 2, 3, generator=seeded(n)).cumsum(0))


@given(signals, st.floats(0.2, 3))
@settings(max_examples=20, deadline=None)
def test_level_crossings_give_the_signal_back_within_a_spacing(signal, spacing):
    times, units, samples = level_crossing(signal, spacing, dt=0.5)
    rebuilt = signal[0].double().expand(30, 2, 3).clone()
    for time, unit, sample in zip(times, units, samples, strict=True):
        after = torch.arange(30) * 0.5 >= time - 1e-9
        rebuilt[after, sample, unit % 3] += spacing if unit < 3 else -spacing
    assert (rebuilt - signal).abs().max() < spacing * (1 + 1e-6)
    assert (np.diff(times)[np.diff(samples) == 0] >= 0).all()


@given(signals)
@settings(max_examples=10, deadline=None)
def test_upside_down_swaps_the_polarities(signal):
    up, down = level_crossing(signal, 0.7), level_crossing(-signal, 0.7)
    shape = {"steps": 30, "dt": 1.0, "size": 6, "batch": 2}
    a, b = events_to_dense(*up, **shape), events_to_dense(*down, **shape)
    assert torch.equal(a, torch.cat([b[..., 3:], b[..., :3]], -1))
    a, b = delta(signal, 0.7), delta(-signal, 0.7)
    assert torch.equal(a, torch.cat([b[..., 3:], b[..., :3]], -1))


def test_crossings_are_on_the_line_between_two_values():
    events = level_crossing(torch.tensor([[0.0], [2.5], [2.5], [-0.5]]), 1.0, dt=10.0)
    np.testing.assert_allclose(events.times, [4, 8, 20 + 10 * 1.5 / 3, 20 + 10 * 2.5 / 3])
    assert events.units.tolist() == [0, 0, 1, 1] and events.samples.tolist() == [0] * 4


def test_noise_around_a_level_makes_no_events():
    noise = 1.0 + 0.4 * torch.sin(torch.arange(100.0))[:, None]
    assert len(level_crossing(torch.cat([torch.zeros(1, 1), noise]), 1.0).times) == 1


def test_a_delta_modulator_follows_a_slow_signal_within_a_threshold():
    signal = torch.sin(torch.arange(500.0) / 40)[:, None, None].expand(500, 2, 1)
    spikes = delta(signal, 0.05)
    followed = signal[0] + 0.05 * (spikes[..., :1] - spikes[..., 1:]).cumsum(0)
    assert (followed - signal).abs().max() < 0.05 + 1e-5
    assert spikes.max() == 1 and (spikes.sum(-1) <= 1).all()


def test_a_delta_modulator_catches_up_one_threshold_per_step():
    spikes = delta(torch.tensor([[0.0], [1.0], [1.0], [1.0], [1.0]]), 0.4)
    assert spikes[:, 0].tolist() == [0, 1, 1, 0, 0] and spikes[:, 1].sum() == 0


def test_receptive_fields_are_gaussians_at_their_centres():
    activity = population(torch.tensor([[0.0, 0.5]]), neurons=5, low=0.0, high=1.0, width=2.0)
    assert activity.shape == (1, 10) and activity[0, 0] == 1 == activity[0, 7]
    assert activity[0, 1] == pytest.approx(np.exp(-0.5 * (0.25 / 0.5) ** 2))
    assert activity[0, 6] == pytest.approx(activity[0, 8].item())
    assert latency(activity, steps=20).sum() <= 10


REFUSED = {
    "from 0 to 1.5: they must be from 0 to 1": lambda: latency([0.0, 1.5], steps=5),
    "not finite": lambda: latency([torch.nan], steps=5),
    "tau=": lambda: latency([0.5], steps=5, tau=2.0),
    "last is": lambda: latency([0.5], steps=5, last=5),
    "threshold is": lambda: latency([0.5], steps=5, threshold=1.0),
    "jitter is": lambda: latency([0.5], steps=5, jitter=-1.0),
    "steps is": lambda: rate([0.5], steps=0),
    "steps is 2.5": lambda: rate([0.5], steps=2.5),
    "poisson=True counts": lambda: rate([1.5], steps=5),
    "from 0 on": lambda: rate([-0.5], steps=5, poisson=True),
    "threshold is 0.0": lambda: delta(torch.zeros(3, 1), 0.0),
    "with a step at least": lambda: delta(torch.zeros(0, 1), 1.0),
    "spacing is nan": lambda: level_crossing(torch.zeros(3, 1), float("nan")),
    "(T, B, N) or (T, N)": lambda: level_crossing(torch.zeros(3, 1, 1, 1), 1.0),
    "a larger spacing": lambda: level_crossing(torch.tensor([[0.0], [1.0]]), 1e-300),
    "fields from": lambda: population(torch.zeros(1), neurons=1, low=0.0, high=1.0),
    "no real numbers": lambda: rate(torch.zeros(1, dtype=torch.complex64), steps=5),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_encoded_is_refused(message):
    with pytest.raises(gc.GraphcError) as error:
        REFUSED[message]()
    assert message in str(error.value)
