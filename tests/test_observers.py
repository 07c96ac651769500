"""Observers see every pass: texts of the stages, times, and the check that the numbers stay."""

import dataclasses
import os
import subprocess
import sys

import pytest

import graphc as gc
from graphc.ir import Map, show
from graphc.ir.interpret_compare import differences, random_run
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes
from graphc.passes.observers import Dump, SameNumbers, Stages, Timings, observers_from_environment

v = gc.state("v")
x = gc.input("x")
tau = gc.param("tau", 10.0, learn=True)


def program():
    net = gc.Network(dt=1)
    net.input("x", 3)
    net.population("hid", gc.Neuron("N", ode={v: (x - v) / tau}, spike=gc.Spike(v > 1), reset={v: 0}), 4)
    net.connect("x", "hid")
    net.connect("hid", "hid", delay=1)
    net.output("hid")
    return lower(net, ("hid.v",))


REQUEST = Request(("hid.v",), frozenset({"hid.tau", "x_hid.weight"}), True)


def stages():
    recorded = Stages()
    run_passes(program(), pipeline(REQUEST), [recorded])
    return dict(recorded.programs)


@dataclasses.dataclass(frozen=True)
class Change:
    """A pass that multiplies one Map of a program by a factor."""

    factor: float
    where: str
    name: str = "change"

    def run(self, program):
        regions = []
        for region in program.regions:
            nodes = [
                dataclasses.replace(n, expr=n.expr * self.factor)
                if isinstance(n, Map) and n.result.name.startswith(self.where)
                else n
                for n in region.graph.nodes
            ]
            regions.append(dataclasses.replace(region, graph=region.graph.with_nodes(nodes)))
        return program.with_regions(regions)


class Fail:
    name = "fail"

    def run(self, program):
        raise gc.VerifyError("broken on purpose")


def test_the_pipeline_keeps_its_numbers():
    run_passes(program(), pipeline(REQUEST), [SameNumbers()])


def test_the_compared_runs_are_alive():
    found = random_run(stages()["fuse"])
    assert {"hid.output", "hid.v", "hid.v@final", "d(x_hid.weight)"} <= set(found)
    assert 0 < found["hid.output"].sum() < found["hid.output"].numel()
    assert all(found[n].abs().max() > 1e-6 for n in ("hid.v", "d(x_hid.weight)"))


def test_a_pass_that_changes_a_value_is_refused():
    discrete = stages()["delays"]
    with pytest.raises(gc.VerifyError, match=r"pass 1 'change' changes numbers: .*'hid\.v"):
        run_passes(discrete, [Change(1 + 1e-6, "hid_v_keep")], [SameNumbers()])
    run_passes(discrete, [Change(1.0, "hid_v_keep")], [SameNumbers()])


def test_a_pass_that_changes_a_gradient_only_is_refused():
    whole = stages()["fuse"]
    with pytest.raises(gc.VerifyError, match=r"changes numbers: 'd\("):
        run_passes(whole, [Change(1 + 1e-6, "d_hid_condition")], [SameNumbers()])


def test_a_lost_stop_of_the_gradient_is_refused():
    class Unstop:
        name = "unstop"

        def run(self, program):
            (region,) = (r for r in program.regions if r.kind == "steps")
            stops = {n.result: n.operands[0] for n in region.graph.nodes if type(n).__name__ == "StopGradient"}
            nodes = [n.substitute(stops) for n in region.graph.nodes if n.result not in stops]
            new = dataclasses.replace(region, graph=region.graph.with_nodes(nodes))
            return program.with_regions(new if r is region else r for r in program.regions)

    with pytest.raises(gc.VerifyError, match="changes numbers: 'autograd "):
        run_passes(stages()["delays"], [Unstop()], [SameNumbers()])


def test_differences_name_the_tensor_and_the_values():
    a = random_run(stages()["discretize"])
    b = {**a, "hid.v": a["hid.v"] + 1e-3}
    assert differences(a, a) == [] and len(differences(a, b)) == 1
    assert differences(a, b)[0].startswith("'hid.v' is ") and " before and " in differences(a, b)[0]


def test_every_stage_is_a_numbered_file(tmp_path):
    dump = Dump.from_environment({"GRAPHC_DUMP": "lower,passes", "GRAPHC_DUMP_DIR": str(tmp_path)})
    watched = [dump]
    before = program()
    dump.after(0, "lower", before, before)
    run_passes(before, pipeline(REQUEST), watched)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names[:2] == ["00-lower.ir", "01-discretize.ir"] and len(names) == 1 + len(pipeline(REQUEST))
    assert (tmp_path / "00-lower.ir").read_text() == show(before) + "\n"


def test_a_pass_that_did_nothing_says_so(tmp_path):
    dump = Dump(frozenset({"discretize"}), tmp_path)
    run_passes(stages()["discretize"], pipeline(Request())[:1], [dump])
    assert (tmp_path / "01-discretize.ir").read_text() == "(unchanged)\n"


def test_a_failing_pass_writes_what_it_was_given(capsys):
    given = stages()["discretize"]
    with pytest.raises(gc.VerifyError, match="broken on purpose") as caught:
        run_passes(given, [Fail()], [Dump(frozenset({"schedule"}))])
    assert capsys.readouterr().err == f"=== 01-fail.failed.ir\n{show(given)}\n"
    assert caught.value.__notes__[0].startswith("in pass 1 'fail', on this program:\nprogram discrete")


def test_only_what_was_asked_for_is_written(capsys):
    run_passes(program(), pipeline(REQUEST), [Dump(frozenset({"fuse"}))])
    titles = [line for line in capsys.readouterr().err.splitlines() if line.startswith("===")]
    assert len(titles) == 1 and titles[0].endswith("-fuse.ir")


def test_a_name_of_nothing_is_refused():
    with pytest.raises(gc.GraphcError, match=r"GRAPHC_DUMP names 'lowr'.*\n  hint: did you mean 'lower'"):
        Dump.from_environment({"GRAPHC_DUMP": "lowr"})
    assert Dump.from_environment({}) is None and Dump.from_environment({"GRAPHC_DUMP": ""}) is None


def test_the_environment_decides_who_observes():
    assert observers_from_environment({}) == ()
    dump, same = observers_from_environment({"GRAPHC_DUMP": "all", "GRAPHC_VERIFY": "2"})
    assert isinstance(dump, Dump) and isinstance(same, SameNumbers)


def test_times_are_kept_per_pass():
    timings = Timings()
    run_passes(program(), pipeline(REQUEST), [timings])
    assert [name for name, _ in timings.times] == [p.name for p in pipeline(REQUEST)]
    assert all(seconds > 0 for _, seconds in timings.times) and " ms  discretize" in str(timings)


SCRIPT = """
import torch, graphc as gc
v, x = gc.state("v"), gc.input("x")
net = gc.Network(dt=1)
net.input("x", 2)
net.population("p", gc.Neuron("N", ode={v: x - v}), 2)
net.connect("x", "p")
net.output("p")
gc.compile(net, target="c").source()
"""


def test_a_process_dumps_everything_in_order(tmp_path):
    environment = {**os.environ, "GRAPHC_DUMP": "all", "GRAPHC_DUMP_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True)
    names = sorted(p.name for p in tmp_path.iterdir())
    last = len(pipeline(Request()))
    kernels = [f"{last + 1:02}-schedule.txt", f"{last + 2:02}-forward.c", f"{last + 3:02}-backward.c"]
    assert names[0] == "00-lower.ir" and names[-3:] == kernels
    assert len(names) == last + 4 and "_BYTES" in (tmp_path / kernels[1]).read_text()
