"""A step is cut where neurons hear of each other: phases, and the parts that are launched one after the other."""

import random
import re
from dataclasses import dataclass, field

import pytest

import graphc as gc
from graphc.ir import DeviceSpec, Kernel, Project, ProjectTransposed, Read, Schedule, Value, show
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes, schedule
from graphc.passes.launches import launch_count, launches_in_words

from .oracles.networks import build

H200 = DeviceSpec("cuda", 90, 132, 232448, cooperative=True)
PRODUCTS = (Project, ProjectTransposed)


def plan(network: gc.Network, strategy: str = "stepwise", precision: str = "float32", **tuned: int) -> Schedule:
    program = lower(network)
    wrt = frozenset([p.name for p in program.parameters if p.learn] + [t.name for t in program.inputs])
    program = run_passes(program, pipeline(Request(wrt=wrt, final=True)))
    return schedule(program, H200, "float32", "triton", {"strategy": strategy, **tuned}, precision)


def stepwise(network: gc.Network, precision: str = "float32") -> list[Kernel]:
    return [k for k in plan(network, precision=precision).kernels if k.strategy == "stepwise"]


def recurrent(delay: int) -> gc.Network:
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    net.population("hid", gc.zoo.CuBaLIF, 4)
    net.connect("x", "hid")
    net.connect("hid", "hid", delay=delay)
    net.output("hid")
    return net


def drawn(seed: int) -> gc.Network:
    """Return a network of up to three populations with random connections; those without delay go forward."""
    rng, net = random.Random(seed), gc.Network(dt=1.0)
    net.input("x", 3)
    names = ["a", "b", "c"][: rng.randint(1, 3)]
    for name in names:
        net.population(name, rng.choice([gc.zoo.LIF, gc.zoo.ALIF, gc.zoo.LI, gc.zoo.CTRNN]), 4)
    for number, name in enumerate(names):
        net.connect("x", name, delay=rng.choice([0, 0, 2]))
        for other in names:
            least = 0 if other in names[:number] else 1
            loop = other == name == names[0]
            if loop or rng.random() < 0.6:
                pattern = gc.Dense() if loop else rng.choice([gc.Dense(), gc.Dense(), gc.OneToOne()])
                net.connect(other, name, connectivity=pattern, delay=rng.randint(least, 4))
    net.output(names[-1])
    return net


@dataclass
class Meaning:
    """What every value of a time loop is, by name: of which step, of which tensor, of which computation."""

    kernel: Kernel
    carried: dict = field(init=False)
    inputs: dict = field(init=False)
    nodes: dict = field(init=False)

    def __post_init__(self) -> None:
        graph = self.kernel.graph
        self.carried = {c.current: c for c in graph.carries}
        self.inputs = {i.value: i for i in graph.inputs}
        self.nodes = {n.result: n for n in graph.nodes}

    def of(self, value: Value, step: int) -> tuple:
        if value in self.carried:
            carry = self.carried[value]
            return self.of(carry.next, step - 1) if step else ("tensor", carry.init, None)
        node = self.nodes.get(value)
        return self.earlier(node.history, node.delay, step) if isinstance(node, Read) else self.made(value, step)

    def earlier(self, name: str, delay: int, step: int) -> tuple:
        history = self.kernel.graph.history(name)
        if step >= delay:
            return self.of(history.value, step - delay)
        return ("tensor", history.init, history.depth + step - delay if history.init else None)

    def made(self, value: Value, step: int) -> tuple:
        entry = self.inputs.get(value)
        return ("fixed", value) if entry and entry.kind == "fixed" else ("value", value, step)


def run_parts(kernel: Kernel, steps: int = 7) -> None:
    """Follow what stands in every buffer through some steps: each part has to find and to leave what the loop means."""
    meaning = Meaning(kernel)
    held = {b.name: ("tensor", b.init, b.row) for b in kernel.buffers}
    wanted = {o.name: o.value for o in kernel.graph.outputs}
    for step in range(steps):
        written = []
        for part in kernel.parts:
            made = {n.result for n in part.graph.nodes}
            for i in part.graph.inputs:
                if i.kind == "step":
                    assert held[i.source] == meaning.of(i.value, step), (part.name, i.source, step)
                else:
                    assert i is meaning.inputs[i.value]
            given = {i.value for i in part.graph.inputs}
            for node in part.graph.nodes:
                assert given.issuperset(node.operands), (part.name, node)
                given.add(node.result)
            for o in part.graph.outputs:
                reads = {n.result: n for n in part.graph.nodes if isinstance(n, Read)}
                node = reads.get(o.value)
                found = meaning.earlier(node.history, node.delay, step) if node else meaning.of(o.value, step)
                assert o.value in given or o.value in made
                if o.kind == "sequence":
                    written.append(o.name)
                    assert found == meaning.of(wanted[o.name], step)
                else:
                    held[o.name] = found
        assert sorted(written) == sorted(wanted)
    finals = {c.final: meaning.of(c.next, steps - 1) for c in kernel.graph.carries if c.final}
    ends = {b.final: held[b.name] for b in kernel.buffers if b.final}
    finals |= {h.final: meaning.of(h.value, steps - 1) for h in kernel.graph.histories if h.final in ends}
    assert ends == finals


def test_parts_of_layers(golden):
    kernels = stepwise(build("CuBaLIF", "layers").network)
    text = "\n\n".join("\n".join(show(p.graph) for p in k.parts) for k in kernels)
    golden(re.sub(r"  # .*", "", text))


@pytest.mark.parametrize("topology", ["recurrent", "delays", "layers"])
@pytest.mark.parametrize("name", ["LIF", "CoBaLIF", "CTRNN"])
def test_parts_find_what_the_loop_means(name, topology):
    for precision in ("float32", "bfloat16"):
        kernels = stepwise(build(name, topology).network, precision)
        assert {k.backward for k in kernels} == {False, True}
        for kernel in kernels:
            run_parts(kernel)


@pytest.mark.parametrize("seed", range(12))
def test_parts_of_drawn_networks_find_what_the_loop_means(seed):
    kernels = stepwise(drawn(seed), ["float32", "float16"][seed % 2])
    assert kernels
    for kernel in kernels:
        run_parts(kernel)


def test_a_part_that_writes_too_early_is_noticed():
    kernel = stepwise(build("LIF", "layers").network)[0]
    moved = Kernel(**{f: getattr(kernel, f) for f in kernel.__slots__} | {"parts": kernel.parts[1:] + kernel.parts[:1]})
    with pytest.raises(AssertionError, match="forward"):
        run_parts(moved)


@pytest.mark.parametrize("delay", [1, 2, 5])
def test_a_spike_that_only_products_read_needs_rows_from_delay_two_on(delay):
    forward, _ = stepwise(recurrent(delay))
    assert [h.depth for p in forward.parts for h in p.graph.histories] == [delay] * (delay > 1)


def test_what_a_product_made_a_step_ago_is_read_where_it_stands():
    _, backward = stepwise(recurrent(1))
    assert [p.kind for p in backward.parts] == ["reverse", "product"]
    (kept,) = [b for b in backward.buffers if b.final]
    assert kept.init.startswith("d(hid.spike@history)") and kept.final.startswith("d(hid.spike@history)")


def test_a_state_is_written_by_the_last_part_that_reads_what_it_was():
    kernel = stepwise(build("LIF", "layers").network)[1]
    first, last = ([o.name for o in p.graph.outputs] for p in kernel.parts[:: len(kernel.parts) - 1])
    assert "step d(top.v)" in first and "step d(top.v)" not in last


def test_histories_of_parts_have_no_tensors():
    for kernel in stepwise(build("LIF", "delays").network):
        histories = [h for p in kernel.parts for h in p.graph.histories]
        assert histories and all(h.init is None and h.final is None for h in histories)


def test_every_state_is_checked_by_one_part():
    for topology in ("recurrent", "layers", "delays"):
        for kernel in stepwise(build("ALIF", topology).network):
            checked = sorted(name for part in kernel.parts for _, name in part.checks)
            assert checked == sorted(name for _, name in kernel.checks) and checked


def test_launches_depend_on_the_steps_only_where_a_step_is_launched():
    for strategy, per_step in (("stepwise", 3), ("cooperative", 0)):
        made = plan(recurrent(1), strategy, columns=16)
        calls = len([k for k in made.half(False) if k.strategy != "stepwise"])
        assert [launch_count(made, False, steps) for steps in (1, 10)] == [calls + per_step, calls + 10 * per_step]
        words = f"launches: forward {calls} per call" + f" and {per_step} per step" * (per_step > 0)
        assert launches_in_words(made).startswith(words)


def test_a_cooperative_loop_is_launched_as_often_as_its_samples_need():
    made = plan(recurrent(1), "cooperative", rows=16, columns=16)
    one = launch_count(made, False, 10)
    assert [launch_count(made, False, 10, batch, 3) - one for batch in (16, 48, 49, 96, 97)] == [0, 0, 1, 1, 2]


def test_products_stand_before_the_neurons_that_read_them():
    forward = stepwise(build("LIF", "layers").network)[0]
    assert [p.kind for p in forward.parts] == ["product", "steps", "product", "steps"]
    (cooperative,) = [k for k in plan(build("LIF", "layers").network, "cooperative").half(False) if k.phases]
    for phase in cooperative.phases:
        assert all(isinstance(n, PRODUCTS) for n in phase.products)
        assert not any(isinstance(n, PRODUCTS) for n in phase.nodes)
    assert [len(p.products) for p in cooperative.phases] == [1, 1]


@pytest.mark.parametrize("topology", ["recurrent", "delays", "layers"])
def test_phases_compute_every_node_once_and_after_its_operands(topology):
    network = build("ALIF", topology).network
    for kernel in [k for k in plan(network, "cooperative").kernels if k.phases]:
        known = set(kernel.graph.arguments)
        order = [n for phase in kernel.phases for n in (*phase.products, *phase.nodes)]
        assert sorted(map(id, order)) == sorted(map(id, kernel.graph.nodes))
        for phase in kernel.phases:
            reads = {n.result for n in phase.nodes if isinstance(n, Read)}
            assert all(known | reads >= set(n.operands) for n in phase.products)
            known |= {n.result for n in phase.products}
            for node in phase.nodes:
                assert known.issuperset(node.operands)
                known.add(node.result)
