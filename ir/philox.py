"""Random numbers by counter, in torch: the same bits as the kernels, whatever the order in which they are asked for.

One draw belongs to (seed, step, sample, neuron, stream) and needs nothing but these numbers. The arithmetic after the
integers is float32 for every dtype, in operations that round alike everywhere: normals are equal bit for bit, too.

Source:
    Salmon, Moraes, Dror & Shaw (2011), SC11: Philox4x32-10. Box & Muller (1958), Ann. Math. Stat. 29, 610-611.
    Moshier, Cephes Mathematical Library: the polynomials of logf, sinf and cosf.
"""

from __future__ import annotations

import math

import torch

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
"""Of log(1 + x) = x - x**2/2 + x**3 p(x) for sqrt(1/2) <= 1 + x < sqrt(2), highest power first."""
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
"""Of sin(x) = x + x**3 p(x**2) for |x| <= pi/4, highest power first."""
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
"""Of cos(x) = 1 - x**2/2 + x**4 p(x**2) for |x| <= pi/4, highest power first."""
LOG2_LOW, LOG2_HIGH = -2.12194440e-4, 0.693359375
BELOW_ONE = 1 - 2.0**-24

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
