"""c3: one training step of 700 sparse inputs, 256 recurrent adaptive neurons and 20 leaky readouts."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

import graphc as gc
from benchmarks.peers.torch_cells import read_loss, to_tensor
from benchmarks.peers.worker import Check, Run
from benchmarks.works import C3, Arrays, Work
from graphc.units import ms

WORK = C3
PEERS = ("torch_eager", "jax_scan", "snntorch", "norse", "spikingjelly")
WEIGHTS = {"w_in": "x_hid", "w_rec": "hid_hid", "w_out": "hid_out"}


def make_network(work: Work = C3) -> gc.Network:
    """Return the network; the reset is detached, the adaptation learns through the spike."""
    v, b = gc.states("v b")
    x = gc.input("x")
    tau_mem, tau_adapt = gc.params(tau_mem=work.tau_mem * ms, tau_adapt=work.tau_adapt * ms)
    adaptive = gc.Neuron(
        "ALIF",
        ode={v: -v / tau_mem, b: -b / tau_adapt},
        receive={v: v + x},
        spike=gc.Spike(
            v > work.threshold + work.adaptation * b,
            surrogate=gc.surrogate.SuperSpike(beta=work.beta),
            detach_reset=(v,),
        ),
        reset={v: 0, b: b + 1},
    )
    readout = gc.Neuron("Readout", ode={v: -v / gc.param("tau_out", work.tau_out * ms)}, receive={v: v + x})
    net = gc.Network(dt=work.dt * ms)
    net.input("x", work.inputs)
    net.population("hid", adaptive, work.neurons)
    net.population("out", readout, work.outputs)
    net.connect("x", "hid")
    net.connect("hid", "hid", delay=1)
    net.connect("hid", "out")
    net.output("out")
    return net


def set_up_ours(work: Work, arrays: Arrays, target: str = "c", device: str = "cpu") -> tuple[Run, Check]:
    """Return the training step as graphc compiles it: forward, loss, backward, plain gradient descent."""
    model = gc.compile(make_network(work), learn="bptt", target=target).to(device)
    x, labels = to_tensor(arrays["x"]).to(device), torch.from_numpy(arrays["labels"]).to(device)
    weights = {name: getattr(model, connection).weight for name, connection in WEIGHTS.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=work.learning_rate)
    ones = torch.ones(work.batch, device=device)

    def restart() -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(torch.from_numpy(arrays[name]))

    def run(weight: torch.Tensor = ones) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(read_loss(model(x), labels, weight))
        optimizer.step()

    def check(weight: NDArray[Any]) -> Arrays:
        restart()
        spikes = model.run(x, record=["hid.spike"]).records["hid.spike"].detach().cpu().numpy().astype("uint8")
        run(torch.from_numpy(weight).to(device))
        grads = {f"grad_{name}": weight.grad for name, weight in weights.items()}
        return {"spikes": spikes, **{name: grad.cpu().numpy() for name, grad in grads.items() if grad is not None}}

    restart()
    return run, check
