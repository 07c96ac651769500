"""Triton functions of random numbers: `graphc.ir.interpret_noise` again, operation by operation: bits agree."""

from __future__ import annotations

import math

from graphc.ir.philox import BELOW_ONE, COS, LOG, LOG2_HIGH, LOG2_LOW, MULTIPLIERS, ROUNDS, SIN, WEYL


def _horner(coefficients: tuple[float, ...], x: str) -> str:
    text = repr(coefficients[0])
    for c in coefficients[1:]:
        text = f"({text} * {x} + {c!r})"
    return text


NOISE = f"""
def _philox(seed, t, sample, neuron, stream):  # Philox4x32-10: random words of a counter
    b, c = tl.broadcast(sample.to(tl.uint32), neuron.to(tl.uint32))
    a = t.to(tl.uint32) + b * 0
    d = b * 0 + stream
    low, high = seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    for i in tl.static_range({ROUNDS}):
        p, q = a.to(tl.uint64) * {MULTIPLIERS[0]}, c.to(tl.uint64) * {MULTIPLIERS[1]}
        a = (q >> 32).to(tl.uint32) ^ b ^ low
        c = (p >> 32).to(tl.uint32) ^ d ^ high
        b, d = q.to(tl.uint32), p.to(tl.uint32)
        low, high = low + {WEYL[0]}, high + {WEYL[1]}
    return a, b

def _draw_uniform(seed, t, sample, neuron, stream):  # in [0, 1)
    a, b = _philox(seed, t, sample, neuron, stream)
    u = (a >> 8).to(tl.int32).to(tl.float32) * {2.0**-24!r} + (a & 255).to(tl.int32).to(tl.float32) * {2.0**-32!r}
    return tl.minimum(u, {BELOW_ONE!r})

def _draw_normal(seed, t, sample, neuron, stream):  # Box and Muller
    a, b = _philox(seed, t, sample, neuron, stream)
    u = ((a >> 9).to(tl.int32).to(tl.float32) + 0.5) * {2.0**-23!r}
    bits = u.to(tl.int32, bitcast=True) + {0x3F800000 - 0x3F3504F3}
    e = ((bits >> 23) - 127).to(tl.float32)
    x = ((bits & 8388607) + {0x3F3504F3}).to(tl.float32, bitcast=True) - 1.0
    z = x * x
    y = {_horner(LOG, "x")} * x * z + e * {LOG2_LOW!r} - 0.5 * z
    radius = tl.sqrt_rn(-2.0 * (x + y + e * {LOG2_HIGH!r}))
    f = (((b & 1073741823) >> 6).to(tl.int32).to(tl.float32) * {2.0**-24!r} - 0.5) * {math.pi / 2!r}
    ff = f * f
    sine = {_horner(SIN, "ff")} * ff * f + f
    cosine = {_horner(COS, "ff")} * ff * ff - 0.5 * ff + 1.0
    wave = tl.where(((b >> 30) & 1) == 1, sine, cosine)
    return radius * tl.where((b >> 31) == 1, -wave, wave)
"""
