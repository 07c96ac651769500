"""Options, markers and fixtures that every test file shares."""

import difflib
import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("GRAPHC_VERIFY", "2")  # every pass of every test must keep the numbers

os.environ.setdefault("GRAPHC_TUNE_DB", "")  # what was tuned on this machine is no part of a test

# Building is most of what the tests do, and -O0 builds in a fourth of the time. It computes the same numbers. These
# files, which claim something of every kind of kernel, build as users do, and so does tests/test_targets.py in float32.
os.environ.setdefault("GRAPHC_CFLAGS", "-O0")
BUILT_AS_USERS_DO = (
    "test_c_codegen",
    "test_c_math",
    "test_c_products",
    "test_cpu_suite",
)

# Files whose kernels run for longer than they take to build.
BUILT_TO_RUN = ("test_examples", "test_init")

# Files that claim nothing of passes, and whose programs other files compare before and after every pass.
NOT_COMPARED = (
    *("test_cli", "test_cli_bench", "test_cli_doctor", "test_cli_zoo"),
    *("test_arguments", "test_cache", "test_certificate", "test_cpu_suite", "test_examples", "test_explain_learning"),
    *("test_errors", "test_errors_declaration", "test_errors_online", "test_errors_plasticity", "test_errors_synapses"),
    *("test_online", "test_online_zoo", "test_readme", "test_rewiring", "test_traces", "test_tune", "test_options"),
    "test_tune_predict",
    *("test_zoo_layers", "test_zoo_closed", "test_zoo_scipy"),
    *("test_nir", "test_nir_files", "test_nir_write"),
    *("test_cli_verify", "test_planted_faults", "test_cli_tune"),
    *("test_cli_inspect", "test_inspect_page", "test_override"),
    *("test_autograd_op", "test_checkpoint", "test_footprint", "test_state"),
    *("test_escape", "test_noise"),
)

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the texts in tests/golden")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem != "test_mypy")  # the longest begins first
    interprets = os.environ.get("TRITON_INTERPRET") == "1"
    skips = {
        "interpret": None if interprets else "needs TRITON_INTERPRET=1 (see make test)",
        "ahead": "Triton interprets in this process" if interprets else None,
        "gpu": None if cuda_available() else "needs a CUDA device",
    }
    for item in items:
        for name, reason in skips.items():
            if reason and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Take modules and tests out of garbage collection, which would look through all of them again and again."""
    gc.collect()
    gc.freeze()


def cuda_available() -> bool:
    if os.environ.get("TRITON_INTERPRET") == "1":
        return False
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def compared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare no numbers before and after passes where a file claims nothing of them."""
    if request.path.stem in NOT_COMPARED:
        monkeypatch.setenv("GRAPHC_VERIFY", "1")


@pytest.fixture(autouse=True)
def optimised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build with all optimisations, or with the quick ones, where a file asks for it."""
    if request.path.stem in BUILT_AS_USERS_DO:
        monkeypatch.delenv("GRAPHC_CFLAGS", raising=False)
    elif request.path.stem in BUILT_TO_RUN:
        monkeypatch.setenv("GRAPHC_CFLAGS", "-O1")


@pytest.fixture(autouse=True)
def device_is_sound(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the process after a test that broke the CUDA context: every later one would fail with it."""
    yield
    if request.node.get_closest_marker("gpu") and cuda_available():
        import torch

        try:
            torch.cuda.synchronize()
        except RuntimeError as error:
            print(f"{request.node.nodeid} broke the CUDA context: {error}", file=sys.stderr, flush=True)
            os._exit(1)  # pytest-xdist names the test and starts another worker


@pytest.fixture(autouse=True, scope="session")
def interpreted_kernels_find_again_what_was_found() -> Iterator[None]:
    """Let Triton's interpreter keep its language patched, its types and its dtypes, a third of the time of a launch.

    It looks through its whole language at every call of a device function, and makes a type for every operation.
    """
    if os.environ.get("TRITON_INTERPRET") != "1":
        yield
        return
    import triton.language as tl
    from triton.runtime import interpreter

    def call(function: Any, *args: Any, **options: Any) -> Any:
        modules = [value for value in function.fn.__globals__.values() if value is tl or value is tl.core]
        if any(tl.core.is_builtin(module.arange) for module in modules):  # one that is patched is no builtin
            interpreter._patch_lang(function.fn)
        try:
            return function.rewrite()(*args, **options)
        except Exception as error:
            raise interpreter.InterpreterError(repr(error)) from error

    types: dict[Any, dict[str, Any]] = {}
    make = tl.block_type.__init__

    def type_of(self: Any, element_ty: Any, shape: Any) -> None:
        key = (type(element_ty), element_ty.name, *shape)
        if key not in types:
            make(self, element_ty, shape)
            types[key] = self.__dict__
        self.__dict__ = dict(types[key])

    dtypes: dict[str, Any] = {}
    find = interpreter._get_np_dtype

    def dtype_of(type: Any) -> Any:
        if type.scalar.name not in dtypes:
            dtypes[type.scalar.name] = find(type)
        return dtypes[type.scalar.name]

    def where(self: Any) -> tuple[str, int]:
        return self.fn.__code__.co_filename, self.fn.__code__.co_firstlineno

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(interpreter.InterpretedFunction, "__call__", call)
        patches.setattr(interpreter.FunctionRewriter, "_get_jit_fn_file_line", where)
        patches.setattr(interpreter, "_get_np_dtype", dtype_of)
        patches.setattr(tl.block_type, "__init__", type_of)
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Compare a text with tests/golden/<test file>/<test name>.txt; ``--update-golden`` rewrites it."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name).strip("-")
    path = GOLDEN / request.path.stem / f"{name}.txt"

    def compare(text: str) -> None:
        text = text.rstrip("\n") + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if not path.exists():
            pytest.fail(f"no {path.name} in {path.parent.name}/: run pytest --update-golden and read what it writes")
        wanted = path.read_text()
        if text != wanted:
            lines = difflib.unified_diff(wanted.splitlines(), text.splitlines(), "golden", "now", lineterm="")
            pytest.fail("\n".join(lines), pytrace=False)

    return compare
