"""The works of the CPU suite as plain data: sizes, constants of the neuron, seeded inputs.

Everybody (graphc, hand-written C, peers) reads the same files, so this module needs NumPy only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import cuba

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Work:
    """Sizes and constants of one work; times in ms, `dt` = 1 ms."""

    id: str
    title: str
    steps: int
    batch: int
    neurons: int
    inputs: int = 0
    outputs: int = 0
    tau_mem: float = 10.0
    tau_syn: float = 5.0
    tau_adapt: float = 100.0
    tau_out: float = 20.0
    threshold: float = 1.0
    adaptation: float = 0.2
    beta: float = 10.0
    dt: float = 1.0
    learning_rate: float = 1e-3
    chunk: int = 0  # steps between two updates of the weights, of online learning

    @property
    def v_decay(self) -> float:
        """Return the factor by which v decays in one step."""
        return math.exp(-self.dt / self.tau_mem)

    @property
    def i_decay(self) -> float:
        """Return the factor by which the synaptic current decays in one step."""
        return math.exp(-self.dt / self.tau_syn)

    @property
    def i_to_v(self) -> float:
        """Return what one unit of current adds to v in one step (exact integration of CuBa-LIF)."""
        rate = 1 / self.tau_syn - 1 / self.tau_mem
        return (self.v_decay - self.i_decay) / (rate * self.tau_mem)

    @property
    def adapt_decay(self) -> float:
        """Return the factor by which the adaptation decays in one step."""
        return math.exp(-self.dt / self.tau_adapt)

    @property
    def out_decay(self) -> float:
        """Return the factor by which the readout decays in one step."""
        return math.exp(-self.dt / self.tau_out)


C1 = Work("c1", "feed-forward CuBa-LIF, T=100 B=128 N=512", 100, 128, 512)
C2 = Work("c2", "recurrent CuBa-LIF, T=100 B=128 N=256", 100, 128, 256)
C3 = Work("c3", "train step 700-256r-20, ALIF, T=250 B=64", 250, 64, 256, inputs=700, outputs=20, tau_mem=20.0)
C4 = replace(C3, id="c4", title="online learning 700-256r-20, ALIF, T=256 B=64", steps=256, chunk=32)
C5 = Work("c5", "recurrent CuBa-LIF, a delay of 1 to 25 steps per synapse, T=100 B=128 N=256", 100, 128, 256)
C6 = Work("c6", "CUBA network, 4000 neurons, 1 s in steps of 0.1 ms, simulated", 10_000, 1, 4000, dt=0.1)
C7 = Work("c7", "Hodgkin-Huxley, 10 000 cells, 1000 steps of exponential Euler, simulated", 1000, 1, 10_000, dt=0.05)
WORKS = {work.id: work for work in (C1, C2, C3, C4, C5, C6, C7)}
LONGEST_DELAY = 25


def make_inputs(work: Work, seed: int = 1) -> Arrays:
    """Return the seeded float32 inputs of `work`: drives or spikes, weights, and the loss's gradient or labels."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int, mean: float = 0.0, std: float = 1.0) -> NDArray[Any]:
        return (mean + std * draw.standard_normal(shape)).astype(np.float32)

    if work.id == "c6":
        return cuba.make_network(work.neurons)
    if work.id == "c7":
        return {"current": np.linspace(0, 40, work.neurons, dtype=np.float32)}
    if work.id in ("c1", "c2", "c5"):
        shape = (work.steps, work.batch, work.neurons)
        mean, std = (0.2, 1.5) if work.id == "c1" else (0.35, 1.5)
        arrays = {"x": normal(*shape, mean=mean, std=std), "gy": normal(*shape)}
        if work.id != "c1":
            arrays["w"] = normal(work.neurons, work.neurons, std=0.5 / math.sqrt(work.neurons))
        if work.id == "c5":
            arrays["delays"] = draw.integers(1, LONGEST_DELAY + 1, (work.neurons, work.neurons))
        return arrays
    return {
        "x": draw_spikes(work, work.steps, draw),
        "w_in": normal(work.inputs, work.neurons, mean=0.004, std=0.05),
        "w_rec": normal(work.neurons, work.neurons, std=0.3 / math.sqrt(work.neurons)),
        "w_out": normal(work.neurons, work.outputs, std=1.0 / math.sqrt(work.neurons)),
        "labels": draw.integers(0, work.outputs, work.batch),
    }


def draw_spikes(work: Work, steps: int, draw: np.random.Generator) -> NDArray[Any]:
    """Return input spikes (steps, B, inputs) at a rate of 5 %."""
    return (draw.random((steps, work.batch, work.inputs)) < 0.05).astype(np.float32)


def save(work: Work, arrays: Arrays, folder: Path) -> None:
    """Write `work` and its inputs where a worker process finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "work.json").write_text(json.dumps(asdict(work)))
    np.savez(folder / "inputs.npz", **arrays)  # type: ignore[arg-type]


def load(folder: Path) -> tuple[Work, Arrays]:
    """Read what `save` wrote."""
    work = Work(**json.loads((folder / "work.json").read_text()))
    with np.load(folder / "inputs.npz") as file:
        return work, {name: file[name] for name in file.files}


@dataclass(frozen=True)
class Agreement:
    """How far two results of one work are the same."""

    spikes_equal: float
    rate: float
    gradient_error: float

    @property
    def holds(self) -> bool:
        """Return whether the two did the same work: 99.9 % of the spikes and the gradients agree."""
        return self.spikes_equal >= 0.999 and self.gradient_error <= 1e-3


def find_clean(results: Sequence[Arrays]) -> NDArray[Any]:
    """Return a weight per sample: 1 where all results have the same spikes, else 0.

    Rounding may move a spike that lies on the threshold, and what follows it in a recurrent network differs. A loss
    without those samples has comparable gradients.
    """
    first = results[0]["spikes"] > 0
    clean = [((other["spikes"] > 0) == first).all(axis=(0, 2)) for other in results]
    weight: NDArray[Any] = np.logical_and.reduce(clean).astype(np.float32)
    return weight


def compare(reference: Arrays, other: Arrays) -> Agreement:
    """Compare spikes one by one, and gradients as a whole (made with the weights of `find_clean`)."""
    equal = (reference["spikes"] > 0) == (other["spikes"] > 0)
    errors = [0.0]
    for name in (name for name in reference if name.startswith("grad_")):
        a, b = reference[name].astype(np.float64), other[name].astype(np.float64)
        errors.append(float(np.linalg.norm(a - b) / np.linalg.norm(a)) if np.linalg.norm(a) > 0 else math.inf)
    return Agreement(float(equal.mean()), float((reference["spikes"] > 0).mean()), max(errors))
