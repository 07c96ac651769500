"""The command graphc: help, exit statuses, networks by name, completion, and errors without tracebacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from graphc.cli.command import Command, show
from graphc.cli.main import COMMANDS, graphc
from graphc.cli.network import load
from graphc.ir.errors import GraphcError

ROOT = Path(__file__).parents[1]
NETWORK = """
import beside
import graphc as gc

print("a line of the user's")

def made():
    net = gc.Network(dt=beside.DT)
    net.input("x", 3)
    net.population("hid", gc.zoo.LIF, 4)
    net.connect("x", "hid")
    net.output("hid")
    return net

net = made()
number = 3
nothing = None
def sized(n): return made()
def numbered(): return 3
def broken(): return 1 / 0
def ill(): gc.Network(dt=-1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder with a network file, where the user is."""
    (tmp_path / "beside.py").write_text("DT = 0.5\n")
    (tmp_path / "mine.py").write_text(NETWORK)
    (tmp_path / "wrong.py").write_text("import graphc\nx = (\n")
    (tmp_path / "raises.py").write_text("import graphc\n\nraise KeyError('weights')\n")
    (tmp_path / "notes.txt").write_text("net = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("beside", "mine", "_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@click.command(cls=Command)
@click.argument("network")
def name(network):
    """Print the name of a network."""
    loaded = load(network)
    show({"name": loaded.name, "dt": loaded.network.dt}, lambda console: console.print(loaded.name))


def run(*arguments, command=graphc, **options):
    return CliRunner().invoke(command, arguments, prog_name="graphc", **options)


def fresh(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, **options
    )


def test_help(golden):
    found = run("--help")
    assert found.exit_code == 0
    golden(found.output)


@pytest.mark.parametrize("command", [c.name for c in COMMANDS])
def test_help_of(command, golden):
    found = run(command, "--help")
    assert found.exit_code == 0
    golden(found.output)


def test_help_loads_nothing_heavy():
    heavy = ["sympy", "torch", "rich", "networkx", "numpy", "matplotlib", "triton"]
    code = f"""
import sys
from graphc.cli.main import graphc
try:
    graphc(["--help"])
finally:
    print(sorted(set({heavy}) & set(sys.modules)), file=sys.stderr)
"""
    done = fresh("-c", code)
    assert done.returncode == 0 and done.stderr.strip() == "[]"


def test_python_m_graphc_is_the_command():
    done = fresh("-m", "graphc", "--version")
    assert (done.returncode, done.stdout) == (0, "graphc 0.1.0\n")


@pytest.mark.parametrize("arguments", [("nonsense",), ("zoo", "--nonsense"), ("zoo", "LIF", "LI"), ("bench",)])
def test_wrong_usage_is_status_2_with_the_usage(arguments):
    found = run(*arguments)
    assert found.exit_code == 2 and "Usage: graphc" in found.stderr and found.stdout == ""


def test_wrong_usage_is_one_document_with_json():
    found = run("zoo", "--json", "--nonsense")
    assert found.exit_code == 2 and "--nonsense" in json.loads(found.stdout)["error"]


@pytest.mark.parametrize("place", ["mine.py:net", "./mine.py:made", "mine:net"])
def test_a_network_is_found_by_name_beside_what_it_imports(folder, place):
    found = run(place, "--json", command=name)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == {"name": place, "dt": 0.5}, "what the user's file prints is not ours"
    assert "a line of the user's" in found.stderr


WRONG = {
    "gone.py:net": "there is no file gone.py",
    "no_such_module:net": "there is no module 'no_such_module'",
    "mine.py:nte": "did you mean 'net'",
    "mine.py:missing": "networks there: mine.py:net",
    "mine.py:number": "'number' of mine.py is a int, no gc.Network",
    "mine.py:nothing": "'nothing' of mine.py is a NoneType",
    "mine.py:numbered": "'numbered' of mine.py returns a int",
    "mine.py:sized": "sized() of mine.py needs arguments: n",
    "mine.py:broken": "mine.py:20: broken() of mine.py raises ZeroDivisionError: division by zero",
    "mine.py:ill": "mine.py:21: dt of gc.Network is -1.0 ms",
    "mine.py:": "names no network",
    "mine.py": "names no network",
    ":net": "names no network",
    "wrong.py:net": "wrong.py:2: wrong.py raises SyntaxError",
    "raises.py:net": "raises.py:3: raises.py raises KeyError: 'weights'",
    "notes.txt:net": "notes.txt is no Python file",
    ".:net": ". is a folder",
    "zoo:Lif": "did you mean 'LIF'",
}


@pytest.mark.parametrize("place", WRONG)
def test_what_is_no_network_is_one_message_and_status_2(folder, place):
    found = run(place, command=name)
    assert found.exit_code == 2 and WRONG[place] in found.stderr, found.stderr
    assert "Traceback" not in found.stderr and found.stdout == ""


def test_errors_are_one_document_with_json(folder):
    found = run("mine.py:nte", "--json", command=name)
    assert json.loads(found.stdout) == {"error": "mine.py has no 'nte'", "hint": "did you mean 'net'?"}


def test_debug_shows_the_traceback(folder):
    found = run("mine.py:broken", "--debug", command=name)
    assert found.exit_code == 2 and "Traceback" in found.stderr and "1 / 0" in found.stderr


def raising(error):
    @click.command(cls=Command)
    def command():
        raise error

    return run(command=command)


def test_ctrl_c_is_status_130():
    found = raising(KeyboardInterrupt())
    assert (found.exit_code, found.stderr) == (130, "graphc: interrupted\n")


def test_a_file_that_cannot_be_written_is_named():
    found = raising(PermissionError(13, "Permission denied", "/out.json"))
    assert (found.exit_code, found.stderr) == (2, "graphc: /out.json: Permission denied\n")


def test_a_defect_of_graphc_keeps_its_traceback():
    found = raising(AssertionError("impossible"))
    assert found.exit_code == 1 and isinstance(found.exception, AssertionError)
    assert raising(GraphcError("a model of the user's")).exit_code == 2


def test_a_closed_pipe_ends_the_command_without_a_word():
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "graphc", "zoo"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def completed(*words):
    complete = ShellComplete(graphc, {}, "graphc", "_GRAPHC_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_completion_knows_commands_and_zoo():
    assert set(completed("")) >= {"bench", "doctor", "zoo"}
    assert sorted(completed("zoo", "Ad")) == ["AdEx", "AdLIF", "AdaptiveThreshold"]
    assert completed("bench", "zoo:Iz") == ["zoo:Izhikevich", "zoo:IzhikevichPublished"]
    assert "--latex" in completed("zoo", "--")


def test_completion_reads_the_names_in_a_file_and_does_not_run_it(folder):
    (folder / "loud.py").write_text("raise SystemExit\nnet = make()\ndef make(): pass\n")
    assert completed("bench", "loud.py:") == ["loud.py:net", "loud.py:make"]
    assert completed("bench", "wrong.py:") == []
    assert completed("bench", "lo") == ["lo"], "the shell completes the file"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_of(shell):
    found = run(env={"_GRAPHC_COMPLETE": f"{shell}_source"})
    assert found.exit_code == 0 and f"_GRAPHC_COMPLETE={shell}_complete" in found.stdout
