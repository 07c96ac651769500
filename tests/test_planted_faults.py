"""A fault that is planted in a kernel, in lowering, in a pass or in a solver is found, and its place is named."""

from dataclasses import replace

import pytest
import torch

import graphc as gc
from graphc.certificate import certify
from graphc.certificate.convergence import check_convergence
from graphc.certificate.declared import check_declared
from graphc.certificate.derivative import check_derivative
from graphc.certificate.learning import check_learning
from graphc.certificate.recorded import record
from graphc.certificate.reference import Call, observed
from graphc.ir import Carry, Program, Read, Reset
from graphc.ir.errors import GraphcWarning
from graphc.lower import Lowering
from graphc.lower_population import PopulationStep
from graphc.passes import solvers
from graphc.passes.adjoint import Adjoint
from graphc.passes.delays import Delays
from graphc.passes.localize import Localize
from graphc.passes.simplify import Simplify
from graphc.runtime.override import override_name

from .models.planted import compiled, network, recorded, spikes, v, w


def failed(certificate):
    return {(row.what, row.about) for row in certificate.rows if not row.ok}


def verified(model, called=False):
    inputs = spikes(model.dtype)
    return certify(model, model._compiler, inputs, None, None, called=called)


RECORDS = observed(network())


def plant(folder, half, right, wrong, records=RECORDS):
    """Write the kernels of `half` with one expression replaced, under the name of this text alone."""
    model = compiled()
    inputs = spikes().requires_grad_()
    if records:
        model.run(inputs, record=records)
    else:
        model(inputs)
    build = model.last_build()
    text = build.texts[half]
    assert text.count(right) == 1, text
    (folder / override_name(build.schedule, half, text)).write_text(text.replace(right, wrong))


def test_without_a_fault_every_check_passes():
    run = recorded()
    for certificate in (check_declared(run), check_convergence(run), check_derivative(run), check_learning(run)):
        assert certificate.ok and any(row.applies for row in certificate.rows), str(certificate)
    assert reference().ok and verified(compiled(), called=True).ok


# --- in an emitted kernel --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong", "quantity"),
    [
        ("= hid_w_4 + 0.25f*hid_v_2_2;", "= hid_w_4 - 0.25f*hid_v_2_2;", "hid.w at"),
        ("= hid_v + hid_x;", "= hid_v - hid_x;", "hid.v@threshold at step 0"),
    ],
)
def test_a_wrong_sign_in_a_forward_kernel_is_named(right, wrong, quantity, tmp_path, monkeypatch):
    plant(tmp_path, "forward", right, wrong)
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(tmp_path))
    with pytest.warns(GraphcWarning, match="runs in place of the generated forward kernels"):
        certificate = verified(compiled())
    assert not certificate.ok and certificate.fault.startswith(quantity), str(certificate)
    assert not any(about.startswith("hid.x") for what, about in failed(certificate) if what == "values")


def test_a_wrong_sign_in_a_backward_kernel_fails_in_the_gradients_that_it_reaches(tmp_path, monkeypatch):
    plant(tmp_path, "backward", "= 0.25f*d_hid_w_reset;", "= -0.25f*d_hid_w_reset;")
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(tmp_path))
    with pytest.warns(GraphcWarning, match="backward"):
        certificate = verified(compiled())
    reached = {"hid.tau", "x_hid.weight", "hid_hid.weight", "x"}
    assert failed(certificate) == {("gradient", name) for name in reached}
    assert certificate.first.startswith("gradient of hid.tau")


def test_a_fault_in_the_kernels_of_a_plain_call_is_named(tmp_path, monkeypatch):
    plant(tmp_path, "forward", "= hid_w_4 + 0.25f*hid_v_2_2;", "= hid_w_4 - 0.25f*hid_v_2_2;", records=())
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(tmp_path))
    with pytest.warns(GraphcWarning, match="forward"):
        certificate = verified(compiled(), called=True)
    assert failed(certificate) == {("as called", "out.output")}
    assert "out.output at step" in certificate.first


def test_kernels_that_take_other_arguments_are_left_out(tmp_path, monkeypatch):
    plant(tmp_path, "forward", "= hid_v + hid_x;", "= hid_v - hid_x;", records=())
    (written,) = tmp_path.iterdir()
    written.rename(tmp_path / "forward.c")
    monkeypatch.setenv("GRAPHC_OVERRIDE", str(tmp_path))
    with pytest.warns(GraphcWarning, match=r"forward\.c is left out: its kernels take other arguments"):
        assert verified(compiled()).ok


# --- in lowering, which the reference shares -------------------------------------------------------------------------


def test_a_reset_that_reads_what_it_has_changed_is_named(monkeypatch):
    right = PopulationStep._reset

    def swapped(self, threshold, z):
        new = right(self, threshold, z)
        if v in new:
            new |= {w: right(self, {**threshold, v: new[v]}, z)[w]}
        return new

    monkeypatch.setattr(PopulationStep, "_reset", swapped)
    certificate = check_declared(recorded())
    assert failed(certificate) == {("declared", "hid.w")}
    assert certificate.fault.startswith("hid.w at step")


def test_a_wrong_delay_in_lowering_is_named(monkeypatch):
    right = Lowering.signal
    monkeypatch.setattr(Lowering, "signal", lambda self, o, n, steps: right(self, o, n, steps + (steps > 0)))
    certificate = check_declared(recorded())
    assert failed(certificate) == {("declared", "hid.x")}
    assert certificate.fault.startswith("hid.x at step")


# --- in a pass -------------------------------------------------------------------------------------------------------


def patched(monkeypatch, kind, change):
    """Let a pass hand what it returns to `change`."""
    right = kind.run

    def run(self, program: Program) -> Program:
        done = right(self, program)
        regions = [change(r) for r in done.regions]
        return done.with_regions(regions)

    monkeypatch.setattr(kind, "run", run)


def reference():
    return verified(compiled(target="reference", dtype=torch.float64))


def test_a_reset_in_the_wrong_order_in_a_pass_is_named(monkeypatch):
    def swap(region):
        """Let the jump of w read v after its own jump."""
        graph = region.graph
        jumps = {n.operands[0]: n.result for n in graph.nodes if isinstance(n, Reset) and n.result.name == "hid_v_4"}
        nodes = [n.substitute(jumps) if n.result.name == "hid_w_reset" else n for n in graph.nodes]
        return replace(region, graph=graph.with_nodes(nodes)) if region.kind == "steps" and jumps else region

    patched(monkeypatch, Simplify, swap)
    certificate = reference()
    assert certificate.fault.startswith("hid.w at step"), str(certificate)


def test_a_wrong_delay_in_a_pass_is_named(monkeypatch):
    def late(region):
        nodes = [replace(n, delay=1) if isinstance(n, Read) else n for n in region.graph.nodes]
        return replace(region, graph=region.graph.with_nodes(nodes)) if region.kind == "steps" else region

    patched(monkeypatch, Delays, late)
    certificate = reference()
    assert certificate.fault.startswith("hid.x at step"), str(certificate)


def test_a_missing_term_of_the_adjoint_is_named(monkeypatch):
    def forget(region):
        def kept(c: Carry) -> Carry:
            return replace(c, next=c.current) if c.current.name.startswith("d_hid_w") else c

        if region.kind != "reverse":
            return region
        return replace(region, graph=replace(region.graph, carries=tuple(kept(c) for c in region.graph.carries)))

    patched(monkeypatch, Adjoint, forget)
    reached = {"hid.tau", "x_hid.weight", "hid_hid.weight", "x"}
    certificate = reference()
    assert failed(certificate) == {("gradient", name) for name in reached}
    derivative = check_derivative(recorded())
    assert {about for what, about in failed(derivative) if what == "dot product"} == reached
    assert derivative.first.startswith("dot product of hid.tau")


# --- in a solver or a rule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("integrator", "order"), [("heun", 2), ("rk4", 4)])
def test_an_integrator_of_lower_order_is_named(integrator, order, monkeypatch):
    neuron = gc.Neuron("N", ode={v: w - v**3, w: -v}, integrator=integrator, init={v: 0.5, w: 1.0})
    net = gc.Network(dt=0.1)
    net.population("n", neuron, 2)
    net.output("n")
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)

    def measured():
        return check_convergence(record(model, Call(None, None, 10, 1), 10, 1))

    assert measured().ok
    right = solvers._moved
    monkeypatch.setattr(solvers, "_moved", lambda p, slope, h, *rest: right(p, slope, 0.9 * h, *rest))
    certificate = measured()
    assert failed(certificate) == {("order", "n.v"), ("order", "n.w")}
    assert f"promises {order}" in certificate.first and certificate.first.startswith("order of n.v")


def test_a_rule_that_lets_another_neurons_past_through_is_named(monkeypatch):
    right = Localize.run

    def leaky(self, program):
        return replace(program, notes=right(self, program).notes)

    monkeypatch.setattr(Localize, "run", leaky)
    rows = failed(check_learning(recorded()))
    assert ("P2 block-diagonal = BPTT, pasts detached", "x_hid.weight") in rows
