"""Peer: plain PyTorch, backpropagation through a loop in which no gradient goes back through the recurrent weights.

Its gradient is the one of block-diagonal online learning, of a whole sequence: the oracle of c4.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.peers.torch_cells import super_spike, to_tensor
from benchmarks.peers.worker import serve
from benchmarks.works import Arrays, Work

NAMES = ("w_in", "w_rec", "w_out")


def step_loss(readout: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the cross entropy of (K, B, outputs), summed over steps, as its share of the mean over `steps` of them."""
    losses = torch.nn.functional.cross_entropy(readout.movedim(-1, 0)[None], labels.expand(1, *readout.shape[:2]),
                                               reduction="none")  # fmt: skip
    return (weight * losses[0]).mean(-1).sum() / steps


def forward(work: Work, x: torch.Tensor, w_in: torch.Tensor, w_rec: torch.Tensor, w_out: torch.Tensor) -> Any:
    """Return the readout of every step and the hidden spikes."""
    drive = x @ w_in
    v = b = z = torch.zeros_like(drive[0])
    out = x.new_zeros(x.shape[1], w_out.shape[1])
    readout, spikes = [], []
    for drive_t in drive.unbind(0):
        v = work.v_decay * (v + drive_t + z.detach() @ w_rec)
        b = work.adapt_decay * b
        z = super_spike(v - work.threshold - work.adaptation * b, work.beta)
        v = torch.where(z.detach() > 0, 0.0, v)
        b = b + z
        out = work.out_decay * (out + z @ w_out)
        readout.append(out)
        spikes.append(z)
    return torch.stack(readout), torch.stack(spikes)


def set_up(work: Work, arrays: Arrays, dtype: torch.dtype = torch.float32) -> Any:
    """Set up c4: one update of the weights after the whole sequence."""
    x, labels = to_tensor(arrays["x"]).to(dtype), torch.from_numpy(arrays["labels"])
    weights = [to_tensor(arrays[name]).to(dtype).requires_grad_() for name in NAMES]
    optimizer = torch.optim.SGD(weights, lr=work.learning_rate)
    ones = torch.ones(work.batch, dtype=dtype)

    def run(weight: torch.Tensor = ones) -> Any:
        optimizer.zero_grad()
        readout, spikes = forward(work, x, *weights)
        torch.autograd.backward(step_loss(readout, labels, weight, work.steps))
        optimizer.step()
        return spikes

    def check(weight: NDArray[Any]) -> Arrays:
        with torch.no_grad():
            for w, name in zip(weights, NAMES, strict=True):
                w.copy_(torch.from_numpy(arrays[name]))
        spikes = run(torch.from_numpy(weight).to(dtype)).detach().numpy().astype("uint8")
        grads = {f"grad_{name}": w.grad.numpy() for name, w in zip(NAMES, weights, strict=True) if w.grad is not None}
        return {"spikes": spikes, **grads}

    return run, check


if __name__ == "__main__":
    serve({"c4": set_up})
