import json
import logging
import multiprocessing
import os
import random
import signal
import sqlite3
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import graphc as gc
from graphc.runtime.tune.database import Database, Entry
from graphc.runtime.tune.database import plain as vars_of

from .models.tuning import HERE, entry


@pytest.fixture
def file(tmp_path):
    return Database(tmp_path / "tune.sqlite")


def in_processes(work, arguments):
    """Run `work` in as many forked processes as there are arguments, and return their exit codes."""
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=work, args=given) for given in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def add_each(path, network, count):
    for number in range(count):
        Database(path).add([_named(network, number)])


def _named(network, number):
    given = entry({"rows": number + 1})
    return Entry(given.identity, network, given.schedule, given.ms, given.default_ms, given.tried, given.seed)


def test_eight_writers_at_once_lose_no_row(file):
    codes = in_processes(add_each, [(file.path, f"net{k}", 10) for k in range(8)])
    assert codes == [0] * 8
    found = {(e.network, e.schedule["rows"]) for e in file.entries()}
    assert found == {(f"net{k}", n + 1) for k in range(8) for n in range(10)}


def test_a_file_whose_writer_is_killed_fifty_times_opens_serves_and_keeps_what_was_told(file):
    order, context = random.Random(0), multiprocessing.get_context("fork")
    told = context.Value("i", 0)

    def write():
        while True:
            (number,) = file.add([entry({"rows": 8})])
            told.value = number

    for number in range(50):
        before, writer = told.value, context.Process(target=write)
        writer.start()
        deadline = time.monotonic() + 20
        while number % 3 and told.value == before and time.monotonic() < deadline:  # others may end before they write
            time.sleep(0.001)
        time.sleep(order.uniform(0.0, 0.03))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert file.check() == []
        assert file.count() >= told.value
    assert file.count() > 10  # the writers did get to write
    assert file.lookup(HERE).schedule == {"rows": 8}


@settings(max_examples=8, deadline=None)
@given(
    some.lists(some.tuples(some.sampled_from(["rows", "backward.rows"]), some.integers(1, 128)), max_size=2),
    some.floats(1e-3, 1e3),
    some.text(max_size=8),
)
def test_what_is_added_is_what_is_read_and_what_is_exported_is_what_is_imported(tmp_path_factory, pairs, ms, name):
    given = entry(dict(pairs))
    given = Entry(HERE, name, dict(pairs), ms, 2 * ms, 3, 4, given.made)
    first, second = (Database(tmp_path_factory.mktemp("tune") / "tune.sqlite") for _ in range(2))
    (number,) = first.add([given])
    assert first.get(number) == Entry(HERE, name, dict(pairs), ms, 2 * ms, 3, 4, given.made, number)
    document = json.loads(json.dumps(first.export()))
    assert (second.take(document), second.take(document)) == (1, 0)
    assert second.export() == first.export()


def test_dropped_rows_are_gone_and_their_numbers_are_counted(file):
    one, two = file.add([entry(), entry({"rows": 2})])
    assert file.drop([one, 99]) == 1
    assert [e.id for e in file.entries()] == [two]
    with pytest.raises(gc.GraphcError, match="no entry 99"):
        file.get(99)


@pytest.mark.parametrize(
    ("changed", "level", "line"),
    [
        ({"graphc": "0.0"}, logging.WARNING, "stale"),
        ({"compiler": "gcc 1"}, logging.WARNING, "stale"),
        ({"driver": "1"}, logging.WARNING, "stale"),
        ({"device": "gpu"}, logging.INFO, "another device"),
        ({"capability": "9.0"}, logging.INFO, "another device"),
        ({"dtype": "float64"}, logging.INFO, "another device"),
        ({"learns": False}, logging.INFO, "another device"),
    ],
)
def test_an_entry_made_elsewhere_or_by_other_versions_is_ignored_with_a_line_in_the_log(
    file, caplog, changed, level, line
):
    caplog.set_level(logging.INFO, "graphc.tune")
    file.add([entry(**changed)])
    assert file.lookup(HERE) is None
    assert [(r.levelno, line in r.message) for r in caplog.records] == [(level, True)]


def test_the_entry_of_the_nearest_size_serves_of_equals_the_newest(file):
    file.add([entry({"rows": 1}), entry({"rows": 2}), entry({"rows": 3}, batch=64), entry({"rows": 4}, batch=256)])
    assert file.lookup(HERE).schedule == {"rows": 2}
    batch = {size: file.lookup(entry(batch=size).identity) for size in (64, 128, 512, 1024, 2048, 4, 8)}
    assert {size: e and e.schedule["rows"] for size, e in batch.items()} == {
        64: 3, 128: 4, 512: 4, 1024: 4, 2048: None, 4: None, 8: 2,
    }  # fmt: skip
    assert file.lookup(entry(steps=1, batch=1).identity, sized=False).schedule == {"rows": 4}


def test_a_damaged_file_is_ignored_by_readers_with_a_line_and_refused_by_writers(file, caplog):
    file.path.write_bytes(b"no database" * 100)
    assert file.lookup(HERE) is None
    assert "cannot be used" in caplog.text
    with pytest.raises(gc.GraphcError, match="cannot be used: file is not a database") as error:
        file.add([entry()])
    assert "GRAPHC_TUNE_DB" in error.value.hint
    assert "not a database" in file.check()[0]


def test_a_row_that_makes_no_sense_is_left_out(file, caplog):
    file.add([entry(), entry({"rows": 2})])
    with file._writing() as connection:
        connection.execute('UPDATE entries SET schedule = \'{"rows": "; drop"}\' WHERE id = 2')
    assert [e.id for e in file.entries()] == [1]
    assert file.check() == ["1 entries cannot be read"]


def test_an_import_of_something_else_is_refused(file):
    good = json.loads(json.dumps({**vars_of(entry()), "id": 1}))
    wrong = ({"steps": 1 << 70}, {"steps": float("inf")}, {"seed": 1 << 70}, {"network": "\ud800"}, {"schedule": [1]})
    rows = [5, [5], [{"graph": "g"}], *([good | change] for change in wrong)]
    for document in ([], {"format": 9, "entries": []}, *({"format": 1, "entries": row} for row in rows)):
        with pytest.raises(gc.GraphcError, match="tuning database"):
            file.take(document)
    assert file.count() == 0
    assert file.take({"format": 1, "entries": [good]}) == 1


def test_a_database_of_another_program_keeps_its_rows(file):
    with sqlite3.connect(file.path) as other:
        other.execute("CREATE TABLE entries (id INTEGER, what TEXT)")
        other.execute("INSERT INTO entries VALUES (1, 'theirs')")
    with pytest.raises(gc.GraphcError, match="other tables"):
        file.drop([1])
    assert other.execute("SELECT * FROM entries").fetchall() == [(1, "theirs")]


def test_a_number_that_no_row_can_have_is_dropped_from_nothing(file):
    file.add([entry()])
    assert file.drop([1 << 80]) == 0
