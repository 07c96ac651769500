"""graphc tune: the search, the dry run and the database, from the shell."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from graphc.cli.main import graphc
from graphc.cli.network import load
from graphc.runtime.tune.database import Database
from graphc.runtime.tune.trial import ModelTrial
from graphc.tune import rank

from .models.tuning import entry

ROOT = Path(__file__).parents[1]
NETWORK = "tests/models/tuning.py:network"
NAMED = "tests.models.tuning:network"
SIZE = ("--steps", "20", "--batch", "8", "--rate", "0.4", "--target", "c")


@pytest.fixture(autouse=True)
def database(tmp_path, monkeypatch):
    path = tmp_path / "tune.sqlite"
    monkeypatch.setenv("GRAPHC_TUNE_DB", str(path))
    monkeypatch.chdir(ROOT)
    return path


@pytest.fixture
def quick(monkeypatch):
    """Try two candidates, of which one takes half the time."""

    def run(trial):
        return (0.01, 0.01) if dict(trial.model._options.schedule).get("rows") == 4 else (0.02, 0.02)

    monkeypatch.setattr(ModelTrial, "run", run)
    monkeypatch.setattr("graphc.runtime.tune.space.changes", lambda call: [{"rows": 4}, {"rows": 2}])
    monkeypatch.setattr("graphc.runtime.tune.search.neighbours", lambda options: [])


def run(*arguments):
    return CliRunner().invoke(graphc, ["tune", *map(str, arguments)], prog_name="graphc")


def test_a_search_prints_what_it_tried_and_keeps_the_best(quick, database):
    found = run(NAMED, *SIZE)
    assert found.exit_code == 0, found.output
    assert "schedule: rows 4" in found.stdout and "2.00x" in found.stdout
    listed = json.loads(run("--list", "--json").stdout)["entries"]
    assert [(e["network"], e["schedule"], e["steps"], e["batch"]) for e in listed] == [(NAMED, {"rows": 4}, 32, 8)]


def test_json_is_one_document_and_no_save_writes_nothing(quick, database):
    document = json.loads(run(NAMED, *SIZE, "--json", "--no-save").stdout)
    assert document["schedule"] == {"rows": 4} and document["entry"] is None
    assert {str(t["options"]) for t in document["tried"]} == {"{'rows': 4}", "{'rows': 2}"}
    assert not database.exists()


def test_inputs_have_the_dtype_of_the_states(quick, database):
    assert run(NAMED, *SIZE, "--dtype", "float64").exit_code == 0
    assert Database(database).entries()[0].identity.dtype == "float64"


def test_an_interrupted_search_is_status_130_and_keeps_what_is_known(quick, database, monkeypatch):
    def stop(live, search, tried):
        if search.best:
            raise KeyboardInterrupt

    monkeypatch.setattr("graphc.cli.tune._Live.told", stop)
    found = run(NAMED, *SIZE)
    assert found.exit_code == 130 and "interrupted" in found.stdout
    assert Database(database).entries()[0].schedule == {"rows": 4}


def test_a_terminated_process_keeps_what_is_known(database):
    command = [sys.executable, "-m", "graphc", "tune", NAMED, *SIZE, "--budget", "100", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not database.exists() and time.monotonic() < deadline:  # made before the search begins
        time.sleep(0.05)
    time.sleep(2)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert not out or "interrupted" in out  # nothing is known before the defaults are
    assert Database(database).check() == []


def test_entries_are_listed_shown_exported_imported_and_dropped(database, tmp_path):
    Database(database).add([entry({"rows": 4}), entry({"backward.rows": 8})])
    assert "backward.rows 8" in run("--list").stdout
    assert "schedule     rows 4" in run("--show", 1).stdout
    assert json.loads(run("--show", 2, "--json").stdout)["schedule"] == {"backward.rows": 8}
    file = tmp_path / "entries.json"
    assert json.loads(run("--export", file, "--json").stdout)["exported"] == 2
    assert "dropped 1" in run("--drop", 1).stdout
    assert json.loads(run("--import", file, "--json").stdout)["imported"] == 1
    assert Database(database).count() == 2


def test_a_dry_run_ranks_candidates_and_says_why_each_died(monkeypatch):
    from graphc.runtime.tune import dry

    def build(waiting, machine, deadline, told):
        for one in waiting:
            one.why = "" if "rows" not in one.options else "it spills"

    monkeypatch.setattr(dry, "_build", build)
    document = json.loads(run("zoo:LIF", "--dry-run", "--arch", "sm_90", "--json", "--steps", "50").stdout)
    alive = [c for c in document["candidates"] if not c["why"]]
    assert alive and [c["predicted_ms"] for c in alive] == sorted(c["predicted_ms"] for c in alive)
    assert document["candidates"][: len(alive)] == alive
    assert {} in [c["options"] for c in document["candidates"]]
    assert all(c["why"] for c in document["candidates"][len(alive) :])


def test_a_dry_run_builds_the_most_promising(monkeypatch):
    tiles = [{"block": 128, "unroll": 2, "warps": 4}, {"block": 4096, "warps": 2}]
    monkeypatch.setattr("graphc.runtime.tune.space.changes", lambda call: tiles)
    found = {str(one.options): one for one in rank(load("zoo:LIF").network, steps=50, budget=300)}
    assert "registers per thread" in found[str(tiles[1])].why
    for options in ({}, tiles[0]):
        assert found[str(options)].alive and 16 <= found[str(options)].registers <= 255


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "name a NETWORK, or one of"),
        ((NAMED, "--list"), "name a NETWORK, or one of"),
        (("no.py:net",), "no file no.py"),
        ((NETWORK.replace("network", "networks"),), "networks"),
        (("tests.models.tuning:HERE",), "no gc.Network"),
        ((NAMED, "--device", "cuda"), "no device cuda"),
        ((NAMED, "--device", "gpu"), "'gpu' is no device"),
        ((NAMED, "--device", "meta"), "'meta' is no device"),
        ((NAMED, "--seed", str(1 << 70)), "more than 64 bits"),
        ((NAMED, *SIZE, "--budget", "inf"), "graphc: budget=inf is no positive number"),
        ((NAMED, "--inputs", "tests/conftest.py"), "cannot read inputs"),
        (("--drop", str(1 << 70)), "dropped 0 of 1"),
        ((NAMED, "--target", "triton"), "no device cuda"),
        ((NAMED, "--target", "reference"), "has no schedule"),
        ((NAMED, "--arch", "sm_90"), "--arch is for --dry-run"),
        ((NAMED, "--dry-run", "--arch", "sm_10"), "sm_10"),
        ((NAMED, "--dry-run", "--target", "c"), "target triton"),
        ((NAMED, "--budget", "0"), "--budget"),
        ((NAMED, *SIZE, "--database", "/dev/null/x"), "cannot make the folder"),
        (("--show", "7"), "no entry 7"),
        (("--drop", "7"), "dropped 0 of 1"),
        (("--import", "none.json"), "none.json"),
        (("--import", "README.md"), "no JSON file"),
        (("--export", "/dev/null/x"), "/dev/null/x"),
    ],
)
def test_wrong_usage_is_status_2_and_one_message(arguments, match):
    if torch.cuda.is_available() and "no device cuda" in match:
        pytest.skip("there is a CUDA device")
    found = run(*arguments)
    assert found.exit_code == 2, found.output
    assert match in found.stderr and "Traceback" not in found.output


def test_no_compiler_is_status_2_with_the_way_out(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    found = run(NAMED, *SIZE)
    assert found.exit_code == 2 and "no-such-compiler" in found.stderr and "hint" in found.stderr


def test_a_damaged_database_is_refused_before_the_search(database):
    database.write_bytes(b"no database" * 100)
    found = run(NAMED, *SIZE)
    assert found.exit_code == 2 and "not a database" in found.stderr
