"""A model moved between devices computes the same, and what a device cannot do is refused with a way out."""

import copy
from dataclasses import replace

import pytest
import torch

import graphc as gc
from graphc.ir import DeviceSpec, TargetError
from graphc.runtime import build

from .models.device import DEVICE, STRATEGIES, dyadic_input, dyadic_network, dyadic_synapses

H200 = DeviceSpec("cuda", 90, 132, 232448, cooperative=True)
STEPS = 14  # v is halved at every step: later it has more digits than float32


def run(model: gc.Model, batch: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return spikes, and the gradients of a loss for parameters and input, on the CPU."""
    drive = dyadic_input(STEPS, batch).to(model._like.device).requires_grad_()
    y = model(drive)
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape).to(y.device)).sum().backward()
    leaves = {**dict(model.named_parameters()), "x": drive}
    return y.detach().cpu(), {name: p.grad.cpu() for name, p in leaves.items() if p.grad is not None}


def assert_same(strategy: str, size: int, batch: int, on_cpu: gc.Model, moved: gc.Model) -> None:
    (wanted, gradients), (spikes, ours) = run(on_cpu, batch), run(moved, batch)
    built = [m.last_build() for m in (on_cpu, moved)]
    assert [b.key.target for b in built] == ["c", "triton"]
    assert {k.strategy for k in built[1].schedule.kernels if k.kind != "product"} == {strategy}
    assert 0.02 < wanted.mean() < 0.5 and torch.equal(spikes, wanted)
    assert gradients.keys() == ours.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=0, atol=1e-4 * float(gradient.abs().max()), msg=name)


@pytest.mark.interpret
@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_c_and_triton_targets_give_the_same_spikes_on_float_exact_inputs(strategy, delay):
    net = dyadic_network(strategy, 37, delay=delay)
    on_cpu = gc.compile(net, target="c")
    moved = gc.compile(net, target="triton", schedule={k: w for k, w in STRATEGIES[strategy].items() if k != "columns"})
    assert_same(strategy, 37, 5, on_cpu, moved)


@pytest.mark.interpret
@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        ("resident", "gap"),
        ("resident", "delays"),
        ("cooperative", "delays"),
        ("stepwise", "list"),
        ("stepwise", "learned"),
    ],
)
def test_synapses_are_the_same_in_every_strategy(strategy, kind):
    net = dyadic_synapses(kind, 21)
    moved = gc.compile(net, target="triton", schedule={k: w for k, w in STRATEGIES[strategy].items() if k != "columns"})
    assert_same(strategy, 21, 3, gc.compile(net, target="c"), moved)


@pytest.mark.interpret
def test_a_sum_per_synapse_is_the_same_step_by_step():
    net = dyadic_synapses("per synapse", 21)
    assert_same("stepwise", 21, 3, gc.compile(net, target="c"), gc.compile(net, target="triton"))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["list", "delays", "gap", "learned"])
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "elementwise"])
def test_synapses_are_the_same_on_a_gpu(strategy, kind):
    on_cpu = gc.compile(dyadic_synapses(kind, 37), schedule=STRATEGIES[strategy])
    assert_same(strategy, 37, 5, on_cpu, copy.deepcopy(on_cpu).to(DEVICE))


@pytest.mark.gpu
@pytest.mark.parametrize("size, batch", [(37, 5), (250, 70)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_moved_to_a_gpu_and_back_gives_the_same_spikes(strategy, size, batch):
    if strategy == "resident":
        size = min(size, 128)
    on_cpu = gc.compile(dyadic_network(strategy, size), schedule=STRATEGIES[strategy])
    moved = copy.deepcopy(on_cpu).to(DEVICE)
    assert_same(strategy, size, batch, on_cpu, moved)
    back = moved.to("cpu")
    assert torch.equal(back(dyadic_input(STEPS, batch)), on_cpu(dyadic_input(STEPS, batch)))


@pytest.mark.parametrize(
    "size, options, device, message",
    [
        (129, {"schedule": {"strategy": "resident"}}, H200, r"at most 128 neurons .* 129\n.*\n *hint: .*cooperative"),
        (300, {"schedule": {"strategy": "resident"}, "precision": "bfloat16"}, H200, "at most 256 .* 300"),
        (65, {"schedule": {"strategy": "resident"}, "dtype": torch.float64}, H200, "at most 64 .* 65"),
        (64, {"schedule": {"strategy": "cooperative"}, "dtype": torch.float64}, H200, "float64(.|\n)*stepwise"),
        (
            300,
            {"schedule": {"strategy": "cooperative"}},
            replace(H200, cooperative=False),
            "does not launch cooperative grids(.|\n)*stepwise",
        ),
        (300, {"schedule": {"strategy": "cooperative"}}, replace(H200, cores=8), r"must run at once(.|\n)*stepwise"),
        (64, {"schedule": {"strategy": "elementwise"}}, H200, "multiplies with hid_hid"),
    ],
)
def test_what_a_device_cannot_do_is_refused_with_a_way_out(monkeypatch, size, options, device, message):
    monkeypatch.setattr(build, "scheduled_for", lambda target, _: device)
    model = gc.compile(dyadic_network("resident", size), target="triton", **options)
    with pytest.raises(TargetError, match=message):
        model.build()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"target": "c", "precision": "bfloat16"}, "target 'c' does not compute in precision 'bfloat16'(.|\n)*hint"),
        ({"target": "triton", "precision": "tf32", "dtype": torch.float64}, "keeps states in float32(.|\n)*hint"),
    ],
)
def test_a_precision_that_a_target_lacks_is_refused(options, message):
    with pytest.raises(TargetError, match=message):
        gc.compile(dyadic_network("resident", 20), **options).build()


@pytest.mark.skipif(DEVICE == "cuda", reason="says what happens without a GPU")
def test_triton_on_cpu_tensors_is_refused_unless_interpreted():
    from graphc.runtime.load_triton import interpreting

    if interpreting():
        pytest.skip("kernels are interpreted in this process")
    model = gc.compile(dyadic_network("resident", 20), target="triton")
    with pytest.raises(TargetError, match=r"cannot run on 'cpu' tensors(.|\n)*CUDA device"):
        model(dyadic_input(2, 1))
