"""Online learning rules in plain torch: neurons written step by step, networks of them, and where gradients stop.

Imports nothing of graphc. A neuron is ``step(h, drive, p) -> (h, z)``: its states before and after a step, what arrives
(B, N), its parameters, and the spikes that leave. A rule is said twice, by formulations that share no line:

* `run` builds the graph that the rule differentiates: copies with equal values, of which one is detached.
* `traces` carries eligibilities forward, ``e[t] = D e[t-1] + g x[t]``, from the Jacobian of one neuron's step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

Tensor = torch.Tensor
States = tuple[Tensor, ...]
Numbers = Mapping[str, Tensor]
Step = Callable[[States, Tensor, Numbers], tuple[States, Tensor]]

SHARPNESS = 2.0


def spike(c: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """Return 1 where `c` is above 0, with the derivative ``1 / (1 + sharpness |c|)**2``."""
    smooth = c / (1 + sharpness * c.abs())
    return (c > 0).to(c.dtype) + (smooth - smooth.detach())


def _stop(z: Tensor, attached: bool) -> Tensor:
    return z if attached else z.detach()


# --- neurons ---------------------------------------------------------------------------------------------------------


def lif(hard: bool, attached: bool) -> Step:
    """Leaky integration; the reset is to 0, or by the threshold."""

    def step(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
        v = p["keep"] * h[0] + drive
        z = spike(v - p["theta"])
        own = _stop(z, attached)
        return (v * (1 - own) if hard else v - own * p["theta"],), z

    return step


def alif(reset: bool, adaptation: bool) -> Step:
    """Adaptive threshold; which uses of the neuron's own spike carry gradients."""

    def step(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
        v, a = p["keep"] * h[0] + drive, p["rho"] * h[1]
        z = spike(v - 1 - p["beta"] * a)
        return (v - _stop(z, reset), a + _stop(z, adaptation)), z

    return step


def cuba(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
    """Take a current that decays into a leaky membrane, one step later."""
    v, i = p["keep"] * h[0] + h[1], p["syn"] * h[1] + drive
    z = spike(v - 1)
    return (v - z.detach(), i), z


def coba(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
    """Take a conductance towards a potential of 4: exponential Euler, reset to 0."""
    ge = h[1] + drive
    rate = 1 / p["tau_mem"] + ge
    target = 4 * ge / rate
    v = target + (h[0] - target) * torch.exp(-rate)
    z = spike(v - 1)
    return (v * (1 - z.detach()), ge * torch.exp(-1 / p["tau_e"])), z


def refractory(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
    """Hold v for two steps after a spike."""
    v, left = h
    left = left.detach()
    free = left == 0
    v = torch.where(free, p["keep"] * v + drive, v)
    z = free * spike(v - p["theta"])
    own = z.detach()
    return (v - own * p["theta"], torch.where(own > 0, 2.0, (left - 1).clamp(min=0))), z


def adlif(attached: bool) -> Step:
    """Subthreshold and spike-triggered adaptation."""

    def step(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
        v = p["keep"] * h[0] - 0.2 * h[1] + drive
        a = p["rho"] * h[1] + p["couple"] * h[0]
        z = spike(v - 1)
        own = _stop(z, attached)
        return (v - own, a + 0.3 * own), z

    return step


def izhikevich(h: States, drive: Tensor, p: Numbers) -> tuple[States, Tensor]:
    """Two coupled states and a hard reset, by Euler steps of half a millisecond."""
    v, u = h
    v, u = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + drive), u + 0.5 * p["a"] * (0.2 * v - u)
    z = spike(v - 30, 0.05)
    own = z.detach()
    return (v * (1 - own) - 65 * own, u + own * p["d"]), z


STEPS: dict[str, Step] = {
    "LIF soft, detached": lif(False, False),
    "LIF soft, attached": lif(False, True),
    "LIF hard, detached": lif(True, False),
    "LIF hard, attached": lif(True, True),
    "ALIF, reset detached": alif(False, True),
    "ALIF, attached": alif(True, True),
    "ALIF, all detached": alif(False, False),
    "CuBa-LIF": cuba,
    "CoBa-LIF": coba,
    "refractory, clamped": refractory,
    "AdLIF, detached": adlif(False),
    "AdLIF, attached": adlif(True),
    "Izhikevich": izhikevich,
}


# --- networks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """One population: its neuron, first states (N,), parameters, and weights (pre, N); `back` is its recurrence."""

    step: Step
    start: States
    p: Numbers
    w: Tensor
    back: Tensor | None = None


@dataclass(frozen=True)
class Net:
    """Layers in order and a leaky readout ``y[t] = kappa y[t-1] + z[t] w``; `late` steps pass before x arrives."""

    layers: Sequence[Layer]
    w: Tensor
    kappa: Tensor
    late: int = 0
    feedback: Mapping[int, Tensor] = field(default_factory=dict)
    """By the number of a layer, or of the readout, what stands for the weights into it in backward."""

    def arrived(self, x: Tensor) -> Tensor:
        """Return what the first layer gets of x (T, B, pre)."""
        return torch.cat([torch.zeros_like(x[: self.late]), x[: len(x) - self.late]])


def _fixed(p: Numbers) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in p.items()}


def _through(z: Tensor, w: Tensor) -> Tensor:
    """Return z w, with gradients for z alone."""
    return z @ w.detach()


def _recurrent(z: Tensor, w: Tensor, rule: str) -> Tensor:
    """Return what the spikes of the step before deliver."""
    if rule == "bptt":
        return z @ w
    drive = z.detach() @ w
    if rule == "snap1":  # the weight of a neuron to itself
        drive = drive + (z - z.detach()) * torch.diagonal(w).detach()
    return drive


def run(net: Net, x: Tensor, rule: str) -> tuple[Tensor, list[Tensor]]:
    """Return the outputs (T, B, out) and each layer's spikes; gradients of the outputs are those of `rule`.

    Rules: "bptt", "diagonal", "snap1", "ottt", "sltt".
    """
    batch = x.shape[1]
    states = [tuple(s.expand(batch, -1) for s in layer.start) for layer in net.layers]
    before = [torch.zeros(batch, layer.w.shape[1], dtype=x.dtype) for layer in net.layers]
    y = torch.zeros(batch, net.w.shape[1], dtype=x.dtype)
    outputs, spikes = [], []
    for now in net.arrived(x):
        if rule == "sltt":
            states = [tuple(s.detach() for s in h) for h in states]
            y = y.detach()
        source = own = across = now
        for number, layer in enumerate(net.layers):
            rec = 0.0 if layer.back is None else _recurrent(before[number], layer.back, rule)
            if rule in ("bptt", "sltt"):
                states[number], source = layer.step(states[number], source @ layer.w + rec, layer.p)
                own = across = source
                before[number] = source
                continue
            held = tuple(s.detach() for s in states[number])
            states[number], own = layer.step(states[number], source.detach() @ layer.w + rec, layer.p)
            fixed = rec if isinstance(rec, float) else rec.detach()
            # the copy that passes gradients on to the layer below, within the step alone
            drive = _through(source, net.feedback.get(number, layer.w)) if number else now @ layer.w.detach()
            if number in net.feedback:
                drive = (source @ layer.w).detach() + drive - drive.detach()
            _, across = layer.step(held, drive + fixed, _fixed(layer.p))
            before[number] = own
            source = own + across - across.detach()
        if rule in ("bptt", "sltt"):
            y = net.kappa * y + source @ net.w
            outputs.append(y)
        else:
            last = y.detach()
            kept = own if rule != "ottt" else own.detach()
            back = net.feedback.get(len(net.layers), net.w)
            within = across if rule != "ottt" else source
            y = net.kappa * y + kept.detach() @ net.w + _through(kept - kept.detach(), back)
            passed = net.kappa.detach() * last + _through(within, back)
            outputs.append(y + passed - passed.detach())
        spikes.append([b.detach() for b in before])
    return torch.stack(outputs), [torch.stack(z) for z in zip(*spikes, strict=True)]


# --- forward mode ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """Eligibilities of every step: of the states (T, B, pre, post, states), and of the spike (T, B, pre, post)."""

    states: Tensor
    spike: Tensor


def traces(layer: Layer, arrived: Tensor, own: Tensor, source: Tensor) -> Trace:
    """Return what each synapse from `source` remembers: block-diagonal real-time recurrent learning.

    Args:
        layer: the population, whose parameters are numbers or (N,).
        arrived: what its weights multiply (T, B, pre).
        own: its spikes (T, B, N), which come back one step later.
        source: the spikes that the traced synapses carry (T, B, M): `arrived`, or `own` one step late.
    """
    batch, size = arrived.shape[1], layer.w.shape[1]
    h = torch.stack([s.detach().expand(batch, size) for s in layer.start], -1)
    p = {name: value.detach().expand(size) for name, value in layer.p.items()}

    def one(h: Tensor, drive: Tensor, p: Numbers) -> tuple[Tensor, Tensor]:
        after, z = layer.step(tuple(h.unbind(-1)), drive, p)
        return torch.stack(after, -1), z

    def each(of: Callable) -> Callable:
        return torch.vmap(torch.vmap(of, in_dims=(0, 0, 0)), in_dims=(0, 0, None))

    jacobian, value = each(torch.func.jacrev(one, argnums=(0, 1))), each(one)
    e = torch.zeros(batch, source.shape[2], size, h.shape[-1], dtype=h.dtype)
    found, fired = [], []
    for t, now in enumerate(arrived):
        drive = now @ layer.w.detach()
        if layer.back is not None and t:
            drive = drive + own[t - 1] @ layer.back.detach()
        (of_states, of_drive), (z_states, z_drive) = jacobian(h, drive, p)
        x = source[t][:, :, None]
        fired.append(torch.einsum("bns,bmns->bmn", z_states, e) + z_drive[:, None] * x)
        e = torch.einsum("bnrs,bmns->bmnr", of_states, e) + of_drive[:, None] * x[..., None]
        found.append(e)
        h, _ = value(h, drive, p)
    return Trace(torch.stack(found), torch.stack(fired))


def filtered(learning: Tensor, kappa: float) -> Tensor:
    """Return ``A[t] = L[t] + kappa A[t+1]``: what a leaky readout of later steps says of step t."""
    found, a = [], torch.zeros_like(learning[0])
    for signal in learning.flip(0):
        a = signal + kappa * a
        found.append(a)
    return torch.stack(found[::-1])
