"""One neuron on a written input, for tables that are compared step by step."""

from collections.abc import Mapping, Sequence

import torch

import graphc as gc


def table(
    neuron: gc.Neuron,
    drive: Sequence[float] | Mapping[str, Sequence[float]],
    *record: str,
    dt: float = 1.0,
    **values: object,
) -> list[list[float]]:
    """Return the recorded signals of one neuron "n", a list over the steps for each.

    The inputs of the neuron are driven one to one with weight 1.
    """
    inputs = drive if isinstance(drive, Mapping) else {neuron.inputs[0].name: drive}
    net = gc.Network(dt=dt)
    net.population("n", neuron, 1, **values)
    for name in inputs:
        net.input(f"in_{name}", 1)
        net.connect(f"in_{name}", "n", target=name, weight=1.0, connectivity=gc.OneToOne())
    net.output("n")
    model = gc.compile(net, learn=None, target="reference", dtype=torch.float64)
    xs = {f"in_{name}": torch.tensor(x, dtype=torch.float64).reshape(-1, 1, 1) for name, x in inputs.items()}
    run = model.run(xs, record=[f"n.{r}" for r in record])
    return [run.records[f"n.{r}"].flatten().tolist() for r in record]
