"""The cache of built kernels, and the compiler behind it."""

import ctypes
import hashlib
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch

from graphc.codegen.c import emit
from graphc.ir import GraphcError, TargetError
from graphc.runtime import cache, compiler
from graphc.runtime.load_c import load

from .models.kernels import cuba, draw, run_c, schedule_of

ROOT = Path(__file__).parents[1]
TEXT = "int answer(void) { return 42; }\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def test_a_file_is_built_once(home):
    built = []

    def build(path):
        built.append(path)
        path.write_text("content")

    first, second = (cache.fetch("key", ".so", build) for _ in range(2))
    assert first == second == home / "key.so" and first.read_text() == "content"
    assert len(built) == 1 and not built[0].exists()


def test_the_folder_is_for_its_owner_alone(home):
    assert cache.folder() == home and home.stat().st_mode & 0o777 == 0o700
    home.chmod(0o755)
    assert cache.folder().stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_into_is_refused(home):
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    with pytest.raises(GraphcError, match="others may write into the cache folder"):
        cache.folder()


def test_a_folder_of_another_user_is_refused(home, monkeypatch):
    home.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: home.stat().st_uid + 1)
    with pytest.raises(GraphcError, match="belongs to another user"):
        cache.folder()


def test_a_damaged_file_is_built_again(home):
    path = cache.fetch("key", ".so", lambda p: p.write_text("content"))
    path.write_text("contend")
    assert cache.fetch("key", ".so", lambda p: p.write_text("content")).read_text() == "content"


def test_a_failed_build_leaves_nothing(home):
    def fail(path):
        path.write_text("half")
        raise TargetError("no")

    with pytest.raises(TargetError):
        cache.fetch("key", ".so", fail)
    assert list(home.iterdir()) == []


def test_keys_tell_the_parts_apart():
    assert cache.content_hash("ab", "c") != cache.content_hash("a", "bc") != cache.content_hash("abc")
    assert cache.content_hash("a", "b") == cache.content_hash("a", "b")


def test_processes_that_build_at_once_all_get_a_whole_library(home):
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(2), context.SimpleQueue()

    def child():
        start.wait(30)
        answers.put(ctypes.CDLL(str(compiler.build(TEXT))).answer())

    running = [context.Process(target=child, daemon=True) for _ in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join(30)
    assert [process.exitcode for process in running] == [0, 0]
    assert [answers.get() for _ in running] == [42, 42]
    assert len(list(home.glob("*.so"))) == 1


def test_the_key_depends_on_the_compiler(home, monkeypatch):
    keys = {compiler.build(TEXT).name}
    monkeypatch.setattr(compiler, "version_of", lambda command: "another")
    keys.add(compiler.build(TEXT).name)
    monkeypatch.setattr(compiler, "_cpu", lambda: "another")
    keys.add(compiler.build(TEXT).name)
    assert len(keys) == 3


def test_without_a_compiler_the_error_names_the_way_out(home, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TargetError, match="there is no C compiler") as caught:
        compiler.build(TEXT)
    assert "install gcc or clang" in str(caught.value) and 'target="reference"' in str(caught.value)


def test_the_compiler_that_cc_names_must_exist(home, monkeypatch):
    monkeypatch.setenv("CC", "no-such-cc -m64")
    with pytest.raises(TargetError, match="'no-such-cc -m64', which CC names, is not installed"):
        compiler.build(TEXT)


def test_a_text_that_does_not_compile_is_an_error_with_the_compilers_words(home):
    with pytest.raises(TargetError, match="error"):
        compiler.build("int f(void) { return undeclared; }")


def test_a_kernel_builds_without_openmp_and_without_this_machine_s_instructions(home, monkeypatch):
    plan = schedule_of(cuba(1), "steps", {"hid": 21}, "float32", {"rows": 4})
    given = draw(plan, 9, 5)
    wanted = run_c(plan, given, 9, 5)
    monkeypatch.setattr(compiler, "_options", lambda command: ((), ()))
    monkeypatch.setattr(compiler, "version_of", lambda command: "plain")
    plain = run_c(plan, given, 9, 5)
    assert torch.equal(plain["z"], wanted["z"])
    torch.testing.assert_close(plain["c"], wanted["c"], rtol=0, atol=1e-5)


@pytest.mark.skipif(not shutil.which("clang"), reason="needs clang beside the default compiler")
def test_clang_builds_kernels_too(home, monkeypatch):
    plan = schedule_of(cuba(1), "steps", {"hid": 21}, "float32", {"rows": 4})
    given = draw(plan, 9, 5)
    wanted = run_c(plan, given, 9, 5)
    monkeypatch.setenv("CC", "clang")
    assert torch.equal(run_c(plan, given, 9, 5)["z"], wanted["z"])


def test_a_process_forked_after_use_runs_kernels():
    """torch's own parallel loops hang in such a process, so the child calls nothing but the kernel."""
    plan = schedule_of(cuba(), "steps", {"hid": 128}, "float32")
    kernel, library, given = plan.kernels[0], load(plan, emit(plan)), draw(plan, 30, 16)
    wanted = run_c(plan, given, 30, 16)
    written = {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
    tensors = [written[n] if n in written else given[n].float() for n in kernel.arguments]
    library.launch(kernel, tensors, 30, 16, 0, None)
    assert torch.equal(written["c"], wanted["c"])
    receive, send = multiprocessing.get_context("fork").Pipe(False)

    def child():
        written["c"].numpy().fill(0)
        library.launch(kernel, tensors, 30, 16, 0, None)
        send.send_bytes(hashlib.sha256(written["c"].numpy().tobytes()).digest())

    process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
    process.start()
    try:
        assert receive.poll(30), "the kernel hangs"
        assert receive.recv_bytes() == hashlib.sha256(wanted["c"].numpy().tobytes()).digest()
    finally:
        process.kill()
