"""What the README shows is what runs."""

import runpy
from pathlib import Path

import pytest

from docs.site.blocks import blocks

README = (Path(__file__).parents[1] / "README.md").read_text()


def shown_in(language: str) -> list[str]:
    return [block.code for block in blocks(README) if block.kind == language]


def stripped(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("readme") / "model.py"
    path.write_text(shown_in("python")[0])
    return runpy.run_path(str(path))["model"]


def test_model_runs_and_learns(model):
    assert model.hid_hid.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("language", "target", "nth"), [("c", "c", 0), ("python", "triton", 1)])
def test_kernel_is_shown_verbatim(model, language, target, nth):
    shown = stripped(shown_in(language)[nth])
    source = stripped(model.source("forward", target))
    assert len(shown) >= 10
    start = source.index(shown[0])
    assert source[start : start + len(shown)] == shown
