"""The command graphc verify: what it prints, and how it ends."""

import json
import sys

import pytest
from click.testing import CliRunner

from graphc.cli.main import graphc

NETWORK = """
import graphc as gc

v, w = gc.states("v w")
x = gc.input("x")
neuron = gc.Neuron(
    "N", ode={v: -v / 8, w: -w / 20}, receive={v: v + x}, spike=gc.Spike(v > 1 + w), reset={v: 0, w: w + v / 4}
)
net = gc.Network(dt=1)
net.input("x", 3)
net.population("hid", neuron, 4)
net.connect("x", "hid", weight=gc.Uniform(0.5, 1.5))
net.output("hid")
number = 3
"""
ALONE = """
import graphc as gc

v = gc.state("v")
neuron = gc.Neuron("P", ode={v: (gc.param("drive", 2.0, learn=True) - v) / 5}, spike=gc.Spike(v > 1), reset={v: v - 1})
net = gc.Network(dt=1)
net.population("p", neuron, 2, v=gc.Uniform(0, 1))
net.output("p")
"""
QUICK = ("--target", "reference", "--learn", "none", "--steps", "30", "--rate", "0.2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder with a network file, where the user is."""
    (tmp_path / "mine.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(graphc, ["verify", *arguments], prog_name="graphc")


def test_help(golden):
    golden(run("--help").output)


def test_a_right_network_is_certified(folder, golden):
    done = run("mine.py:net", "--steps", "40", "--rate", "0.2")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("certificate: ok\n")
    verdicts = ("ok ", "n/a ", "left out")
    golden("\n".join(x for x in done.stdout.splitlines() if x and not x.startswith((*verdicts, " "))))


def test_a_network_without_inputs_is_certified_on_few_steps(folder):
    (folder / "alone.py").write_text(ALONE)
    done = run("alone.py:net", "--target", "reference", "--steps", "4", "--json")
    assert not done.stderr and done.exit_code in (0, 1), done.output
    rows = [row for c in json.loads(done.stdout)["certificates"] for row in c["rows"]]
    about = {(row["what"], row["about"]): row["status"] for row in rows}
    assert about["order", "p.v"] == about["P1 block-diagonal = BPTT", "p.drive"] == "ok"


def test_json_is_one_document(folder):
    done = run("mine.py:net", *QUICK, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ok"] and found["fault"] is None and found["network"] == "mine.py:net"
    about = {(row["what"], row["about"]): row["status"] for c in found["certificates"] for row in c["rows"]}
    assert about["declared", "hid.w@threshold"] == about["order", "hid.v"] == about["values", "hid.w"] == "ok"
    assert not any(what in ("gradient", "dot product") for what, _ in about)


def test_a_planted_fault_is_exit_status_1_and_named(folder, monkeypatch):
    import torch

    import graphc as gc
    from graphc.certificate.reference import observed
    from graphc.cli.network import load
    from graphc.runtime.override import override_name

    net = load("mine.py:net").network
    model = gc.compile(net, learn=None, target="c")
    model.run(torch.zeros(2, 1, 3), record=observed(net))
    build = model.last_build()
    text = build.texts["forward"]
    right, wrong = "= hid_v + x_hid_drive;", "= hid_v - x_hid_drive;"
    assert text.count(right) == 1
    (folder / override_name(build.schedule, "forward", text)).write_text(text.replace(right, wrong))
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(folder))
    with pytest.warns(UserWarning, match="runs in place of the generated forward kernels"):
        done = run("mine.py:net", "--target", "c", *QUICK[2:])
    assert done.exit_code == 1, done.output
    assert done.stdout.splitlines()[-2].startswith("first fault: hid.v@threshold at step 0")
    assert done.stdout.endswith("certificate: FAILED\n")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("none.py:net", "there is no file none.py"),
        ("mine.py:nets", "mine.py has no 'nets'"),
        ("mine.py:number", "'number' of mine.py is a int, no gc.Network"),
        ("zoo:LIFE", "the zoo has no neuron 'LIFE'"),
        ("mine", "'mine' names no network"),
    ],
)
def test_what_is_no_network_is_one_message_and_status_2(folder, network, message):
    done = run(network)
    assert done.exit_code == 2 and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("option", "value"), [("--target", "cuda"), ("--steps", "0"), ("--inputs", "none.npy")])
def test_wrong_values_are_status_2(folder, option, value):
    done = run("mine.py:net", option, value)
    assert done.exit_code == 2 and "Traceback" not in done.stderr and done.stderr


def test_a_target_without_its_device_is_refused_and_left_out_of_all(folder, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    done = run("mine.py:net", "--target", "triton")
    assert done.exit_code == 2 and "target 'triton' cannot run here: no CUDA device" in done.stderr
    from graphc.certificate.targets import chosen

    found, missing = chosen(())
    assert "triton" not in {t.name for t in found} and missing["triton"].startswith("no CUDA device")


def test_a_machine_without_a_compiler_verifies_the_reference(folder, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    done = run("mine.py:net", "--target", "c")
    assert done.exit_code == 2 and "'no-such-compiler', which CC names, is not installed" in done.stderr
    done = run("mine.py:net", *QUICK[2:])
    assert done.exit_code == 0, done.output
    assert "left out: target c: target 'c' cannot build kernels" in done.stdout


def test_an_interrupted_run_says_so(folder, monkeypatch):
    def interrupt(run):
        raise KeyboardInterrupt

    monkeypatch.setattr("graphc.certificate.report.check_convergence", interrupt)
    done = run("mine.py:net", *QUICK)
    assert done.exit_code == 130 and done.stderr.endswith("graphc: interrupted\n")
    assert "Traceback" not in done.output
