"""Peer: JAX, lax.scan over the steps, forward and backward jitted together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_cells import CELLS
from benchmarks.peers.worker import serve
from benchmarks.works import LONGEST_DELAY, Arrays, Work


def make_spike(beta: float) -> Any:
    """Return the Heaviside step with the SuperSpike derivative."""

    @jax.custom_jvp
    def spike(c: Any) -> Any:
        return (c > 0).astype(c.dtype)

    @spike.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return spike(primals[0]), tangents[0] / (1 + beta * jnp.abs(primals[0])) ** 2

    return spike


def set_up_layer(work: Work, arrays: Arrays) -> Any:
    """Set up c1, c2 or c5."""
    spike = make_spike(work.beta)
    a, b, a_s, theta = work.v_decay, work.i_to_v, work.i_decay, work.threshold
    leaves = {name: jnp.asarray(arrays[name]) for name in ("x", "w") if name in arrays}
    gy = jnp.asarray(arrays["gy"])

    def forward_delayed(leaves: Any) -> Any:
        """Keep what is still to come (B, delay, N), the fastest of four ways; a spike adds to all of it at once."""
        size, depth = work.neurons, LONGEST_DELAY
        place = (jnp.arange(size)[:, None], jnp.asarray(arrays["delays"]) - 1, jnp.arange(size)[None])
        wide = jnp.zeros((size, depth, size)).at[place].set(leaves["w"]).reshape(size, depth * size)

        def step(carry: Any, x: Any) -> Any:
            v, i, coming = carry
            i = i + x + coming[:, 0]
            v = a * v + b * i
            z = spike(v - theta)
            v = jnp.where(jax.lax.stop_gradient(z) > 0, 0.0, v)
            moved = jnp.concatenate([coming[:, 1:], jnp.zeros_like(coming[:, :1])], axis=1)
            return (v, a_s * i, moved + (z @ wide).reshape(coming.shape)), z

        zeros = jnp.zeros(leaves["x"].shape[1:])
        return jax.lax.scan(step, (zeros, zeros, jnp.zeros((work.batch, depth, size))), leaves["x"])[1]

    def forward(leaves: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            v, i, z = carry
            i = i + x
            if "w" in leaves:
                i = i + z @ leaves["w"]
            v = a * v + b * i
            z = spike(v - theta)
            v = jnp.where(jax.lax.stop_gradient(z) > 0, 0.0, v)
            return (v, a_s * i, z), z

        zeros = jnp.zeros(leaves["x"].shape[1:])
        return jax.lax.scan(step, (zeros, zeros, zeros), leaves["x"])[1]

    @jax.jit
    def both(leaves: Any, gy: Any) -> Any:
        y, pull = jax.vjp(forward_delayed if "delays" in arrays else forward, leaves)
        return y, pull(gy)[0]

    def run(gy: Any = gy) -> Any:
        return jax.block_until_ready(both(leaves, gy))

    def check(weight: NDArray[Any]) -> Arrays:
        y, grads = run(gy * weight[:, None])
        found = {f"grad_{name}": np.asarray(grad) for name, grad in grads.items()}
        return {"spikes": np.asarray(y).astype("uint8"), **found}

    return run, check


def set_up_network(work: Work, arrays: Arrays) -> Any:
    """Set up c3: forward, backward and the update of the weights in one jitted step."""
    spike = make_spike(work.beta)
    a, rho, a_out = work.v_decay, work.adapt_decay, work.out_decay
    x, labels = jnp.asarray(arrays["x"]), jnp.asarray(arrays["labels"])
    first = {name: jnp.asarray(arrays[name]) for name in ("w_in", "w_rec", "w_out")}

    def loss(weights: Any, x: Any, labels: Any, weight: Any) -> Any:
        def step(carry: Any, drive: Any) -> Any:
            v, b, z, out = carry
            v = a * (v + drive + z @ weights["w_rec"])
            b = rho * b
            z = spike(v - work.threshold - work.adaptation * b)
            v = jnp.where(jax.lax.stop_gradient(z) > 0, 0.0, v)
            out = a_out * (out + z @ weights["w_out"])
            return (v, b + z, z, out), (out, z)

        zeros, out = jnp.zeros((work.batch, work.neurons)), jnp.zeros((work.batch, work.outputs))
        _, (readout, spikes) = jax.lax.scan(step, (zeros, zeros, zeros, out), x @ weights["w_in"])
        scores = jax.nn.log_softmax(readout.mean(0))
        return -(weight * scores[jnp.arange(labels.shape[0]), labels]).mean(), spikes

    @jax.jit
    def train(weights: Any, x: Any, labels: Any, weight: Any) -> Any:
        grads, spikes = jax.grad(loss, has_aux=True)(weights, x, labels, weight)
        return jax.tree.map(lambda w, g: w - work.learning_rate * g, weights, grads), grads, spikes

    state, ones = [first], jnp.ones(work.batch)

    def run(weight: Any = ones) -> Any:
        state[0], grads, spikes = jax.block_until_ready(train(state[0], x, labels, weight))
        return grads, spikes

    def check(weight: NDArray[Any]) -> Arrays:
        state[0] = first
        grads, spikes = run(jnp.asarray(weight))
        found = {f"grad_{name}": np.asarray(grad) for name, grad in grads.items()}
        return {"spikes": np.asarray(spikes).astype("uint8"), **found}

    return run, check


def set_up_cells(work: Work, arrays: Arrays) -> Any:
    """Set up c7; spikes are returned as booleans, a quarter of the memory that the others write."""
    cell, current = CELLS["HodgkinHuxley"], jnp.asarray(arrays["current"])[None]

    @jax.jit
    def simulate(current: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            z, state = cell.step(jnp, current, state)
            return state, z

        start = tuple(jnp.full(current.shape, s, jnp.float32) for s in cell.start)
        return jax.lax.scan(step, start, length=work.steps)

    def run() -> Any:
        return jax.block_until_ready(simulate(current))

    def check(weight: NDArray[Any]) -> Arrays:
        state, spikes = run()
        return {"spikes": np.asarray(spikes).astype("uint8"), "v": np.asarray(state[0][0])}

    return run, check


if __name__ == "__main__":
    serve({"c1": set_up_layer, "c2": set_up_layer, "c3": set_up_network, "c5": set_up_layer, "c7": set_up_cells})
