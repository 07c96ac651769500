"""Calls on a GPU: any length and batch, streams, devices, graph captures, and what they must not do."""

from collections import Counter

import pytest
import torch

import graphc as gc
from graphc.codegen.triton.step import advance_name
from graphc.passes.launches import launch_count

from .models.device import DEVICE, STRATEGIES, counted_builds, dyadic_input, dyadic_network

pytestmark = pytest.mark.gpu

SIZES = {"elementwise": 300, "resident": 61, "cooperative": 150, "stepwise": 75}
ON_GPU = pytest.mark.skipif(DEVICE != "cuda", reason="speaks of streams and captures")


def compiled(strategy: str, size: int | None = None, delay: int = 1, **options: object) -> gc.Model:
    net = dyadic_network(strategy, size or SIZES[strategy], delay=delay)
    return gc.compile(net, target="triton", schedule=STRATEGIES[strategy], **options).to(DEVICE)


def stimulus(steps: int, batch: int, seed: int = 0) -> torch.Tensor:
    return dyadic_input(steps, batch, seed=seed).to(DEVICE)


def step(model: gc.Model, x: torch.Tensor) -> torch.Tensor:
    """Return spikes, and leave gradients of their weighted sum in the parameters."""
    y = model(x)
    (y * torch.linspace(-1, 1, y.shape[-1], device=y.device)).sum().backward()
    return y.detach()


def gradients(model: gc.Model) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_equal(ours: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == wanted.keys() and wanted
    assert all(torch.equal(ours[name], tensor) for name, tensor in wanted.items())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_length_and_batch_runs_on_two_builds_and_gives_the_same_spikes(strategy):
    model, longest = compiled(strategy), 5000 if DEVICE == "cuda" else 40
    with counted_builds() as built:
        whole = step(model, stimulus(longest, 33))
        for steps in (1, 15, 16, longest):
            for batch in (1, 16, 33):
                y = step(model, stimulus(longest, batch)[:steps])
                assert torch.equal(y, whole[:steps, :batch])
    assert 0.02 < whole.mean() < 0.5
    assert max(built.values(), default=0) <= 2, built
    assert built or DEVICE != "cuda"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("delay", [1, 3])
def test_two_runs_are_equal_bit_for_bit(strategy, delay):
    found = []
    for _ in range(2):
        model = compiled(strategy, delay=delay)
        y = step(model, stimulus(50, 33))
        found.append((y, gradients(model)))
    assert torch.equal(found[0][0], found[1][0])
    assert_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("size, rows", [(150, 16), (1000, 16)])
def test_programs_of_many_batch_tiles_wait_for_their_own(size, rows):
    model = gc.compile(
        dyadic_network("cooperative", size), target="triton", schedule={"strategy": "cooperative", "rows": rows}
    ).to(DEVICE)
    batch = 300 if DEVICE == "cuda" else 20  # more tiles than can run at once
    x = stimulus(60, batch)
    with torch.no_grad():
        whole = model(x)
        for start in (0, batch // 2 + 1, batch - 3):
            assert torch.equal(model(x[:, start : start + 3]), whole[:, start : start + 3])


@ON_GPU
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_kernels_run_on_the_current_stream(strategy):
    model, x = compiled(strategy), stimulus(20, 5)
    wanted = step(model, x)
    late = torch.full_like(x, torch.nan)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # whoever does not wait for this reads NaN
        late.copy_(x)
        y = step(model, late)
    stream.synchronize()
    assert torch.equal(y, wanted)
    model.check()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second GPU")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_runs_on_its_own_device_whichever_is_current(strategy):
    first = compiled(strategy).to("cuda:0")
    second = compiled(strategy).to("cuda:1")
    x = stimulus(20, 5)
    with torch.cuda.device(0):
        assert torch.equal(step(second, x.to("cuda:1")).cpu(), step(first, x.to("cuda:0")).cpu())


@ON_GPU
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_train_step_is_captured_in_a_graph_and_replayed(strategy):
    model, twin = compiled(strategy), compiled(strategy)
    given, inputs = stimulus(12, 5), [stimulus(12, 5, seed) for seed in (1, 2, 3)]
    optimizers = [torch.optim.SGD(m.parameters(), lr=2.0**-10) for m in (model, twin)]
    start = {n: p.detach().clone() for n, p in model.named_parameters()}

    def whole(m: gc.Model, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        y = step(m, x)
        optimizer.step()
        return y

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            whole(model, optimizers[0], given)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = whole(model, optimizers[0], given)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(start[name])
    for number, x in enumerate(inputs):
        given.copy_(x)
        graph.replay()
        wanted = whole(twin, optimizers[1], x)
        if number == 0:  # later the weights leave their grid, and cuBLAS may add in another order
            assert torch.equal(captured, wanted)
            for (name, p), (_, q) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
                torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6, msg=name)
                assert not torch.equal(p, start[name])
        assert (captured == wanted).float().mean() > 0.99


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_compiled_train_step_gives_the_same_spikes_and_gradients(strategy):
    plain, traced = compiled(strategy), compiled(strategy)
    x = stimulus(12, 5)
    wanted = step(plain, x)
    y = torch.compile(traced, fullgraph=True, backend="inductor" if DEVICE == "cuda" else "aot_eager")(x)
    (y * torch.linspace(-1, 1, y.shape[-1], device=DEVICE)).sum().backward()
    assert torch.equal(y, wanted)
    assert_equal(gradients(traced), gradients(plain))


@ON_GPU
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_train_step_waits_for_nothing(strategy):
    model, x = compiled(strategy), stimulus(12, 5)
    step(model, x)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        y = step(model, x)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert y.any()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_values_not_finite_are_reported_later_without_waiting(strategy):
    model, x = compiled(strategy), stimulus(12, 20)
    x[7, 13, 3] = torch.nan
    if DEVICE == "cuda":
        with torch.no_grad():
            model(stimulus(12, 20))
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(gc.GraphcError, match=r"not finite from step 7 .*sample 13"):
        try:
            with torch.no_grad():
                model(x)
        finally:
            if DEVICE == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        model.check()


def ran_kernels(model: gc.Model, x: torch.Tensor) -> Counter[str]:
    """Return how often each kernel ran on the GPU in one train step, torch's among them."""
    from torch.profiler import ProfilerActivity, profile

    step(model, x)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        step(model, x)
        torch.cuda.synchronize()
    return Counter(e.name for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA)


@ON_GPU
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_train_step_launches_what_was_predicted(strategy):
    model, steps, batch = compiled(strategy), 12, 40
    ran = ran_kernels(model, stimulus(steps, batch))
    schedule = model.last_build().schedule
    cores = torch.cuda.get_device_properties(0).multi_processor_count
    own = [k for k in schedule.kernels if k.kind != "product"]
    names = {p.name for k in own for p in (k.parts or (k,)) if p.kind != "product"} | {advance_name(k) for k in own}
    products = sum(k.kind == "product" for k in schedule.kernels)
    products += steps * sum(p.kind == "product" for k in own for p in k.parts)
    predicted = sum(launch_count(schedule, half, steps, batch, cores) for half in (False, True)) - products
    assert sum(count for name, count in ran.items() if name in names) == predicted > 0


@ON_GPU
def test_the_launches_of_a_call_do_not_grow_with_its_length():
    for strategy in ("elementwise", "resident", "cooperative"):
        model = compiled(strategy)
        short, long = (sum(ran_kernels(model, stimulus(steps, 5)).values()) for steps in (16, 64))
        assert 0 < long <= short + 4, strategy  # cuBLAS may cut a longer sum in parts


@ON_GPU
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_predicted_bytes_are_what_a_train_step_takes(strategy, precision):
    model, steps, batch = compiled(strategy, precision=precision), 500, 64
    x = stimulus(steps, batch).to(model.io_dtype).requires_grad_()
    given = torch.ones_like(model(x))
    for _ in range(4):  # early calls build, and record steps, which keep memory of cuBLAS and of their own
        model.zero_grad(set_to_none=True)
        x.grad = None
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        y = model(x)
        y.backward(given)
        torch.cuda.synchronize()
        taken = torch.cuda.max_memory_allocated() - before
        del y
    predicted = model.last_build().footprint(steps, batch).peak
    assert abs(taken - predicted) <= 0.05 * predicted, (taken, predicted)
