"""The direction of dependencies: ir <- passes, ir <- codegen, all of them <- runtime, and graphc on top."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "ir": {"ir"},
    "passes": {"ir", "passes"},
    "codegen": {"ir", "codegen"},
    "runtime": {"ir", "passes", "codegen", "runtime"},
}
LAYERS = set(MAY_IMPORT)


def modules(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imported(path: Path, root: Path = ROOT) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of every import in `path`, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module] if node.module != "graphc" else [f"graphc.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in names)
        elif isinstance(node, ast.ImportFrom) and node.level > 0:
            package = ["graphc", *path.relative_to(root).parts[:-1]]
            base = package[: len(package) - node.level + 1]
            yield node.lineno, ".".join([*base, *([node.module] if node.module else [])])


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_no_layer_imports_one_above_it(layer):
    assert modules(layer)
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(layer)
        for line, name in imported(path)
        if name.split(".")[0] == "graphc" and [*name.split("."), ""][1] not in MAY_IMPORT[layer]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_check_sees_an_arrow_the_other_way(tmp_path):
    (tmp_path / "ir").mkdir()
    (tmp_path / "ir" / "node.py").write_text("from graphc.passes import X\nfrom ..runtime import Y\n")
    assert [name for _, name in imported(tmp_path / "ir" / "node.py", tmp_path)] == ["graphc.passes", "graphc.runtime"]


@pytest.mark.parametrize("library", ["torch", "triton"])
def test_torch_and_triton_stay_in_the_runtime_and_the_interpreter(library):
    allowed = {"torch": ["runtime/", "ir/interpret", "ir/evaluate"], "triton": ["runtime/"]}[library]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for layer in sorted(LAYERS)
        for path in modules(layer)
        for line, name in imported(path)
        if name.split(".")[0] == library and not str(path.relative_to(ROOT)).startswith(tuple(allowed))
    ]
    assert not wrong, "\n".join(wrong)


def test_import_graphc_loads_nothing_heavy():
    heavy = {"torch", "triton", "sympy", "networkx", "numpy"}
    code = f"import graphc, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
