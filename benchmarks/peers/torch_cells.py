"""The works as a PyTorch user writes them: a Python loop over steps, autograd for the backward.

Shared by the eager and the compiled peer and, on a device, by the GPU suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.peers.worker import Setup
from benchmarks.works import Arrays, Work

Forward = Callable[..., Any]


class _SuperSpike(torch.autograd.Function):
    """Heaviside step whose derivative is ``1 / (1 + beta |c|)^2``."""

    @staticmethod
    def forward(ctx: Any, c: torch.Tensor, beta: float) -> torch.Tensor:
        """Return 1 where `c` is above 0."""
        ctx.save_for_backward(c)
        ctx.beta = beta
        return (c > 0).to(c.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, None]:
        """Return the surrogate's share of the gradient."""
        (c,) = ctx.saved_tensors
        return grads[0] / (1 + ctx.beta * c.abs()) ** 2, None


def to_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return a copy in memory of torch's own, which starts on a cache line; NumPy's does not."""
    return torch.from_numpy(array).clone()


def super_spike(c: torch.Tensor, beta: float) -> Any:
    """Return 1 where `c` is above 0, with the SuperSpike derivative."""
    apply: Any = _SuperSpike.apply
    return apply(c, beta)


def make_cuba(work: Work, recurrent: bool) -> Forward:
    """Return ``forward(x, w) -> spikes`` of a CuBa-LIF layer; `w` is unused without recurrence."""
    a, b, a_s, theta, beta = work.v_decay, work.i_to_v, work.i_decay, work.threshold, work.beta

    def forward(x: torch.Tensor, w: torch.Tensor | None = None) -> torch.Tensor:
        i = v = z = torch.zeros_like(x[0])
        spikes = []
        for x_t in x.unbind(0):
            i = i + x_t
            if recurrent and w is not None:
                i = i + z @ w
            v = a * v + b * i
            i = a_s * i
            z = super_spike(v - theta, beta)
            v = torch.where(z.detach() > 0, 0.0, v)
            spikes.append(z)
        return torch.stack(spikes)

    return forward


def make_alif(work: Work) -> Forward:
    """Return ``forward(x, w_in, w_rec, w_out) -> (readout, hidden spikes)`` of the adaptive network."""
    a, rho, a_out = work.v_decay, work.adapt_decay, work.out_decay
    theta, adaptation, beta = work.threshold, work.adaptation, work.beta

    def forward(x: torch.Tensor, w_in: torch.Tensor, w_rec: torch.Tensor, w_out: torch.Tensor) -> Any:
        drive = x @ w_in
        v = b = z = torch.zeros_like(drive[0])
        out = torch.zeros(x.shape[1], w_out.shape[1], dtype=x.dtype, device=x.device)
        readout, spikes = [], []
        for drive_t in drive.unbind(0):
            v = a * (v + drive_t + z @ w_rec)
            b = rho * b
            z = super_spike(v - theta - adaptation * b, beta)
            v = torch.where(z.detach() > 0, 0.0, v)
            b = b + z
            out = a_out * (out + z @ w_out)
            readout.append(out)
            spikes.append(z)
        return torch.stack(readout), torch.stack(spikes)

    return forward


def read_loss(readout: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of the readout's mean over time, averaged over the batch with `weight` (B,)."""
    return (weight * torch.nn.functional.cross_entropy(readout.mean(0), labels, reduction="none")).mean()


def make_forward(work: Work) -> Forward:
    """Return the forward of `work` as a loop in plain PyTorch."""
    return make_alif(work) if work.id == "c3" else make_cuba(work, recurrent=work.id == "c2")


def make_setups(
    transform: Callable[[Forward], Forward], make_forward: Callable[[Work], Forward] = make_forward
) -> dict[str, Setup]:
    """Return the works for a worker, every forward passed through `transform` (the identity, or a compiler)."""

    def layer(work: Work, arrays: Arrays) -> Any:
        forward = transform(make_forward(work))
        gy = to_tensor(arrays["gy"])
        leaves = {name: to_tensor(arrays[name]).requires_grad_() for name in ("x", "w") if name in arrays}

        def run(gy: torch.Tensor = gy) -> Any:
            y = forward(*leaves.values())
            return y, torch.autograd.grad(y, list(leaves.values()), gy)

        def check(weight: NDArray[Any]) -> Arrays:
            y, grads = run(gy * torch.from_numpy(weight)[:, None])
            found = {f"grad_{name}": grad.numpy() for name, grad in zip(leaves, grads, strict=True)}
            return {"spikes": y.detach().numpy().astype("uint8"), **found}

        return run, check

    def network(work: Work, arrays: Arrays) -> Any:
        forward = transform(make_forward(work))
        x, labels = to_tensor(arrays["x"]), torch.from_numpy(arrays["labels"])
        ones = torch.ones(work.batch)
        names = ("w_in", "w_rec", "w_out")
        weights = [to_tensor(arrays[name]).requires_grad_() for name in names]
        optimizer = torch.optim.SGD(weights, lr=work.learning_rate)

        def run(weight: torch.Tensor = ones) -> Any:
            optimizer.zero_grad()
            readout, spikes = forward(x, *weights)
            torch.autograd.backward(read_loss(readout, labels, weight))
            optimizer.step()
            return spikes

        def check(weight: NDArray[Any]) -> Arrays:
            with torch.no_grad():
                for w, name in zip(weights, names, strict=True):
                    w.copy_(torch.from_numpy(arrays[name]))
            spikes = run(torch.from_numpy(weight)).detach().numpy().astype("uint8")
            grads = {
                f"grad_{name}": w.grad.numpy() for name, w in zip(names, weights, strict=True) if w.grad is not None
            }
            return {"spikes": spikes, **grads}

        return run, check

    return {"c1": layer, "c2": layer, "c3": network}
