"""c6: the CUBA network, simulated: how long a run takes, and how long it is from the declaration to the result.

The network is chaotic: rounding decides after some time who spikes. What is timed computes in float32, Brian2 in
float64, so rates and the irregularity of the intervals are compared over the whole second, and a run in float64 shows
spike by spike that it is the same network.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import graphc as gc
from benchmarks import c8, cuba
from benchmarks.contenders import TOLD, Contenders, Ours, start_peers, wait_for
from benchmarks.peers.worker import Check, Run
from benchmarks.process import Worker
from benchmarks.report import Row, spread, time_alternately
from benchmarks.works import C6, Arrays, Work, make_inputs, save
from graphc.units import ms

WORK = C6
PEERS = ("brian", "brian_cython")
LOCKSTEP = 1000
"""Steps whose spikes must be the same in float64."""
TOLERANCE = 0.1
"""Of the statistics: over ten starts that differ by 1e-4 mV they have a standard deviation of 2 %."""

DECLARE = """
import json, time
from pathlib import Path
import networkx, numpy, sympy, torch, graphc, graphc.runtime
from benchmarks import c6
from benchmarks.works import load
graphc.compile
work, arrays = load(Path({folder!r}))
started = time.perf_counter()
run, _ = c6.set_up_ours(work, arrays)
run()
print(json.dumps({{"total_s": time.perf_counter() - started}}))
"""


def make_network(work: Work, arrays: Arrays) -> gc.Network:
    """Return two populations, and a list of synapses from each to each."""
    v, ge, gi = gc.states("v ge gi")
    exc, inh = gc.inputs("exc inh")
    neuron = gc.Neuron(
        "CUBA",
        ode={
            v: (ge + gi - (v - cuba.V_REST)) / (cuba.TAU_M * ms),
            ge: -ge / (cuba.TAU_E * ms),
            gi: -gi / (cuba.TAU_I * ms),
        },
        receive={ge: ge + exc, gi: gi + inh},
        spike=gc.Spike(v > cuba.V_THRESHOLD),
        reset={v: cuba.V_RESET},
        refractory=cuba.HELD_STEPS * work.dt * ms,
        integrator="exact",
    )
    net = gc.Network(dt=work.dt * ms)
    parts = {"exc": slice(0, cuba.EXCITATORY), "inh": slice(cuba.EXCITATORY, work.neurons)}
    for name, part in parts.items():
        net.population(name, neuron, part.stop - part.start, v=arrays["v"][part])
    for source, weight in (("exc", cuba.W_EXC), ("inh", cuba.W_INH)):
        pre, post = arrays[f"{source}_pre"] - parts[source].start, arrays[f"{source}_post"]
        for sink, part in parts.items():
            inside = (post >= part.start) & (post < part.stop)
            pairs = gc.Sparse(indices=(pre[inside], post[inside] - part.start))
            net.connect(source, sink, target=source, connectivity=pairs, weight=weight, delay=1, learn=False)
    net.output("exc")
    net.output("inh")
    return net


def set_up_ours(work: Work, arrays: Arrays, dtype: torch.dtype = torch.float32) -> tuple[Run, Check]:
    """Return the simulation as graphc compiles it; its result is every spike and the last state."""
    model = gc.compile(make_network(work, arrays), learn=None, target="c", dtype=dtype)

    def run() -> Any:
        return model.run(steps=work.steps, batch_size=work.batch)

    def check(weight: NDArray[Any]) -> Arrays:
        found = run()
        names = ("exc", "inh")
        spikes = np.concatenate([found.output[name].cpu().numpy().astype("uint8") for name in names], axis=2)
        return {"spikes": spikes, "v": np.concatenate([found.state[f"{name}.v"][0].cpu().numpy() for name in names])}

    return run, check


def describe(spikes: NDArray[Any], dt: float) -> dict[str, float]:
    """Return the rates (Hz) of both populations in spikes (T, N), and how irregular they are.

    The latter is the mean over neurons of the coefficient of variation of their intervals.
    """
    intervals = [np.diff(np.flatnonzero(train)) for train in spikes.T]
    return {
        "exc rate": 1e3 / dt * float(spikes[:, : cuba.EXCITATORY].mean()),
        "inh rate": 1e3 / dt * float(spikes[:, cuba.EXCITATORY :].mean()),
        "CV": statistics.mean(float(gaps.std() / gaps.mean()) for gaps in intervals if len(gaps) >= 3),
    }


def check_all(contenders: Contenders, work: Work, arrays: Arrays) -> dict[str, str]:
    """Return how far each contender agrees with ours; raise where one simulates another network."""
    ones = np.ones(work.batch, np.float32)
    exact = set_up_ours(work, arrays, torch.float64)[1](ones)["spikes"][:, 0]
    rasters = {name: one.check(ones)["spikes"][:, 0] for name, one in contenders.items()}
    ours = describe(rasters["ours"], work.dt)
    told = {}
    for name, raster in rasters.items():
        differ = np.flatnonzero((raster != exact).any(axis=1))
        together = int(differ[0]) if len(differ) else work.steps
        found = describe(raster, work.dt)
        told[name] = ", ".join(f"{what} {value:.3g}" for what, value in found.items())
        told[name] += f"; the spikes of ours in float64 for {together * work.dt:.0f} ms"
        near = [abs(value / ours[what] - 1) <= TOLERANCE for what, value in found.items()]
        if not all(near) or (name != "ours" and together < LOCKSTEP):
            raise RuntimeError(f"{work.id}: {name} does not do the same work as ours: {told[name]}; {told['ours']}")
    return told


def measure(folder: Path, rounds: int, versions: dict[str, str]) -> list[Row]:
    """Return the rows of c6; add the peers' versions to `versions`. Nothing else runs while somebody compiles."""
    arrays = make_inputs(WORK)
    save(WORK, arrays, folder)
    cold, warm = c8.measure_compile(DECLARE.format(folder=str(folder)))
    workers: list[Worker] = []
    first: dict[str, float] = {}
    for name in PEERS:
        for worker in start_peers(WORK, (name,), folder):
            seconds = wait_for(worker)
            if seconds is not None:
                workers.append(worker)
                first[name] = 1e3 * seconds
                versions |= worker.versions
    contenders: Contenders = {"ours": Ours(set_up_ours, WORK, arrays)} | {worker.name: worker for worker in workers}
    TOLD.print(f"{WORK.id}: {WORK.title}")
    told = check_all(contenders, WORK, arrays)
    contenders.pop("brian_cython", None)  # of which only the whole time is of interest
    times = time_alternately({name: one.time for name, one in contenders.items()}, rounds, runs=3)
    for worker in workers:
        worker.close()
    medians = {name: statistics.median(found) for name, found in times.items()}
    ours = medians.pop("ours")
    notes = {"checks": told, "spreads": {name: spread(found) for name, found in times.items()}}
    run = Row("c6", WORK.title, ours, spread(times["ours"]), "no slower than Brian2 C++", False, 0.0, medians, notes)
    run.ratio = medians.get("brian", 0.0) / ours
    run.reached = run.ratio >= 1
    title = "the same, from declaration to result, imports excluded"
    whole = Row("c6", title, 1e3 * cold, 0.0, "4x faster than Brian2", False, 0.0, first, {"warm_s": warm})
    whole.ratio = min(first.values(), default=0.0) / whole.ours_ms
    whole.reached = whole.ratio >= 4
    return [run, whole]
