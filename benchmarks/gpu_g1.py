"""g1: a feed-forward LIF, forward and backward, against the copy bandwidth of the device."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

import graphc as gc
from benchmarks.gpu_device import counted_builds, cuda, first_run, median, replayed, timer
from benchmarks.gpu_peers import lif_step, loop_over, trained
from benchmarks.gpu_predict import COPY_GB_S, describe, dry_run, plan_of
from benchmarks.gpu_suite import Bench, Job, LeftOut, Peers, assert_equal_work, relative_error, spikes_equal, timed_row
from benchmarks.report import Row
from benchmarks.works import Work
from graphc.ir import Precision
from graphc.units import ms

NEURONS = 1024
SIZES = {"64 k": 64, "1 M": 1024, "4 M": 4096}  # neurons at once -> samples
STEPS = (32, 100, 1000)
PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
GRADIENTS = {"bfloat16": 2e-2, "float32": 1e-5}
ARRAYS = 5  # inputs, outputs, what is saved, and gradients of both
WITH_PEERS = (("1 M", 32), ("1 M", 100))
TARGET = "85 % of copy bandwidth, 1.3x the fastest peer"
MODELS: dict[str, Any] = {}


def make_network(work: Work) -> gc.Network:
    """Return a layer of LIF neurons, each driven by an input of its own."""
    v, x = gc.state("v"), gc.input("x")
    lif = gc.Neuron(
        "LIF",
        ode={v: -v / gc.param("tau_mem", work.tau_mem * ms)},
        receive={v: v + x},
        spike=gc.Spike(v > work.threshold, surrogate=gc.surrogate.SuperSpike(beta=work.beta)),
        reset={v: 0},
    )
    net = gc.Network(dt=work.dt * ms)
    net.input("x", work.neurons)
    net.population("hid", lif, work.neurons)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.output("hid")
    return net


def make_work(size: str, steps: int, precision: str) -> Work:
    """Return one size of the work."""
    title = f"feed-forward LIF, {precision}, {size} neurons at once, T={steps}"
    return Work("g1", title, steps, SIZES[size], NEURONS)


def budget_bytes(work: Work, precision: str) -> int:
    """Return the bytes that forward and backward have to move with one value saved per neuron and step."""
    return 2 * (2 + 1) * DTYPES[precision].itemsize * work.steps * work.batch * work.neurons


def fresh(work: Work, dtype: torch.dtype, mean: float, std: float) -> torch.Tensor:
    """Return normal numbers (T, B, N) on the device, the same at every call."""
    torch.manual_seed(1)
    return torch.empty(work.steps, work.batch, work.neurons, device="cuda", dtype=dtype).normal_(mean, std)


def run(size: str, steps: int, precision: Precision, bench: Bench) -> Row:
    """Check and time one size."""
    work, dtype = make_work(size, steps, precision), DTYPES[precision]
    need, free = ARRAYS * work.steps * work.batch * work.neurons * dtype.itemsize, cuda.mem_get_info()[0]
    if need > 0.95 * free:
        raise LeftOut(f"its sequences take {need / 1e9:.0f} GB and {free / 1e9:.0f} GB are free")
    if precision not in MODELS:
        MODELS[precision] = gc.compile(make_network(work), target="triton", precision=precision).to("cuda")
    model = MODELS[precision]
    x, gy = fresh(work, dtype, 0.1, 0.45).requires_grad_(), fresh(work, dtype, 0.0, 1.0)
    ours = trained(model, [x], gy)
    with counted_builds() as built:
        first = first_run(ours)
    few = min(8, work.batch)
    y, (gx,) = ours()
    part = x.detach()[:, :few].contiguous().requires_grad_()
    eager = loop_over(lif_step(work), recurrent=False)
    wanted, (wanted_gx,) = trained(eager, [part], gy[:, :few].contiguous())()
    found = {"spikes": spikes_equal(y[:, :few], wanted), "gradient": relative_error(gx[:, :few], wanted_gx)}
    told = assert_equal_work("the eager loop", found, 0.999, GRADIENTS[precision])
    rate = float(y[:, :few].float().mean())
    del y, gx
    peers = Peers()
    if (size, steps) in WITH_PEERS:
        _add_peers(peers, bench, work, x, gy, steps)
    row = timed_row("g1", work.title, ours, peers, bench, runs=2)
    moved = budget_bytes(work, precision)
    copy = bench.copy_rate(moved // 6)
    row.ratio = moved / 1e6 / row.ours_ms / copy
    with torch.no_grad():
        simulated = median(replayed(partial(model, x.detach())), 5)
    plan = plan_of(make_network(work), frozenset({"x"}), precision)
    row.notes |= {
        "checks": told,
        "rate": rate,
        "copy_gb_s": copy,
        "gb_s": moved / 1e6 / row.ours_ms,
        "budget bytes": moved,
        "predicted_ms": moved / 1e6 / copy,
        "builds in this row": dict(built),
        "first run s": first,
        "forward_alone_ms": simulated,
        "forward_alone_fraction": moved / 3 / 1e6 / simulated / copy,
        **describe(plan, work.steps, work.batch, copy),
    }
    row.reached = size == "64 k" or row.ratio >= 0.85
    if row.peers:
        row.notes["over the fastest peer"] = min(row.peers.values()) / row.ours_ms
        row.reached = row.reached and row.notes["over the fastest peer"] >= 1.3
    if steps == STEPS[-1]:
        row.reached = row.reached and not built  # nothing may be built anew for a longer sequence
    return row


def _add_peers(peers: Peers, bench: Bench, work: Work, x: torch.Tensor, gy: torch.Tensor, steps: int) -> None:
    eager = trained(loop_over(lif_step(work), recurrent=False), [x], gy)
    peers.notes["SpikingJelly Triton"] = "not installed"
    peers.notes["Norse"] = "not installed"
    peers.add("torch CUDA graph", bench, 10, lambda: timer(replayed(eager)))
    if bench.compiled and steps == STEPS[0] and x.dtype == torch.bfloat16:

        def compiled() -> Any:
            unrolled = torch.compile(loop_over(lif_step(work), recurrent=False), dynamic=False)
            whole = trained(unrolled, [x], gy)
            peers.notes["torch.compile first run s"] = first_run(whole)
            return timer(replayed(whole))

        peers.add("torch.compile", bench, 60, compiled)


def predict(size: str, steps: int, precision: Precision) -> list[str]:
    """Return what is known without a GPU."""
    work = make_work(size, steps, precision)
    moved = budget_bytes(work, precision)
    lines = [f"budget {moved:,} bytes, {moved / 1e6 / COPY_GB_S:.3f} ms at {COPY_GB_S:.0f} GB/s"]
    return lines + dry_run(plan_of(make_network(work), frozenset({"x"}), precision), work.steps, work.batch)


def jobs() -> list[Job]:
    """Return the rows; the shortest sequences first, so that later ones show that nothing is built anew."""
    return [
        Job("g1", make_work(s, t, p).title, TARGET, partial(run, s, t, p), partial(predict, s, t, p))
        for p in PRECISIONS
        for t in STEPS
        for s in SIZES
    ]
