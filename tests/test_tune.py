import logging
import random
import time

import pytest
import torch

import graphc as gc
from graphc.runtime.tune.database import Database, Entry
from graphc.runtime.tune.race import Runner, race, ratio
from graphc.runtime.tune.search import Search
from graphc.runtime.tune.space import Call, changes
from graphc.runtime.tune.trial import ModelTrial, agree
from graphc.tune import call_of, identity_of

from .models.tuning import network, spikes

W = gc.weight
COSTS = {"rows": {4: -0.3, 8: -0.1, 64: 0.5}, "packed": {1: -0.2}, "dense": {5: 0.4, 50: 0.3}, "stream": {1: -0.05}}


class FakeTrial:
    """A candidate whose halves take so many seconds as its options say; time does not pass."""

    def __init__(self, options, wrong=(), twins=()):
        self.options, self.wrong, self.twins = options, wrong, twins
        self.noise = random.Random(str(options))

    @property
    def texts(self):
        return ("twin",) if self.options in self.twins else (str(self.options),)

    def prepare(self):
        if self.options.get("rows") == 24:
            raise gc.TargetError("rows=24 do not fit")

    def results(self):
        return {"output": torch.tensor(1.0 if self.options in self.wrong else 0.0)}

    def run(self):
        cost = {"forward": 1.0, "backward": 2.0}
        for name, value in self.options.items():
            half, _, short = name.rpartition(".")
            for own in [half] if half else ["forward", "backward"]:
                cost[own] *= 1 + COSTS.get(short, {}).get(value, 0)
        return tuple(c * self.noise.uniform(0.99, 1.01) for c in cost.values())


FIRST = [{"rows": r} for r in (4, 8, 24, 64)] + [{"packed": 1}, {"dense": 5}, {"dense": 50}, {"stream": 1}]


def search(first=FIRST, **options):
    def make(given):
        return FakeTrial(given, options.get("wrong", ()), options.get("twins", ()))

    found = Search(make, lambda a, b: "" if a == b else "other numbers", options.get("seed", 0), 60.0)
    found.report = options.get("report", found.report)
    found.run(first)
    return found


def test_changes_that_help_are_combined():
    found = search()
    assert {n: found.best[n] for n in ("rows", "packed", "stream")} == {"rows": 4, "packed": 1, "stream": 1}
    assert found.gain == pytest.approx(1 / (0.7 * 0.8 * 0.95), rel=0.03)


def test_every_candidate_has_a_fate():
    found = search(wrong=[{"packed": 1}], twins=[{"dense": 5}, {"dense": 50}])
    fates = {str(t.options): t.why for t in found.tried}
    assert fates["{'rows': 24}"] == "rows=24 do not fit"
    assert fates["{'packed': 1}"] == "other numbers"
    assert fates["{'dense': 50}"] == "the same kernels as dense 5"
    assert "the defaults' time after" in fates["{'rows': 64}"]
    assert "packed" not in found.best


def test_the_defaults_stay_where_nothing_is_faster():
    found = search([{"rows": 64}, {"dense": 5}])
    assert (found.best, found.gain) == ({}, 1.0)
    assert found.ms == found.default_ms


def test_an_interrupted_search_keeps_what_is_known():
    def stop(one, tried):
        if tried.options == {"packed": 1}:
            raise KeyboardInterrupt

    found = search([{"rows": 4}, {"packed": 1}, {"stream": 1}], report=stop)
    assert found.interrupted
    assert found.best == {"rows": 4}


def test_a_seed_makes_the_same_search():
    one, two, other = (search(seed=seed) for seed in (3, 3, 4))
    assert [t.options for t in one.tried] == [t.options for t in two.tried]
    assert one.gain == two.gain
    assert other.best["rows"] == 4


def test_a_race_drops_who_falls_behind_and_keeps_the_first():
    slow, fast, faster = (Runner(lambda s=s: (s, 0.0)) for s in (3.0, 1.5, 1.0))
    assert race([slow, fast, faster], random.Random(0), time.monotonic() + 60) == [slow, faster]
    assert len(fast.halves) < len(faster.halves)
    assert ratio(faster, slow) == pytest.approx(1 / 3)


def faked(monkeypatch, rows=4):
    """Let calls of models take time by their schedule alone."""

    def run(trial):
        chosen = dict(trial.model._options.schedule)
        return (0.01, 0.01) if chosen.get("rows") == rows else (0.02, 0.02)

    monkeypatch.setattr(ModelTrial, "run", run)
    monkeypatch.setattr("graphc.runtime.tune.space.changes", lambda call: [{"rows": 2}, {"rows": rows}])
    monkeypatch.setattr("graphc.runtime.tune.search.neighbours", lambda options: [])


@pytest.fixture
def database(tmp_path, monkeypatch):
    path = tmp_path / "tune.sqlite"
    monkeypatch.setenv("GRAPHC_TUNE_DB", str(path))
    return path


def put(database, schedule, steps=20, batch=8):
    """Write an entry of `network` as the tuner does."""
    identity = identity_of(gc.compile(network(), target="c", schedule={}), steps, batch)
    (number,) = Database(database).add([Entry(identity, "net", schedule, 1.0, 2.0, 1, 0)])
    return number


def test_what_was_tuned_is_used_by_the_next_model_and_explain_names_the_entry(database, monkeypatch):
    faked(monkeypatch)
    found = gc.tune(network(), spikes(), target="c", budget=60, name="small")
    assert found.schedule["rows"] == 4
    assert found.gain == pytest.approx(2.0)
    model = gc.compile(network(), target="c")
    assert f"tuned: entry {found.entry.id} of " in model.explain()
    model(spikes())
    assert all(k.options["rows"] == 4 for k in model.last_build().schedule.kernels if k.kind != "product")
    plain = gc.compile(network(), target="c", schedule={})
    assert "the defaults, as asked for" in plain.explain()
    assert plain.source() != model.source()


def test_an_entry_serves_calls_of_its_size_only(database):
    put(database, {"rows": 4})
    model = gc.compile(network(), target="c")
    for steps, batch, tuned in ((17, 5, True), (60, 32, True), (20, 64, False), (300, 8, False)):
        model(spikes(steps, batch))
        assert ("tuned" in model.explain()) is tuned, (steps, batch)
    model.eval()
    with torch.no_grad():
        model(spikes())  # inference was not tuned
    assert "tuned" not in model.explain()


def test_the_users_tensors_and_generator_stay_as_they_are(database, monkeypatch):
    faked(monkeypatch)
    x = spikes()
    kept, state = x.clone(), torch.random.get_rng_state()
    gc.tune(network(), x, target="c", budget=60)
    assert torch.equal(x, kept)
    assert x.grad is None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_entry_that_cannot_serve_is_passed_over_with_a_warning(database, monkeypatch, caplog):
    number = put(database, {"rows": 4})
    monkeypatch.setattr("graphc.runtime.build.schedule", _refuse_rows)
    model = gc.compile(network(), target="c")
    with caplog.at_level(logging.WARNING, "graphc.tune"):
        model(spikes())
    assert f"entry {number}" in caplog.text
    assert "tuned" not in model.explain()


def test_an_entry_never_takes_samples_from_a_rule_that_reduces_over_the_batch(database):
    net = plastic()
    identity = identity_of(gc.compile(net, target="c", schedule={}), 20, 8)
    Database(database).add([Entry(identity, "net", {"rows": 8}, 1.0, 2.0, 1, 0)])
    model = gc.compile(net, target="c")
    assert model(spikes(20, 30)).shape == (20, 30, 6)
    assert "rows 8" in model.explain()


def plastic():
    """Return a network whose rule leaves one weight for all samples, which every call changes."""
    net = gc.Network(dt=1)
    net.input("x", 8)
    net.population("hid", gc.zoo.LIF, 6)
    net.connect("x", "hid", weight=0.4, plasticity=gc.Plasticity("grow", on_pre={W: 1.01 * W}, reduction="mean"))
    net.output("hid")
    return net


def test_every_call_of_a_candidate_starts_from_the_same_weights():
    trial = ModelTrial(gc.compile(plastic(), target="c", learn=None, schedule={}), spikes(), 20, 8)
    first = trial.results()
    weight = trial.model.x_hid.weight.clone()
    trial.run()
    again = trial.results()
    assert not torch.equal(weight, torch.full_like(weight, 0.4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(trial.model.x_hid.weight, weight)


def test_an_entry_keeps_within_the_memory_that_the_user_gave(database):
    put(database, {"recompute": 0, "spikes": "numbers", "rows": 4})
    plain = gc.compile(network(), target="c", schedule={})
    least = plain.build().footprint(20, 8).peak
    for learn, chosen in (
        ("bptt", {"spikes": "numbers", "rows": 4}),
        (gc.learn.BPTT(memory_budget=least), {"rows": 4}),
    ):
        model = gc.compile(network(), target="c", learn=learn)
        model(spikes()).sum().backward()
        key = model.last_build().key
        assert dict(key.options.schedule) == chosen
        assert key.request.recompute is (learn != "bptt")


def test_a_database_that_cannot_be_reached_is_passed_over_with_a_warning(monkeypatch, caplog):
    def refuse():
        raise PermissionError("not yours")

    monkeypatch.setattr("graphc.runtime.tuned.tuning_file", refuse)
    model = gc.compile(network(), target="c")
    assert model(spikes()).shape == (20, 8, 3)
    assert "not yours" in caplog.text


def _refuse_rows(program, device, dtype, target, tuned=None, precision="float32"):
    from graphc.passes import schedule

    if tuned:
        raise gc.TargetError("not here")
    return schedule(program, device, dtype, target, tuned, precision)


def test_a_search_of_real_kernels_ends_in_numbers_that_agree(database):
    found = gc.tune(network(), spikes(), target="c", budget=5, seed=1)
    timed = [t for t in found.tried if t.ratio is not None]
    assert len(timed) >= 3
    assert found.gain >= 1.0
    assert Database(database).get(found.entry.id).tried == len(timed)
    one, other = (gc.compile(network(), target="c", schedule=s) for s in ({}, found.schedule))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(spikes()), other(spikes()))


def test_kernels_that_compute_other_numbers_do_not_agree():
    y, g = torch.rand(5, 8, 3).double(), torch.rand(4).double()
    wanted = {"output ": y, "gradient w": g}
    assert agree("float32", wanted, wanted) == ""
    assert agree("float32", {**wanted, "gradient w": 1.01 * g}, wanted).startswith("gradient w differs")
    assert agree("float32", {**wanted, "output ": y.flip(1)}, wanted).startswith("output  differs")
    assert agree("float32", {**wanted, "output ": y * float("nan")}, wanted).startswith("output  differs")
    assert "gradient w" in agree("float32", {"output ": y}, wanted)


@pytest.mark.parametrize("options", [{"threads": 1}, {"checkpoint": 10}, {"recompute": 0}, {"spikes": "numbers"}])
def test_candidates_hold_what_the_kernels_listen_to(options):
    model = gc.compile(network(), target="c", schedule={})
    call = call_of(model, 20, 8)
    assert (options in changes(call)) is (options != {"threads": 1} or torch.get_num_threads() > 1)
    assert isinstance(call, Call)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"budget": 0}, "budget=0 is no positive number"),
        ({"budget": float("inf")}, "budget=inf is no positive number"),
        ({"budget": float("nan")}, "budget=nan is no positive number"),
        ({"target": "reference"}, "has no schedule"),
        ({"target": "cuda"}, "unknown target"),
        ({"example_input": torch.zeros(5, 2, 3)}, "shape"),
        ({"example_input": None}, "number of steps"),
        ({"example_input": [[0.0]]}, "no tensor"),
        ({"example_input": torch.zeros(0, 2, 8)}, "0 steps and 2 samples"),
    ],
)
def test_what_cannot_be_tuned_is_refused(given, match, database):
    arguments = {"example_input": spikes(), "target": "c", "budget": 1} | given
    with pytest.raises(gc.GraphcError, match=match):
        gc.tune(network(), **arguments)
    assert not database.exists() or Database(database).count() == 0


def test_a_database_that_cannot_be_written_is_refused_before_the_search(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(gc.GraphcError, match="cannot make the folder"):
        gc.tune(network(), spikes(), target="c", database=place / "tune.sqlite")
