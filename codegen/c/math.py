"""Functions of the C text: polynomials that vectorise, the same bits in a vector as alone.

The bounds are against correctly rounded values, over the whole range unless stated: 2 ulp for exp, log, expm1, 4 ulp
for what is made of them; sin and cos hold for arguments below 1e8. atan, asin, acos, erf and the power of doubles are
those of libm.
"""

from __future__ import annotations

import math
import re

from graphc.codegen.expr import Dialect

_REAL = re.compile(r"\b_[a-z]+[0-9a-z_]*")

_BASIC = {
    "_abs": "return B(fabs)(x);",
    "_sign": "return (x > R(0) ? R(1) : R(0)) - (x < R(0) ? R(1) : R(0));",
    "_relu": "return x > R(0) || x != x ? x : R(0);",
    "_sqrt": "return B(sqrt)(x);",
    "_floor": "return B(floor)(x);",
    "_ceil": "return B(ceil)(x);",
    "_atan": "return B(atan)(x);",
    "_asin": "return B(asin)(x);",
    "_acos": "return B(acos)(x);",
    "_erf": "return B(erf)(x);",
    "_sigmoid": "const real e = _exp(-_abs(x)), s = R(1)/(R(1) + e);\nreturn x < R(0) ? e*s : s;",
    "_tanh": "const real e = _expm1(R(-2)*_abs(x)), y = -e/(e + R(2));\nreturn x < R(0) ? -y : y;",
    "_sinh": "const real e = _expm1(_abs(x)), y = R(0.5)*(e + e/(e + R(1)));\nreturn x < R(0) ? -y : y;",
    "_cosh": "const real e = _exp(_abs(x));\nreturn R(0.5)*e + R(0.5)/e;",
    "_tan": "return _sin(x)/_cos(x);",
    "_log1p": "const real u = R(1) + x;\nreturn _log(u) + (x - (u - R(1)))/u;",
    "_softplus": "return (x > R(0) || x != x ? x : R(0)) + _log1p(_exp(-_abs(x)));",
    "_exprel": "return x == R(0) ? R(1) : _expm1(x)/x;",
    "_sin": "return (real)_wave(x, 0);",
    "_cos": "return (real)_wave(x, 1);",
}
_TWO_ARGUMENTS = {
    "_max": "return x > y || x != x ? x : y;",
    "_min": "return x < y || x != x ? x : y;",
    "_mod": "const real r = FMA(-y, B(floor)(x/y), x);\nreturn r != R(0) && (r < R(0)) != (y < R(0)) ? r + y : r;",
}


def math_text(used: set[str], dialect: Dialect) -> str:
    """Return the definitions of the functions in `used`, and of those that they call, in order."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in _defined(dialect):
            return
        for called in sorted(set(_REAL.findall(_defined(dialect)[name])) - {name}):
            visit(called)
        order.append(name)

    for name in sorted(used):
        visit(name)
    return "\n".join(_translate(_defined(dialect)[name], dialect) for name in order)


def _defined(dialect: Dialect) -> dict[str, str]:
    functions = {name: _function(name, "real x", body) for name, body in _BASIC.items()}
    functions |= {name: _function(name, "real x, real y", body) for name, body in _TWO_ARGUMENTS.items()}
    functions |= {f"_pow{n}": _function(f"_pow{n}", "real x", _integer_power(n)) for n in range(2, 9)}
    single = dialect.dtype == "float32"
    functions["_scale"] = _scale(single)
    functions["_reduce"] = _reduce(single)
    functions["_exp"] = _exp(single)
    functions["_expm1"] = _expm1(single)
    functions["_log"] = _log(single)
    functions["_exprel_prime"] = _exprel_prime(single)
    functions["_wave"] = _wave()
    functions["_pow"] = _pow(single)
    return functions


def _function(name: str, arguments: str, body: str, result: str = "real") -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"static inline {result} {name}({arguments}) {{\n{lines}}}"


def _translate(text: str, dialect: Dialect) -> str:
    """Replace the shorthands: R(1) a literal, B(floor) a builtin, FMA the fused product."""
    suffix = "f" if dialect.dtype == "float32" else ""
    text = re.sub(r"R\((-?[0-9.e+-]+)\)", lambda m: dialect.number(float(m[1])), text)
    text = re.sub(r"B\((\w+)\)", rf"__builtin_\1{suffix}", text)
    return text.replace("FMA(", "_fma(")


def _integer_power(n: int) -> str:
    if n <= 3:
        return f"return {'*'.join('x' * n)};"
    lines = ["const real x2 = x*x;"]
    if n >= 8:
        lines.append("const real x4 = x2*x2;")
    text = {4: "x2*x2", 5: "x2*x2*x", 6: "x2*x2*x2", 7: "x2*x2*x2*x", 8: "x4*x4"}[n]
    return "\n".join([*lines, f"return {text};"])


def _horner(coefficients: list[float], variable: str) -> list[str]:
    """Return lines that leave the polynomial, lowest coefficient first, in p."""
    lines = [f"real p = R({coefficients[-1]!r});"]
    return lines + [f"p = FMA(p, {variable}, R({c!r}));" for c in reversed(coefficients[:-1])]


def _scale(single: bool) -> str:
    integer, bias, shift = ("int32_t", 127, 23) if single else ("int64_t", 1023, 52)
    body = [
        f"const {integer} bits = (({integer})k + {bias}) << {shift};",
        "real power;",
        "__builtin_memcpy(&power, &bits, sizeof power);",
        "return power;",
    ]
    return "// 2**k, for a whole k within the range of normal numbers\n" + _function(
        "_scale", "real k", "\n".join(body)
    )


def _reduce(single: bool) -> str:
    magic = 1.5 * 2.0 ** (23 if single else 52)
    high = 0.693145751953125 if single else 0.6931471803691238
    low = 1.4286068203094172e-06 if single else 1.9082149292705877e-10
    body = [
        f"const real k = FMA(x, R({1 / math.log(2)!r}), R({magic!r})) - R({magic!r});",
        "*power = k;",
        f"return FMA(-k, R({low!r}), FMA(-k, R({high!r}), x));",
    ]
    note = "// the rest r of x = k log(2) + r, |r| <= log(2)/2\n"
    return note + _function("_reduce", "real x, real *power", "\n".join(body))


def _exp(single: bool) -> str:
    low, high, degree = (-104.0, 89.0, 7) if single else (-746.0, 710.0, 13)
    body = [
        f"real k, half, y = x > R({high}) ? R({high}) : x;",
        f"y = y < R({low}) ? R({low}) : y;",
        "const real r = _reduce(y, &k);",
        *_horner([1 / math.factorial(n) for n in range(degree + 1)], "r"),
        "half = B(floor)(R(0.5)*k);  // in two factors, so that results near the ends of the range are exact",
        "return p*_scale(half)*_scale(k - half);",
    ]
    return _function("_exp", "real x", "\n".join(body))


def _expm1(single: bool) -> str:
    low, high, degree = (-20.0, 89.0, 8) if single else (-40.0, 710.0, 14)
    body = [
        f"real k, y = x > R({high}) ? R({high}) : x;",
        f"y = y < R({low}) ? R({low}) : y;",
        "const real r = _reduce(y, &k);",
        *_horner([1 / math.factorial(n) for n in range(2, degree + 1)], "r"),
        "const real s = _scale(k - R(1)), e = FMA(r*r, p, r);",
        "return R(2)*FMA(s, e, s - R(0.5));",
    ]
    return _function("_expm1", "real x", "\n".join(body))


def _log(single: bool) -> str:
    integer, bias, shift, tiny = ("int32_t", 127, 23, 24) if single else ("int64_t", 1023, 52, 54)
    smallest = 2.0**-126 if single else 2.0**-1022
    root = "0x3f3504f3" if single else "0x3fe6a09e667f3bcd"
    one = "0x3f800000" if single else "0x3ff0000000000000"
    high = 0.693145751953125 if single else 0.6931471803691238
    low = 1.4286068203094172e-06 if single else 1.9082149292705877e-10
    terms = 5 if single else 11
    body = [
        f"const real lifted = x < R({smallest!r}) ? x*R({2.0**tiny!r}) : x;",
        f"{integer} bits;",
        "__builtin_memcpy(&bits, &lifted, sizeof bits);",
        f"bits += {one} - {root};",
        f"const real k = (real)((bits >> {shift}) - {bias}) - (x < R({smallest!r}) ? R({tiny}) : R(0));",
        f"bits = (bits & {(1 << shift) - 1:#x}) + {root};",
        "real m;",
        "__builtin_memcpy(&m, &bits, sizeof m);",
        "const real f = m - R(1), s = f/(R(2) + f), z = s*s;",
        *_horner([2 / (2 * n + 3) for n in range(terms)], "z"),
        f"const real y = FMA(k, R({high!r}), FMA(k, R({low!r}), s*z*p) + (f - s*f));",
        f"return x > R(0) ? (x > R({3.4028234663852886e38 if single else 1.7976931348623157e308!r}) ? x : y)"
        f' : x == R(0) ? -B(inf)() : B(nan)("");',
    ]
    return _function("_log", "real x", "\n".join(body))


def _exprel_prime(single: bool) -> str:
    terms = 10 if single else 17
    body = [
        *_horner([1 / (math.factorial(k) * (k + 2)) for k in range(terms)], "x"),
        "return _abs(x) < R(0.7) ? p : (_exp(x) - _expm1(x)/x)/x;",
    ]
    return _function("_exprel_prime", "real x", "\n".join(body))


def _wave() -> str:
    """Return sin (quarter 0) or cos (quarter 1), in double for both types."""
    sine = [(-1) ** n / math.factorial(2 * n + 3) for n in range(1, 9)]
    cosine = [(-1) ** n / math.factorial(2 * n) for n in range(2, 10)]

    def chain(name: str, coefficients: list[float]) -> list[str]:
        lines = [f"double {name} = {coefficients[-1]!r};"]
        return lines + [f"{name} = __builtin_fma({name}, z, {c!r});" for c in reversed(coefficients[:-1])]

    magic = 1.5 * 2.0**52
    body = [
        f"const double shifted = __builtin_fma(x, {2 / math.pi!r}, {magic!r}), k = shifted - {magic!r};",
        "int64_t quarter;",
        "__builtin_memcpy(&quarter, &shifted, sizeof quarter);",
        "quarter += first;",
        "double r = __builtin_fma(-k, 1.5707963267948966, x);",
        "r = __builtin_fma(-k, 6.123233995736766e-17, r);",
        "const double z = r*r;",
        *chain("s", [-1 / 6, *(-c for c in sine)]),
        *chain("c", [-0.5, *cosine]),
        "s = __builtin_fma(r*z, s, r);",
        "c = __builtin_fma(z, c, 1.0);",
        "const double y = quarter & 1 ? c : s;",
        "return quarter & 2 ? -y : y;",
    ]
    return _function("_wave", "double x, int64_t first", "\n".join(body), "double")


def _pow(single: bool) -> str:
    if not single:
        return _function("_pow", "real x, real y", "return B(pow)(x, y);")
    body = [
        "const double e = (double)y*__builtin_log((double)(x < R(0) ? -x : x));",
        "const real size = (real)__builtin_exp(e), odd = y - R(2)*B(floor)(R(0.5)*y);",
        'const real signed_size = odd == R(1) ? -size : odd == R(0) ? size : B(nan)("");',
        "return y == R(0) ? R(1) : x < R(0) ? signed_size : size;",
    ]
    return _function("_pow", "real x, real y", "\n".join(body))
