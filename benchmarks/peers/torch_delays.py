"""c5 as a PyTorch user writes it: a loop over steps, and one sparse product with the spikes of the last 25 steps.

The fastest of five on a CPU: a dense product with the weights spread over all delays needs 25 times the operations
(2 times slower as 25 products or as a buffer of what is still to come, 8 times as one product), gathering a
spike per synapse is 20 times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.peers.torch_cells import super_spike, to_tensor
from benchmarks.works import LONGEST_DELAY, Arrays, Work


@dataclass(frozen=True)
class Layout:
    """The synapses as rows of a matrix (post, delay and pre) in CSR, and of its transpose."""

    order: torch.Tensor
    rows: tuple[torch.Tensor, torch.Tensor]
    transposed: torch.Tensor
    columns: tuple[torch.Tensor, torch.Tensor]
    shape: tuple[int, int]


def _compress(row: torch.Tensor, column: torch.Tensor, rows: int, columns: int) -> Any:
    """Return the order of the entries by row and column, and the CSR indices of that order."""
    order = torch.argsort(row * columns + column)
    starts = torch.zeros(rows + 1, dtype=torch.long)
    starts[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    return order, (starts, column[order])


def lay_out(delays: torch.Tensor) -> Layout:
    """Return where the weights (pre, post) with `delays` (pre, post) lie in the matrix."""
    size = delays.shape[0]
    post = torch.arange(size).expand(size, size).reshape(-1)
    source = ((delays - 1) * size + torch.arange(size)[:, None]).reshape(-1)
    order, rows = _compress(post, source, size, LONGEST_DELAY * size)
    transposed, columns = _compress(source, post, LONGEST_DELAY * size, size)
    return Layout(order, rows, transposed, columns, (size, LONGEST_DELAY * size))


class _Deliver(torch.autograd.Function):
    """Product of the sparse matrix with the history (delay and pre, B); the weights' gradient on its pattern only."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, history: torch.Tensor, matrices: Any) -> Any:
        """Return the drive (post, B)."""
        ctx.save_for_backward(history)
        ctx.matrices = matrices
        return torch.sparse.mm(matrices[0], history)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Return the gradients of the weights, in the order of the matrix, and of the history."""
        (history,) = ctx.saved_tensors
        _, transposed, zero = ctx.matrices
        on_pattern = torch.sparse.sampled_addmm(zero, grads[0], history.t(), beta=0.0)
        return on_pattern.values(), torch.sparse.mm(transposed, grads[0]), None


def set_up(work: Work, arrays: Arrays) -> Any:
    """Set up c5."""
    a, b, a_s, theta, beta = work.v_decay, work.i_to_v, work.i_decay, work.threshold, work.beta
    at = lay_out(torch.from_numpy(arrays["delays"]))
    x, w = (to_tensor(arrays[name]).requires_grad_() for name in ("x", "w"))
    gy = to_tensor(arrays["gy"])
    zero = torch.sparse_csr_tensor(*at.rows, torch.zeros(w.numel()), at.shape)

    def forward() -> torch.Tensor:
        weights = w.reshape(-1)[at.order]
        matrix = torch.sparse_csr_tensor(*at.rows, weights.detach(), at.shape)
        transposed = torch.sparse_csr_tensor(*at.columns, w.detach().reshape(-1)[at.transposed], at.shape[::-1])
        matrices = (matrix, transposed, zero)
        drive = x.transpose(1, 2).contiguous()  # neurons first: the right operand of a sparse product is dense
        i = v = z = torch.zeros_like(drive[0])
        recent, spikes, deliver = [z] * LONGEST_DELAY, [], _Deliver.apply
        for drive_t in drive.unbind(0):
            i = i + drive_t + deliver(weights, torch.cat(recent), matrices)  # type: ignore[no-untyped-call]
            v = a * v + b * i
            i = a_s * i
            z = super_spike(v - theta, beta)
            v = torch.where(z.detach() > 0, 0.0, v)
            spikes.append(z)
            recent = [z, *recent[:-1]]
        return torch.stack(spikes).transpose(1, 2)

    def run(gy: torch.Tensor = gy) -> Any:
        y = forward()
        return y, torch.autograd.grad(y, [x, w], gy)

    def check(weight: NDArray[Any]) -> Arrays:
        y, (grad_x, grad_w) = run(gy * torch.from_numpy(weight)[:, None])
        return {"spikes": y.detach().numpy().astype("uint8"), "grad_x": grad_x.numpy(), "grad_w": grad_w.numpy()}

    return run, check
