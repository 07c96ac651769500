"""What the zoo makes of several populations, and what streams: gates, Dale's law, gap junctions, FORCE."""

import math

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.units import ms

T, B, K, N = 12, 3, 4, 5


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(make, dtype=torch.float64) -> gc.Model:
    net = gc.Network(dt=1.0)
    net.input("x", K)
    make(net, "hid", N, "x")
    net.output("hid")
    return gc.compile(net, target="c", dtype=dtype)


def set_weights(model: gc.Model, values: dict[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_gru_is_that_of_torch_and_so_are_its_gradients(dtype, tolerance):
    torch.manual_seed(0)
    theirs, ours = torch.nn.GRU(K, N, dtype=dtype), layer(gc.zoo.gru, dtype)
    w_i, w_h = theirs.weight_ih_l0.chunk(3), theirs.weight_hh_l0.chunk(3)
    b_i, b_h = theirs.bias_ih_l0.chunk(3), theirs.bias_hh_l0.chunk(3)
    values = {f"x_hid_{gate}.weight": w.T for gate, w in zip("rzc", w_i, strict=True)}
    values |= {f"hid_hid_{gate}.weight": w.T for gate, w in zip(("r", "z", "c_rec"), w_h, strict=True)}
    values |= {"hid.b_r": b_i[0] + b_h[0], "hid.b_z": b_i[1] + b_h[1], "hid.b_c": b_i[2], "hid.b_rec": b_h[2]}
    set_weights(ours, values)
    x, weighting = noise(T, B, K).to(dtype), noise(T, B, N, seed=1).to(dtype)
    y, wanted = ours(x), theirs(x)[0]
    torch.testing.assert_close(y, wanted, rtol=0, atol=tolerance)
    (y * weighting).sum().backward()
    (wanted * weighting).sum().backward()
    found = torch.cat([ours.hid_hid_r.weight.grad.T, ours.hid_hid_z.weight.grad.T, ours.hid_hid_c_rec.weight.grad.T])
    torch.testing.assert_close(found, theirs.weight_hh_l0.grad, rtol=0, atol=30 * tolerance)
    torch.testing.assert_close(ours.hid.b_rec.grad, theirs.bias_hh_l0.grad[2 * N :], rtol=0, atol=30 * tolerance)


def test_minimal_gated_unit_is_its_equations_and_so_are_its_gradients():
    model = layer(gc.zoo.minimal_gated)
    names = {"x_hid_gate_f": (K, N), "x_hid_candidate": (K, N)}
    names |= {"hid_hid_gate_f": (N, N), "hid_gate_hid_candidate": (N, N)}
    values = {f"{name}.weight": noise(*shape, seed=s) for s, (name, shape) in enumerate(names.items())}
    values |= {"hid_gate.b_f": noise(N, seed=5), "hid.b_h": noise(N, seed=6)}
    set_weights(model, values)
    W_f, W_h, U_f, U_h, b_f, b_h = (v.clone().requires_grad_() for v in values.values())
    x, h, wanted = noise(T, B, K, seed=7), torch.zeros(B, N, dtype=torch.float64), []
    for now in x:
        f = torch.sigmoid(now @ W_f + h @ U_f + b_f)
        h = (1 - f) * h + f * torch.tanh(now @ W_h + (f * h) @ U_h + b_h)
        wanted.append(h)
    y = model(x)
    torch.testing.assert_close(y, torch.stack(wanted), rtol=0, atol=1e-10)
    (y**2).sum().backward()
    (torch.stack(wanted) ** 2).sum().backward()
    torch.testing.assert_close(model.hid_gate_hid_candidate.weight.grad, U_h.grad, rtol=0, atol=1e-9)
    torch.testing.assert_close(model.hid_gate.b_f.grad, b_f.grad, rtol=0, atol=1e-9)


def dale_network(inhibition: str) -> gc.Model:
    net = gc.Network(dt=1 * ms)
    net.input("x", K)
    gc.zoo.dale(net, "layer", 6, 2, "x", inhibition)
    net.output("layer_e")
    torch.manual_seed(0)
    return gc.compile(net, target="c", dtype=torch.float64)


@pytest.mark.parametrize("inhibition", ["subtractive", "divisive"])
def test_dales_law_survives_training(inhibition):
    model, x = dale_network(inhibition), noise(30, B, K).abs()
    optimiser = torch.optim.SGD(model.parameters(), lr=3.0)
    before = model.x_layer_e_exc.weight.detach().clone()
    for _ in range(5):
        optimiser.zero_grad()
        (model(x) - 0.1).pow(2).mean().backward()
        optimiser.step()
    assert (model.x_layer_e_exc.weight - before).abs().max() > 0.05
    weights = [w for name, w in ((n, getattr(model, n).weight) for n in connections(model)) if w is not None]
    assert len(weights) == 6 and all((w >= 0).all() for w in weights)


def connections(model: gc.Model) -> list[str]:
    return [name for name, module in model.named_children() if hasattr(module, "weight")]


def test_subtraction_shifts_the_response_and_division_scales_it():
    def steady(**drive: float) -> float:
        net = gc.Network(dt=1 * ms)
        for name in ("exc", "inh", "shunt"):
            net.input(name, 1)
        net.population("unit", gc.zoo.DaleRate, 1)
        for name in ("exc", "inh", "shunt"):
            net.connect(name, "unit", target=name, weight=1.0, learn=False)
        net.output("unit")
        model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
        given = {n: torch.full((200, 1, 1), drive.get(n, 0.0), dtype=torch.float64) for n in ("exc", "inh", "shunt")}
        return float(model(given)[-1])

    plain, shifted, scaled = (
        [steady(exc=x, **more) for x in (1.0, 2.0, 4.0)] for more in ({}, {"inh": 0.5}, {"shunt": 1.0})
    )
    np.testing.assert_allclose(shifted, np.array(plain) - 0.5, rtol=1e-6)
    np.testing.assert_allclose(scaled, np.array(plain) / 2, rtol=1e-6)


def test_gap_junctions_pull_potentials_together_and_keep_their_sum():
    v, x = gc.state("v"), gc.input("x")
    cell = gc.Neuron("Cell", update={v: v + x})
    net = gc.Network(dt=1.0)
    net.population("a", cell, 2, v=np.array([1.0, 3.0]))
    net.population("b", cell, 3, v=np.array([0.0, -1.0, 2.0]))
    g = np.array([[0.1, 0.0, 0.2], [0.05, 0.1, 0.0]])
    gc.zoo.gap_junction(net, "a", "b", g)
    gc.zoo.gap_junction(net, "a", "a", np.array([[0.0, 0.1], [0.1, 0.0]]))
    net.output("a", "b")
    out = gc.compile(net, learn=None, target="c", dtype=torch.float64).run(steps=200).output
    both, wanted = torch.cat([out["a"], out["b"]], dim=2)[:, 0], np.array([1.0, 3.0, 0.0, -1.0, 2.0])
    G = np.zeros((5, 5))
    G[:2, 2:], G[2:, :2], G[0, 1], G[1, 0] = g, g.T, 0.1, 0.1
    for found in both.numpy():
        wanted = wanted + G.T @ wanted - G.sum(0) * wanted
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert found.sum() == pytest.approx(5.0) and np.ptp(found) < 0.05


@pytest.mark.parametrize("conductance", [gc.Uniform(0.0, 1.0), np.array([[0.0, 0.1], [0.2, 0.0]])])
def test_a_gap_junction_that_conducts_one_way_is_refused(conductance):
    net = gc.Network(dt=1.0)
    net.population("a", gc.zoo.LIF, 2)
    with pytest.raises(gc.DeclarationError, match="conductance"):
        gc.zoo.gap_junction(net, "a", "a", conductance)


def test_force_learns_a_sine_that_goes_on_without_it():
    units, period = 100, 100
    draw = np.random.default_rng(1)
    net = gc.Network(dt=1 * ms)
    net.population("hid", gc.zoo.CTRNN, units, v=draw.normal(0, 0.5, units))
    net.population("out", gc.Neuron("Readout", output=gc.input("y")), 1)
    recurrent = 1.5 * draw.normal(0, 1, (units, units)) / math.sqrt(units)
    net.connect("hid", "hid", weight=recurrent, delay=1, learn=False)
    net.connect("out", "hid", weight=draw.uniform(-1, 1, (1, units)), delay=1, learn=False)
    net.connect("hid", "out", weight=np.zeros((units, 1)), learn=False)
    net.output("hid", "out")
    model = gc.compile(net, learn=None, target="c", dtype=torch.float64)
    wanted = torch.sin(2 * math.pi * torch.arange(2300, dtype=torch.float64) / period)[:, None]
    found, state = gc.zoo.force(model, wanted[:2000], "hid", "out")
    untaught = float((found[:20] - wanted[:20]).abs().mean())
    alone = model.run(steps=300, batch_size=1, state=state).output["out"][:, 0]
    assert float((alone - wanted[2000:]).abs().mean()) < 0.05 < untaught


def test_synaptic_intelligence_is_the_loss_that_each_parameter_took_away():
    """With small steps the path integral of a quadratic loss is its decrease, parameter by parameter."""
    a, b = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.5]).double()
    parameters = {"a": a.requires_grad_(), "b": b.requires_grad_()}
    keeper = gc.zoo.SynapticIntelligence(parameters, strength=0.5, damping=0.1)
    optimiser = torch.optim.SGD(parameters.values(), lr=5e-3)

    def loss() -> torch.Tensor:
        return (a[0] - 1) ** 2 + 0 * a[1] + 3 * (b[0] - 1) ** 2

    for _ in range(600):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        keeper.measure()
    keeper.consolidate()
    wanted = {"a": [1.0 / (1.0 + 0.1), 0.0], "b": [0.75 / (0.25 + 0.1)]}
    for name, importance in keeper.importance.items():
        np.testing.assert_allclose(importance, wanted[name], rtol=0.03, atol=1e-12)
    assert float(keeper.penalty().detach()) == 0
    with torch.no_grad():
        a += 2
    penalty = keeper.penalty()
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(0.5 * 4 * wanted["a"][0], rel=0.03)
