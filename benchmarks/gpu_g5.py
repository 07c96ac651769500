"""g5: a million cells of three neurons with many operations, simulated, against bandwidth and instruction floor."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

import graphc as gc
from benchmarks.gpu_cells import CELLS
from benchmarks.gpu_device import first_run, highest_clock, replayed, timer
from benchmarks.gpu_predict import COPY_GB_S, Loop, describe, dry_run, loops_of, plan_of
from benchmarks.gpu_suite import Bench, Job, Peers, assert_equal_work, spikes_equal, timed_row
from benchmarks.report import Row
from benchmarks.works import Work

STEPS, BATCH, NEURONS = 100, 16, 65536
COLUMNS = 4096  # neurons with a drive of their own; the others repeat it
TARGET = "80 % of the larger of bandwidth and instruction floor"


def make_work(name: str) -> Work:
    """Return the work of one neuron; the title is its name in the zoo."""
    return Work("g5", name, STEPS, BATCH, NEURONS)


def make_network(name: str) -> gc.Network:
    """Return a population, each neuron driven by an input of its own."""
    net = gc.Network(dt=CELLS[name].dt)
    net.input("x", NEURONS)
    net.population("hid", gc.zoo.ALL[name], NEURONS)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    net.output("hid")
    return net


def columns(name: str) -> np.ndarray[Any, Any]:
    """Return the drive (T, 1, COLUMNS): a constant current of each neuron, and noise from step to step."""
    draw, (mean, spread) = np.random.default_rng(5), CELLS[name].drive
    steady = draw.normal(mean, spread, (1, 1, COLUMNS))
    return (steady + draw.normal(0.0, spread / 4, (STEPS, 1, COLUMNS))).astype(np.float32)


def loop(name: str) -> Any:
    """Return ``forward(x) -> spikes`` in PyTorch."""
    cell = CELLS[name]

    def forward(x: torch.Tensor) -> torch.Tensor:
        state: Any = tuple(torch.full(x.shape[1:], s, device=x.device) for s in cell.start)
        spikes = []
        for row in x.unbind(0):
            z, state = cell.step(torch, row, state)
            spikes.append(z.float())
        return torch.stack(spikes)

    return forward


def compiled_loop(name: str) -> Any:
    """Return the same with its step compiled into one kernel."""
    cell = CELLS[name]

    def one(row: torch.Tensor, *state: torch.Tensor) -> Any:
        z, after = cell.step(torch, row, state)
        return (z.float(), *after)

    step = torch.compile(one, fullgraph=True, dynamic=False)

    def forward(x: torch.Tensor) -> torch.Tensor:
        state: Any = tuple(torch.full(x.shape[1:], s, device=x.device) for s in cell.start)
        spikes = []
        for row in x.unbind(0):
            z, *state = step(row, *state)
            spikes.append(z)
        return torch.stack(spikes)

    return forward


def run(name: str, bench: Bench) -> Row:
    """Check and time one neuron."""
    drawn = columns(name)
    x = torch.from_numpy(drawn).cuda().tile(1, BATCH, NEURONS // COLUMNS)
    model = gc.compile(make_network(name), learn=None, target="triton").to("cuda")

    def ours() -> Any:
        with torch.no_grad():
            return model(x)

    first = first_run(ours)
    plan = plan_of(make_network(name), frozenset())
    loops = loops_of(plan)
    few = torch.from_numpy(drawn).cuda()
    y = ours()[:, :1, :COLUMNS]
    rate = float(y.mean())
    told = {"torch eager": assert_equal_work("the eager loop", {"spikes": spikes_equal(y, loop(name)(few))}, 0.999, 0)}
    peers = Peers()
    peers.add("torch CUDA graph", bench, 8, lambda: timer(replayed(partial(loop(name), x))))
    if bench.compiled:

        def compiled() -> Any:
            whole = partial(compiled_loop(name), x)
            peers.notes["torch.compile first run s"] = first_run(whole)
            return timer(replayed(whole))

        peers.add("torch.compile of a step, CUDA graph", bench, 30, compiled)
    if bench.jax is not None:

        def by_jax() -> Any:
            assert bench.jax is not None
            peers.notes["jax first run s"] = bench.jax.set_up("g5", make_work(name), {"x": drawn})
            spikes = torch.from_numpy(bench.jax.check()["spikes"]).cuda()
            told["JAX"] = assert_equal_work("JAX", {"spikes": spikes_equal(y, spikes)}, 0.999, 0)
            return bench.jax.time

        peers.add("JAX lax.scan", bench, 20, by_jax)
    row = timed_row("g5", f"{name}, {BATCH * NEURONS:,} cells, T={STEPS}, simulated", ours, peers, bench, runs=2)
    copy = bench.copy_rate(4 * STEPS * BATCH * NEURONS)
    floors = floors_ms(loops, copy, torch.cuda.get_device_properties(0).multi_processor_count, highest_clock())
    row.ratio = max(floors["bandwidth"], floors["instructions"]) / row.ours_ms
    row.reached = row.ratio >= 0.8
    row.notes |= {
        "checks": told,
        "rate": rate,
        "floors_ms": floors,
        "first run s": first,
        **describe(plan, STEPS, BATCH, copy),
    }
    return row


def floors_ms(loops: dict[str, Loop], copy_gb_s: float, cores: int, clock_mhz: float) -> dict[str, float]:
    """Return both floors in ms, of 8 bytes a cell and step and of all instructions, and what the second is made of."""
    cells = STEPS * BATCH * NEURONS
    issued = sum(found.floor_ms(cells, cores, clock_mhz) for found in loops.values())
    return {
        "bandwidth": 8 * cells / 1e6 / copy_gb_s,
        "instructions": issued,
        "instructions per step": sum(found.instructions for found in loops.values()),
        "special functions per step": sum(found.special for found in loops.values()),
        "clock_mhz": clock_mhz,
    }


def predict(name: str) -> list[str]:
    """Return what is known without a GPU."""
    plan = plan_of(make_network(name), frozenset())
    lines = dry_run(plan, STEPS, BATCH)
    floors = floors_ms(loops_of(plan), COPY_GB_S, 132, highest_clock())
    return [*lines, ", ".join(f"{what} {value:.3g}" for what, value in floors.items())]


def jobs() -> list[Job]:
    """Return a row for every neuron."""
    return [
        Job("g5", f"{n}, {BATCH * NEURONS:,} cells, T={STEPS}, simulated", TARGET, partial(run, n), partial(predict, n))
        for n in CELLS
    ]
