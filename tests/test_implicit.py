"""Implicit Euler: the elimination, its order of convergence, stiffness, holds, and what it costs the time loop."""

import numpy as np
import pytest
import sympy
import torch
from scipy.integrate import solve_ivp

import graphc as gc
from graphc.certificate.declared import check_declared
from graphc.certificate.recorded import record
from graphc.certificate.reference import Call
from graphc.ir import Map
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes
from graphc.passes.implicit import eliminate

TREE = ((0, 1), (0, 2), (2, 3), (2, 4))  # a soma with two dendrites, one of which branches
LOOP = ((0, 1), (1, 2), (2, 3), (3, 0))


def tissue(edges, count, g=0.7, integrator="implicit_euler", **options):
    """Return compartments with a leak and a cubic, joined by `edges`."""
    v, x = gc.state("v", shape=count), gc.input("x")
    conductance, E = gc.params(g=g, E=0.5)
    rates = [E - s - 0.1 * s**3 for s in v]
    for a, b in edges:
        rates[a] += conductance * (v[b] - v[a])
        rates[b] += 2 * conductance * (v[a] - v[b])
    rates[0] += x
    return gc.Neuron("Tissue", ode={v: rates}, integrator=integrator, **options)


def network(neuron, dt=0.5, **values):
    net = gc.Network(dt=dt)
    net.input("s", 1)
    net.population("n", neuron, 1, **values)
    net.connect("s", "n", weight=1.0)
    net.output(f"n.{neuron.states[0].name.partition('[')[0]}")
    return net


def jacobian(edges, v, g):
    """Return f and df/dv of `tissue`, without its input."""
    f, J = 0.5 - v - 0.1 * v**3, np.diag(-1 - 0.3 * v**2)
    for a, b in edges:
        for i, j, weight in ((a, b, g), (b, a, 2 * g)):
            f[i] += weight * (v[j] - v[i])
            J[i, j] += weight
            J[i, i] -= weight
    return f, J


@pytest.mark.parametrize(("edges", "count"), [(TREE, 5), (LOOP, 4)], ids=["tree", "loop"])
def test_a_step_solves_the_dense_system(edges, count):
    start, x = np.linspace(-1.0, 2.0, count), np.array([0.3, -1.0, 2.0])
    model = gc.compile(network(tissue(edges, count), v=start[None]), target="reference", dtype=torch.float64)
    got = model(torch.tensor(x).reshape(3, 1, 1)).detach().numpy()[:, 0, 0]
    v = start
    for t in range(3):
        f, J = jacobian(edges, v, 0.7)
        f[0] += x[t]
        v = v + np.linalg.solve(np.eye(count) - 0.5 * J, 0.5 * f)
        np.testing.assert_allclose(got[t], v, rtol=1e-13)


def test_leaves_go_first_and_a_tree_has_no_fill_in():
    both = [(a, b) for a, b in TREE] + [(b, a) for a, b in TREE]
    plan = eliminate(both, 5)
    assert not plan.fill and plan.order[0] == 1 and set(plan.order[:3]) == {0, 1, 3}
    assert eliminate([(a, b) for a, b in LOOP] + [(b, a) for a, b in LOOP], 4).fill == {(1, 3), (3, 1)}
    assert not eliminate([(0, 1), (2, 1)], 3).fill  # a state that others read but that reads none


def test_the_loop_of_a_passive_cable_keeps_a_fixed_work_per_compartment():
    work = []
    for count in (3, 6, 12):
        v = gc.state("v", shape=count)
        g = gc.param("g", 2.0, learn=True)
        near = [[v[j] - v[k] for j in (k - 1, k + 1) if 0 <= j < count] for k in range(count)]
        cable = gc.Neuron(
            "Cable", ode={v: [-s + g * sum(n) for s, n in zip(v, near, strict=True)]}, integrator="implicit_euler"
        )
        net = gc.Network(dt=0.1)
        net.population("n", cable, 1)
        net.output("n.v")
        steps = run_passes(lower(net), pipeline(Request())).region("steps").graph
        maps = [node.expr for node in steps.nodes if isinstance(node, Map)]
        assert not any(p.exp.is_negative for e in maps for p in e.atoms(sympy.Pow))  # divisions are in the prologue
        work.append(sum(e.count_ops() for e in maps))
    assert work[2] - work[1] == 2 * (work[1] - work[0])


def test_the_error_falls_with_the_first_power_of_dt():
    neuron = tissue(TREE, 5)
    truth = solve_ivp(lambda t, v: jacobian(TREE, v, 0.7)[0], (0, 2), np.full(5, 2.0), rtol=1e-10, atol=1e-12).y[:, -1]
    errors = []
    for halved in range(4):
        steps = 8 * 2**halved
        model = gc.compile(network(neuron, dt=2 / steps, v=2.0), target="reference", learn=None, dtype=torch.float64)
        errors.append(np.abs(model(torch.zeros(steps, 1, 1, dtype=torch.float64))[-1].numpy() - truth).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (np.abs(orders - 1) < 0.15).all(), orders


def test_a_stiff_coupling_neither_grows_nor_rings():
    start = np.array([[1.0, -1.0, 1.0, -1.0, 1.0]])
    model = gc.compile(network(tissue(TREE, 5, g=1e5), v=start), learn=None, target="reference", dtype=torch.float64)
    v = model(torch.zeros(30, 1, 1, dtype=torch.float64))[:, 0, 0].numpy()
    assert np.ptp(v, axis=1).max() < 1e-4  # after one step of 1e5 time constants the compartments agree
    middle = v.mean(1)
    assert (np.diff(middle) > 0).all() and abs(middle[-1] - 0.4889) < 1e-3  # and go to 0.5 - v - 0.1 v^3 = 0 from below


def test_a_held_state_stands_still_while_the_others_are_solved_without_it():
    v, w, x = *gc.states("v w"), gc.input("x")
    neuron = gc.Neuron(
        "Held",
        ode={v: x + w - v, w: v - w},
        integrator="implicit_euler",
        spike=gc.Spike(v > 1.0),
        reset={v: 0},
        refractory=gc.Refractory(1.0, hold=(v,)),
    )
    net = network(neuron)
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    xs = torch.full((6, 1, 1), 4.0, dtype=torch.float64)
    run = model.run(xs, record=["n.w", "n.spike"])
    after = int(run.records["n.spike"][:, 0, 0].argmax()) + 1
    w0, w1 = run.records["n.w"][after - 1 : after + 1, 0, 0].tolist()
    assert run.output[after, 0, 0] == 0.0
    assert w1 == pytest.approx(w0 / 1.5, rel=1e-14)  # (1 + h) w1 = w0 with v = 0
    assert check_declared(record(model, Call(xs, None, None, None), 6, 1)).ok


def test_explain_and_certificate_name_it():
    model = gc.compile(network(tissue(LOOP, 4)), learn=None, target="reference", dtype=torch.float64)
    text = model.explain()
    assert "n.v[3]: implicit_euler (one linearly implicit step" in text
    assert "8 entries off its diagonal, 2 filled in" in text
    xs = torch.rand(5, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert check_declared(record(model, Call(xs, None, None, None), 5, 2)).ok


def test_a_rule_can_be_integrated_implicitly():
    p, q = gc.states("p q", on="pre")
    rule = gc.Plasticity(
        "Chain",
        ode={p: -p * p, q: p - 10 * q},
        on_pre={p: p + 1},
        update={gc.weight: gc.weight + 0.01 * q},
        integrator="implicit_euler",
    )
    net = network(gc.zoo.LI)
    net.population("d", gc.zoo.LI, 1)
    net.connect("s", "d", plasticity=rule, weight=0.5)
    spikes = [1.0, 0.0, 0.0, 1.0, 0.0]
    xs = torch.tensor(spikes, dtype=torch.float64).reshape(5, 1, 1)
    run = gc.compile(net, learn=None, target="reference", dtype=torch.float64).run(xs, record=["s_d.p", "s_d.q"])
    y = np.zeros(2)
    for t, z in enumerate(spikes):
        y = y + np.array([z, 0.0])
        J = np.array([[-2 * y[0], 0.0], [1.0, -10.0]])
        y = y + np.linalg.solve(np.eye(2) - 0.5 * J, 0.5 * np.array([-(y[0] ** 2), y[0] - 10 * y[1]]))
        got = [run.records[name][t].item() for name in ("s_d.p", "s_d.q")]
        np.testing.assert_allclose(got, y, rtol=1e-13)
