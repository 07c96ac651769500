"""graphc doctor: what is broken is found, named, and no traceback."""

import json
import os
import shutil
import sqlite3
import stat
import sys
import types

import pytest
from click.testing import CliRunner

from graphc import doctor
from graphc.cli.main import graphc
from graphc.runtime import cache, compiler


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    path = tmp_path / "kernels"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("GRAPHC_CACHE", str(path))
    for name in ("CC", "GRAPHC_TUNE_DB", "GRAPHC_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    compiler._options.cache_clear()
    return path


def looked_at(about):
    return list(doctor._CHECKS[about]())


def run(*arguments):
    return CliRunner().invoke(graphc, ["doctor", *arguments], prog_name="graphc")


def script(tmp_path, text):
    path = tmp_path / "compiler"
    path.write_text(text)
    path.chmod(stat.S_IRWXU)
    return str(path)


def test_a_sound_machine_is_status_0_and_every_target_runs():
    found = run("--json")
    document = json.loads(found.stdout)
    verdicts = {f["about"]: f["verdict"] for f in document["findings"]}
    assert found.exit_code == 0 and document["ok"], found.stdout
    assert verdicts["target c"] == verdicts["target reference"] == verdicts["c compiler"] == "ok"
    assert set(doctor.VARIABLES) <= set(verdicts)


def test_people_read_a_line_and_what_to_do(monkeypatch):
    shown = [doctor.Finding("cuda", "no device", "note", "use c"), doctor.Finding("cpu", "[bold] cores")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(shown))
    found = run()
    assert found.exit_code == 0 and "use c" in found.stdout and "[bold] cores" in found.stdout
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Finding("c compiler", "gone", "broken")]))
    assert run().exit_code == 1


def test_no_compiler_is_reported_with_the_way_out(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = {f.about: f for f in doctor.examine()}
    assert found["c compiler"].verdict == found["target c"].verdict == "broken"
    assert "install gcc or clang" in found["c compiler"].hint and found["target reference"].verdict == "ok"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho no such option >&2\nexit 3\n", "no program at all\n\0"])
def test_a_compiler_that_fails_is_broken(text, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", script(tmp_path, text))
    monkeypatch.setattr(doctor, "_CHECKS", {"c compiler": doctor._compiler})
    (found,) = doctor.examine()
    assert found.verdict == "broken" and ("cannot build" in found.found or "cannot be started" in found.found)


def test_a_compiler_without_openmp_is_a_note(tmp_path, monkeypatch):
    text = '#!/bin/sh\nfor a in "$@"; do [ "$a" = -fopenmp ] && exit 1; done\nexec gcc "$@"\n'
    monkeypatch.setenv("CC", script(tmp_path, text))
    verdicts = {f.about: f for f in looked_at("c compiler")}
    assert verdicts["openmp"].verdict == "note" and "one thread" in verdicts["openmp"].found
    assert verdicts["c compiler"].verdict == "ok"


def test_a_cache_that_others_may_write_is_broken(home):
    home.chmod(0o777)
    (found,) = looked_at("cache")
    assert found.verdict == "broken" and "0777" in found.found and "chmod 700" in found.hint


def test_a_cache_of_another_user_is_broken(home, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: home.stat().st_uid + 1)
    (found,) = looked_at("cache")
    assert found.verdict == "broken" and "another user" in found.found


def test_a_cache_that_is_a_file_is_broken(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "file"))
    assert [f.verdict for f in looked_at("cache")] == ["broken"]


def test_a_cache_that_is_not_there_yet_is_fine_and_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "later"))
    assert [f.verdict for f in looked_at("cache")] == ["ok"] and not (tmp_path / "later").exists()


def test_damaged_kernels_are_counted_and_named(home):
    whole, changed, alone = (cache.content_hash(name) for name in ("whole", "changed", "alone"))
    for key in (whole, changed, alone):
        cache.fetch(key, ".so", lambda path: path.write_text("built"))
    (home / f"{changed}.so").write_text("other")
    (home / f"{alone}.sha256").unlink()
    kernels, damaged = looked_at("cache")
    assert "3 kernels" in kernels.found and damaged.verdict == "note"
    assert damaged.found.startswith("2 of them damaged") and whole not in damaged.found


def test_hand_edited_kernels_are_noted(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(tmp_path))
    found = {f.about: f for f in looked_at("environment")}
    assert found["GRAPHC_OVERRIDE"].verdict == "note" and str(tmp_path) in found["GRAPHC_OVERRIDE"].found


def test_a_target_that_computes_something_else_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "_try_target", lambda target, device: (1.0, 1.0, False))
    found = doctor._run("c")
    assert found.verdict == "broken" and "wrong numbers" in found.found


def test_a_defect_of_one_check_leaves_the_others(monkeypatch):
    def fails():
        raise RuntimeError("driver too old")
        yield

    monkeypatch.setattr(doctor, "_CHECKS", {"cuda": fails, "cpu": doctor._cpu})
    first, second = doctor.examine()
    assert (first.verdict, first.found, second.about) == ("broken", "driver too old", "cpu")


def stand_in(problems=(), error=None):
    """Return a module with a database of two entries, that many problems, or one that does not open."""

    class Database:
        @staticmethod
        def open(path):
            if error:
                raise error
            return Database()

        def check(self):
            return list(problems)

        def count(self):
            return 2

    module = types.ModuleType("database")
    module.Database = Database
    return module


@pytest.mark.parametrize(
    ("module", "verdict", "told"),
    [
        (stand_in(), "ok", "2 entries"),
        (stand_in(["row 3 is damaged"]), "broken", "row 3 is damaged"),
        (stand_in(error=sqlite3.DatabaseError("file is not a database")), "broken", "not a database"),
    ],
)
def test_the_tuning_database_is_checked(module, verdict, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "graphc.runtime.tune.database", module)
    (found,) = looked_at("tuning database")
    assert found.verdict == verdict and told in found.found
    assert (found.hint is None) == (verdict == "ok")


def test_a_database_that_is_switched_off_is_a_note(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphc.runtime.tune.database", stand_in())
    monkeypatch.setenv("GRAPHC_TUNE_DB", "")
    assert [f.verdict for f in looked_at("tuning database")] == ["note"]
