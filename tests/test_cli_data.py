"""graphc data: nothing is downloaded unasked; downloads are resumed, verified, and appear in one piece."""

import hashlib
import http.server
import io
import json
import threading
import zipfile

import pytest
from click.testing import CliRunner

from graphc.cli import data as command
from graphc.cli.main import graphc
from graphc.data import catalog, fetch
from graphc.ir.errors import GraphcError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def packed(name="words.h5", content=CONTENT):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # stored: a cut is anywhere in the file
        archive.writestr(name, content)
    return file.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves one archive, whole or from a byte on, and may stop early."""

    daemon_threads = True
    body, stops_after, has_ranges, status = packed(), None, True, None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/words.h5.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.has_ranges else 0
        if server.status or start >= len(server.body):
            self.send_error(server.status or 416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        rest = server.body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.stops_after])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def words(server, tmp_path, monkeypatch):
    """A data set of one file, on the server."""
    found = known(server.url)
    monkeypatch.setattr(catalog, "SETS", (*catalog.SETS, found))
    monkeypatch.setenv("GRAPHC_DATA", str(tmp_path))
    return found


MD5 = hashlib.md5(packed()).hexdigest()


def known(url, md5=MD5, sha256=None):
    return catalog.DataSet("words", "words", "here", "CC0", (catalog.File("words.h5", sha256, url, md5),))


def run(*arguments):
    found = CliRunner().invoke(graphc, ["data", *arguments], prog_name="graphc")
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def names(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["list", "check", "fetch"])
def test_help_of(name, golden):
    golden(run(name, "--help").output)


def test_list(golden, monkeypatch):
    monkeypatch.setenv("GRAPHC_DATA", "/nowhere")
    golden(run("list").stdout)


def test_list_is_a_document(monkeypatch):
    monkeypatch.setenv("GRAPHC_DATA", "/nowhere")
    sets = {s["name"]: s for s in json.loads(run("list", "--json").stdout)["sets"]}
    assert not any(s["here"] for s in sets.values()) and all(s["licence"] and s["source"] for s in sets.values())
    assert sets["shd"]["files"][0]["url"] == "https://zenkelab.org/datasets/shd_train.h5.zip"


def test_a_file_is_fetched_verified_and_fetched_once(words, server, tmp_path):
    found = run("fetch", "words", "--yes")
    assert found.exit_code == 0, found.output
    for told in (server.url, "CC0", words.files[0].md5, SHA256, str(tmp_path / "words" / "words.h5")):
        assert told in found.stdout
    assert (tmp_path / "words" / "words.h5").read_bytes() == CONTENT
    assert (tmp_path / "words" / "words.h5.sha256").read_text() == f"{SHA256}  words.h5\n"
    assert names(tmp_path) == ["words.h5", "words.h5.sha256"]
    again = json.loads(run("fetch", "words", "--yes", "--json").stdout)
    assert again["files"][0]["sha256"] == SHA256 and server.asked == [None]


def test_nothing_is_downloaded_without_a_word(words, server, tmp_path):
    for arguments in (["fetch", "words"], ["fetch", "words", "--json"], ["fetch"]):
        found = run(*arguments)
        assert found.exit_code == 2 and ("nothing was downloaded" in found.stderr or "Missing argument" in found.stderr)
    assert server.asked == [] and names(tmp_path) == []


@pytest.mark.parametrize("answer", ["words", "yes", "", None])
def test_the_name_must_be_typed(answer, words, server, monkeypatch):
    def typed(prompt):
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", typed)
    found = run("fetch", "words")
    assert (found.exit_code, len(server.asked)) == ((0, 1) if answer == "words" else (2, 0)), found.output
    assert server.url in found.stdout, "it says what it would do first"


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_download_that_ended_early_goes_on(has_ranges, words, server, tmp_path):
    server.stops_after, server.has_ranges = 100_000, has_ranges
    found = run("fetch", "words", "--yes")
    assert found.exit_code == 2 and "goes on where it stopped" in found.stderr
    assert names(tmp_path) == ["words.h5.zip.part"]
    assert (tmp_path / "words" / "words.h5.zip.part").read_bytes() == server.body[:100_000]
    server.stops_after = None
    assert run("fetch", "words", "--yes").exit_code == 0
    assert server.asked == [None, "bytes=100000-"]
    assert (tmp_path / "words" / "words.h5").read_bytes() == CONTENT


def test_an_archive_that_had_come_is_not_asked_for_again(words, server, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.h5.zip.part").write_bytes(server.body)
    assert run("fetch", "words", "--yes").exit_code == 0 and server.asked == []


def test_a_part_longer_than_the_archive_is_removed(words, server, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.h5.zip.part").write_bytes(server.body + b"more")
    assert "is not the beginning" in run("fetch", "words", "--yes").stderr
    assert run("fetch", "words", "--yes").exit_code == 0


def test_a_wrong_checksum_leaves_nothing(words, server, tmp_path):
    server.body = packed(content=b"something else")
    found = run("fetch", "words", "--yes")
    assert found.exit_code == 2 and f"must have {words.files[0].md5}" in found.stderr
    assert names(tmp_path) == []


def test_the_half_of_another_version_is_found(words, server, tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.h5.zip.part").write_bytes(b"x" * 5000)
    assert "has the MD5" in run("fetch", "words", "--yes").stderr and names(tmp_path) == []


def test_without_a_checksum_no_half_is_trusted_and_a_change_is_found(server, tmp_path):
    found = known(server.url, md5=None)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.h5.zip.part").write_bytes(b"x" * 5000)
    assert fetch.fetch(found, found.files[0], tmp_path) == SHA256 and server.asked == [None]
    (tmp_path / "words" / "words.h5").unlink()
    server.body = packed(content=b"something else")
    with pytest.raises(GraphcError, match=f"had {SHA256} when it came first"):
        fetch.fetch(found, found.files[0], tmp_path)
    assert not (tmp_path / "words" / "words.h5").exists()


def test_a_known_sha256_is_demanded(server, tmp_path):
    found = known(server.url, sha256="0" * 64)
    with pytest.raises(GraphcError, match="had 0000"):
        fetch.fetch(found, found.files[0], tmp_path)
    assert names(tmp_path) == ["words.h5.zip.part"]


@pytest.mark.parametrize("body", [b"no archive at all", packed("other.h5"), packed()[:-30]])
def test_an_archive_without_the_file_leaves_nothing(body, server, tmp_path):
    server.body, found = body, known(server.url, md5=None)
    with pytest.raises(GraphcError, match=r"holds no intact words\.h5"):
        fetch.fetch(found, found.files[0], tmp_path)
    assert names(tmp_path) == []


def test_two_downloads_do_not_meet(words, server, tmp_path):
    part = tmp_path / "words" / "words.h5.zip.part"
    part.parent.mkdir()
    with fetch._alone(part):
        found = run("fetch", "words", "--yes")
    assert found.exit_code == 2 and "another process downloads words.h5.zip now" in found.stderr
    assert server.asked == []


def test_without_network_it_is_one_message(tmp_path, monkeypatch):
    closed = Server()
    closed.server_close()
    monkeypatch.setattr(catalog, "SETS", (known(closed.url),))
    found = run("fetch", "words", "--yes", "--to", str(tmp_path / "deep" / "er"))
    assert (
        found.exit_code == 2 and f"cannot reach {closed.url}" in found.stderr and "is there a network?" in found.stderr
    )
    assert "Traceback" not in found.stderr and not (tmp_path / "deep" / "er" / "words").exists()


def test_an_error_of_the_server_is_told(words, server):
    server.status = 404
    assert "the server says 404" in run("fetch", "words", "--yes").stderr


def test_no_room_is_told_before_anything_comes(words, server, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    found = run("fetch", "words", "--yes")
    assert found.exit_code == 2 and "has room for 0 MiB" in found.stderr


def test_check_finds_what_was_changed(words, tmp_path):
    run("fetch", "words", "--yes")
    found = json.loads(run("check", "words", "--json").stdout)
    assert found["ok"] and found["files"][0]["verdict"] == "ok"
    (tmp_path / "words" / "words.h5").write_bytes(CONTENT[:-1])
    found = run("check", "words")
    assert found.exit_code == 1 and "must have" in found.stdout and SHA256 in found.stdout
    assert run("fetch", "words", "--yes").exit_code == 2, "a changed file is not taken for the right one"
    (tmp_path / "words" / "words.h5.sha256").write_text("nonsense")
    assert "holds no SHA-256" in run("check", "words").stdout


def test_check_of_everything_forgives_what_is_absent(words):
    assert run("check").exit_code == 0
    found = run("check", "words")
    assert found.exit_code == 1 and "absent" in found.stdout


def test_a_file_without_a_checksum_is_opened(words, tmp_path):
    pytest.importorskip("h5py")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.h5").write_bytes(b"no HDF5")
    found = run("check", "words")
    assert found.exit_code == 1 and "cannot read its structure" in found.stdout


@pytest.mark.parametrize(
    ("name", "message"), [("shdd", "did you mean 'shd'"), ("braille", "cannot be downloaded"), ("", "no data set")]
)
def test_what_cannot_be_fetched_is_one_message(name, message):
    found = run("fetch", name, "--yes")
    assert found.exit_code == 2 and message in found.stderr


def test_listing_loads_no_torch():
    import subprocess
    import sys

    code = "import sys; from graphc.data import catalog; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
