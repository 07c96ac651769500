"""What c1, c2 and c5 share in graphc: the CuBa-LIF neuron, and a layer of it as run and check."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

import graphc as gc
from benchmarks.peers.torch_cells import to_tensor
from benchmarks.peers.worker import Check, Run
from benchmarks.works import Arrays, Work
from graphc.units import ms


def make_neuron(work: Work) -> gc.Neuron:
    """Return CuBa-LIF with the constants of `work`."""
    v, i = gc.states("v i")
    x = gc.input("x")
    tau_mem, tau_syn = gc.params(tau_mem=work.tau_mem * ms, tau_syn=work.tau_syn * ms)
    return gc.Neuron(
        "CuBaLIF",
        ode={v: (i - v) / tau_mem, i: -i / tau_syn},
        receive={i: i + x},
        spike=gc.Spike(v > work.threshold, surrogate=gc.surrogate.SuperSpike(beta=work.beta)),
        reset={v: 0},
    )


def make_network(work: Work, recurrent: bool, delay: Any = 1) -> gc.Network:
    """Return a layer that receives its drive one to one, with a learned dense recurrence if `recurrent`.

    `delay` is that of the recurrence: a number of steps, or one per synapse (pre, post).
    """
    net = gc.Network(dt=work.dt * ms)
    net.input("x", work.neurons)
    net.population("hid", make_neuron(work), work.neurons)
    net.connect("x", "hid", connectivity=gc.OneToOne(), weight=1.0, learn=False)
    if recurrent:
        net.connect("hid", "hid", delay=delay)
    net.output("hid")
    return net


def set_up(work: Work, arrays: Arrays, target: str = "c", device: str = "cpu") -> tuple[Run, Check]:
    """Return forward plus backward of c1, c2 or c5 as graphc compiles it."""
    recurrent = "w" in arrays
    network = make_network(work, recurrent, arrays.get("delays", 1))
    model = gc.compile(network, learn="bptt", target=target).to(device)
    leaves = {"x": to_tensor(arrays["x"]).to(device).requires_grad_()}
    if recurrent:
        recurrence: Any = model.hid_hid
        with torch.no_grad():
            recurrence.weight.copy_(torch.from_numpy(arrays["w"]))
        leaves["w"] = recurrence.weight
    gy = to_tensor(arrays["gy"]).to(device)

    def run(gy: torch.Tensor = gy) -> Any:
        y = model(leaves["x"])
        return y, torch.autograd.grad(y, list(leaves.values()), gy)

    def check(weight: NDArray[Any]) -> Arrays:
        y, grads = run(gy * torch.from_numpy(weight).to(device)[:, None])
        found = {f"grad_{name}": grad.cpu().numpy() for name, grad in zip(leaves, grads, strict=True)}
        return {"spikes": y.detach().cpu().numpy().astype("uint8"), **found}

    return run, check
