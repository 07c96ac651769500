"""Where a list of synapses beats a matrix with zeros on this processor: ``python -m benchmarks.crossover``.

A recurrent layer, forward and backward, with the same synapses kept as a list and as a matrix, at several densities.
The figures stand in docs/synapses.md, and the density in `graphc.passes.sparsity.CROSSOVER`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import graphc as gc
from benchmarks.layers import make_neuron
from benchmarks.works import C2

DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
ROUNDS = 5


def make_run(neurons: int, batch: int, density: float, layout: Any) -> Callable[[], None]:
    """Return forward plus backward of one layer."""
    net = gc.Network(dt=C2.dt)
    net.input("x", neurons)
    net.population("hid", make_neuron(C2), neurons)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    weight = gc.Normal(0, 0.5 / (density * neurons) ** 0.5)
    net.connect("hid", "hid", delay=1, weight=weight, connectivity=gc.Sparse(density, seed=1, layout=layout))
    net.output("hid")
    model = gc.compile(net, target="c")
    generator = torch.Generator().manual_seed(0)
    x = 0.35 + 1.5 * torch.randn(50, batch, neurons, generator=generator)
    g = torch.randn(50, batch, neurons, generator=generator)

    def run() -> None:
        torch.autograd.backward(model(x), g)

    run()
    return run


def measure(runs: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Return the median milliseconds of each, in alternation."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            found[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Print the table."""
    table = Table("neurons", "batch", "density", "list, ms", "matrix, ms", "matrix / list")
    for neurons, batch in ((256, 64), (1024, 16), (1024, 1)):
        for density in DENSITIES:
            times = measure({layout: make_run(neurons, batch, density, layout) for layout in ("list", "dense")})
            ratio = times["dense"] / times["list"]
            row = (
                neurons,
                batch,
                f"{100 * density:g} %",
                f"{times['list']:.1f}",
                f"{times['dense']:.1f}",
                f"{ratio:.2f}",
            )
            table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    main()
