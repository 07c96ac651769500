"""Neurons with compartments against closed forms, the equations of the literature, and what their rules learn."""

import numpy as np
import pytest
import torch
from numpy import cosh, exp, sinh
from scipy.integrate import solve_ivp

import graphc as gc

from .oracles.loops import LOOPS, Population, simulate


@pytest.fixture(autouse=True)
def passes_are_checked_elsewhere(monkeypatch):
    """The tests of the zoo compare the numbers of such networks after every pass."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


def steady_cable(compartments, length=1.5):
    """Return the potential of every part above rest after 100 pA into the first one for 40 time constants."""
    net = gc.Network(dt=20.0)
    net.input("current", 1)
    net.population("cable", gc.zoo.passive_cable(compartments), 1, L=length)
    net.connect("current", "cable", weight=1.0)
    net.output("cable.v")
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    return model(torch.full((40, 1, 1), 100.0, dtype=torch.float64))[-1, 0, 0].numpy() + 70


def test_the_cable_settles_to_the_sealed_end_solution_with_second_order_in_its_parts():
    errors = []
    for compartments in (5, 10):
        middles = (np.arange(compartments) + 0.5) * 1.5 / compartments
        want = 100 / (5 / 1.5) * cosh(1.5 - middles) / sinh(1.5)
        errors.append(np.abs(steady_cable(compartments) / want - 1).max())
    assert errors[0] < 0.02 and np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([2], abs=0.1)


def test_a_cable_has_an_input_to_every_part():
    net = gc.Network(dt=1.0)
    net.input("current", 1)
    net.population("cable", gc.zoo.passive_cable(3, everywhere=True), 1)
    net.connect("current", "cable", target="x[1]", weight=1.0)
    net.output("cable.v")
    v = gc.compile(net, learn=None, target="reference", dtype=torch.float64)(torch.ones(4, 1, 1, dtype=torch.float64))
    assert (v[..., 0] == v[..., 2]).all() and (v[..., 1] > v[..., 0]).all()


def pyramid(t, y, soma, dend):
    """Return the equations of Pinsky and Rinzel (1994), written out once more."""
    u, w, h, n, s, c, q, Ca = y
    m = 0.32 * (13.1 - u) / (exp((13.1 - u) / 4) - 1)
    m = m / (m + 0.28 * (u - 40.1) / (exp((u - 40.1) / 5) - 1))
    I_Ca, axial = 10 * s**2 * (w - 140), 2.1 * (w - u)
    both = 2 * exp((6.5 - w) / 27)
    alpha_c = exp((w - 10) / 11 - (w - 6.5) / 27) / 18.975 if w <= 50 else both
    rates = [
        (h, 0.128 * exp((17 - u) / 18), 4 / (1 + exp((40 - u) / 5))),
        (n, 0.016 * (35.1 - u) / (exp((35.1 - u) / 5) - 1), 0.25 * exp(0.5 - 0.025 * u)),
        (s, 1.6 / (1 + exp(-0.072 * (w - 65))), 0.02 * (w - 51.1) / (exp((w - 51.1) / 5) - 1)),
        (c, alpha_c, both - alpha_c),
        (q, min(2e-5 * Ca, 0.01), 0.001),
    ]
    return [
        (-0.1 * u - 30 * m**2 * h * (u - 120) - 15 * n * (u + 15) + (axial + soma) / 0.5) / 3,
        (-0.1 * w - I_Ca - (0.8 * q + 15 * c * min(Ca / 250, 1)) * (w + 15) + (dend - axial) / 0.5) / 3,
        *(alpha * (1 - gate) - beta * gate for gate, alpha, beta in rates),
        -0.13 * I_Ca - 0.075 * Ca,
    ]


def test_the_loop_of_pinsky_rinzel_converges_to_the_literature_through_a_burst():
    names, start = zip(*LOOPS["PinskyRinzel"].init({}).items(), strict=True)
    run = solve_ivp(pyramid, (0, 8), start, "LSODA", args=(6.0, 2.0), rtol=1e-9, atol=1e-9, dense_output=True)
    assert run.y[0].max() > 60 and run.y[names.index("Ca")].max() > 50  # it spikes, and calcium enters
    distances = []
    for dt in (0.04, 0.02):
        steps = round(8 / dt)
        given = {name: np.full((steps, 1, 1), size) for name, size in (("soma", 6.0), ("dend", 2.0))}
        found = simulate(
            {"cell": Population("PinskyRinzel", 1, {})}, [(n, "cell", n, np.ones(1), 0) for n in given], given, dt
        )["cell"]
        want = run.sol((np.arange(steps) + 1) * dt)
        apart = [np.abs(found[n][:, 0, 0] - w).mean() / np.ptp(w) for n, w in zip(names, want, strict=True)]
        distances.append(apart)
    coarse, fine = np.array(distances)
    assert (fine < 0.02).all() and (np.abs(np.log2(coarse / fine) - 1) < 0.25).all(), distances


def test_magnesium_blocks_what_nmda_receptors_pass_at_rest():
    Mg, rest = np.array([1.0, 0.0, 1.0, 0.0]), np.array([-70.0, -70.0, -55.0, -55.0])
    net = gc.Network(dt=0.25)
    net.input("s", 1)
    net.population("n", gc.zoo.NMDA, 4, Mg=Mg, v=rest, E_L=rest)
    net.connect("s", "n", target="nmda", weight=0.1)
    net.output("n.v")
    spike = torch.zeros(120, 1, 1, dtype=torch.float64)
    spike[0] = 1
    v = gc.compile(net, learn=None, target="reference", dtype=torch.float64)(spike)
    epsp = v.amax(0)[0].numpy() - rest
    assert epsp[::2] / epsp[1::2] == pytest.approx(1 / (1 + 1 / 3.57 * exp(-0.062 * rest[::2])), rel=0.01)


def prediction(eta, seconds):
    """Return the rates of a taught soma, and what its dendrite alone would make of it, over the run."""
    net = gc.Network(dt=1.0)
    for name, size in (("spikes", 20), ("teacher", 1)):
        net.input(name, size)
    net.population("cell", gc.zoo.UrbanczikSenn, 1)
    rule = gc.zoo.DendriticPrediction(eta=eta)
    net.connect("spikes", "cell", target="x", plasticity=rule, weight=0.5, name="learned")
    for target in ("exc", "inh"):
        net.connect("teacher", "cell", target=target, weight=0.3 if target == "exc" else 0.2)
    net.output("cell", "cell.v")
    model = gc.compile(net, learn=None, dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    steps = 1000 * seconds
    spikes = (torch.rand(steps, 1, 20, generator=draw, dtype=torch.float64) < 0.02).double()
    given = {"spikes": spikes, "teacher": torch.ones(steps, 1, 1, dtype=torch.float64)}
    run = model.run(given, record=["learned.weight", "learned.psp", "learned.Delta"])
    alone = 2 / 2.1 * run.output["cell.v"]
    return run, 0.15 / (1 + 0.5 * (5 * (1 - alone)).exp())


def test_dendritic_prediction_is_the_published_update():
    run, phi = prediction(eta=0.05, seconds=1)
    y, psp = run.output["cell"][:, 0, 0].numpy(), run.records["learned.psp"][:, 0, 0].numpy()
    phi = phi[:, 0, 0].numpy()
    psp = np.append(0, psp[:-1])  # as it is before the equations of the step
    error = (y - phi) * 5 * (1 - phi / 0.15) * psp
    delta, weight = 0.0, 0.5
    for t in range(1000):  # exact over the step, with the error of its end held
        keep = exp(-1 / 100)
        gain = 100 * (delta - error[t]) * (1 - keep) + error[t]  # the integral of Delta over the step
        weight += 0.05 * gain
        delta = error[t] + (delta - error[t]) * keep
    assert run.records["learned.Delta"][-1].flatten()[0] == pytest.approx(delta, rel=1e-6)
    assert run.records["learned.weight"][-1].flatten()[0] == pytest.approx(weight, rel=1e-6)


def test_a_dendrite_learns_to_predict_its_soma():
    run, phi = prediction(eta=5.0, seconds=8)
    error = (run.output["cell"] - phi).reshape(8, -1).mean(1)  # per second
    assert error[4:].abs().max() < 0.3 * error[0].abs(), error


def test_the_elm_of_populations_is_the_elm_of_one_neuron():
    single, parts = gc.Network(dt=1.0), gc.Network(dt=1.0)
    for net in (single, parts):
        net.input("x", 2)
    single.population("cell", gc.zoo.ELM, 1)
    for k in range(2):
        single.connect("x", "cell", target=f"x[{k}]", weight=np.eye(2)[:, k : k + 1])
    single.output("cell.m")
    parts.output(gc.zoo.elm(parts, "cell", "x", branches=2, hidden=2, memories=2, tau_m=np.array([3.0, 30.0])))
    p = LOOPS["ELM"].parameters
    A = torch.tensor([[p[f"A_{j}_{k}"] for j in range(2)] for k in range(4)], dtype=torch.float64)
    B = torch.tensor([[p[f"B_{i}_{j}"] for i in range(2)] for j in range(2)], dtype=torch.float64)
    xs = torch.rand(12, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    one, several = (gc.compile(net, target="reference", dtype=torch.float64) for net in (single, parts))
    with torch.no_grad():
        several.x_cell_branch.weight.copy_(torch.eye(2))
        several.cell_branch_cell_hidden.weight.copy_(A[None, :2])
        several.cell_memory_cell_hidden.weight.copy_(A[None, 2:])
        several.cell_hidden_cell_memory.weight.copy_(B[None])
        several.cell_hidden.bias.fill_(0.1)
        several.cell_memory.bias.fill_(0.1)
    a, b = one(xs)[:, :, 0], several(xs)
    torch.testing.assert_close(a, b)
    for y in (a, b):
        y.pow(2).sum().backward()
    torch.testing.assert_close(several.cell_memory_cell_hidden.weight.grad[0, 0, 1], one.cell.A_1_2.grad)


def test_elm_neurons_have_weights_of_their_own_and_learn():
    net = gc.Network(dt=1.0)
    net.input("x", 10)
    memory = gc.zoo.elm(net, "elm", "x", units=3, branches=4, memories=5)
    net.population("out", gc.Neuron("Sum", output=gc.input("y")), 1)
    net.connect(memory, "out")
    net.output("out")
    model = gc.compile(net, target="reference")
    assert model.elm_branch_elm_hidden.weight.shape == (3, 4, 10) and model.elm_memory.tau_m.shape == (15,)
    model(torch.rand(8, 2, 10)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
