"""The examples simulate and learn what they say, at a fraction of their size."""

import importlib.util
import math
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import graphc as gc

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    for module in ("matplotlib", "scipy", "tqdm"):
        pytest.importorskip(module)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def networks() -> ModuleType:
    return example("networks")


@pytest.fixture(scope="module")
def delays() -> ModuleType:
    return example("delays")


def test_spike_times_are_learned_from_pieces_of_a_pattern(monkeypatch):
    eprop = example("eprop")
    monkeypatch.setattr(eprop, "INPUTS", 50)
    monkeypatch.setattr(eprop, "STEPS", 100)
    monkeypatch.setattr(eprop, "TIMES", (60,))
    monkeypatch.setattr(eprop, "STRONGEST", 0.12)
    monkeypatch.setattr(eprop, "RATE", 3e-3)
    distances, raster = eprop.learn_times(rounds=12, seed=0)
    assert len(raster[0]) > len(raster[-1]) > 0
    assert distances[-1] < 0.7 * distances[0]


def test_a_stored_bit_is_among_the_first_and_recalled_at_the_end():
    eprop = example("eprop")
    spikes, bits = eprop.trials(100, torch.Generator().manual_seed(0))
    groups = spikes.unflatten(2, (4, eprop.LINES)).unflatten(0, (eprop.SEGMENTS, eprop.SEGMENT)).sum((1, 4)) > 0
    store = groups[..., 2].int().argmax(0)
    assert (groups[..., 2].sum(0) == 1).all()
    assert (groups[store, torch.arange(100), bits]).all()
    assert groups[-1, :, 3].all() and not groups[:-1, :, 3].any()


def test_a_stream_of_recordings_learns_what_whole_ones_teach(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    online = example("ecg_online")
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(60, 3, 4, generator=generator) < 0.3).float()
    labels = torch.randint(6, (60, 3), generator=generator)
    gradients = []
    for chunk in (25, 0):
        torch.manual_seed(0)
        model = gc.compile(online.net, learn=gc.learn.BlockDiagonal(), target="c")
        online.stream(model, spikes, labels, chunk)
        gradients.append([p.grad for p in model.parameters()])
    for cut, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)
    assert gradients[0][0].norm() > 0


def test_current_based_network_fires_as_in_brian2(networks):
    torch.manual_seed(0)
    spikes = networks.simulate(networks.cuba(), 1000, seed=0)
    assert spikes.steps == 10000
    assert 1000 * spikes.counts(1.0, slice(None)).mean() == pytest.approx(5.5, rel=0.1)  # seeds differ by 2 %
    assert 0.4 < spikes.irregularity() < 0.8  # 0.5: a second has few intervals
    assert spikes.synchrony() < 0.1


def test_brunels_network_fires_as_its_mean_field_says(networks):
    torch.manual_seed(0)
    spikes = networks.simulate(networks.brunel(2500), 300, seed=0)
    rate = 1000 * spikes.counts(1.0, slice(None)).mean()
    assert rate == pytest.approx(networks.mean_field(2500), rel=0.05)  # inputs are neither weak nor white


def test_chunks_are_one_simulation(networks, monkeypatch):
    found = []
    for chunk in (250, 500):
        monkeypatch.setattr(networks, "CHUNK", chunk)
        torch.manual_seed(0)
        found.append(networks.simulate(networks.coba(500), 150, seed=0))
    assert len(found[0].step) > 40
    assert (found[0].step == found[1].step).all()
    assert (found[0].neuron == found[1].neuron).all()


def test_external_drive_is_poisson(networks):
    assert networks.COUNT.mean() == pytest.approx(2, abs=1e-3)
    assert networks.COUNT.var() == pytest.approx(2, abs=1e-2)  # 2^16 quantiles cut the tail


def test_delays_are_learned(delays):
    torch.manual_seed(0)
    net = delays.network(gc.LearnedDelay(max=delays.LONGEST, kernel="gaussian"), weight=0.12, learn=False)
    model = gc.compile(net, learn="bptt", target="c")
    history = delays.train(model, rounds=60, rate=1.0, seed=0, title="")
    model.round_delays()
    test = delays.bars(200, torch.Generator().manual_seed(1))
    assert history[0][1] < 0.7
    assert delays.accuracy(model, *test) > 0.9


@pytest.mark.parametrize("number", range(3))
def test_bar_passes_every_position_at_its_velocity(delays, number):
    spikes, which = delays.bars(200, torch.Generator().manual_seed(number))
    first = spikes.argmax(0).float()
    seen = spikes.any(0)
    for n, velocity in enumerate(delays.VELOCITIES):
        ends = [first[which == n, p][seen[which == n, p]].mean() for p in (2, delays.POSITIONS - 3)]
        assert (ends[1] - ends[0]).item() == pytest.approx((delays.POSITIONS - 5) / velocity.item(), abs=6)


@pytest.fixture(scope="module")
def plasticity() -> ModuleType:
    return example("plasticity")


def test_the_window_of_the_example_is_its_closed_form(plasticity):
    lags = plasticity.LAGS
    closed = [0.01 * math.exp(-lag / 20) if lag >= 0 else -0.0105 * math.exp(lag / 20) for lag in lags]
    assert plasticity.window(gc.zoo.PairSTDP(A_plus=0.01, A_minus=0.0105)) == pytest.approx(closed, abs=1e-6)


def test_inhibition_reaches_the_rate_of_its_rule(plasticity):
    rates = plasticity.balance(seconds=45, seed=0)
    assert rates[0].mean() > 4 * plasticity.RATE
    assert rates[-10:].mean(0) == pytest.approx(plasticity.RATE, rel=0.2)  # each of the 40 cells


def test_correlated_inputs_win(plasticity):
    last = plasticity.competition(seconds=30, seed=0)[-1]
    assert last[: plasticity.CORRELATED].mean() > last[plasticity.CORRELATED :].mean() + 0.1


def test_the_rules_of_the_documentation_run(tmp_path):
    text = (EXAMPLES.parent / "docs" / "plasticity.md").read_text()
    path = tmp_path / "plasticity.py"
    path.write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)))
    made = runpy.run_path(str(path))
    assert made["model"].x_cell.A.grad.abs() > 0
    assert all(made[name].states for name in ("STDP", "Normalised", "Rewarded", "STP", "Meta"))


def test_five_layers_stay_active_from_fluctuation_driven_weights(monkeypatch):
    monkeypatch.delenv("GRAPHC_VERIFY", raising=False)
    deep = example("deep_init")
    (images, _), (spikes, _) = deep.digits()
    given = deep.latency_code(images, 2.0, torch.Generator().manual_seed(0))
    last = []
    for kaiming in (False, True):
        torch.manual_seed(0)
        rates, _ = deep.activity(gc.compile(deep.network(kaiming, given)), spikes[:, :100])
        last.append(rates[-1])
    assert 5 < last[0] < 50  # spikes per second; 20 were assumed
    assert last[1] == 0


@pytest.fixture(scope="module")
def braille() -> ModuleType:
    return example("braille")


def letters(braille: ModuleType, frames: int) -> Any:
    generator = torch.Generator().manual_seed(0)
    signals = torch.randn(frames, 60, len(braille.SENSORS), generator=generator).cumsum(0) / 2
    return braille.Trials(signals[:, :6].repeat(1, 10, 1) + 0.1 * torch.randn(signals.shape), torch.arange(60) % 6)


def test_the_braille_network_is_the_same_on_both_targets(braille):
    trials, found = letters(braille, 10), []
    for target in ("c", "reference"):
        torch.manual_seed(0)
        model = gc.compile(braille.network(12), target=target, dtype=torch.float64)
        scores = braille.read_out(model(braille.encode(trials.signals[:, :6]).double()))
        torch.nn.functional.cross_entropy(scores, trials.labels[:6]).backward()
        found.append([scores.detach(), *(p.grad for p in model.parameters())])
    for c, reference in zip(*found, strict=True):
        torch.testing.assert_close(c, reference, rtol=1e-9, atol=1e-12)
    assert all(gradient.norm() > 0 for gradient in found[0])


def test_letters_are_learned(braille):
    trials = letters(braille, 20)
    torch.manual_seed(0)
    history = braille.train(gc.compile(braille.network(30), target="c"), trials, trials, epochs=30)
    assert history[0] < 0.5 < 0.95 < history[-1]
    assert braille.nearest(trials, trials) == 1


def test_augmented_trials_are_the_trials_moved(braille):
    ramp = torch.arange(braille.FRAMES).float()[:, None, None].expand(-1, 300, 4) / 10
    torch.manual_seed(0)
    moved = braille.augment(ramp) - ramp
    assert moved[10:-10].mean((1, 2)) == pytest.approx(0, abs=0.05)
    parts = {"begin": 0.2, "speed": 0.03 * 1.8, "gain": 0.05 * 2, "offset": 0.05, "noise": 0.05}
    assert moved[20].std() == pytest.approx(math.hypot(*parts.values()), rel=0.1)


@pytest.fixture(scope="module")
def clamp() -> ModuleType:
    return example("current_clamp")


def test_a_neuron_is_fitted_through_its_spikes(clamp, monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    current = torch.zeros(1500, 2)
    current[200:] = torch.tensor([-50.0, 250.0])
    blank = clamp.Sweeps(torch.zeros_like(current), current, torch.zeros_like(current))
    torch.manual_seed(3)
    v, spikes = clamp.simulate(gc.compile(clamp.free(1), target="c"), blank, 0)  # a cell to be found again
    assert spikes.sum() >= 3
    sweeps = clamp.Sweeps(v, current, spikes)
    torch.manual_seed(1)
    fit, target = clamp.Fit(2), clamp.filtered(sweeps)
    start = fit.values()
    before = clamp.free_losses(fit.free, sweeps, target)
    fit.descend(sweeps, 25, rate=0.2, spikes=0.0)
    fit.descend(sweeps, 12, rate=0.02, spikes=3.0)
    fit.restore()
    after = clamp.free_losses(fit.free, sweeps, target)
    assert (after[0] < before[0]).all() and (after[1] < before[1]).any()
    assert (fit.values() != start).any(1).all()  # every parameter moved, those that only spikes reach among them
    assert all(a.original is b.original for a, b in shared(fit))


def shared(fit) -> list:
    return [
        (fit.forced.cell.parametrizations[name], fit.free.cell.parametrizations[name])
        for name in fit.forced.cell.parametrizations
    ]


def test_coincidence_is_1_for_equal_trains_and_0_by_chance(clamp):
    torch.manual_seed(0)
    trains = [(torch.rand(200) * 10000).sort().values.numpy() for _ in range(20)]
    assert clamp.coincidence(trains[:10], trains[:10], 4.0, 100000) == pytest.approx(1)
    assert clamp.coincidence(trains[:10], trains[10:], 4.0, 100000) == pytest.approx(0, abs=0.06)
    assert clamp.coincidence([trains[0][:0]], [trains[0]], 4.0, 10000) == 0


def test_steps_around_a_spike_are_those_asked_for(clamp):
    spikes = torch.zeros(30, 2)
    spikes[10, 0] = spikes[29, 1] = 1
    assert clamp.around(spikes, 2, 5)[:, 0].nonzero().flatten().tolist() == list(range(8, 16))
    assert clamp.around(spikes, 2, 5)[:, 1].nonzero().flatten().tolist() == [27, 28, 29]


def test_prospective_units_follow_and_leaky_ones_lag():
    prospective = example("prospective")
    follows = {}
    for kind in prospective.UNITS:
        current, follows[kind] = prospective.response(kind)
    wave = slice(60, None)
    assert (follows["prospective"] - current)[wave].pow(2).mean().sqrt() < 0.15
    assert (follows["leaky"] - current)[wave].pow(2).mean().sqrt() > 0.5


def test_gradients_reach_the_weights_through_the_hand(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    prospective = example("prospective")
    monkeypatch.setattr(prospective, "STEPS", 150)
    monkeypatch.setattr(prospective, "SKIP", 30)
    torch.manual_seed(0)
    history = prospective.train(gc.compile(prospective.network("prospective", 8), target="c"), 30, 0, "")
    assert history[-1] < 0.5 * history[0]


def test_slow_neurons_remember_a_cue(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    memory = example("time_constants")
    monkeypatch.setattr(memory, "LONGEST", 25)
    torch.manual_seed(0)
    model = gc.compile(memory.network("learned", size=48), target="c")
    drawn, right = {name: value.clone() for name, value in model.state_dict().items()}, []
    for learned in (False, True):
        model.load_state_dict(drawn)
        model.hid.log_tau.requires_grad_(learned)
        memory.train(model, 160, 0, "")
        right.append(memory.accuracy(model, 25))
    assert right[0] < 0.7 < 0.85 < right[1]


def test_neurons_keep_their_sign(monkeypatch):
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    balanced = example("balanced")
    torch.manual_seed(0)
    model = gc.compile(balanced.network(), target="c")
    before = balanced.weights(model)
    assert all(2 < rate < 40 for rate in balanced.rates(model))
    history = balanced.train(model, 30, 0)
    after = balanced.weights(model)
    assert balanced.keeps_dale(before) and balanced.keeps_dale(after)
    assert all((after[name] != before[name]).any() for name in balanced.BETWEEN)
    assert sum(history[-5:]) > sum(history[:5]) + 0.5
    assert not balanced.keeps_dale({"inh_exc": -after["inh_exc"]})


@pytest.mark.processes
def test_two_processes_learn_what_one_learns(tmp_path):
    distributed = example("distributed")
    alone = distributed.train(steps=4, batch=8, size=10)
    given = ["--steps=4", "--batch=8", "--size=10"]
    together = distributed.launch(2, given, tmp_path / "result.pt")
    assert together["processes"] == 2
    losses, weights = distributed.differences(alone, together)
    assert losses < 1e-12 and weights < 1e-10
    assert alone["losses"][-1] != alone["losses"][0]
