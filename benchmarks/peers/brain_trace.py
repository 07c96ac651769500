"""Peer: BrainTrace (JAX), D-RTRL: block-diagonal online learning, traces per parameter.

Its ready-made neurons are not the adaptive one of c3, so the cell is written in its primitives. The readout's leak is
a filter of the spikes in the cell, as BrainTrace follows no path through the state of a readout, and the product with
`w_out` comes after the learner, which leaves the gradients of such a weight out in its single-step mode.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.jax_scan import make_spike
from benchmarks.peers.worker import forget_peak, read_peak, serve
from benchmarks.works import Arrays, Work, draw_spikes, load

NAMES = ("w_in", "w_rec", "w_out")


class Cell(brainstate.nn.Module):
    """The adaptive neurons, and their spikes as the readout filters them."""

    def __init__(self, work: Work, arrays: Arrays) -> None:
        """Take the weights of `arrays`."""
        super().__init__()
        self.work, self.spike = work, make_spike(work.beta)
        self.w_in = brainstate.ParamState(jnp.asarray(arrays["w_in"]))
        self.w_rec = brainstate.ParamState(jnp.asarray(arrays["w_rec"]))

    def init_state(self, *_: Any, **__: Any) -> None:
        """Create the states; the spike that goes to the other neurons carries no gradient."""
        zeros = jnp.zeros((self.work.batch, self.work.neurons))
        self.v, self.b, self.filtered = (brainstate.HiddenState(zeros) for _ in range(3))
        self.z = brainstate.ShortTermState(zeros)

    def update(self, x: Any) -> Any:
        """Return the filtered spikes and the spikes of one step."""
        work, before = self.work, jax.lax.stop_gradient(self.z.value)
        drive = braintrace.matmul(x, self.w_in.value) + braintrace.matmul(before, self.w_rec.value)
        v = work.v_decay * (self.v.value + drive)
        b = work.adapt_decay * self.b.value
        z = self.spike(v - work.threshold - work.adaptation * b)
        stopped = jax.lax.stop_gradient(z)
        self.v.value = jnp.where(stopped > 0, 0.0, v)
        self.b.value = b + z
        self.filtered.value = work.out_decay * (self.filtered.value + z)
        self.z.value = stopped
        return self.filtered.value, stopped


def make_train(work: Work, arrays: Arrays) -> tuple[Any, Any, Any]:
    """Return ``train(x, labels, weight, rate) -> (gradients, spikes)``, with an update of the weights per chunk.

    Beside it, what sets the states and the traces to zero, and what sets the weights to those of `arrays`.
    """
    cell, w_out = Cell(work, arrays), brainstate.ParamState(jnp.asarray(arrays["w_out"]))
    windows = work.chunk > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner: Any = braintrace.compile(
            cell, braintrace.D_RTRL, jnp.zeros((work.batch, work.inputs)), batch_size=work.batch,
            vjp_method="multi-step" if windows else "single-step",
        )  # fmt: skip
    weights = dict(zip(NAMES, (cell.w_in, cell.w_rec, w_out), strict=True))

    def restart() -> None:
        for state in (cell.v, cell.b, cell.filtered, cell.z):
            state.value = jnp.zeros_like(state.value)
        learner.reset_state(work.batch)

    def loss(x: Any, labels: Any, weight: Any) -> Any:
        filtered, spikes = learner(braintrace.MultiStepData(x) if windows else x)
        scores = jax.nn.log_softmax(filtered @ w_out.value)
        right = jnp.take_along_axis(scores, jnp.broadcast_to(labels[:, None], (*scores.shape[:-1], 1)), -1)[..., 0]
        return -(weight * right).mean(-1).sum() / work.steps, spikes

    gradient = brainstate.transform.grad(loss, weights, has_aux=True)

    @brainstate.transform.jit
    def train(x: Any, labels: Any, weight: Any, rate: Any) -> Any:
        def chunk(total: Any, x: Any) -> Any:
            grads, spikes = gradient(x, labels, weight)
            for name, state in weights.items():
                state.value = state.value - rate * grads[name]
            return jax.tree.map(jnp.add, total, grads), spikes

        if windows:
            x = x.reshape(-1, work.chunk, *x.shape[1:])
        zeros = {name: jnp.zeros_like(state.value) for name, state in weights.items()}
        return brainstate.transform.scan(chunk, zeros, x)

    def forget() -> None:
        for name, state in weights.items():
            state.value = jnp.asarray(arrays[name])

    return train, restart, forget


def set_up(work: Work, arrays: Arrays) -> Any:
    """Set up c4: a pass over the sequence with an update of the weights after every chunk."""
    train, restart, forget = make_train(work, arrays)
    x, labels, ones = jnp.asarray(arrays["x"]), jnp.asarray(arrays["labels"]), jnp.ones(work.batch)

    def run(weight: Any = ones, rate: float = work.learning_rate) -> Any:
        restart()
        return jax.block_until_ready(train(x, labels, weight, rate))

    def check(weight: NDArray[Any]) -> Arrays:
        forget()
        grads, spikes = run(jnp.asarray(weight), 0.0)
        found = {f"grad_{name}": np.asarray(grad) for name, grad in grads.items()}
        return {"spikes": np.asarray(spikes).reshape(work.steps, work.batch, -1).astype("uint8"), **found}

    return run, check


def stream(work: Work, arrays: Arrays, steps: int) -> float:
    """Return the most MB that are resident during `steps` steps, drawn chunk after chunk."""
    train, restart, _ = make_train(work, arrays)
    labels, ones = jnp.asarray(arrays["labels"]), jnp.ones(work.batch)

    def go(first: int) -> None:
        x = jnp.asarray(draw_spikes(work, work.steps, np.random.default_rng(first)))
        jax.block_until_ready(train(x, labels, ones, work.learning_rate))

    go(0)
    restart()
    forget_peak()
    for first in range(0, steps, work.steps):
        go(first)
    return read_peak()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        work, arrays = load(Path(sys.argv[1]))
        print(stream(work, arrays, int(sys.argv[2])))
    else:
        serve({"c4": set_up})
