"""Products that wait for nothing leave the loop; what depends on its own past stays in it."""

import pytest

import graphc as gc
from graphc.ir import Outer, Project, ProjectTransposed, Read, show
from graphc.lower import lower
from graphc.passes.partition import Partition

from .models import small
from .models.gradients import experiment, real
from .models.passes import assert_same_numbers, experiments, until

EXPERIMENTS = experiments()
PRODUCTS = (Project, ProjectTransposed, Outer)


def products(region: object) -> set[str]:
    return {n.result.name for n in region.graph.nodes if isinstance(n, PRODUCTS)}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_partition_keeps_the_numbers(name):
    e = EXPERIMENTS[name]
    assert_same_numbers(e, *until("partition", e))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_partition_text(name, golden):
    golden(show(until("partition", EXPERIMENTS[name])[1]))


def test_partition_twice_is_the_same_object():
    program = until("partition", EXPERIMENTS["recurrent"])[1]
    assert Partition().run(program) is program


def test_only_recurrent_products_stay_in_loops():
    program = until("partition", EXPERIMENTS["recurrent"])[1]
    inside = set().union(*(products(r) for r in program.regions if r.kind in ("steps", "reverse")))
    outside = set().union(*(products(r) for r in program.regions if r.kind == "all_steps"))
    assert inside == {"hid_hid_drive", "d_hid_spike_2_2"}
    assert outside >= {"inp_hid_drive", "hid_out_drive", "d_inp", "d_inp_hid_weight", "d_hid_hid_weight"}


def test_weight_gradient_of_a_recurrence_reads_the_shifted_spikes():
    program = until("partition", EXPERIMENTS["recurrent"])[1]
    (region,) = [r for r in program.regions if "d_hid_hid_weight" in products(r)]
    (read,) = [n for n in region.graph.nodes if isinstance(n, Read)]
    assert read.delay == 2 and region.kind == "all_steps"


def test_loops_of_one_level_share_a_region():
    net = gc.Network(dt=1.0)
    net.input("inp", 3)
    for name in ("left", "right"):
        net.population(name, small.LIF, 2)
        net.connect("inp", name, weight=0.5)
        net.connect(name, name, weight=0.25, delay=1)
        net.output(name)
    e = experiment(lower(net), {"inp": real(12, 2, 3).abs() * 3})
    before, after = until("partition", e)
    assert [r.kind for r in after.regions if not r.backward] == ["once", "all_steps", "steps"]
    assert_same_numbers(e, before, after)


def test_layers_alternate_between_products_and_loops():
    kinds = [r.kind for r in until("partition", EXPERIMENTS["recurrent"])[1].regions if not r.backward]
    assert kinds == ["once", "all_steps", "steps", "all_steps", "steps"]


def test_a_network_without_products_is_one_loop():
    net = gc.Network(dt=1.0)
    net.input("inp", 2)
    net.population("n", small.LEAKY, 2)
    net.connect("inp", "n", weight=0.5, connectivity=gc.OneToOne())
    net.output("n")
    e = experiment(lower(net), {"inp": real(6, 2, 2)})
    before, after = until("partition", e)
    assert [r.kind for r in after.regions] == ["once", "steps", "reverse"]
    assert_same_numbers(e, before, after)
