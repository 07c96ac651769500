"""Root folders are installed as graphc.ir, ...: what keeps that mapping true."""

import importlib.util
from pathlib import Path

import pytest

import graphc

ROOT = Path(__file__).parents[1]
MAPPED = ("ir", "passes", "codegen", "runtime")

tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_listed_packages_are_the_tree():
    found = set()
    for top in ("graphc", *MAPPED):
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if top == "graphc" else ("graphc", *parts)))
    assert found == set(PYPROJECT["tool"]["setuptools"]["packages"])
    assert "graphc.ir" in found


def test_every_module_is_in_a_listed_package():
    for top in ("graphc", *MAPPED):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


@pytest.mark.parametrize("name", MAPPED)
def test_no_folder_hides_a_mapped_package(name):
    assert not (ROOT / "graphc" / name).exists()
    assert not (ROOT / "graphc" / f"{name}.py").exists()


def test_version_is_stated_once_more_in_the_package():
    assert graphc.__version__ == PYPROJECT["project"]["version"]


def test_pinned_torch_satisfies_the_stated_requirement():
    requirements = pytest.importorskip("packaging.requirements")
    pins = dict(line.split(";")[0].split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()[1:])
    for text in PYPROJECT["project"]["dependencies"]:
        requirement = requirements.Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name]), text


def test_uv_gets_the_settings_of_pip():
    spec = importlib.util.spec_from_file_location("install", ROOT / "install.py")
    install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    listed = """
:env:.index-url='https://mirror.example/simple'
global.extra-index-url='file:///wheels/simple\\nhttps://b.example/simple'
global.index-url='https://pypi.org/simple'
install.find-links='/wheels /more'
list.format='columns'
"""
    assert install.settings_of_pip(listed) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "file:///wheels/simple https://b.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
    }
