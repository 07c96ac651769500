"""Random numbers by counter, in torch: the same bits as the kernels, whatever the order in which they are asked for.

One draw belongs to (seed, step, sample, neuron, stream) and needs nothing but these numbers. The arithmetic after the
integers is float32 for every dtype, in operations that round alike everywhere: normals are equal bit for bit, too.

Source:
    Salmon, Moraes, Dror & Shaw (2011), SC11: Philox4x32-10. Box & Muller (1958), Ann. Math. Stat. 29, 610-611.
"""

from __future__ import annotations

import math

import torch

from .philox import BELOW_ONE, COS, LOG, LOG2_HIGH, LOG2_LOW, MULTIPLIERS, ROUNDS, SIN, WEYL

_WORD = 0xFFFFFFFF


def philox(seed: int, step: int, samples: torch.Tensor, neurons: torch.Tensor, stream: int) -> list[torch.Tensor]:
    """Return four words of 32 random bits, int64, of the broadcast shape of `samples` and `neurons`."""
    samples, neurons = torch.broadcast_tensors(samples.to(torch.int64), neurons.to(torch.int64))
    a, b = torch.full_like(samples, step & _WORD), samples & _WORD
    c, d = neurons & _WORD, torch.full_like(samples, stream & _WORD)
    key = [seed & _WORD, seed >> 32 & _WORD]
    for _ in range(ROUNDS):
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]  # the sign that wraps around leaves the bits as they are
        a, b, c, d = (
            (second >> 32 & _WORD) ^ b ^ key[0],
            second & _WORD,
            (first >> 32 & _WORD) ^ d ^ key[1],
            first & _WORD,
        )
        key = [(k + w) & _WORD for k, w in zip(key, WEYL, strict=True)]
    return [a, b, c, d]


def uniform(words: list[torch.Tensor]) -> torch.Tensor:
    """Return float32 numbers in [0, 1), fine to 2**-32 near 0: a probability of 1e-8 is one."""
    w = words[0]
    u = (w >> 8).to(torch.float32) * 2.0**-24 + (w & 255).to(torch.float32) * 2.0**-32
    return torch.clamp(u, max=BELOW_ONE)


def normal(words: list[torch.Tensor]) -> torch.Tensor:
    """Return standard normal float32 numbers; the largest is 5.8."""
    u = ((words[0] >> 9).to(torch.float32) + 0.5) * 2.0**-23
    radius = torch.sqrt((-2.0 * _log(u)).double()).float()  # torch's own of float32 is not correctly rounded
    phase = ((words[1] & 0x3FFFFFFF) >> 6).to(torch.float32) * 2.0**-24 - 0.5
    x = phase * _single(math.pi / 2)
    z = x * x
    sine = _horner(SIN, z) * z * x + x
    cosine = _horner(COS, z) * z * z - 0.5 * z + 1.0
    quarter = words[1] >> 30
    wave = torch.where((quarter & 1) == 1, sine, cosine)
    return radius * torch.where((quarter & 2) == 2, -wave, wave)


def _log(u: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of float32 numbers in (0, 1]."""
    bits = u.view(torch.int32) + (0x3F800000 - 0x3F3504F3)
    exponent = ((bits >> 23) - 127).to(torch.float32)
    x = ((bits & 0x7FFFFF) + 0x3F3504F3).view(torch.float32) - 1.0
    z = x * x
    y = _horner(LOG, x) * x * z + exponent * _single(LOG2_LOW) - 0.5 * z
    return x + y + exponent * LOG2_HIGH


def _horner(coefficients: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    total = torch.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + _single(c)
    return total


def _single(number: float) -> float:
    return torch.tensor(number, dtype=torch.float32).item()
