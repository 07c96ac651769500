"""g2: a recurrent CuBa-LIF of several sizes: microseconds per step, and forward with backward against its peers."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import graphc as gc
from benchmarks.gpu_device import counted_builds, first_run, median, replayed, timer
from benchmarks.gpu_peers import cuba_step, loop_over, lstm, trained
from benchmarks.gpu_predict import describe, dry_run, plan_of
from benchmarks.gpu_suite import Bench, Job, Peers, assert_equal_work, relative_error, spikes_equal, timed_row
from benchmarks.layers import make_network
from benchmarks.report import Row
from benchmarks.works import Arrays, Work

STEPS, BATCH = 1000, 64
LIMITS = {128: 2.5, 256: 2.5, 512: 4.0, 1024: 4.0, 2048: 6.0}  # us per step, forward with saves
SLOW_PEERS = (256, 1024)  # JAX and torch.compile take half a minute to set up
DRIVE, WEIGHT = 1 / 16, 1 / 1024  # grids: factors that bfloat16 holds exactly, whose sums float32 holds exactly
GRADIENTS = {"torch": 5e-2, "jax": 0.2}  # ours rounds the factors of the backward products; JAX fuses multiply and add


def make_work(neurons: int) -> Work:
    """Return one size of the work."""
    return Work("g2", f"recurrent CuBa-LIF, bf16, T={STEPS} B={BATCH} N={neurons}", STEPS, BATCH, neurons)


def make_arrays(work: Work) -> Arrays:
    """Return drive, weights and the gradient of the spikes as whole numbers on their grids."""
    draw = np.random.default_rng(work.neurons)
    shape = (work.steps, work.batch, work.neurons)

    def whole(mean: float, std: float, grid: float, limit: int, shape: tuple[int, ...]) -> NDArray[Any]:
        drawn = draw.standard_normal(shape, dtype=np.float32) * np.float32(std / grid) + np.float32(mean / grid)
        numbers: NDArray[Any] = np.clip(np.rint(drawn), -limit, limit).astype(np.int16)
        return numbers

    square = (work.neurons, work.neurons)
    return {
        "x": whole(0.35, 1.5, DRIVE, 127, shape).astype(np.int8),
        "gy": whole(0.0, 1.0, DRIVE, 127, shape).astype(np.int8),
        "w": whole(0.0, 0.5 / math.sqrt(work.neurons), WEIGHT, 255, square),
    }


def on_device(arrays: Arrays, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return drive and gradient in `dtype`, and the weights in float32."""
    x, gy = (torch.from_numpy(arrays[n]).cuda().to(dtype) * DRIVE for n in ("x", "gy"))
    return x, gy, torch.from_numpy(arrays["w"]).cuda().float() * WEIGHT


def run(neurons: int, bench: Bench) -> Row:
    """Check and time one size."""
    work = make_work(neurons)
    arrays = make_arrays(work)
    x, gy, w = on_device(arrays, torch.bfloat16)
    x.requires_grad_()
    model: Any = gc.compile(make_network(work, recurrent=True), target="triton", precision="bfloat16").to("cuda")
    with torch.no_grad():
        model.hid_hid.weight.copy_(w)
    ours = trained(lambda x, _: model(x), [x, model.hid_hid.weight], gy)

    def forward_only() -> Any:
        with torch.no_grad():
            return model(x)

    def forward_saving() -> Any:
        return model(x)

    with counted_builds() as built:
        first = first_run(ours)
        forward_only()
    y, gradients = ours()
    spikes = forward_only()
    if not torch.equal(spikes, y):
        raise AssertionError("forward with saves and without differ in their spikes")
    peers = Peers()
    add_torch(peers, bench, work, (x, gy, w), (y, gradients))
    if neurons in SLOW_PEERS and bench.jax is not None:
        add_jax(peers, bench, work, arrays, (y, gradients[1]))
    row = timed_row("g2", work.title, ours, peers, bench, runs=2)
    halves = {"without saves": median(replayed(forward_only)), "with saves": median(replayed(forward_saving))}
    eager = {"without saves": median(forward_only), "both halves": row.notes["eager_ms"]}
    row.notes |= {
        "rate": float(y.float().mean()),
        "us per step": _per_step({**halves, "both halves": row.ours_ms}),
        "us per step, eager": _per_step(eager),
        "builds": dict(built),
        "first run s": first,
        **describe(plan_of(make_network(work, True), frozenset({"x"}), "bfloat16"), STEPS, BATCH),
    }
    del y, gradients, spikes
    row.notes["cuDNN LSTM of this size, both halves, us per step"] = _lstm(neurons, bench)
    row.ratio = min(row.peers.values(), default=0.0) / row.ours_ms
    row.target = f"{LIMITS[neurons]} us per step forward, 3x the fastest peer"
    row.reached = 1e3 * halves["with saves"] / STEPS <= LIMITS[neurons] and row.ratio >= 3
    return row


def _per_step(times: dict[str, float]) -> dict[str, float]:
    """Return microseconds per step of milliseconds per call."""
    return {name: round(1e3 * ms / STEPS, 3) for name, ms in times.items()}


def _lstm(neurons: int, bench: Bench) -> float | str:
    if bench.left() < 5:
        return "left out: no time left"
    try:
        return round(1e3 * median(lstm(neurons, STEPS, BATCH), 5) / STEPS, 3)
    except RuntimeError as error:
        return f"failed: {str(error).splitlines()[0]}"


def add_torch(peers: Peers, bench: Bench, work: Work, given: Any, ours: Any) -> None:
    """Add the loop over steps, captured whole in one CUDA graph, and such a loop over a compiled step."""
    x, gy, w = given
    leaves = [x.detach().clone().requires_grad_(), w.clone().requires_grad_()]

    def make(step: Any, name: str) -> Any:
        whole = trained(loop_over(step, recurrent=True), leaves, gy)
        peers.notes[f"{name} first run s"] = first_run(whole)
        graphed = replayed(whole)
        y, gradients = graphed()
        torch.cuda.synchronize()
        names = ("gradient of x", "gradient of w")
        errors = {n: relative_error(a, b) for n, a, b in zip(names, ours[1], gradients, strict=True)}
        found = {"spikes": spikes_equal(ours[0], y), **errors}
        peers.notes[f"{name} checks"] = assert_equal_work(name, found, 0.999, GRADIENTS["torch"])
        return timer(graphed)

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        peers.add("torch CUDA graph", bench, 15, lambda: make(cuba_step(work), "torch CUDA graph"))
        if bench.compiled and work.neurons in SLOW_PEERS:
            compiled = torch.compile(cuba_step(work), dynamic=False, fullgraph=True)
            peers.add("torch.compile of a step, CUDA graph", bench, 45, lambda: make(compiled, "torch.compile"))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def add_jax(peers: Peers, bench: Bench, work: Work, arrays: Arrays, ours: Any) -> None:
    """Add lax.scan in a process of its own."""
    jax = bench.jax
    assert jax is not None

    def make() -> Any:
        peers.notes["jax first run s"] = jax.set_up("g2", work, arrays)
        found = jax.check()
        gradient = torch.from_numpy(found["grad_w"]).cuda()
        agreement = {
            "spikes": spikes_equal(ours[0], torch.from_numpy(found["spikes"]).cuda()),
            "gradient of w": relative_error(ours[1], gradient),
        }
        peers.notes["jax checks"] = assert_equal_work("JAX", agreement, 0.999, GRADIENTS["jax"])
        return jax.time

    peers.add("JAX lax.scan", bench, 30, make)


def predict(neurons: int) -> list[str]:
    """Return what is known without a GPU."""
    network = make_network(make_work(neurons), recurrent=True)
    return dry_run(plan_of(network, frozenset({"x"}), "bfloat16"), STEPS, BATCH)


def jobs() -> list[Job]:
    """Return a row for every size."""
    return [
        Job(
            "g2",
            make_work(n).title,
            f"{limit} us per step forward, 3x the fastest peer",
            partial(run, n),
            partial(predict, n),
        )
        for n, limit in LIMITS.items()
    ]
