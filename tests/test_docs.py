"""The documentation: pages run and build without warnings, links lead somewhere, commands exist, phones show it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graphc as gc
from graphc.cli.main import graphc

pytest.importorskip("sphinx", reason='the documentation needs pip install "graphc[docs]"')
from docs.site import links, record, zoo
from docs.site.blocks import RUN, Session, blocks, expand

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WIDEST = "Math.max(...[document.documentElement, document.querySelector('.content')].map(e => e.scrollWidth))"
CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs` builds it, with few figures and models; workers that want it build it once."""
    from filelock import FileLock

    shared = (
        tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else tmp_path_factory.mktemp("s")
    )
    to, told = shared / "docs", shared / "docs.txt"
    with FileLock(f"{told}.lock"):
        if not told.exists():
            command = [sys.executable, "-m", "docs.site", "--few", "--to", str(to)]
            options = {"GRAPHC_VERIFY": "1", "OMP_WAIT_POLICY": "passive"}
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **options})
            told.write_text(done.stderr if done.returncode else "")
    assert not (wrong := told.read_text()), wrong
    return to


def test_every_page_runs_and_builds_without_a_warning_or_a_broken_link(site):
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").exists(), page
    assert all((site / "zoo" / f"{name}.html").exists() for name in zoo.names(few=True))
    assert set(zoo.names(few=False)) == {*gc.zoo.ALL, *gc.zoo.RULES}


def test_every_public_name_is_in_the_reference(site):
    anchors = links.Page((site / "api.html").read_text()).anchors
    modules = {"data", "init", "learn", "nir", "surrogate", "units", "zoo"}
    assert {f"graphc.{name}" for name in set(gc.__all__) - modules} <= anchors
    assert {"graphc.learn.BPTT", "graphc.surrogate.SuperSpike", "graphc.data.Heidelberg", "graphc.Model.run"} <= anchors


def test_a_broken_link_and_a_load_from_elsewhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">.</a><a href="c.html">.</a><img src="http://x/y">'
    )
    (tmp_path / "b.html").write_text('<a href="a.html#here">.</a><a href="http://elsewhere">.</a>')
    found = links.broken(tmp_path)
    assert found == [
        "a.html: b.html#there has no such anchor",
        "a.html: there is no c.html",
        "a.html: loads http://x/y",
    ]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_no_page_scrolls_sideways_on_a_phone(site):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    names = [page.stem for page in (ROOT / "docs").glob("*.md")] + ["zoo/HodgkinHuxley", "zoo/PairSTDP"]
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        wide = {}
        for name in names:
            page.goto((site / f"{name}.html").as_uri(), wait_until="domcontentloaded")
            wide[name] = page.evaluate(WIDEST)
        browser.close()
    assert not {name: width for name, width in wide.items() if width > 390}


def session(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    return Session(page, tmp_path / "figures", few=True)


def test_blocks_run_in_one_namespace_and_show_what_they_print_and_draw(tmp_path):
    text = (
        "```python\na = 2\n```\n\n```{draw} A line.\nimport matplotlib.pyplot as plt\nplt.plot([a, 3])\nprint(a)\n```\n"
    )
    shown = expand(text, session(tmp_path, text))
    assert re.search(r":class: output\n\n2\n", shown)
    assert ":alt: A line." in shown and (tmp_path / "figures" / "page-1-dark.svg").exists()


def test_an_error_is_at_its_line_of_the_page(tmp_path):
    text = "Words.\n\n```python\na = 1\na / 0\n```\n"
    with pytest.raises(ZeroDivisionError) as caught:
        expand(text, session(tmp_path, text))
    assert caught.traceback[-1].lineno == 4  # counted from 0


@pytest.mark.parametrize("kind", ["skip", "peer"])
def test_a_block_that_does_not_run_says_why(kind):
    with pytest.raises(ValueError, match="line 1: a block that is not run here"):
        list(blocks(f"```{{{kind}}}\nx\n```\n"))


def test_almost_every_block_runs():
    found = [block for text in TEXTS[1:] for block in blocks(text.read_text())]
    assert sum(block.kind == "skip" for block in found) <= 0.05 * sum(block.kind in RUN for block in found)
    assert not [b for b in found if b.kind in ("py", "Python", "pycon", "{code-block}")], "languages that would not run"


def commands():
    for path in TEXTS:
        for block in blocks(path.read_text()):
            if block.kind in ("sh", "console"):
                for line in block.code.splitlines():
                    line = re.split("  #| [|] ", line.removeprefix("$ "))[0].rstrip()
                    if block.kind == "sh" or line.startswith("graphc "):
                        yield f"{path.name}: {line}", line


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in commands()])
def test_commands_exist(line):
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    match words:
        case ["graphc", command, *rest]:
            known = graphc.commands[command]
            options = {o for p in known.params for o in p.opts} | {"--json", "--debug"}
            subcommands = getattr(known, "commands", {})
            assert not subcommands or rest[0] in subcommands
            options |= {o for c in subcommands.values() for p in c.params for o in p.opts}
            assert {word for word in rest if word.startswith("--")} <= options
        case ["python", "-m", module, *_]:
            assert (ROOT / f"{module.replace('.', '/')}.py").exists() or (ROOT / module.replace(".", "/")).is_dir()
        case ["python", file, *_]:
            assert (ROOT / file).exists() or file == "train.py"
        case ["make", target, *_]:
            assert re.search(rf"^[\w ]*\b{target}\b[\w ]*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["graphc"] | [] | [("pip" | "eval" | "$EDITOR"), *_]:
            pass
        case _:
            pytest.fail(f"what is {line!r}?")


@pytest.mark.parametrize("page", record.ENVIRONMENTS)
def test_recorded_numbers_are_those_of_the_library(page):
    if not (record.python_of(page).parents[1] / ".ready").exists():
        pytest.skip("peers are not installed: make peers")
    import json

    import numpy as np

    kept = json.loads((ROOT / "docs" / "recorded" / f"{page}.json").read_text())
    for name, values in record.record(page).items():
        np.testing.assert_allclose(values, kept[name], rtol=1e-6, err_msg=name)
