"""GRAPHC_OVERRIDE: a hand-edited kernel runs in place of the generated one, and says so."""

import warnings

import pytest
import torch

import graphc as gc
from graphc.inspection.collect import texts_of


def network():
    net = gc.Network(dt=1)
    net.input("x", 3)
    net.population("hid", gc.zoo.LI, 3)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0)
    net.output("hid")
    return net


def run(**options):
    with torch.no_grad():
        return gc.compile(network(), target="c", **options)(torch.ones(4, 2, 3))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write the generated texts where GRAPHC_OVERRIDE finds them, and return the forward one."""
    sources = texts_of(gc.compile(network(), target="c").build(gradients=False))
    for source in sources:
        (tmp_path / source.override).write_text(source.text)
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(tmp_path))
    return next(tmp_path / s.override for s in sources if s.half == "forward")


def test_an_untouched_copy_computes_the_same(written, monkeypatch):
    with pytest.warns(
        gc.GraphcWarning, match=f"{written} runs in place of the generated forward kernels of target 'c'"
    ):
        found = run()
    monkeypatch.delenv("GRAPHC_OVERRIDE")
    assert torch.equal(found, run()) and found.abs().sum() > 0


def test_an_edited_kernel_runs_and_says_so(written):
    text = written.read_text()
    line = next(x for x in text.splitlines() if " out_hid_output" in x or "_to_hid_output[_n] = " in x)
    written.write_text(text.replace(line, line.replace("= ", "= 2.0f*", 1)))
    with pytest.warns(gc.GraphcWarning, match="runs in place of"):
        doubled = run()
    written.unlink()
    torch.testing.assert_close(doubled, 2 * run())


def test_an_edited_text_keeps_the_name_under_which_it_is_read(written):
    written.write_text(written.read_text() + "// edited\n")
    with pytest.warns(gc.GraphcWarning, match="runs in place of"):
        sources = texts_of(gc.compile(network(), target="c").build(gradients=False))
    assert [(s.override, s.text.endswith("// edited\n")) for s in sources] == [(written.name, True)]


def test_a_file_without_a_hash_replaces_that_half_of_every_model(written):
    text = written.read_text()
    written.rename(written.with_name("forward.c"))
    with pytest.warns(gc.GraphcWarning, match=r"forward\.c runs in place of"):
        run()
    assert "forward_1" in text


def test_a_text_of_another_kernel_is_left_alone(written):
    written.rename(written.with_name("forward-0123456789ab.c"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run()


def test_a_folder_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("GRAPHC_OVERRIDE", "/nonexistent/folder")
    with pytest.raises(gc.GraphcError, match=r"/nonexistent/folder, which is no folder\n  hint: make it"):
        run()
