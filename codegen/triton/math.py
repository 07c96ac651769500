"""Functions of the emitted text that Triton lacks or computes too coarsely, written in Triton."""

from __future__ import annotations

import re
from collections.abc import Iterable

from graphc.codegen.expr import FloatType

from .exchange import EXCHANGE
from .noise import NOISE
from .packing import PACKING

_ANY = """
def _max(a, b):
    return tl.where((a > b) | (a != a), a, b)

def _min(a, b):
    return tl.where((a < b) | (a != a), a, b)

def _relu(x):
    return tl.where((x > 0.0) | (x != x), x, 0.0)

def _sign(x):
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, x))

def _mod(a, b):  # with the sign of b
    return a - tl.floor(_quotient(a, b)) * b

def _sigmoid(x):
    e = _exp(-tl.abs(x))
    return tl.where(x < 0.0, e, 1.0) / (1.0 + e)

def _log1p(x):  # for x >= 0; the factor makes good the rounding of 1 + x
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))

def _softplus(x):
    return _relu(x) + _log1p(_exp(-tl.abs(x)))

def _tanh(x):
    e = _expm1(-2.0 * tl.abs(x))
    y = -e / (e + 2.0)
    return tl.where(x < 0.0, -y, y)

def _sinh(x):
    e = _expm1(tl.abs(x))
    y = tl.where(tl.abs(x) > 40.0, 0.5 * e, 0.5 * (e + e / (e + 1.0)))
    return tl.where(x < 0.0, -y, y)

def _cosh(x):
    e = _exp(tl.abs(x))
    return 0.5 * e + 0.5 / e

def _sin(x):
    turned = _turned(x)
    return _wave(_rest(x, turned), turned.to(tl.int64, bitcast=True))

def _cos(x):
    turned = _turned(x)
    return _wave(_rest(x, turned), turned.to(tl.int64, bitcast=True) + 1)

def _tan(x):
    turned = _turned(x)
    r = _rest(x, turned)
    odd = (turned.to(tl.int64, bitcast=True) & 1) == 1
    s, c = _sin_near(r), _cos_near(r)
    return tl.where(odd, -c, s) / tl.where(odd, s, c)

def _turned(x):  # x in quarter turns; 1.5 * 2**52 more leaves a whole number, whose last two bits are the quadrant
    return x * tl.full((), 0.6366197723675814, tl.float64) + 6755399441055744.0

def _wave(r, quarter):  # the sine of quarter * pi/2 + r
    y = tl.where((quarter & 1) == 1, _cos_near(r), _sin_near(r))
    return tl.where((quarter & 2) == 2, -y, y)

def _asin(x):
    return _atan(x / tl.sqrt((1.0 - x) * (1.0 + x)))

def _acos(x):
    return 2.0 * _atan(tl.sqrt((1.0 - x) / (1.0 + x)))

def _exprel(x):  # (exp(x) - 1) / x
    return tl.where(x == 0.0, 1.0, _expm1(x) / tl.where(x == 0.0, 1.0, x))

def _exprel_prime(x):  # its derivative, 1/2 at 0
    safe = tl.where(tl.abs(x) < 0.7, 1.0, x)
    below = (_exp(safe) - _expm1(safe) / safe) / safe
    above = (_exp(safe) * (safe - 1.0) + 1.0) / (safe * safe)
    return tl.where(tl.abs(x) < 0.7, _exprel_prime_series(x), tl.where(x > 1.0, above, below))
"""

_FLOAT32 = """
def _quotient(a, b):  # a / b may be off by two units in the last place, and a whole number then no whole number
    return tl.div_rn(a, b)

def _exp(x):  # tl.exp multiplies by log2(e) at once and loses as many units in the last place as x is large
    n = tl.minimum(tl.maximum(tl.floor(x * 1.442695 + 0.5), -150.0), 127.0)
    r = (x - n * 0.693359375) + n * 2.1219444e-04
    return tl.exp2(r * 1.442695) * tl.exp2(n)

def _expm1(x):
    x = tl.where(x < -25.0, -25.0, x)
    n = tl.minimum(tl.floor(x * 1.442695 + 0.5), 127.0)
    r = (x - n * 0.693359375) + n * 2.1219444e-04
    p = 2.4801587e-05 * r + 1.9841270e-04
    p = p * r + 1.3888889e-03
    p = p * r + 8.3333333e-03
    p = p * r + 4.1666667e-02
    p = p * r + 0.16666667
    p = p * r + 0.5
    two_n = tl.exp2(n)
    return two_n * (p * r * r + r) + (two_n - 1.0)

def _exprel_prime_series(x):
    p = 2.2964436e-08 * x + 2.5052108e-07
    p = p * x + 2.4801587e-06
    p = p * x + 2.2045855e-05
    p = p * x + 1.7361111e-04
    p = p * x + 1.1904762e-03
    p = p * x + 6.9444444e-03
    p = p * x + 3.3333333e-02
    p = p * x + 0.125
    p = p * x + 0.33333333
    return p * x + 0.5

def _atan(x):
    a = tl.abs(x)
    far = a > 2.4142135
    middle = a > 0.41421356
    r = tl.where(far, -1.0 / a, tl.where(middle, (a - 1.0) / (a + 1.0), a))
    base = tl.where(far, 1.5707964, tl.where(middle, 0.7853982, 0.0))
    z = r * r
    p = 0.080537446 * z - 0.13877685
    p = p * z + 0.19977711
    p = p * z - 0.33332949
    y = base + (p * z * r + r)
    return tl.where(x < 0.0, -y, y)

def _rest(x, turned):  # x less whole quarter turns; n times the first part of pi/2, of 29 bits, is exact to 2**24
    n = turned - 6755399441055744.0
    r = (x - n * 1.570796325802803) - n * 9.920935796805404e-10
    return tl.where(tl.abs(n) < 2251799813685248.0, r, float("nan")).to(tl.float32)  # no angle is left beyond

def _sin_near(r):  # Cephes, for |r| <= pi/4
    z = r * r
    p = -1.9515296e-04 * z + 8.3321609e-03
    p = p * z - 1.6666655e-01
    return p * z * r + r

def _cos_near(r):
    z = r * r
    p = 2.4433157e-05 * z - 1.3887316e-03
    p = p * z + 4.1666646e-02
    return (p * z * z - 0.5 * z) + 1.0

def _pow(x, y):  # in float64, where y log(x) keeps its digits; x < 0 takes a whole y
    x, y = tl.broadcast(x * tl.full((), 1.0, tl.float64), y * tl.full((), 1.0, tl.float64))
    whole = tl.floor(y) == y
    odd = tl.floor(0.5 * y) * 2.0 != y
    p = tl.exp(y * tl.log(tl.abs(x)))
    p = tl.where(whole & odd & (x < 0.0), -p, p)
    p = tl.where((x >= 0.0) | whole, p, float("nan"))
    return tl.where(y == 0.0, 1.0, p).to(tl.float32)
"""

_FLOAT64 = """
def _quotient(a, b):
    return a / b

def _exp(x):
    return tl.exp(x)

def _expm1(x):  # the rounding of exp(x) cancels in (u - 1) / log(u)
    u = tl.exp(x)
    plain = (u == 1.0) | (tl.abs(x) > 30.0)
    kahan = (u - 1.0) * (x / tl.log(tl.where(plain, 2.0, u)))
    return tl.where(u == 1.0, x, tl.where(plain, u - 1.0, kahan))

def _exprel_prime_series(x):
    term = x * 0.0 + 1.0
    total = x * 0.0 + 0.5
    for k in tl.static_range(1, 16):
        term = term * x / k
        total = total + term / (k + 2)
    return total

def _atan(x):
    a = tl.abs(x)
    far = a > 2.414213562373095
    middle = a > 0.66
    r = tl.where(far, -1.0 / a, tl.where(middle, (a - 1.0) / (a + 1.0), a))
    base = tl.where(far, a * 0.0 + 1.5707963267948966, tl.where(middle, a * 0.0 + 0.7853981633974483, 0.0))
    base = tl.where(a == float("inf"), 1.5707963267948966, base)
    z = r * r
    p = -0.8750608600031904 * z - 16.157537187333652
    p = p * z - 75.00855792314705
    p = p * z - 122.88666844901361
    p = p * z - 64.85021904942025
    q = z + 24.858464901423062
    q = q * z + 165.02700983169885
    q = q * z + 432.88106049129027
    q = q * z + 485.3903996359137
    q = q * z + 194.5506571482614
    y = base + (r * (z * p / q) + r)
    return tl.where(x < 0.0, -y, y)

def _rest(x, turned):  # x less whole quarter turns; n times a part of pi/2, of 29 bits, is exact to 2**24
    n = turned - 6755399441055744.0
    a = x - n * 1.570796325802803
    b = a - n * 9.920935774287987e-10
    c = b - n * 2.2517417706346578e-18
    tail = ((a - b) - n * 9.920935774287987e-10) + (((b - c) - n * 2.2517417706346578e-18) - n * 3.5215598651832e-27)
    return tl.where(tl.abs(n) < 2251799813685248.0, c + tail, float("nan"))  # no angle is left beyond

def _sin_near(r):  # fdlibm, for |r| <= pi/4
    z = r * r
    p = 1.58969099521155010221e-10 * z - 2.50507602534068634195e-08
    p = p * z + 2.75573137070700676789e-06
    p = p * z - 1.98412698298579493134e-04
    p = p * z + 8.33333333332248946124e-03
    p = p * z - 1.66666666666666324348e-01
    return p * (z * r) + r

def _cos_near(r):
    z = r * r
    p = -1.13596475577881948265e-11 * z + 2.08757232129817482790e-09
    p = p * z - 2.75573143513906633035e-07
    p = p * z + 2.48015872894767294178e-05
    p = p * z - 1.38888888888741095749e-03
    p = p * z + 4.16666666666666019037e-02
    w = 1.0 - 0.5 * z
    return w + (((1.0 - w) - 0.5 * z) + p * z * z)

def _pow(x, y):  # x < 0 takes a whole y
    x, y = tl.broadcast(x * tl.full((), 1.0, tl.float64), y * tl.full((), 1.0, tl.float64))
    whole = tl.floor(y) == y
    odd = tl.floor(0.5 * y) * 2.0 != y
    p = tl.exp(y * tl.log(tl.abs(x)))
    p = tl.where(whole & odd & (x < 0.0), -p, p)
    p = tl.where((x >= 0.0) | whole, p, float("nan"))
    return tl.where(y == 0.0, 1.0, p)
"""

_POWERS = """
def _pow2(x):
    return x * x

def _pow3(x):
    return x * x * x

def _pow4(x):
    return _pow2(x * x)

def _pow5(x):
    return _pow4(x) * x

def _pow6(x):
    return _pow3(x * x)

def _pow7(x):
    return _pow6(x) * x

def _pow8(x):
    return _pow4(x * x)
"""

# Words of _bad: 1 + number of the check (0 where all is finite, -1 while a program writes), step, sample, neuron.
_REPORT = '''
def _report(_bad, _first, _checks, _inside, _b, _n, _start):
    """Keep the earliest step, check, sample and neuron that is not finite, in a tile that starts at _b and _n."""
    _code = tl.min(tl.where(_inside, _first, 2147483647))
    if _code < 2147483647:
        _tile = tl.arange(0, _first.shape[0])[:, None] * _first.shape[1] + tl.arange(0, _first.shape[1])[None, :]
        _place = tl.min(tl.where(_inside & (_first == _code), _tile, 2147483647))
        _place = (_b + _place // _first.shape[1]) * 4294967296 + _n + _place % _first.shape[1]
        _flag = tl.atomic_xchg(_bad, -1)
        while _flag == -1:
            _flag = tl.atomic_xchg(_bad, -1)
        _t = tl.cast(_code // _checks, tl.int64) + _start
        _check = tl.cast(_code % _checks + 1, tl.int64)
        _old_t = tl.atomic_add(_bad + 1, 0)
        _old_place = tl.atomic_add(_bad + 2, 0) * 4294967296 + tl.atomic_add(_bad + 3, 0)
        _same = (_t == _old_t) & ((_check < _flag) | ((_check == _flag) & (_place < _old_place)))
        if (_flag == 0) | (_t < _old_t) | _same:
            tl.atomic_xchg(_bad + 1, _t)
            tl.atomic_xchg(_bad + 2, _place // 4294967296)
            tl.atomic_xchg(_bad + 3, _place % 4294967296)
            _flag = _check
        tl.atomic_xchg(_bad, _flag)
'''

# tl.where keeps the add that follows from becoming the start value of the dot: ptxas then spills all of the weights.
_PRODUCTS = '''
def _weight(pointer, first, rows, columns, down, across, height: tl.constexpr, width: tl.constexpr):
    """A tile of a matrix with strides down and across, 0 beyond its last row and column."""
    r = first + tl.arange(0, height)[:, None]
    c = tl.arange(0, width)[None, :]
    return tl.load(pointer + r * down + c * across, (r < rows) & (c < columns), 0.0)

def _halves(z):
    """The left and the right half of the columns of z."""
    return tl.split(tl.permute(tl.reshape(z, (z.shape[0], 2, z.shape[1] // 2)), (0, 2, 1)))

def _dot1(z, w, inside):
    return tl.where(inside, tl.dot(z, w, input_precision="ieee"), 0.0)

def _dot2(z, w0, w1, inside):
    z0, z1 = _halves(z)
    return _dot1(z0, w0, inside) + _dot1(z1, w1, inside)

def _dot4(z, w0, w1, w2, w3, inside):
    z0, z1 = _halves(z)
    return _dot2(z0, w0, w1, inside) + _dot2(z1, w2, w3, inside)

def _dot8(z, w0, w1, w2, w3, w4, w5, w6, w7, inside):
    z0, z1 = _halves(z)
    return _dot4(z0, w0, w1, w2, w3, inside) + _dot4(z1, w4, w5, w6, w7, inside)
'''


def _parse(text: str) -> dict[str, str]:
    parts = re.split(r"\n(?=def )", text.strip())
    return {part[4 : part.index("(")]: part.strip() for part in parts}


_SOURCES: dict[FloatType, dict[str, str]] = {
    "float32": _parse(_POWERS)
    | _parse(_PRODUCTS)
    | _parse(EXCHANGE)
    | _parse(PACKING)
    | _parse(NOISE)
    | _parse(_FLOAT32)
    | _parse(_ANY)
    | _parse(_REPORT),
    "float64": _parse(_POWERS)
    | _parse(_PRODUCTS)
    | _parse(EXCHANGE)
    | _parse(PACKING)
    | _parse(NOISE)
    | _parse(_FLOAT64)
    | _parse(_ANY)
    | _parse(_REPORT),
}


def define(used: Iterable[str], dtype: FloatType, precision: str = "float32") -> list[str]:
    """Return the texts of the functions `used` and of those they call, each without its decorator.

    Args:
        used: names of functions.
        dtype: the state dtype.
        precision: of products: "tf32", or anything else for products that round nothing.
    """
    sources = _SOURCES[dtype]
    wanted: set[str] = set()
    pending = sorted(used)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += [n for n in re.findall(r"\b(_\w+)\(", sources[name]) if n in sources]
    texts = [text for name, text in sources.items() if name in wanted]
    return (
        [t.replace('input_precision="ieee"', 'input_precision="tf32"') for t in texts] if precision == "tf32" else texts
    )
