"""NIR graphs step by step in numpy and torch's convolutions, node by node; shares nothing with graphc.nir."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import expm


def simulate(graph, x, dt, order, *, method="euler", reset="value", impulse=False, new=True):
    """Return the outputs (T, ...) of a graph of the nir package.

    Nodes are computed in `order`; what a node reads of a later one is of the step before. dt in seconds.
    """
    last = {name: None for name in graph.nodes}
    states = {name: {} for name in graph.nodes}
    past = {name: [] for name in graph.nodes}
    outputs = []
    for frame in x:
        for name in order:
            node = graph.nodes[name]
            kind = type(node).__name__
            if kind == "Input":
                last[name] = frame
                continue
            arriving = [last[a] for a, b in graph.edges if b == name and last[a] is not None]
            u = sum(arriving) if arriving else np.zeros(node.input_type["input"])
            last[name] = STEP[kind](node, u, states[name], past[name], dt, method, reset, impulse, new)
        (out,) = (n for n, node in graph.nodes.items() if type(node).__name__ == "Output")
        outputs.append(np.array(last[out]))
    return np.array(outputs)


def relax(s, target, tau, dt, method):
    """Return a state that decays to a constant target."""
    return s + dt / tau * (target - s) if method == "euler" else target + (s - target) * np.exp(-dt / tau)


def spiked(node, v, state, reset):
    z = (v > node.v_threshold).astype(float)
    after = node.v_reset if reset == "value" else v - (node.v_threshold - node.v_reset)
    state["v"] = np.where(z > 0, after, v)
    return z


def leaky(node, u, state, past, dt, method, reset, impulse, new):
    v = state.get("v", np.zeros(node.r.shape))
    if impulse and method == "exponential":
        v = relax(v, node.v_leak, node.tau, dt, method) + node.r * u * dt / node.tau
    elif impulse and method == "exact":
        v = relax(v + node.r * u * dt / node.tau, node.v_leak, node.tau, dt, method)
    else:
        v = relax(v, node.v_leak + node.r * u, node.tau, dt, method)
    state["v"] = v
    return spiked(node, v, state, reset) if hasattr(node, "v_threshold") else v


def integrator(node, u, state, past, dt, method, reset, impulse, new):
    state["v"] = v = state.get("v", np.zeros(node.r.shape)) + node.r * u * dt
    return spiked(node, v, state, reset) if hasattr(node, "v_threshold") else v


def flow(node, k, v, i, target, dt):
    """Return where the linear equations of neuron k lead in dt."""
    mem, syn = node.tau_mem[k], node.tau_syn[k]
    matrix = [[-1 / mem, node.r[k] / mem, node.v_leak[k] / mem], [0, -1 / syn, target / syn], [0, 0, 0]]
    return (expm(np.array(matrix) * dt) @ [v, i, 1.0])[:2]


def two_states(node, u, state, past, dt, method, reset, impulse, new):
    v, i = (state.get(s, np.zeros(node.r.shape)) for s in "vi")
    if method == "exact":
        if impulse:
            i = i + node.w_in * u * dt / node.tau_syn
        target = np.zeros_like(v) if impulse else node.w_in * u
        v, i = np.array([flow(node, k, v[k], i[k], target[k], dt) for k in range(len(v))]).T
    else:
        before = i
        if impulse and method == "exponential":
            i = relax(i, 0.0, node.tau_syn, dt, method) + node.w_in * u * dt / node.tau_syn
        else:
            i = relax(i, node.w_in * u, node.tau_syn, dt, method)
        v = relax(v, node.v_leak + node.r * (i if new else before), node.tau_mem, dt, method)
    state.update(v=v, i=i)
    return spiked(node, v, state, reset) if hasattr(node, "v_threshold") else v


def delay(node, u, state, past, dt, *_):
    past.append(np.broadcast_to(u, node.delay.shape).copy())
    out = np.zeros(node.delay.shape)
    for k in np.ndindex(out.shape):
        steps = round(float(node.delay[k] / dt))
        out[k] = past[-1 - steps][k] if steps < len(past) else 0.0
    return out


def window(call):
    def step(node, u, *_):
        return call(node, torch.as_tensor(np.asarray(u, float))[None])[0].numpy()

    return step


def conv(node, x):
    weight, bias = (torch.as_tensor(np.asarray(a, float)) for a in (node.weight, node.bias))
    padding = node.padding if isinstance(node.padding, str) else tuple(np.atleast_1d(node.padding).tolist())
    options = {k: tuple(np.atleast_1d(getattr(node, k)).tolist()) for k in ("stride", "dilation")}
    call = F.conv1d if weight.ndim == 3 else F.conv2d
    return call(x, weight, bias, padding=padding, groups=int(node.groups), **options)


def pooled(x, node):
    kernel, stride, padding = (
        tuple(np.atleast_1d(getattr(node, k)).tolist()) for k in ("kernel_size", "stride", "padding")
    )
    return F.avg_pool2d(x, kernel, stride, padding)


STEP = {
    "Output": lambda node, u, *_: u,
    "Affine": lambda node, u, *_: np.einsum("...oi,...i->...o", node.weight, u) + node.bias,
    "Linear": lambda node, u, *_: np.einsum("...oi,...i->...o", node.weight, u),
    "Scale": lambda node, u, *_: node.scale * u,
    "Threshold": lambda node, u, *_: (u > node.threshold).astype(float),
    "Flatten": lambda node, u, *_: np.reshape(u, np.asarray(node.output_type["output"])),
    "LI": leaky,
    "LIF": leaky,
    "I": integrator,
    "IF": integrator,
    "CubaLI": two_states,
    "CubaLIF": two_states,
    "Delay": delay,
    "Conv1d": window(conv),
    "Conv2d": window(conv),
    "AvgPool2d": window(lambda node, x: pooled(x, node)),
    "SumPool2d": window(lambda node, x: pooled(x, node) * float(np.prod(node.kernel_size))),
}
