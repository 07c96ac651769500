"""The C functions of random numbers: `graphc.ir.interpret_noise` again, operation by operation, so that bits agree."""

from __future__ import annotations

import math

from graphc.ir.philox import BELOW_ONE, COS, LOG, LOG2_HIGH, LOG2_LOW, MULTIPLIERS, ROUNDS, SIN, WEYL


def _single(number: float) -> str:
    return f"{number!r}f"


def _horner(coefficients: tuple[float, ...], x: str) -> str:
    text = _single(coefficients[0])
    for c in coefficients[1:]:
        text = f"({text}*{x} + {_single(c)})"
    return text


_PHILOX = f"""\
// Philox4x32-10: random words a, b, c, d of a counter, in place.
#define _ROUND(i) {{ \\
    const uint64_t p = (uint64_t)a*{MULTIPLIERS[0]:#x}u, q = (uint64_t)c*{MULTIPLIERS[1]:#x}u; \\
    a = (uint32_t)(q >> 32) ^ b ^ (uint32_t)((uint32_t)seed + (i)*{WEYL[0]:#x}u); \\
    c = (uint32_t)(p >> 32) ^ d ^ (uint32_t)((uint32_t)(seed >> 32) + (i)*{WEYL[1]:#x}u); \\
    b = (uint32_t)q; \\
    d = (uint32_t)p; }}
#define _PHILOX \\
    uint32_t a = (uint32_t)t, b = (uint32_t)sample, c = (uint32_t)neuron, d = stream; \\
    {" ".join(f"_ROUND({i})" for i in range(ROUNDS))}
"""

_UNIFORM = f"""\
// A number in [0, 1).
_INLINE float _draw_uniform(uint64_t seed, int64_t t, int64_t sample, int64_t neuron, uint32_t stream) {{
    _PHILOX
    const float u = (float)(int32_t)(a >> 8)*0x1p-24f + (float)(int32_t)(a & 255)*0x1p-32f;
    return u < {_single(BELOW_ONE)} ? u : {_single(BELOW_ONE)};
}}
"""

_NORMAL = f"""\
// A standard normal number, by Box and Muller; without fused operations, which would round differently.
_INLINE float _draw_normal(uint64_t seed, int64_t t, int64_t sample, int64_t neuron, uint32_t stream) {{
    _PHILOX
    const float u = ((float)(int32_t)(a >> 9) + 0.5f)*0x1p-23f;
    int32_t bits;
    __builtin_memcpy(&bits, &u, sizeof bits);
    bits += 0x3f800000 - 0x3f3504f3;
    const float e = (float)((bits >> 23) - 127);
    bits = (bits & 0x7fffff) + 0x3f3504f3;
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    x -= 1.0f;
    const float z = x*x, y = {_horner(LOG, "x")}*x*z + e*{_single(LOG2_LOW)} - 0.5f*z;
    const float radius = __builtin_sqrtf(-2.0f*(x + y + e*{_single(LOG2_HIGH)}));
    const float phase = (float)(int32_t)((b & 0x3fffffff) >> 6)*0x1p-24f - 0.5f;
    const float f = phase*{_single(math.pi / 2)}, ff = f*f;
    const float sine = {_horner(SIN, "ff")}*ff*f + f;
    const float cosine = {_horner(COS, "ff")}*ff*ff - 0.5f*ff + 1.0f;
    const float wave = b >> 30 & 1 ? sine : cosine;
    return radius*(b >> 31 ? -wave : wave);
}}
"""

NOISE = {"_draw_uniform": _UNIFORM, "_draw_normal": _NORMAL}


def noise_text(used: set[str]) -> str:
    """Return the definitions of those of the functions in `used`."""
    wanted = [text for name, text in NOISE.items() if name in used]
    return "\n".join([_PHILOX, *wanted]) if wanted else ""
