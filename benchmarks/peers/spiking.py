"""What the three spiking libraries share: the recurrent layer's leaves, and its run and check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.peers.worker import Setup
from benchmarks.works import Arrays, Work

Layer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_setups(make_layer: Callable[[Work], Layer]) -> dict[str, Setup]:
    """Return c2 for a worker, the layer being ``forward(x, w) -> spikes``."""

    def set_up(work: Work, arrays: Arrays) -> Any:
        forward = make_layer(work)
        x, w = (torch.from_numpy(arrays[name]).requires_grad_() for name in ("x", "w"))
        gy = torch.from_numpy(arrays["gy"])

        def run(gy: torch.Tensor = gy) -> Any:
            y = forward(x, w)
            return y, torch.autograd.grad(y, (x, w), gy)

        def check(weight: NDArray[Any]) -> Arrays:
            y, (gx, gw) = run(gy * torch.from_numpy(weight)[:, None])
            return {"spikes": y.detach().numpy().astype("uint8"), "grad_x": gx.numpy(), "grad_w": gw.numpy()}

        return run, check

    return {"c2": set_up}
