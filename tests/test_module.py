"""Model is an ordinary torch module, whatever its inputs look like and wherever it runs."""

import copy
import functools
import io
import os
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

import graphc as gc
from graphc.ir.errors import NonFiniteError

TARGETS = ["c", "reference"]


@functools.cache
def network() -> gc.Network:
    net = gc.Network(dt=1.0)
    net.input("x", 5)
    net.population("hid", gc.zoo.CuBaLIF, 6, tau_mem=gc.param("tau_mem", 12.0, learn=True, per="neuron", min=1.0))
    net.population("out", gc.zoo.LI, 3)
    net.connect("x", "hid", weight=np.linspace(-0.2, 1.0, 30).reshape(5, 6))
    net.connect("hid", "hid", delay=2, weight=np.linspace(-0.3, 0.2, 36).reshape(6, 6))
    net.connect("hid", "out", weight=np.linspace(-1, 1, 18).reshape(6, 3))
    net.output("out")
    return net


@functools.cache
def shared(target: str = "c", dtype: torch.dtype = torch.float64) -> gc.Model:
    """Return one model for the tests that leave it as it is."""
    return fresh(target, dtype)


def fresh(target: str = "c", dtype: torch.dtype = torch.float64) -> gc.Model:
    return gc.compile(network(), target=target, dtype=dtype)


def spikes(T: int = 20, B: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(T, B, 5, generator=generator) < 0.4).to(dtype)


def gradients(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    (model(x) ** 2).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys() and a
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0, msg=name)
        assert a[name].abs().max() > 0, name


def test_the_network_of_these_tests_is_live():
    run = shared().run(spikes(), record=["hid.spike"])
    assert 0.05 < run.records["hid.spike"].mean() < 0.95
    assert all(g.abs().max() > 0 for g in gradients(shared(), spikes()).values())


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_of_any_layout_give_the_same_numbers(target):
    model, x = shared(target), spikes()
    batch_first = x.transpose(0, 1).contiguous().transpose(0, 1)
    neuron_first = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    padded = torch.cat([x, x + 7], dim=2)[:, :, :5]
    sliced = x.repeat_interleave(2, dim=0)[::2]
    want = gradients(model, x)
    for other in (batch_first, neuron_first, padded, sliced):
        assert not other.is_contiguous() and torch.equal(other, x)
        torch.testing.assert_close(model(other), model(x), rtol=0, atol=0)
        assert_same(gradients(model, other), want)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_expanded_input_is_read_like_its_copy(target, axis):
    row = spikes().narrow(axis, 0, 1).clone().requires_grad_()
    expanded = row.expand(20, 3, 5)
    model = shared(target)
    copied = expanded.detach().clone().requires_grad_()
    torch.testing.assert_close(model(expanded), model(copied), rtol=0, atol=0)
    model(expanded).sum().backward()
    model(copied).sum().backward()
    torch.testing.assert_close(row.grad, copied.grad.sum(axis, keepdim=True))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("loss", ["sum", "mean", "last", "one neuron", "strided"])
def test_gradients_of_any_layout_arrive(target, loss):
    model, x = shared(target), spikes()
    losses = {
        "sum": lambda y: y.sum(),
        "mean": lambda y: y.mean(0).pow(2).sum(),
        "last": lambda y: y[-1].pow(2).sum(),
        "one neuron": lambda y: y[..., 1].pow(2).sum(),
        "strided": lambda y: (y.permute(2, 1, 0) * torch.arange(20.0, dtype=y.dtype)).sum(),
    }
    model.zero_grad()
    losses[loss](model(x)).backward()
    got = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    y = model(x)
    leaf = y.detach().requires_grad_()
    (dense,) = torch.autograd.grad(losses[loss](leaf), leaf)
    y.backward(dense.contiguous().clone())
    assert_same(got, {n: p.grad for n, p in model.named_parameters()})


@pytest.mark.parametrize("target", TARGETS)
def test_a_batch_is_its_samples_one_by_one(target):
    model, x = shared(target), spikes()
    alone = torch.cat([model(x[:, b : b + 1]) for b in range(3)], dim=1)
    torch.testing.assert_close(model(x), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", [(1, 3), (20, 1), (1, 1), (20, 0), (0, 3), (0, 0)])
def test_every_extent_runs_forward_and_backward(target, shape):
    model = shared(target)
    x = spikes(*shape).requires_grad_()
    run = model.run(x, record=["hid.v"])
    assert run.output.shape == (*shape, 3) and run.records["hid.v"].shape == (*shape, 6)
    model.zero_grad()
    (run.output.sum() + run.state["hid.v"].sum()).backward()
    assert x.grad.shape == x.shape
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert run.state["t"] == shape[0]


def test_four_threads_share_a_model():
    model = fresh()
    want = [model(spikes(seed=k)) for k in range(4)]
    got: dict[tuple[int, int], torch.Tensor] = {}

    def work(k: int) -> None:
        for n in range(8):
            got[k, n] = model(spikes(seed=k)).detach()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(got) == 32
    assert all(torch.equal(y, want[k]) for (k, _), y in got.items())


def test_threads_that_build_at_once_build_once():
    model, gate, found = fresh(), threading.Barrier(4), []

    def work() -> None:
        gate.wait(timeout=30)
        found.append(model(spikes()).detach())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 4 and len(model._builds) == 1


class Simulated(torch.utils.data.Dataset):
    """Runs a model in the worker of a DataLoader."""

    def __init__(self, model: gc.Model) -> None:
        self.model = model

    def __len__(self) -> int:
        return 2

    def __getitem__(self, k: int) -> torch.Tensor:
        with torch.no_grad():
            return self.model(spikes(T=60, B=64, seed=k))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_runs_a_model_that_its_parent_used():
    model = fresh()
    want = torch.stack([model(spikes(T=60, B=64, seed=k)) for k in range(2)])
    loader = torch.utils.data.DataLoader(
        Simulated(model), batch_size=2, num_workers=1, multiprocessing_context="fork", timeout=60
    )
    (got,) = list(loader)
    torch.testing.assert_close(got, want.detach(), rtol=0, atol=1e-12)


def test_state_dict_restores_bounded_parameters_and_buffers():
    first, second = fresh(), fresh()
    with torch.no_grad():
        for p in first.parameters():
            p.add_(0.25)
        first.hid.tau_syn.fill_(7.0)
    assert not torch.equal(first(spikes()), second(spikes()))
    second.load_state_dict(first.state_dict(), strict=True)
    assert second.hid.tau_syn == 7.0
    torch.testing.assert_close(second.hid.tau_mem, first.hid.tau_mem)
    torch.testing.assert_close(second(spikes()), first(spikes()), rtol=0, atol=0)


def test_state_dict_names_what_the_user_declared():
    names = set(fresh().state_dict())
    assert {"x_hid.weight", "hid_hid.weight", "hid.parametrizations.tau_mem.original", "hid.tau_syn"} <= names
    assert not any(name.startswith("_") for name in names)
    with pytest.raises(RuntimeError, match="tau_mem"):
        fresh().load_state_dict({k: v for k, v in fresh().state_dict().items() if "tau_mem" not in k})


def test_a_bounded_parameter_keeps_its_bound_under_training():
    model = fresh()
    torch.testing.assert_close(model.hid.tau_mem, torch.full((6,), 12.0, dtype=torch.float64))
    with torch.no_grad():
        model.hid.parametrizations.tau_mem.original.fill_(-50.0)
    assert (model.hid.tau_mem >= 1.0).all()
    model.hid.tau_mem = torch.full((6,), 3.0, dtype=torch.float64)
    torch.testing.assert_close(model.hid.tau_mem, torch.full((6,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("target", TARGETS)
def test_dtype_changes_with_the_module(target):
    model = fresh(target, torch.float32)
    low = model(spikes(dtype=torch.float32))
    assert low.dtype == torch.float32
    model.double()
    high = model(spikes())
    assert high.dtype == model.dtype == torch.float64
    torch.testing.assert_close(low.double(), high, rtol=1e-4, atol=1e-4)
    with pytest.raises(gc.GraphcError, match=r"float32.*float64"):
        model(spikes(dtype=torch.float32))
    assert model.to(torch.float32)(spikes(dtype=torch.float32)).dtype == torch.float32
    with pytest.raises(gc.GraphcError, match="float16"):
        model.half()(spikes(dtype=torch.float16))


def test_a_copy_shares_nothing_with_the_model():
    model = fresh()
    model.x_hid.weight.requires_grad_(False)
    want = model(spikes())
    twin = copy.deepcopy(model).eval()
    assert not twin.x_hid.weight.requires_grad and model.training
    torch.testing.assert_close(twin(spikes()), want, rtol=0, atol=0)
    with torch.no_grad():
        twin.hid_out.weight.mul_(2)
    torch.testing.assert_close(model(spikes()), want, rtol=0, atol=0)
    torch.testing.assert_close(twin(spikes()), 2 * want)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickled_model_runs(how):
    model = fresh()
    with torch.no_grad():
        model.hid_out.weight.add_(0.5)
    model.hid_out.weight.requires_grad_(False)
    if how == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    torch.testing.assert_close(twin(spikes()), model(spikes()), rtol=0, atol=0)
    assert_same(gradients(twin, spikes()), gradients(model, spikes()))


def test_pickling_a_parametrization_of_the_user_is_refused():
    model = fresh()
    prune.l1_unstructured(model.x_hid, "weight", amount=0.5)
    with pytest.raises(gc.GraphcError, match="state_dict"):
        pickle.dumps(model)


class Rounded(nn.Module):
    """A weight on a grid, with the gradient of the weight itself."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (torch.round(weight * 4) / 4 - weight).detach()


def test_a_parametrized_weight_is_what_runs():
    model, plain = fresh(), fresh()
    parametrize.register_parametrization(model.x_hid, "weight", Rounded())
    with torch.no_grad():
        plain.x_hid.weight.copy_(model.x_hid.weight)
    torch.testing.assert_close(model(spikes()), plain(spikes()), rtol=0, atol=0)
    got, want = gradients(model, spikes()), gradients(plain, spikes())
    torch.testing.assert_close(got["x_hid.parametrizations.weight.original"], want["x_hid.weight"], rtol=0, atol=0)


def test_a_pruned_weight_is_what_runs():
    model, plain = fresh(), fresh()
    prune.l1_unstructured(model.x_hid, "weight", amount=0.5)
    with torch.no_grad():
        plain.x_hid.weight.copy_(model.x_hid.weight)
    torch.testing.assert_close(model(spikes()), plain(spikes()), rtol=0, atol=0)
    got = gradients(model, spikes())["x_hid.weight_orig"]
    torch.testing.assert_close(got, gradients(plain, spikes())["x_hid.weight"] * model.x_hid.weight_mask)


@pytest.mark.parametrize("edit", ["in place", "data", "data slot", "module attribute"])
def test_an_edited_buffer_acts_at_once(edit):
    model, other = fresh(), fresh()
    model(spikes())  # the coefficients of the old value are kept
    value = torch.tensor(9.0, dtype=torch.float64)
    if edit == "in place":
        model.hid.tau_syn.copy_(value)
    elif edit == "data":
        model.hid.tau_syn.data.fill_(9.0)
    elif edit == "data slot":
        model.hid.tau_syn.data = value
    else:
        model.hid.tau_syn = value.clone()
    other.hid.tau_syn.fill_(9.0)
    torch.testing.assert_close(model(spikes()), other(spikes()), rtol=0, atol=0)
    assert not torch.equal(model(spikes()), fresh()(spikes()))


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_an_optimiser_lowers_the_loss(optimiser):
    model, goal = fresh(), torch.linspace(-1, 1, 3, dtype=torch.float64)
    optimiser = optimiser(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = (model(spikes()).mean(0) - goal).pow(2).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("target", TARGETS)
def test_a_bad_input_is_traced_to_population_state_and_step(target):
    x = spikes()
    x[7, 1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match=r"state '[vi]' of population 'hid' .* from step 7 on \(sample 1"):
        shared(target)(x)
    x[4, 2, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"'hid'.* from step 4 on \(sample 2"):
        shared(target).run(x, record=["hid.v"])


@pytest.mark.parametrize("target", TARGETS)
def test_the_step_of_a_bad_state_counts_from_the_first_call(target):
    model = shared(target)
    state = model.run(spikes()).state
    x = spikes()
    x[3] = float("nan")
    with pytest.raises(NonFiniteError, match="from step 23 on"):
        model.run(x, state=state)


@pytest.mark.parametrize("target", TARGETS)
def test_the_earliest_of_two_populations_is_named(target):
    net = gc.Network(dt=1.0)
    for name in ("a", "b"):
        net.input(f"x{name}", 2)
        net.population(name, gc.zoo.LI, 2)
        net.connect(f"x{name}", name)
        net.output(name)
    x = {name: torch.ones(9, 1, 2) for name in ("xa", "xb")}
    x["xa"][6], x["xb"][2] = float("nan"), float("nan")
    with pytest.raises(NonFiniteError, match=r"population 'b' .* from step 2 on"):
        gc.compile(net, target=target)(x)


@pytest.mark.parametrize("target", TARGETS)
def test_a_state_that_overflows_is_named_although_its_reset_hides_it(target):
    v, x = gc.state("v"), gc.input("x")
    neuron = gc.Neuron("Square", update={v: v * v + x}, spike=gc.Spike(v > 1e6), reset={v: 0})
    net = gc.Network(dt=1.0)
    net.input("x", 1)
    net.population("n", neuron, 1)
    net.connect("x", "n", weight=1.0)
    net.output("n")
    model = gc.compile(net, target=target)
    x = torch.zeros(6, 1, 1)
    x[1] = 2e6
    assert model(x).sum() == 1
    x[2] = 3e5  # no spike, and 9e10 after it
    assert model(x).sum() == 2
    x[2:4] = torch.tensor([0.0, float("inf")])[:, None, None]
    with pytest.raises(NonFiniteError, match=r"state 'v' of population 'n' .* from step 3"):
        model(x)
