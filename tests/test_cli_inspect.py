"""graphc inspect: what it shows, what it writes, and how it says what is wrong."""

import json
import re
import sys

import pytest
from click.testing import CliRunner

from graphc.cli.main import graphc

NETWORK = """
import graphc as gc
from graphc.units import ms

v, i = gc.states("v i")
x = gc.input("x")
tau = gc.param("tau", 10 * ms, learn=True)

Lif = gc.Neuron(
    "Lif",
    ode={v: (i - v) / tau, i: -i / (5 * ms)},
    receive={i: i + x},
    spike=gc.Spike(v > 1),
    reset={v: 0},
)
net = gc.Network(dt=1 * ms)
net.input("x", 3)
net.population("hid", Lif, 4)
net.connect("x", "hid")
net.connect("hid", "hid", delay=2)
net.output("hid")
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Make a folder with a network file, where the user is."""
    (tmp_path / "mine.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    return tmp_path


def run(*arguments):
    found = CliRunner().invoke(graphc, ["inspect", *arguments], prog_name="graphc")
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def refused(*arguments):
    found = run(*arguments)
    assert found.exit_code == 2 and "Traceback" not in found.stderr
    return found.stderr


def test_help(golden):
    golden(run("--help").output)


def test_the_summary_names_equations_passes_and_kernels():
    found = run("mine.py:net")
    assert found.exit_code == 0
    assert (
        "dv/dt = (i - v)/tau  # mine.py:11" in found.output
        and "hid.x += weight*pre.output, 2 steps later" in found.output
    )
    assert re.search(r"05 adjoint +\d+ +\d+ +\d+ +Add the gradients", found.output)
    assert re.search(r"forward_1 +rows", found.output)


def test_equations_come_in_four_forms_with_the_users_lines():
    discretised = run("mine.py:net", "--equations", "discretised").output
    assert re.search(r"hid_condition = hid_v\w* - 1  # mine.py:13", discretised)
    assert re.search(r"d\(hid.v\)\[t\] = d_hid_v\w*  # mine.py:11", run("mine.py:net", "--equations", "adjoint").output)
    assert r"\frac{dv}{dt} = \frac{i - v}{\tau}" in run("mine.py:net", "--equations", "declared", "--latex").output
    traces = run("mine.py:net", "--learn", "block-diagonal", "--equations", "traces")
    assert re.search(r"x_hid\S+~hid\.v <- ", traces.output) and traces.exit_code == 0
    assert "no online rule" in run("mine.py:net", "--equations", "traces").output


def test_stages_are_shown_whole_or_as_what_a_pass_changed():
    assert "reverse backward graph" in run("mine.py:net", "--stage", "adjoint").output
    diff = run("mine.py:net", "--stage", "discretize", "--diff").output
    assert re.search(r"^-.* = ode auto dv/dt", diff, re.M) and re.search(r"^\+.*map exp\(", diff, re.M)
    assert "hint: did you mean 'fuse'?" in refused("mine.py:net", "--stage", "fus")
    assert "hint: did you mean 'fuse'?" in refused("mine.py:net", "--stage", "fus", "--diff")


def test_sources_are_those_of_the_model():
    assert "void forward_1(" in run("mine.py:net", "--source", "forward").output
    assert "@triton.jit" in run("mine.py:net", "--source", "backward", "--what", "triton").output
    assert re.search(r"\bret\b", run("mine.py:net", "--source", "forward", "--what", "asm").output)
    assert "sm_90 has no text 'amdgcn'" in refused("mine.py:net", "--source", "forward", "--what", "amdgcn")
    assert "ask with gradients=True" in refused("mine.py:net", "--source", "backward", "--learn", "none")
    assert "--what needs --source" in refused("mine.py:net", "--what", "ptx")


def test_json_is_one_document_of_everything():
    report = json.loads(run("mine.py:net", "--json", "--steps", "10", "--batch", "2").stdout)
    assert [p["size"] for p in report["network"]["populations"]] == [4]
    assert {e["form"] for e in report["equations"]} == {"declared", "discretised", "adjoint"}
    assert report["memory"]["steps"] == 10 and report["machine"]["gbytes_s"] > 0
    used = {r["kernel"]: r for r in report["resources"]}
    assert used["forward_1"]["instructions"] > 0 and report["missing"] == []


def test_every_linked_kernel_line_defines_the_value_that_it_names():
    report = json.loads(run("mine.py:net", "--json").stdout)
    for source in report["sources"]:
        lines = source["text"].splitlines()
        linked = [line for line in source["lines"] if line["values"]]
        assert len(linked) > 5
        for line in linked:
            names = [v.split(":")[1] for v in line["values"]]
            assert all(re.search(rf"\b(now_)?{n}\b", lines[line["number"] - 1]) for n in names), line


def test_what_an_expression_costs():
    import sympy

    from graphc.inspection.cost import FUNCTION, expression_operations

    a, b, c = sympy.symbols("a b c")
    counted = {a: 0, a + b: 1, -a: 0, a - b: 1, a / b: 1, 1 / a: 1, a * b / c: 2, a**2: 1, 1 / a**3: 3,
               sympy.sqrt(a): 1, sympy.exp(-a): FUNCTION, sympy.Max(a, 0) + 1: 2}  # fmt: skip
    assert {e: expression_operations(e) for e in counted} == counted


def test_synapses_are_counted_in_every_kind_of_connectivity():
    import graphc as gc
    from graphc.inspection.network import network_of

    net = gc.Network(dt=1)
    net.input("x", (2, 8, 8))
    net.population("c", gc.zoo.LIF, (3, 6, 6))
    net.population("d", gc.zoo.LIF, 108)
    kinds = {
        "conv": gc.Conv2d(3),
        "blocks": gc.Blocks(4),
        "sparse": gc.Sparse(indices=([0, 1, 2], [5, 6, 7])),
        "one": gc.OneToOne(),
        "others": gc.AllButSelf(),
        "drawn": gc.Sparse(0.5, seed=1, layout="procedural"),
    }
    for name, kind in kinds.items():
        weight = 0.1 if name == "drawn" else None
        net.connect("x" if name == "conv" else "d", "c" if name == "conv" else "d", connectivity=kind, name=name,
                    delay=1, weight=weight, learn=name != "drawn")  # fmt: skip
    found = {c.name: c.synapses for c in network_of(net).connections}
    assert found == {
        "conv": 108 * 18,
        "blocks": 4 * 27 * 27,
        "sparse": 3,
        "one": 108,
        "others": 108 * 107,
        "drawn": 5832,
    }


def test_override_texts_are_written_where_they_are_read(folder):
    found = run("mine.py:net", "--override-dir", "mine")
    assert found.exit_code == 0 and "GRAPHC_OVERRIDE=mine" in found.output
    names = sorted(p.name for p in (folder / "mine").iterdir())
    assert [re.sub("[0-9a-f]{12}", "HASH", n) for n in names] == ["backward-HASH.c", "forward-HASH.c"]


def test_wrong_files_names_and_objects():
    assert "there is no file other.py" in refused("other.py:net")
    assert "mine.py has no 'nett'" in refused("mine.py:nett") and "did you mean 'net'?" in refused("mine.py:nett")
    assert "'number' of mine.py is a int, no gc.Network" in refused("mine.py:number")
    assert "the zoo has no neuron 'AdEks'" in refused("zoo:AdEks")


def test_wrong_architectures_and_targets_without_kernels():
    assert "there is no architecture 'h100'" in refused(
        "mine.py:net", "--resources", "--target", "triton", "--arch", "h100"
    )
    assert "the reference target" in run("mine.py:net", "--target", "reference").output
    assert "it has no texts" in refused("mine.py:net", "--target", "reference", "--override-dir", "d")


def test_outputs_that_cannot_be_written(folder):
    (folder / "file").write_text("")
    assert "file" in refused("mine.py:net", "--html", "file/net.html")
    assert "file" in refused("mine.py:net", "--override-dir", "file/texts")


def test_without_a_compiler_the_rest_is_shown(monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/cc")
    found = run("mine.py:net", "--resources")
    assert found.exit_code == 0
    assert (
        "not shown: resources of forward: target 'c' cannot build kernels" in found.output
        and "forward_1" in found.output
    )


def test_without_triton_the_rest_is_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    found = run("mine.py:net", "--resources", "--target", "triton")
    assert found.exit_code == 0 and "H100 SXM (sm_90)" in found.output
    assert "not shown: resources of forward: Triton is not installed" in found.output
    assert "hint: pip install triton" in refused("mine.py:net", "--source", "forward", "--what", "ptx")


def test_an_interruption_is_one_word(monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("graphc.inspection.collect.collect", interrupted)
    found = run("mine.py:net")
    assert (found.exit_code, found.stderr) == (130, "graphc: interrupted\n")
