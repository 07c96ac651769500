"""Learning rules do what an event-driven NumPy computation does, on the reference and in C."""

import numpy as np
import pytest
import torch

import graphc as gc
from tests.models.plasticity import MASK, POST, PRE, B, T, compiled, spikes, times, told
from tests.oracles import plasticity as oracle


@pytest.fixture(autouse=True)
def passes_are_compared_once(monkeypatch):
    """Leave the comparison of numbers before and after every pass to the tests of gradients."""
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


TARGETS = pytest.mark.parametrize("target", ["reference", "c"])
xp, yp = gc.states("xp yp", on="pre")
xq, yq = gc.states("xq yq", on="post")
e = gc.state("e", on="synapse")
w = gc.weight
X = {"pre": spikes(PRE, seed=1), "post": spikes(POST, seed=2)}


def traces(**taus):
    """Return the decays of traces by name."""
    known = {"xp": xp, "yp": yp, "xq": xq, "yq": yq}
    return {known[n]: -known[n] / tau for n, tau in taus.items()}


def pair_rule(plus=0.05 * xp, minus=0.04 * xq, **options):
    return gc.Plasticity(
        "pair",
        ode=traces(xp=20, xq=15),
        on_pre={xp: xp + 1, w: w - minus},
        on_post={xq: xq + 1, w: w + plus},
        **options,
    )


def final_weights(net, target, inputs=X, **options):
    run = compiled(net, target, learn=None, **options).run(inputs, record=["src_dst.weight"])
    weights = run.records["src_dst.weight"]
    assert (weights[-1] - weights[0]).abs().max() > 1e-2, "nothing was learned"
    assert torch.equal(weights[-1], run.state["src_dst.weight"])
    return weights[-1]


def expected(of, delay=0):
    """Return what `of(pre times, post times)` says for every sample and synapse."""
    pairs = [
        [[of(times(X["pre"], b, i, delay), times(X["post"], b, j)) for j in range(POST)] for i in range(PRE)]
        for b in range(B)
    ]
    return torch.tensor(pairs, dtype=torch.float64)


def close(found, wanted, tolerance=1e-9):
    assert (found - wanted).abs().max() < tolerance


@TARGETS
@pytest.mark.parametrize("delay", [0, 3])
def test_pair_stdp_sums_over_all_pairs_of_spikes(target, delay):
    found = final_weights(told(pair_rule(), delay=delay), target)

    def closed(pre, post):
        lags = np.array([b - a for a in pre for b in post], float)
        after = np.exp(-lags[lags >= 0] / 20).sum()
        return 0.5 + 0.05 * after - 0.04 * np.exp(lags[lags < 0] / 15).sum()

    close(found, expected(closed, delay))
    assert (found - expected(closed, delay + 1)).abs().max() > 1e-2  # one step of delay more is seen


@TARGETS
def test_multiplicative_stdp_within_bounds_equals_the_event_loop(target):
    rule = pair_rule(plus=0.3 * (1 - w) * xp, minus=0.4 * w * xq, bounds=(0.2, 0.8))
    found = final_weights(told(rule), target)
    step = expected(
        lambda a, b: oracle.pair(0.5, a, b, lambda w: 0.3 * (1 - w), lambda w: 0.4 * w, (20, 15), (0.2, 0.8))
    )
    close(found, step)
    assert ((found - 0.2).abs() < 1e-12).any() or ((found - 0.8).abs() < 1e-12).any(), "no weight met a bound"


@TARGETS
def test_nearest_neighbour_stdp_reads_the_last_spike_alone(target):
    rule = gc.Plasticity(
        "nearest", ode=traces(xp=20, xq=15), on_pre={xp: 1, w: w - 0.04 * xq}, on_post={xq: 1, w: w + 0.05 * xp}
    )
    found = final_weights(told(rule), target)
    amplitudes = (lambda w: 0.05, lambda w: 0.04)
    close(found, expected(lambda a, b: oracle.pair(0.5, a, b, *amplitudes, (20, 15), read=oracle.nearest)))
    assert (found - expected(lambda a, b: oracle.pair(0.5, a, b, *amplitudes, (20, 15)))).abs().max() > 1e-3


@TARGETS
def test_triplet_stdp_equals_the_event_loop(target):
    a, taus = (0.02, 0.05, 0.03, 0.01), (17.0, 34.0, 50.0, 40.0)
    rule = gc.Plasticity(
        "triplet",
        ode=traces(xp=taus[0], xq=taus[1], yp=taus[2], yq=taus[3]),
        on_pre={xp: xp + 1, yp: yp + 1, w: w - xq * (a[2] + a[3] * yp)},
        on_post={xq: xq + 1, yq: yq + 1, w: w + xp * (a[0] + a[1] * yq)},
    )
    close(final_weights(told(rule), target), expected(lambda p, q: oracle.triplet(0.5, p, q, a, taus)))


@TARGETS
def test_listed_synapses_learn_as_those_of_a_matrix(target):
    full = final_weights(told(pair_rule()), target)
    found = final_weights(told(pair_rule(), connectivity=gc.Sparse(mask=MASK)), target)
    assert torch.equal(found, full[:, torch.as_tensor(MASK)])


@TARGETS
def test_synapses_one_to_one_learn_as_the_diagonal(target):
    rule = pair_rule()
    net = gc.Network(dt=1.0)
    net.input("x", 3)
    spiking = gc.Neuron("Spiking", update={(v := gc.state("v")): gc.input("x")}, spike=gc.Spike(v > 0.4))
    for name in ("one", "two"):
        net.population(name, spiking, 3)
    net.connect("x", "one", connectivity=gc.OneToOne(), weight=1.0)
    net.connect("one", "two", connectivity=gc.OneToOne(), weight=0.5, plasticity=rule, delay=1, name="src_dst")
    net.output("two")
    found = final_weights(net, target, {"x": spikes(3, seed=4)})
    assert found.shape == (B, 3)
    sent = [times(spikes(3, seed=4), 0, 1, 1)] * 2  # a spike arrives and makes the target spike
    assert float(found[0, 1]) == pytest.approx(
        oracle.pair(0.5, *sent, lambda w: 0.05, lambda w: 0.04, (20, 15)), abs=1e-9
    )


@TARGETS
def test_tsodyks_markram_releases_the_published_sequence(target):
    U, tau_rec, tau_facil = 0.3, 80.0, 50.0
    u, s = gc.states("u s", on="pre")
    jump = u + U * (1 - u)
    rule = gc.Plasticity(
        "stp",
        ode={u: -u / tau_facil, s: (1 - s) / tau_rec},
        on_pre={u: jump, s: s - jump * s},
        transmit=w * jump * s * gc.pre(),
        init={s: 1},
    )
    run = compiled(told(rule, delay=2), target).run(X, record=["dst.x", "src_dst.u"])
    assert run.records["src_dst.u"].shape == (T, B, PRE)  # one per neuron
    drive = torch.zeros(T, B, POST, dtype=torch.float64)
    for b in range(B):
        for i in range(PRE):
            arrivals = times(X["pre"], b, i, 2)
            for t, released in zip(arrivals, oracle.tsodyks_markram(arrivals, U, tau_rec, tau_facil), strict=True):
                drive[t, b] += 0.5 * released
    assert drive.max() > 0.2
    close(run.records["dst.x"], drive)


@TARGETS
def test_a_third_factor_turns_eligibility_into_change(target):
    D = gc.input("D", on="network")
    R = gc.input("R", on="post")
    rule = gc.Plasticity(
        "reward",
        ode={**traces(xp=20, xq=15), e: -e / 40},
        update={w: w + e * (D + R)},
        on_pre={xp: xp + 1, e: e - 0.04 * xq},
        on_post={xq: xq + 1, e: e + 0.05 * xp},
    )
    given = {**X, "D": spikes(1, 0.1, 3), "R": spikes(POST, 0.1, 4)}
    found = final_weights(told(rule, factors={"D": 1, "R": POST}), target, given)
    trains = {n: x.numpy() for n, x in given.items()}

    def closed(b, i, j):
        pre, post = times(X["pre"], b, i), times(X["post"], b, j)
        value = 0.5
        for now in range(T):
            factor = trains["D"][now, b, 0] + trains["R"][now, b, j]
            jumps = [(t, 0.05 * oracle.trace(pre, t, 20, True)) for t in post if t <= now]
            jumps += [(t, -0.04 * oracle.trace(post, t, 15, False)) for t in pre if t <= now]
            value += factor * sum(jump * np.exp(-(now - t) / 40) for t, jump in jumps)
        return value

    wanted = [[[closed(b, i, j) for j in range(POST)] for i in range(PRE)] for b in range(B)]
    close(found, torch.tensor(wanted, dtype=torch.float64))


@TARGETS
def test_a_population_that_is_a_third_factor_acts_in_its_own_step(target):
    M = gc.input("M", on="network")
    net = told(gc.Plasticity("gated", update={w: w + M}))
    net.input("m", 2)
    net.population("mod", gc.Neuron("Sum", output=gc.input("x")), 2)
    net.connect("m", "mod", connectivity=gc.OneToOne(), weight=1.0)
    net.connect("mod", net.connections["src_dst"], target="M", weight=0.1)
    m = spikes(2, 0.3, 9)
    run = compiled(net, target).run({**X, "m": m}, record=["src_dst.weight"])
    wanted = 0.5 + 0.1 * m.sum(2).cumsum(0)
    close(run.records["src_dst.weight"], wanted[..., None, None].expand(T, B, PRE, POST))


@TARGETS
def test_inhibition_makes_the_target_fire_at_its_rate(target):
    v, exc, inh = gc.state("v"), gc.input("exc"), gc.input("inh")
    cell = gc.Neuron("Cell", ode={v: (exc - v) / 10}, receive={v: v - inh}, spike=gc.Spike(v > 1), reset={v: 0})
    tau, eta, rate = 20.0, 0.02, 0.02  # spikes per ms
    rule = gc.Plasticity(
        "vogels",
        ode=traces(xp=tau, xq=tau),
        on_pre={xp: xp + 1, w: w + eta * (xq - 2 * rate * tau)},
        on_post={xq: xq + 1, w: w + eta * xp},
        bounds=(0, 5),
    )
    net = gc.Network(dt=1.0)
    net.input("drive", 4)
    net.input("noise", 20)
    net.population("cell", cell, 4)
    net.connect("drive", "cell", target="exc", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.connect("noise", "cell", target="inh", weight=0.0, plasticity=rule, name="inh")
    net.output("cell")
    steps = 4000 if target == "c" else 2000
    drive = torch.full((steps, 1, 4), 3.0) + 0.3 * torch.randn(steps, 1, 4, generator=torch.Generator().manual_seed(1))
    given = {"drive": drive, "noise": spikes(20, 0.05, 5, steps, 1).float()}
    y = gc.compile(net, target=target, learn=None)(given)
    before, after = float(y[:100].mean()), float(y[-1000:].mean())
    assert before > 0.05, "the cell fires above its target at first"
    assert after == pytest.approx(rate, rel=0.1)


@TARGETS
@pytest.mark.parametrize("place", ["synapse", "pre"])
def test_a_trace_declared_per_synapse_is_kept_per_neuron(target, place):
    p = gc.states("p", on=place)[0]
    rule = gc.Plasticity("kept", ode={p: -p / 20}, on_pre={p: p + 1}, on_post={w: w + 0.05 * p})
    run = compiled(told(rule), target).run(X, record=["src_dst.weight", "src_dst.p"])
    assert run.state["src_dst.p"].shape == (B, PRE)
    assert run.records["src_dst.p"].shape == ((T, B, PRE, POST) if place == "synapse" else (T, B, PRE))


def test_keeping_traces_per_neuron_changes_no_number():
    from graphc.ir.interpret import interpret
    from graphc.lower import lower
    from graphc.passes.discretize import Discretize

    p, q = gc.states("p q")
    rule = gc.Plasticity(
        "ranks",
        ode={p: -p / 20, q: -q / 15, e: p - e / 9},
        on_pre={p: p + 1, w: w - 0.04 * q, e: e + q},
        on_post={q: q + 1, w: w + 0.05 * p + 0.001 * e},
    )
    found = []
    for detect in (True, False):
        program = Discretize().run(lower(told(rule), ["src_dst.weight", "src_dst.p", "src_dst.q"], detect))
        sizes = {t.name: len(t.type.axes) for t in program.states if t.name.startswith("src_dst")}
        assert sizes["src_dst.p"] == sizes["src_dst.q"] == (1 if detect else 2)
        assert sizes["src_dst.e"] == 2
        given = {t.name: torch.zeros(B, *(program.sizes[a] for a in t.type.axes)) for t in program.states}
        given = {f"{n}@initial": x.double() + (0.5 if n.endswith("weight") else 0) for n, x in given.items()}
        values = {p.name: torch.as_tensor(p.value, dtype=torch.float64) for p in program.parameters}
        values |= {
            n: values[n].expand(size) for n, size in (("pre_src_teach.weight", PRE), ("post_dst_teach.weight", POST))
        }
        env = interpret(program, {**X, **given, **values})
        found.append([env[name] for name in program.outputs])
    assert found[0][1].std() > 0.01
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@TARGETS
def test_a_sum_over_the_sources_normalises_what_a_neuron_receives(target):
    rule = gc.Plasticity(
        "norm",
        ode=traces(xp=20),
        on_pre={xp: xp + 1},
        on_post={w: w + 0.3 * xp},
        update={w: 2 * w / gc.sum(w, over="pre")},
    )
    found = final_weights(told(rule), target)
    close(found.sum(1), torch.full((B, POST), 2.0, dtype=torch.float64))
    assert found.std() > 0.01
    listed = final_weights(told(rule, connectivity=gc.Sparse(mask=MASK)), target)
    columns = torch.as_tensor(np.nonzero(MASK)[1])
    close(torch.zeros(B, POST, dtype=torch.float64).index_add(1, columns, listed), torch.full((B, POST), 2.0))


@TARGETS
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_weight_for_the_batch_is_written_to_the_parameter(target, reduction):
    model = compiled(told(pair_rule(reduction=reduction)), target, learn=None)
    run = model.run(X, record=["src_dst.weight"])
    closed = expected(lambda a, b: oracle.pair(0.5, a, b, lambda w: 0.05, lambda w: 0.04, (20, 15)))
    wanted = 0.5 + getattr(closed - 0.5, reduction)(0)
    close(model.src_dst.weight.detach(), wanted)
    assert torch.equal(run.records["src_dst.weight"][-1, 0], run.records["src_dst.weight"][-1, 1])
    again = compiled(told(pair_rule(reduction=reduction)), target, learn=None)
    state = again.initial_state(B)
    for t in range(T):
        _, state = again.step({n: x[t] for n, x in X.items()}, state)
    close(again.src_dst.weight.detach(), wanted, 1e-12 if target == "c" else 1e-9)


@TARGETS
def test_a_rule_that_applies_gradients_leaves_the_weight_and_adds_to_grad(target):
    model = compiled(told(pair_rule(apply="gradient")), target, learn=None)
    model.src_dst.weight.grad = torch.ones(PRE, POST, dtype=torch.float64)
    state = model.run({n: x[:30] for n, x in X.items()}).state
    model.run({n: x[30:] for n, x in X.items()}, state=state)
    closed = expected(lambda a, b: oracle.pair(0.5, a, b, lambda w: 0.05, lambda w: 0.04, (20, 15)))
    close(model.src_dst.weight.grad, 1 - (closed - 0.5).sum(0))
    assert (model.src_dst.weight == 0.5).all()


@TARGETS
def test_plastic_synapses_stream(target):
    model = compiled(told(pair_rule(), delay=3), target, learn=None)
    whole = model.run(X)
    state, rows = model.initial_state(B), []
    for t in range(T):
        y, state = model.step({n: x[t] for n, x in X.items()}, state)
        rows.append(y)
    assert torch.equal(torch.stack(rows), whole.output)
    assert torch.equal(state["src_dst.weight"], whole.state["src_dst.weight"])


@TARGETS
def test_a_weight_changed_in_a_step_acts_from_the_next_one(target):
    rule = gc.Plasticity("jump", on_post={w: w + 1})
    one = torch.zeros(4, 1, PRE, dtype=torch.float64)
    one[:, 0, 0] = 1
    post = torch.zeros(4, 1, POST, dtype=torch.float64)
    post[1] = 1
    run = compiled(told(rule), target, learn=None).run({"pre": one, "post": post}, record=["dst.x", "src_dst.weight"])
    assert run.records["dst.x"][:, 0, 0].tolist() == [0.5, 0.5, 1.5, 1.5]
    assert run.records["src_dst.weight"][:, 0, 0, 0].tolist() == [0.5, 1.5, 1.5, 1.5]


QUIET = {
    "both": pair_rule(bounds=(0, 1)),
    "arrivals": gc.Plasticity("arrivals", ode=traces(xq=15), on_pre={w: w - 0.04 * xq}, on_post={xq: xq + 1}),
    "spikes": gc.Plasticity("spikes", ode=traces(xp=20), on_pre={xp: xp + 1}, on_post={w: w + 0.05 * xp}),
}


@pytest.mark.parametrize(("name", "mask"), [("both", None), ("arrivals", None), ("spikes", None), ("both", MASK)])
def test_c_passes_over_synapses_that_no_spike_reaches(name, mask):
    kind = gc.Dense() if mask is None else gc.Sparse(mask=np.tile(mask, 4))
    net = told(QUIET[name], post=4 * POST, connectivity=kind)
    models = [compiled(net, target, learn=None) for target in ("c", "reference")]
    assert name == "arrivals" or any(text in models[0].source("forward") for text in ("_spiked[_e]", "continue;"))
    for rate in (0.03, 0.6):
        given = {"pre": spikes(PRE, 0.1, 1), "post": spikes(4 * POST, rate, 2)}
        found, whole = (m.run(given).state["src_dst.weight"] for m in models)
        assert (found != 0.5).double().mean() > 0.2
        torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-12)
