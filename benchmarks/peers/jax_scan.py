"""Peer: JAX, lax.scan over the steps, forward and backward jitted together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.worker import serve
from benchmarks.works import Arrays, Work


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
    """Set up c1 or c2."""
    spike = make_spike(work.beta)
    a, b, a_s, theta = work.v_decay, work.i_to_v, work.i_decay, work.threshold
    leaves = {name: jnp.asarray(arrays[name]) for name in ("x", "w") if name in arrays}
    gy = jnp.asarray(arrays["gy"])

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
        y, pull = jax.vjp(forward, leaves)
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


if __name__ == "__main__":
    serve({"c1": set_up_layer, "c2": set_up_layer, "c3": set_up_network})
