"""Inputs to try a network on: given ones from a file, or seeded random spikes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.ir.errors import GraphcError

if TYPE_CHECKING:
    import torch

    from .network import Network

Inputs = dict[str, Any]


def random_spikes(network: Network, steps: int, batch: int, rate: float, seed: int = 0) -> Inputs | None:
    """Return Bernoulli spikes (T, B, N) for every input by name, None for a network without inputs.

    Args:
        network: whose inputs to draw.
        steps: T.
        batch: B.
        rate: spikes per line and step, from 0 to 1.
        seed: of the draw.
    """
    import torch

    draw = torch.Generator().manual_seed(seed)
    found = {
        name: (torch.rand(steps, batch, network.inputs[name].size, generator=draw) < rate).float()
        for name in network.inputs
    }
    return found or None


def from_file(network: Network, path: Path) -> Inputs:
    """Return the inputs (T, B, N) of a .npy file, or of a .npz file with an array per input.

    Raises:
        GraphcError: the file holds something else, or another number of inputs or neurons.
    """
    import zipfile

    import numpy as np
    import torch

    try:
        read = np.load(path, allow_pickle=False)
        arrays = dict(read) if hasattr(read, "files") else dict.fromkeys(network.inputs, read)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise GraphcError(f"cannot read inputs from {path}: {error}", hint="save them by numpy.save") from error
    if set(arrays) != set(network.inputs) or (len(arrays) > 1 and not hasattr(read, "files")):
        raise GraphcError(
            f"{path} holds {', '.join(arrays)}, and the network has the inputs {', '.join(network.inputs) or 'none'}",
            hint="numpy.savez(path, name=array, ...) with one array (T, B, N) per input",
        )
    found: dict[str, torch.Tensor] = {}
    for name, array in arrays.items():
        size = network.inputs[name].size
        if array.ndim != 3 or array.shape[2] != size:
            raise GraphcError(f"input '{name}' in {path} has shape {array.shape}, and must be (T, B, {size})")
        if array.dtype.kind not in "bfiu":
            raise GraphcError(f"input '{name}' in {path} is of {array.dtype}, no real numbers")
        found[name] = torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))
    return found
