"""The whole library is typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_mypy_strict_accepts_the_library(tmp_path):
    pytest.importorskip("mypy")
    links = tmp_path / "graphc"
    links.mkdir()
    for source in [*(ROOT / "graphc").iterdir(), *(ROOT / name for name in ("ir", "passes", "codegen", "runtime"))]:
        if source.suffix == ".py" or (source / "__init__.py").exists():
            (links / source.name).symlink_to(source)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--strict", "-p", "graphc"]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "test")]
    done = subprocess.run(
        [*command, *cache], cwd=tmp_path, env={**os.environ, "MYPYPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success" in done.stdout
