"""Runs one neuron of a peer library in the environment that holds it: arrays in, spikes and gradients out.

``python peer_worker.py NEURON FILE``: reads x (T, B, N), weight (N, N) and g (T, B, N) from FILE.npz and writes the
spikes and the gradients of ``sum(g * spikes)`` in their place. It imports nothing of graphc.
"""

import sys

import numpy as np
import torch


def run_leaky(x, weight):
    import snntorch
    from snntorch import surrogate

    cell = snntorch.Leaky(beta=0.9, threshold=1.0, spike_grad=surrogate.fast_sigmoid(slope=25))
    mem, spikes = torch.zeros_like(x[0]), []
    for drive in x @ weight:
        z, mem = cell(drive, mem)
        spikes.append(z)
    return torch.stack(spikes)


def run_rsynaptic(x, weight):
    import snntorch
    from snntorch import surrogate

    cell = snntorch.RSynaptic(
        alpha=0.8, beta=0.9, linear_features=x.shape[2], threshold=1.0, spike_grad=surrogate.fast_sigmoid(slope=25)
    )
    cell.recurrent = torch.nn.Linear(x.shape[2], x.shape[2], bias=False, dtype=x.dtype)
    del cell.recurrent.weight
    cell.recurrent.weight = weight.t()
    z = syn = mem = torch.zeros_like(x[0])
    spikes = []
    for drive in x:
        z, syn, mem = cell(drive, z.to(x.dtype), syn, mem)
        spikes.append(z)
    return torch.stack(spikes)


def run_norse(x, weight):
    from norse.torch import LIFCell
    from norse.torch.functional.lif import LIFParameters

    cell = LIFCell(p=LIFParameters(tau_mem_inv=torch.as_tensor(100.0), tau_syn_inv=torch.as_tensor(200.0)), dt=0.001)
    state, spikes = None, []
    for drive in x @ weight:
        z, state = cell(drive, state)
        spikes.append(z)
    return torch.stack(spikes)


def run_spikingjelly(x, weight):
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.LIFNode(tau=4.0, v_threshold=1.0, v_reset=0.0, surrogate_function=surrogate.Sigmoid(alpha=4.0))
    return torch.stack([node(drive) for drive in x @ weight])


NEURONS = {
    "Leaky": run_leaky,
    "RSynaptic": run_rsynaptic,
    "LIFCell": run_norse,
    "LIFNode": run_spikingjelly,
}


if __name__ == "__main__":
    neuron, file = sys.argv[1:]
    torch.set_default_dtype(torch.float64)
    arrays = np.load(file)
    x, weight = (torch.tensor(arrays[name], requires_grad=True) for name in ("x", "weight"))
    spikes = NEURONS[neuron](x, weight)
    (torch.tensor(arrays["g"]) * spikes).sum().backward()
    np.savez(file, spikes=spikes.detach().numpy(), x=x.grad.numpy(), weight=weight.grad.numpy())
