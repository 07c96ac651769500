"""Noise: the same bits on every target and in every order, and the statistics of the equations it drives."""

import numpy as np
import pytest
import scipy.linalg
import torch

import graphc as gc

from .oracles import philox

SEED = 2**62 + 12345
v, u = gc.states("v u")
xi, eta = gc.noise("xi"), gc.noise("eta", kind="uniform")
tau, sigma = gc.param("tau", 20.0, learn=True), gc.param("sigma", 0.5, learn=True)
DRAWS = gc.Neuron("Draws", update={v: xi, u: eta})
OU = gc.Neuron("OU", ode={v: -v / tau + sigma * xi})


def network(neuron, size, dt=1.0, names=("v",)):
    net = gc.Network(dt=dt)
    net.population("a", neuron, size)
    for name in names:
        net.output(f"a.{name}")
    return net


def bits(x):
    return x.detach().numpy().astype(np.float32).view(np.uint32)


def test_philox_answers_as_published():
    from graphc.ir.interpret_noise import philox as ours

    zero, ones = torch.tensor([0]), torch.tensor([2**32 - 1])
    assert [int(w) for w in ours(0, 0, zero, zero, 0)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = ours(2**64 - 1, 2**32 - 1, ones, ones, 2**32 - 1)
    assert [int(w) for w in full] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", ["c", "reference"])
def test_every_target_draws_the_same_bits(target, dtype):
    run = gc.compile(network(DRAWS, 37, names="vu"), target=target, dtype=dtype).run(steps=9, batch_size=5, seed=SEED)
    normal, uniform = philox.normals(philox.words(SEED, 9, 5, 37, 0)), philox.uniforms(philox.words(SEED, 9, 5, 37, 1))
    np.testing.assert_allclose(run.output["a.v"], normal, rtol=0, atol=2e-6)
    np.testing.assert_allclose(run.output["a.u"], uniform, rtol=0, atol=1e-7)
    model = gc.compile(network(DRAWS, 37, names="vu"), target="reference")
    want = model.run(steps=9, batch_size=5, seed=SEED).output
    assert all((bits(run.output[n]) == bits(want[n])).all() for n in want)


@pytest.mark.interpret
def test_triton_draws_the_same_bits_in_every_strategy():
    for strategy in ("elementwise", "stepwise"):
        model = gc.compile(network(DRAWS, 37, names="vu"), target="triton", schedule={"strategy": strategy})
        run = model.run(steps=5, batch_size=3, seed=SEED)
        want = gc.compile(network(DRAWS, 37, names="vu"), target="reference").run(steps=5, batch_size=3, seed=SEED)
        assert all((bits(run.output[n]) == bits(want.output[n])).all() for n in want.output)


@pytest.mark.gpu
@pytest.mark.parametrize("strategy", ["elementwise", "stepwise"])
def test_cuda_draws_the_same_bits(strategy):
    want = gc.compile(network(DRAWS, 300, names="vu"), target="reference").run(steps=7, batch_size=33, seed=SEED)
    model = gc.compile(network(DRAWS, 300, names="vu"), target="triton", schedule={"strategy": strategy}).cuda()
    run = model.run(steps=7, batch_size=33, seed=SEED)
    assert all((bits(run.output[n].cpu()) == bits(want.output[n])).all() for n in want.output)


@pytest.mark.parametrize("options", [{}, {"rows": 1}, {"rows": 3, "threads": 2}, {"neurons": 64}])
def test_blocks_of_the_batch_and_of_neurons_do_not_show(options):
    model = gc.compile(network(DRAWS, 130, names="vu"), target="c", schedule=options)
    run = model.run(steps=4, batch_size=5, seed=SEED)
    whole = gc.compile(network(DRAWS, 130, names="vu"), target="reference").run(steps=4, batch_size=5, seed=SEED)
    assert (bits(run.output["a.v"]) == bits(whole.output["a.v"])).all()


def noisy_loop():
    """A recurrent network whose delays let steps go together, with noise in the loop and in its readout."""
    x = gc.input("x")
    cell = gc.Neuron(
        "Cell", ode={v: (-v + sigma * xi) / tau}, receive={v: v + x}, spike=gc.Spike(v > 0.1), reset={v: 0}
    )
    net = gc.Network(dt=1.0)
    net.input("x", 6)
    net.population("a", cell, 8)
    net.population("b", gc.Neuron("Out", ode={v: (-v + x + 0.1 * xi) / tau}), 3)
    net.connect("x", "a", weight=gc.Normal(0, 0.2))
    net.connect("a", "a", delay=4, weight=gc.Normal(0, 0.05))
    net.connect("a", "b")
    net.output("b")
    return net


def trained(seed=3, pieces=(16,), dtype=torch.float64, **options):
    torch.manual_seed(0)
    model = gc.compile(noisy_loop(), dtype=dtype, **options)
    x = torch.rand(16, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)
    outputs, state, spikes = [], None, []
    for piece in x.split(list(pieces)):
        run = model.run(piece, state=state, seed=seed, record=["a.spike"])
        outputs.append(run.output)
        spikes.append(run.records["a.spike"])
        state = run.state
    y, z = torch.cat(outputs), torch.cat(spikes)
    (y * torch.linspace(-1, 1, 3)).sum().backward()
    return y.detach(), z.detach(), [p.grad for p in model.parameters()]


def test_noise_in_a_loop_is_the_same_in_tiles_streams_chunks_and_the_backward_half():
    want = trained(target="reference")
    assert 0.02 < want[1].mean() < 0.8 and all(g.abs().max() > 0 for g in want[2])
    checkpointed = gc.learn.BPTT(checkpoint=7)
    for found in (
        trained(target="c"),
        trained(target="c", schedule={"tile_time": 1}),
        trained(target="c", learn=checkpointed),
        trained(target="c", pieces=(1, 6, 9)),
    ):
        assert (found[1] == want[1]).all()
        torch.testing.assert_close(found[0], want[0], rtol=1e-12, atol=1e-13)
        for a, b in zip(found[2], want[2], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * float(b.abs().max()))
    assert (trained(seed=4, target="c")[1] != want[1]).any()


@pytest.mark.interpret
@pytest.mark.parametrize("strategy", ["resident", "cooperative", "stepwise"])
def test_noise_in_a_loop_is_the_same_on_triton(strategy):
    dtype = torch.float32 if strategy == "cooperative" else torch.float64  # whose products are of single numbers
    close = 1e-4 if strategy == "cooperative" else 1e-12
    want = trained(target="reference", dtype=dtype)
    found = trained(target="triton", dtype=dtype, schedule={"strategy": strategy})
    assert (found[1] == want[1]).all()
    for a, b in zip(found[2], want[2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e3 * close, atol=close * float(b.abs().max()))


def test_traces_are_those_of_the_noise_that_was_drawn():
    want = trained(target="c")[2]
    found = trained(target="c", learn=gc.learn.RTRL(chunk=1))[2]
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * float(b.abs().max()))


def test_a_call_without_a_seed_takes_one_from_torch():
    model = gc.compile(network(OU, 4), target="c")
    torch.manual_seed(5)
    first, second = model.run(steps=3, batch_size=2).output, model.run(steps=3, batch_size=2).output
    torch.manual_seed(5)
    assert (model(steps=3, batch_size=2) == first).all() and (first != second).all()


def test_draws_of_neurons_samples_steps_and_symbols_are_independent():
    xi2 = gc.noise("xi2")
    net = network(gc.Neuron("Two", update={v: xi, u: xi2}), 60, names="vu")
    net.population("b", DRAWS, 60)
    net.output("b.v")
    out = gc.compile(net, target="c").run(steps=50, batch_size=40, seed=1).output
    series = [x.double() for x in out.values()]
    pairs = [(series[0], series[1]), (series[0], series[2])]
    for axis in range(3):
        pairs.append((series[0].narrow(axis, 0, 30), series[0].narrow(axis, 1, 30)))
    for a, b in pairs:
        assert abs(float((a * b).mean())) < 4.5 / a.numel() ** 0.5


# Stochastic equations.


def stationary(neuron, signal, dt, steps, start, seed=7, **values):
    net = gc.Network(dt=dt)
    net.population("a", neuron, 500, **values)
    net.output(f"a.{signal}")
    run = gc.compile(net, target="c", dtype=torch.float64).run(steps=steps, batch_size=4, seed=seed)
    return run.output[start:].detach().numpy().reshape(steps - start, -1)


def assert_variance(found, expected, correlation_steps):
    """Within 4 standard errors; samples of one neuron are correlated over some steps."""
    independent = found.size / max(2 * correlation_steps, 1)
    assert abs(found.var() / expected - 1) < 4 * (2 / independent) ** 0.5
    assert abs(found.mean()) < 4 * (expected / independent) ** 0.5


@pytest.mark.parametrize("dt", [0.5, 20.0, 100.0])
def test_ornstein_uhlenbeck_has_its_variance_at_any_step(dt):
    found = stationary(OU, "v", dt, 400, 200)
    assert_variance(found, 0.5**2 * 20 / 2, 20 / dt)


def test_exact_steps_of_a_chain_have_the_covariance_of_the_solution():
    i = gc.state("i")
    chain = gc.Neuron("Chain", ode={v: (i - v) / 20.0, i: -i / 5.0 + sigma * xi}, integrator="exact")
    a, g = np.array([[-1 / 20, 1 / 20], [0, -1 / 5]]), np.array([[0], [0.5]])
    expected = scipy.linalg.solve_continuous_lyapunov(a, -g @ g.T)
    for dt in (1.0, 15.0):
        net = network(chain, 500, dt, names="vi")
        out = gc.compile(net, target="c", dtype=torch.float64).run(steps=400, batch_size=4, seed=2).output
        v_, i_ = (out[f"a.{n}"][200:].detach().numpy().reshape(-1) for n in "vi")
        error = 4 * (2 * 40 / dt / v_.size) ** 0.5
        np.testing.assert_allclose(np.cov(v_, i_), expected, rtol=2 * error)


def test_two_states_that_move_alike_take_one_draw():
    twins = gc.Neuron("Twins", ode={v: -v / tau + sigma * xi, u: -u / tau + sigma * xi}, integrator="exact")
    out = gc.compile(network(twins, 8, names="vu"), target="c", dtype=torch.float64).run(steps=20, seed=1).output
    torch.testing.assert_close(out["a.v"], out["a.u"])
    assert out["a.v"].abs().max() > 0.1


def test_euler_is_ito_and_heun_is_stratonovich():
    horizon, s = 200, 0.05
    for integrator, expected in (("euler", 0.0), ("heun", s**2 * horizon / 2), ("exponential_euler", 0.0)):
        growth = gc.Neuron("Growth", ode={v: s * v * xi}, init={v: 1.0}, integrator=integrator)
        last = stationary(growth, "v", 1.0, horizon, horizon - 1, seed=1)
        error = 4 * (np.exp(s**2 * horizon) - 1) ** 0.5 / last.size**0.5
        assert abs(np.log(last.mean()) - expected) < 1.5 * error, integrator


def test_exponential_euler_has_the_spread_of_its_step():
    damped = gc.Neuron("Damped", ode={v: -v / tau + sigma * xi}, integrator="exponential_euler")
    a, b = stationary(damped, "v", 20.0, 50, 0), stationary(OU, "v", 20.0, 50, 0)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("target", ["c", "reference"])
def test_a_learned_intensity_has_the_gradient_of_the_path(target):
    model = gc.compile(network(OU, 6), target=target, dtype=torch.float64)
    y = model.run(steps=30, batch_size=2, seed=1).output
    y.sum().backward()
    torch.testing.assert_close(model.a.sigma.grad, (y.sum() / 0.5).detach())  # the path is proportional to sigma
    step, found = 1e-4, []
    for side in (step, -step):
        with torch.no_grad():
            model.a.tau.fill_(20 + side)
        found.append(float(model.run(steps=30, batch_size=2, seed=1).output.detach().sum()))
    torch.testing.assert_close(float(model.a.tau.grad), (found[0] - found[1]) / (2 * step), rtol=1e-6, atol=1e-9)


def test_a_chain_has_the_gradient_of_the_interpreter():
    i = gc.state("i")
    ts = gc.param("ts", 5.0, learn=True)
    chain = gc.Neuron("Chain", ode={v: (i - v) / tau, i: -i / ts + sigma * xi}, integrator="exact")
    grads = []
    for target in ("c", "reference"):
        model = gc.compile(network(chain, 3), target=target, dtype=torch.float64)
        model.run(steps=20, batch_size=2, seed=1).output.square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=0)
        assert b.abs() > 0


def test_a_certificate_covers_noise_where_it_can():
    text = str(gc.compile(network(OU, 4), target="c").verify(steps=20, batch_size=2))
    assert text.endswith("certificate: ok")


# Noise of synapses.


def releasing(connectivity, target, delay=0):
    x = gc.input("x")
    net = gc.Network(dt=1.0)
    net.input("x", 12)
    net.population("h", gc.Neuron("N", update={v: x}), 7)
    release = gc.weight * gc.pre() * gc.where(eta < 0.3, 1, 0)
    net.connect("x", "h", connectivity=connectivity, delay=delay, transmit=release, weight=gc.Normal(1, 0.1))
    net.output("h.v")
    torch.manual_seed(0)
    return gc.compile(net, target=target, dtype=torch.float64)


@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("target", ["c", "reference"])
def test_every_synapse_draws_whether_it_releases(target, delay):
    sent = torch.rand(30, 4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    model = releasing(gc.Dense(), target, delay)
    y = model.run(sent, seed=SEED).output
    y.sum().backward()
    arriving = np.concatenate([np.zeros((delay, 4, 12)), sent.detach().numpy()])[:30]
    open_ = philox.uniforms(philox.words(SEED, 30, 4, 12 * 7, 0)).reshape(30, 4, 12, 7) < 0.3
    released = arriving[..., None] * open_
    want = (released * model.x_h.weight.detach().numpy()).sum(2)
    np.testing.assert_allclose(y.detach(), want, rtol=1e-12)
    np.testing.assert_allclose(model.x_h.weight.grad, released.sum((0, 1)), rtol=1e-12)
    assert 0.25 < open_.mean() < 0.35


def test_listed_synapses_draw_by_their_place_in_the_list():
    found = []
    for target in ("c", "reference"):
        model = releasing(gc.Sparse(0.5, seed=1, layout="list"), target)
        y = model.run(torch.ones(30, 4, 12, dtype=torch.float64), seed=SEED).output
        y.square().sum().backward()
        found.append((y.detach(), model.x_h.weight.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    assert 0.2 < found[0][0].mean() / 6 < 0.4


# What is refused.


def square():
    return gc.Neuron("N", ode={v: xi**2})


def runge_kutta():
    return gc.Neuron("N", ode={v: -v + xi}, integrator="rk4")


def uniform_rate():
    return gc.Neuron("N", ode={v: eta})


def unknown_kind():
    return gc.noise("z", kind="gamma")


def initial():
    return gc.Neuron("N", ode={v: -v}, init={v: xi})


def clash():
    return gc.Neuron("N", ode={v: -v + gc.noise("v")})


def units():
    from graphc.units import ms, mV

    return gc.Neuron("N", ode={v: (-v + 3 * mV * xi) / (10 * ms)}, init={v: 1 * mV})


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (square, "is not linear in the white noise 'xi'"),
        (runge_kutta, "stochastic equation, which rk4"),
        (uniform_rate, "uniform draw"),
        (unknown_kind, "kind='gamma'"),
        (initial, "reads 'xi'"),
        (clash, "uses 'v' as"),
        (units, "voltage"),
    ],
)
def test_wrong_noise_is_refused(declare, message):
    with pytest.raises(gc.DeclarationError, match=message):
        declare()


def test_noise_with_units_has_that_of_an_inverse_root_of_time():
    from graphc.units import ms, mV

    s, tm = gc.params(s=3 * mV, tm=10 * ms)
    neuron = gc.Neuron("N", ode={v: -v / tm + s * (2 / tm) ** 0.5 * xi})
    assert neuron.dimensions["v"].unit == "mV"


@pytest.mark.parametrize("seed", [True, 1.5, "a"])
def test_a_seed_is_an_int(seed):
    with pytest.raises(gc.GraphcError, match="no int"):
        gc.compile(network(OU, 2), target="reference").run(steps=1, seed=seed)
