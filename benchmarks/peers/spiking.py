"""What the three spiking libraries share: the loops around their neurons.

Each library gives two neurons: one step of the recurrent CuBa-LIF of c2, and one of the LIF of c3 whose threshold the
loop raises after every spike, since none of them has an adaptive neuron with these equations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers.torch_cells import make_setups
from benchmarks.peers.worker import Setup
from benchmarks.works import Work

Layer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``forward(x, w) -> spikes`` of c2."""
Step = Callable[[torch.Tensor, torch.Tensor, Any], tuple[torch.Tensor, Any]]
"""``step(drive, threshold, state) -> (spikes, state)`` of c3: v jumps by the drive, decays, spikes, is reset to 0."""


def make_works(make_layer: Callable[[Work], Layer], make_step: Callable[[Work], Step]) -> dict[str, Setup]:
    """Return c2 and c3 for a worker."""
    setups = make_setups(lambda forward: forward, lambda work: make_forward(work, make_layer, make_step))
    return {name: setups[name] for name in ("c2", "c3")}


def make_forward(work: Work, make_layer: Callable[[Work], Layer], make_step: Callable[[Work], Step]) -> Any:
    """Return the forward of `work`: the layer of c2, or the network of c3."""
    if work.id == "c2":
        return make_layer(work)

    def forward(x: torch.Tensor, w_in: torch.Tensor, w_rec: torch.Tensor, w_out: torch.Tensor) -> Any:
        step, state = make_step(work), None
        drive = x @ w_in
        z = b = torch.zeros_like(drive[0])
        out = torch.zeros(x.shape[1], w_out.shape[1])
        readout, spikes = [], []
        for drive_t in drive.unbind(0):
            b = work.adapt_decay * b
            z, state = step(drive_t + z @ w_rec, work.threshold + work.adaptation * b, state)
            b = b + z
            out = work.out_decay * (out + z @ w_out)
            readout.append(out)
            spikes.append(z)
        return torch.stack(readout), torch.stack(spikes)

    return forward
