"""graphc bench: what is timed is the network, what it is compared with computes the same, and nothing is changed."""

import json

import pytest
import torch
from click.testing import CliRunner

import graphc as gc
from graphc import bench
from graphc.cli.bench import seconds
from graphc.cli.main import graphc
from graphc.compile import NetworkCompiler
from graphc.eager import Eager
from graphc.runtime import compiler
from graphc.runtime.floor import copy_bandwidth, last_cache

SMALL = ("--steps", "12", "--batch", "2", "--repeats", "3", "--budget", "2")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Measure no bandwidth: that of the machine is no claim of these tests but one."""
    monkeypatch.setattr(bench, "copy_bandwidth", lambda device: 1e9)
    monkeypatch.setattr(bench, "busy", lambda: None)


def run(*arguments):
    found = CliRunner().invoke(graphc, ["bench", *arguments], prog_name="graphc")
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def network():
    net = gc.Network(dt=1.0)
    net.input("x", 6)
    net.population("hid", gc.zoo.CuBaLIF, 5)
    net.population("out", gc.zoo.LI, 2)
    net.connect("x", "hid", weight=gc.Uniform(0, 0.5))
    net.connect("hid", "hid", delay=2)
    net.connect("hid", "out")
    net.output("out")
    return net


def spikes(steps=30):
    return (torch.rand(steps, 3, 6, generator=torch.Generator().manual_seed(1)) < 0.3).double()


def work(**changed):
    given = {"x": spikes()}
    return bench.Work(network(), given, 30, 3, dtype=torch.float64, **changed)


def test_the_eager_version_computes_what_the_c_target_computes():
    found = []
    for target in ("c", "eager"):
        model = work().compiled("reference" if target == "eager" else target, "cpu")
        if target == "eager":
            (output,) = Eager(model, NetworkCompiler(network()))({"x": spikes()}, 30, 3)
        else:
            output = model(spikes())
        output.sum().backward()
        found.append([output.detach(), *(p.grad for p in model.parameters())])
    assert found[0][0].abs().max() > 0.01
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_figures_of_a_network():
    found = run("zoo:LIF", *SMALL, "--json")
    document = json.loads(found.stdout)
    assert found.exit_code == 0 and [c["name"] for c in document["contenders"]][:2] == ["c", "eager"]
    c, eager = document["contenders"][:2]
    for kind in ("forward", "forward+backward"):
        loop = c[kind]
        assert loop["neuron_updates_per_s"] == pytest.approx(12 * 2 * 64 / loop["median_s"])
        assert loop["of_floor"] == pytest.approx(loop["moved_bytes"] / 1e9 / loop["median_s"])
        assert loop["times_eager"] == pytest.approx(eager[kind]["median_s"] / loop["median_s"])
        assert loop["per_step_s"] == pytest.approx(loop["median_s"] / 12) and loop["samples"] == 3
    assert c["measured_bytes"] == pytest.approx(c["predicted_bytes"], rel=0.1)
    assert c["first_call_s"] > c["forward"]["median_s"] and c["step"]["median_s"] > 0
    assert eager["measured_bytes"] > 0 and eager["forward"]["of_floor"] is None


def test_moved_bytes_are_those_of_the_arrays_that_a_layer_reads_and_writes():
    net = gc.Network(dt=1.0)
    net.input("x", 8)
    net.population("hid", gc.zoo.LIF, 8)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.output("hid")
    x = torch.ones(20, 3, 8)
    contender = bench.set_up(bench.Work(net, {"x": x}, 20, 3, learn=None), "c", "cpu", backward=False)
    assert contender.tasks["forward"].floor == 2 * 4 * x.numel(), "inputs are read, spikes are written"
    assert "forward+backward" not in contender.tasks


def test_people_read_a_table():
    found = run("zoo:ALIF", *SMALL, "--forward-only", "--targets", "c,reference,eager")
    assert found.exit_code == 0 and "neuron updates per s" in found.stdout and "reference" in found.stdout
    assert "backward" not in found.stdout and "learn none" in found.stdout


def test_a_silent_network_is_warned_of():
    document = json.loads(run("zoo:LIF", *SMALL, "--rate", "0", "--targets", "eager", "--json").stdout)
    assert document["rates"] == {"hid": 0.0} and any("no spike in hid" in w for w in document["warnings"])


def test_a_busy_machine_is_warned_of(monkeypatch):
    monkeypatch.setattr(bench, "busy", lambda: 1.7)
    document = json.loads(run("zoo:LI", *SMALL, "--targets", "eager", "--json").stdout)
    assert document["warnings"] == ["the machine is busy: 1.7 running processes per core"]


def test_weights_that_a_rule_writes_are_the_same_in_every_round():
    net = gc.Network(dt=1.0)
    net.input("x", 6)
    net.population("hid", gc.zoo.LIF, 5)
    rule = gc.zoo.PairSTDP(A_plus=0.1, reduction="mean")
    net.connect("x", "hid", weight=0.5, plasticity=rule)
    net.output("hid")
    made, seen = [], []
    compiled = bench.Work.compiled
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.Work, "compiled", lambda *a: made.append(compiled(*a)) or made[-1])
        one = bench.Work(net, {"x": spikes().float()}, 30, 3, learn=None)
        contender = bench.set_up(one, "c", "cpu", backward=False)
    (weight,) = (p for n, p in made[0].named_parameters() if n.endswith("weight"))
    for task in contender.tasks.values():
        task.run = lambda run=task.run: (seen.append(weight.detach().clone()), run())
    bench.time_in_turns([contender], 3, 5.0)
    assert len(seen) == 8 and all((w == 0.5).all() for w in seen)
    made[0](spikes().float())
    assert (weight != 0.5).any(), "the rule changes weights where nobody restores them"


def test_inputs_are_left_as_they_are_and_weights_are_those_of_the_seed():
    one = work()
    before = one.inputs["x"].clone()
    bench.time_in_turns([bench.set_up(one, "c", "cpu", backward=True)], 2, 5.0)
    assert torch.equal(one.inputs["x"], before) and one.inputs["x"].grad is None
    first, second = (one.compiled("c", "cpu").state_dict() for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)


def test_slow_tasks_give_up_rounds_but_run_once():
    slow, fast = (bench.Task(lambda: None, torch.device("cpu")) for _ in range(2))
    slow.sample = lambda: slow.samples.append(9.0) or 9.0
    both = bench.Contender("both", torch.device("cpu"), {"forward": slow, "step": fast})
    bench.time_in_turns([both], 5, 2.0)
    assert (len(slow.samples), len(fast.samples)) == (1, 5)


def test_without_a_compiler_c_is_left_out_with_a_warning(monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    document = json.loads(run("zoo:LI", *SMALL, "--json").stdout)
    assert "c" not in [c["name"] for c in document["contenders"]]
    assert any("no C compiler" in w for w in document["warnings"])
    found = run("zoo:LI", *SMALL, "--targets", "c")
    assert found.exit_code == 2 and "install gcc or clang" in found.stderr


REFUSED = {
    ("zoo:LIF", "--targets", "gpu"): "'gpu' is none of c, triton, reference, eager",
    ("gone.py:net",): "there is no file gone.py",
    ("zoo:LIF", "--inputs", "gone.npy"): "cannot read inputs from gone.npy",
    ("zoo:LIF", "--repeats", "0"): "--repeats",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_cannot_be_timed_is_one_message(arguments):
    found = run(*arguments)
    assert found.exit_code == 2 and REFUSED[arguments] in found.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_triton_without_a_device_is_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    found = run("zoo:LIF", "--targets", "triton")
    assert found.exit_code == 2 and "needs a CUDA device" in found.stderr


def test_ctrl_c_is_status_130(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "time_in_turns", interrupt)
    found = run("zoo:LI", *SMALL, "--targets", "eager")
    assert (found.exit_code, found.stderr) == (130, "graphc: interrupted\n")


def test_the_copy_bandwidth_is_that_of_arrays_beyond_the_caches(monkeypatch):
    from graphc.runtime import floor

    monkeypatch.setattr(floor, "SMALLEST", 8 << 20)
    monkeypatch.setattr(floor, "last_cache", lambda: None)
    assert 1e8 < copy_bandwidth(torch.device("cpu"), repeats=3) < 1e13
    monkeypatch.undo()
    assert floor._array_bytes(torch.device("cpu")) >= min(4 * (last_cache() or 0), floor.LARGEST)


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.2e-6, "4.2 us"), (5e-10, "500 ps")]
)
def test_times_have_three_digits_and_a_unit(value, text):
    assert seconds(value) == text
