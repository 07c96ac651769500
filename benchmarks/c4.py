"""c4: the network of c3 as it learns from a stream, by block-diagonal traces, with an update every K steps.

``python -m benchmarks.c4 bptt|ours FOLDER STEPS`` prints the memory that one contender takes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import graphc as gc
from benchmarks.c3 import WEIGHTS, make_network
from benchmarks.contenders import TOLD, Contenders, Ours, start_peers, wait_for
from benchmarks.peers.torch_cells import to_tensor
from benchmarks.peers.torch_online import step_loss
from benchmarks.peers.worker import Check, Run, forget_peak, read_peak
from benchmarks.process import ROOT, Worker, find_python
from benchmarks.report import Row, spread, time_alternately
from benchmarks.works import C4, Arrays, Work, compare, draw_spikes, find_clean, load, make_inputs, save

WORK = C4
PEERS = ("brain_trace", "torch_online")
# BrainTrace takes most of a second for a step at K = 1, so that sequence is short.
WORKS = (
    replace(C4, title="online learning 700-256r-20, ALIF, B=64: an update every step, T=16", steps=16, chunk=1),
    replace(C4, title=f"the same, an update every {C4.chunk} steps, T={C4.steps}"),
    replace(C4, title=f"the same, one update after T={C4.steps} steps, the last ones", chunk=C4.steps),
)
LENGTHS = (100, 1000, 5000)
MEMORY = replace(C4, id="c4", steps=32, batch=8)


def set_up_ours(
    work: Work, arrays: Arrays, learn: Any = None, target: str = "c", dtype: Any = None
) -> tuple[Run, Check]:
    """Return a pass over the sequence as a stream of chunks, with plain gradient descent after each."""
    model = gc.compile(
        make_network(work), learn=learn or gc.learn.BlockDiagonal(chunk="all"), target=target, dtype=dtype
    )
    dtype = dtype or torch.float32
    chunks, labels = to_tensor(arrays["x"]).to(dtype).split(work.chunk), torch.from_numpy(arrays["labels"])
    weights = {name: getattr(model, connection).weight for name, connection in WEIGHTS.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=work.learning_rate)
    ones = torch.ones(work.batch, dtype=dtype)

    def run(weight: torch.Tensor = ones) -> None:
        if len(chunks) == 1:  # nothing follows, so no trace is needed
            optimizer.zero_grad()
            torch.autograd.backward(step_loss(model(chunks[0]), labels, weight, work.steps))
            optimizer.step()
            return
        state = model.initial_state(work.batch)
        for x in chunks:
            found = model.run(x, state=state)
            optimizer.zero_grad()
            torch.autograd.backward(step_loss(found.output, labels, weight, work.steps))
            optimizer.step()
            state = found.state

    def restart() -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(torch.from_numpy(arrays[name]))

    def check(weight: NDArray[Any]) -> Arrays:
        restart()
        optimizer.zero_grad()
        state, spikes = model.initial_state(work.batch), []
        for x in chunks:
            found = model.run(x, state=state, record=["hid.spike"])
            weighed = torch.from_numpy(weight).to(dtype)
            torch.autograd.backward(step_loss(found.output, labels, weighed, work.steps))
            spikes.append(found.records["hid.spike"].detach().numpy().astype("uint8"))
            state = found.state
        grads = {f"grad_{name}": weight.grad.numpy().copy() for name, weight in weights.items()}
        return {"spikes": np.concatenate(spikes), **grads}

    restart()
    return run, check


def set_up_bptt(work: Work, arrays: Arrays) -> tuple[Run, Check]:
    """Return a training step by backpropagation through the whole sequence, compiled by graphc."""
    return set_up_ours(replace(work, chunk=work.steps), arrays, gc.learn.BPTT())


def check_all(contenders: Contenders, work: Work) -> dict[str, str]:
    """Return how far each contender's spikes and gradients, of fixed weights, agree with ours; raise where not."""
    everything = np.ones(work.batch, np.float32)
    spikes = {name: one.check(everything) for name, one in contenders.items()}
    clean = find_clean(list(spikes.values()))
    frozen = {name: one.check(clean) for name, one in contenders.items()}
    told = {"rate": f"{100 * compare(spikes['ours'], spikes['ours']).rate:.1f} %"}
    for name in contenders:
        whole, part = compare(spikes["ours"], spikes[name]), compare(frozen["ours"], frozen[name])
        told[name] = f"{100 * whole.spikes_equal:.3f} % spikes, gradients {part.gradient_error:.0e}"
        if name != "graphc BPTT" and not part.holds:
            raise RuntimeError(f"{work.id}: {name} does not do the same work as ours: {told[name]}")
    return told


def measure_times(work: Work, folder: Path, rounds: int, versions: dict[str, str]) -> Row:
    """Check and time one length of chunk against BrainTrace, and against backpropagation with one update."""
    arrays = make_inputs(work)
    save(work, arrays, folder)
    contenders: Contenders = {"ours": Ours(set_up_ours, work, arrays), "graphc BPTT": Ours(set_up_bptt, work, arrays)}
    workers: list[Worker] = []
    first: dict[str, float] = {}
    for worker in start_peers(work, PEERS, folder):
        seconds = wait_for(worker)
        if seconds is not None:
            workers.append(worker)
            first[worker.name] = seconds
            versions |= worker.versions
    contenders |= {worker.name: worker for worker in workers}
    TOLD.print(f"{work.id}: {work.title}")
    told = check_all(contenders, work)
    if work.chunk < work.steps:
        contenders.pop("torch_online", None)
    times = time_alternately({name: one.time for name, one in contenders.items()}, rounds, runs=1)
    for worker in workers:
        worker.close()
    medians = {name: statistics.median(found) for name, found in times.items()}
    ours = medians.pop("ours")
    notes = {
        "checks": told,
        "spreads": {name: spread(found) for name, found in times.items()},
        "first_run_s": first,
        "ms_per_step": ours / work.steps,
    }
    ratio = medians.get("brain_trace", 0.0) / ours
    return Row("c4", work.title, ours, spread(times["ours"]), "3x BrainTrace", ratio >= 3, ratio, medians, notes)


def compare_chunks(single: Row, chunked: Row) -> Row:
    """Return how much faster a step is when 32 of them are one chunk."""
    one, many = (row.notes["ms_per_step"] for row in (single, chunked))
    title = f"the same, one step, with an update every {C4.chunk} steps"
    return Row("c4", title, many, chunked.spread, "3x an update every step", one / many >= 3, one / many,
               {"an update every step": one})  # fmt: skip


def stream(folder: Path, steps: int, learn: str) -> float:
    """Return the most MB resident in this process while `steps` steps are learned, in chunks or, by BPTT, at once."""
    work, arrays = load(folder)
    online = learn == "ours"
    model = gc.compile(make_network(work), learn=gc.learn.BlockDiagonal() if online else "bptt", target="c")
    labels, ones = torch.from_numpy(arrays["labels"]), torch.ones(work.batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=work.learning_rate)

    def go(total: int, chunk: int) -> None:
        state = model.initial_state(work.batch)
        for first in range(0, total, chunk):
            x = torch.from_numpy(draw_spikes(work, min(chunk, total - first), np.random.default_rng(first)))
            found = model.run(x, state=state)
            optimizer.zero_grad()
            torch.autograd.backward(step_loss(found.output, labels, ones, total))
            optimizer.step()
            state = {name: value.detach() for name, value in found.state.items()}

    go(work.steps, work.steps)
    forget_peak()
    go(steps, work.steps if online else steps)
    return read_peak()


def measure_memory(folder: Path) -> Row:
    """Return how the memory of a stream grows with its length."""
    save(MEMORY, make_inputs(MEMORY), folder)
    found: dict[str, list[float]] = {}
    for name, module in (("ours", "benchmarks.c4"), ("graphc BPTT", "benchmarks.c4"), ("brain_trace", "")):
        python = find_python("torch_online" if module else name)
        if python is None:
            continue
        command = [str(python), "-m", module or f"benchmarks.peers.{name}"]
        command += [str(folder), "{}"] + ([name] if module else [])
        found[name] = []
        for steps in LENGTHS:
            words = [word.format(steps) for word in command]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            found[name].append(float(done.stdout.split()[-1]))
    growth = found["ours"][-1] / found["ours"][0]
    last = {name: sizes[-1] for name, sizes in found.items()}
    title = f"the same, B={MEMORY.batch}, memory resident at most in a stream of {LENGTHS[-1]} steps"
    target = f"{LENGTHS[-1]} steps take no more than {LENGTHS[0]} (1.05x)"
    notes = {"unit": "MB", "steps": LENGTHS, "resident_mb": found}
    return Row("c4", title, last.pop("ours"), 0.0, target, growth <= 1.05, growth, last, notes)


def measure(folder: Path, rounds: int, versions: dict[str, str]) -> list[Row]:
    """Return the rows of c4; add the peers' versions to `versions`. Nothing else runs while somebody compiles."""
    rows = [measure_times(work, folder / str(work.chunk), rounds, versions) for work in WORKS]
    return [*rows, compare_chunks(*rows[:2]), measure_memory(folder / "memory")]


if __name__ == "__main__":
    print(stream(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
