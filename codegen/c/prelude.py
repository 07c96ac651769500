"""The C functions that kernels share: memory, events, products; a text holds those that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphc.codegen.expr import Dialect

from .dense import DENSE
from .lists import LISTS
from .math import math_text
from .noise import noise_text

_HEAD = """\
#include <stdint.h>
#include <stdlib.h>

typedef REAL real;
enum { _LANES = _BYTES/sizeof(real), _LINE = 64 };
typedef real _vector __attribute__((vector_size(_BYTES), aligned(sizeof(real)), may_alias));

static inline real _fma(real a, real b, real c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return BUILTIN_FMA(a, b, c);
#else
    return a*b + c;
#endif
}

static void *_take(size_t bytes) {  // memory of one thread, on a cache line of its own
    return aligned_alloc(_LINE, (bytes + _LINE - 1)/_LINE*_LINE);
}
"""

_MACHINE = """\
#if defined(_VECTOR)
#define _BYTES (_VECTOR/8)
#elif defined(__AVX512F__)
#define _BYTES 64
#elif defined(__AVX__)
#define _BYTES 32
#else
#define _BYTES 16
#endif
#if defined(__AVX512F__) && _BYTES == 64 && defined(__has_builtin)
#if __has_builtin(__builtin_ia32_compresssi512_mask) && __has_builtin(__builtin_ia32_movntdq512)
#define _AVX512 1
#endif
#endif
#if defined(_AVX512)
typedef long long _whole __attribute__((vector_size(64), aligned(64), may_alias));
#define _MOVE __builtin_ia32_movntdq512
#elif defined(__AVX__)
typedef long long _whole __attribute__((vector_size(32), aligned(32), may_alias));
#define _MOVE __builtin_ia32_movntdq256
#endif
#if !defined(_MOVE)
#undef _STREAM
#define _STREAM 0
#elif !defined(_STREAM)
#define _STREAM 1
#endif
#define _INLINE static inline __attribute__((always_inline))
#define _PLACE(q, width) ((q + 1)*_LANES <= (width) ? (q)*_LANES : (width) - _LANES)  // of vector q in a row
#define _UNROLL _Pragma("GCC unroll 16")
#if defined(__clang__)
#define _FUSED __attribute__((noinline))
#define _CONTRACT _Pragma("clang fp contract(fast)")
#else
// Products alone may fuse multiplication and addition: an update rounds the same in every kernel that repeats it.
#define _FUSED __attribute__((noinline, optimize("fp-contract=fast")))
#define _CONTRACT
#endif
"""

_TEXTS = {
    "_prefetch": """\
_INLINE void _prefetch(const void *row, int64_t bytes) {
    for (int64_t k = 0; k < bytes; k += _LINE) __builtin_prefetch((const char *)row + k, 0, 3);
}
""",
    "_stream": """\
// Whether an output is so large that writing past the cache pays, and lies where that is possible.
static int _streams(const real *out, int64_t t, int64_t b, int64_t elements) {
#if _STREAM
    const int64_t aligned = (int64_t)(uintptr_t)out | t*(int64_t)sizeof(real) | b*(int64_t)sizeof(real);
    return elements*(int64_t)sizeof(real) > (4 << 20) && !(aligned & (_LINE - 1));
#else
    return 0;
#endif
}

_INLINE void _stream(real *out, const real *row, int64_t count) {
    int64_t k = 0;
#if _STREAM
    enum { _PIECE = sizeof(_whole)/sizeof(real) };
    for (; k + _PIECE <= count; k += _PIECE) _MOVE((_whole *)(out + k), *(const _whole *)(row + k));
#endif
    for (; k < count; k++) out[k] = row[k];
}

_INLINE void _fence(void) {
#if _STREAM
    __builtin_ia32_sfence();
#endif
}
""",
    "_report": """\
// Write the first value of a row that is not finite to `bad`, unless an earlier one stands there.
static __attribute__((noinline)) void _report(
    const real *row, int64_t count, int64_t check, int64_t t, int64_t b, int64_t n0, int64_t *bad) {
    int64_t n = 0;
    if (!bad) return;
    while (n < count && row[n] - row[n] == 0) n++;
    if (n == count) return;
    const int64_t found[4] = {1 + check, t, b, n0 + n};
#pragma omp critical
    if (!bad[0] || t < bad[1] || (t == bad[1] && (1 + check < bad[0] || (1 + check == bad[0]
        && (b < bad[2] || (b == bad[2] && n0 + n < bad[3])))))) {
        for (int k = 0; k < 4; k++) bad[k] = found[k];
    }
}
""",
    "_sum": """\
static real _sum(const real *x, int64_t count) {
    double total = 0;
    for (int64_t k = 0; k < count; k++) total += x[k];
    return (real)total;
}
""",
    "_transpose": """\
static real *_transpose(const real *w, int64_t pre, int64_t post) {
    real *turned = _take((size_t)(pre*post)*sizeof(real));
    for (int64_t i0 = 0; i0 < pre; i0 += 16)
        for (int64_t j = 0; j < post; j++)
            for (int64_t i = i0; i < pre && i < i0 + 16; i++) turned[j*pre + i] = w[i*post + j];
    return turned;
}
""",
    "_events_real": """\
// Numbers of the elements that are not 0; room for 16 more than there are elements.
static int _events_real(const real *x, int64_t count, uint32_t *events) {
    int found = 0;
    int64_t k = 0;
COMPRESS
    for (; k + 32 <= count; k += 32) {  // most are 0, often 32 in a row
        int any = 0;
        for (int j = 0; j < 32; j++) any |= x[k + j] != 0;
        if (any) for (int64_t j = k; j < k + 32; j++) events[found] = (uint32_t)j, found += x[j] != 0;
    }
    for (; k < count; k++) events[found] = (uint32_t)k, found += x[k] != 0;
    return found;
}
""",
    "_events_uint8": """\
static int _events_uint8(const uint8_t *x, int64_t count, uint32_t *events) {
    int found = 0;
    int64_t k = 0;
#if defined(_AVX512) && defined(__AVX512BW__)
    typedef int lanes __attribute__((vector_size(64)));
    typedef int loose __attribute__((vector_size(64), aligned(4), may_alias));
    typedef char bytes __attribute__((vector_size(64), aligned(1), may_alias));
    lanes number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (; k + 64 <= count; k += 64) {
        const bytes all = *(const bytes *)(x + k);
        const uint64_t mask = __builtin_ia32_ptestmb512(all, all, (unsigned long long)-1);
        for (int q = 0; q < 64; q += 16, number += 16) {
            const unsigned short part = (unsigned short)(mask >> q);
            *(loose *)(events + found) = (lanes)__builtin_ia32_compresssi512_mask(number, (lanes){0}, part);
            found += __builtin_popcount(part);
        }
    }
#endif
    for (; k + 8 <= count; k += 8) {
        uint64_t eight;
        __builtin_memcpy(&eight, x + k, 8);
        if (eight) for (int64_t j = k; j < k + 8; j++) events[found] = (uint32_t)j, found += x[j] != 0;
    }
    for (; k < count; k++) events[found] = (uint32_t)k, found += x[k] != 0;
    return found;
}
""",
    "_gather": """\
// out = sum over events e of value[e]*w[e], `columns` wide; a null `value` stands for ones. Up to 16 sums stay in
// registers; where the columns do not fill vectors, the last one overlaps the one before.
_INLINE void _gather_part(
    const int vectors, const int64_t width, const uint32_t *events, const real *value, int count, const real *w,
    int64_t columns, real *out) {
    _CONTRACT
    _vector sum[16];
    _UNROLL for (int q = 0; q < vectors; q++) sum[q] = (_vector){0};
    for (int e = 0; e < count; e++) {
        const real *row = w + events[e]*columns;
        if (value) {
            const _vector scale = value[e] - (_vector){0};
            _UNROLL for (int q = 0; q < vectors; q++) sum[q] += scale**(const _vector *)(row + _PLACE(q, width));
        } else {
            _UNROLL for (int q = 0; q < vectors; q++) sum[q] += *(const _vector *)(row + _PLACE(q, width));
        }
    }
    _UNROLL for (int q = 0; q < vectors; q++) *(_vector *)(out + _PLACE(q, width)) = sum[q];
}

_INLINE void _gather(
    const uint32_t *events, const real *value, int count, const real *w, const int64_t columns, real *out) {
    if (columns < _LANES) {
        real sum[_LANES] = {0};
        for (int e = 0; e < count; e++)
            for (int64_t c = 0; c < columns; c++)
                sum[c] = _fma(value ? value[e] : 1, w[events[e]*columns + c], sum[c]);
        for (int64_t c = 0; c < columns; c++) out[c] = sum[c];
        return;
    }
    const int64_t wide = 16*_LANES, whole = columns/wide*wide, rest = columns - whole;
    for (int64_t c = 0; c < whole; c += wide) _gather_part(16, wide, events, value, count, w + c, columns, out + c);
    const int vectors = (int)((rest + _LANES - 1)/_LANES);
    if (vectors) _gather_part(vectors, rest, events, value, count, w + whole, columns, out + whole);
}
""",
    "_gather_rows": """\
// The same for many rows; all of them use the columns that stay in registers together, while their weights are near.
_FUSED static void _gather_rows(
    int64_t rows, const uint32_t *events, int64_t stride, const int *count, const real *w, const int64_t columns,
    real *out) {
    const int64_t wide = 16*_LANES, whole = columns < _LANES ? 0 : columns/wide*wide, rest = columns - whole;
    for (int64_t c = 0; c < whole; c += wide)
        for (int64_t r = 0; r < rows; r++)
            _gather_part(16, wide, events + r*stride, 0, count[r], w + c, columns, out + r*columns + c);
    if (columns < _LANES) {
        for (int64_t r = 0; r < rows; r++) _gather(events + r*stride, 0, count[r], w, columns, out + r*columns);
    } else if (rest) {
        const int vectors = (int)((rest + _LANES - 1)/_LANES);
        for (int64_t r = 0; r < rows; r++)
            _gather_part(vectors, rest, events + r*stride, 0, count[r], w + whole, columns, out + r*columns + whole);
    }
}
""",
}

_COMPRESS_16 = """\
#ifdef _AVX512
    typedef int lanes __attribute__((vector_size(64)));
    typedef int loose __attribute__((vector_size(64), aligned(4), may_alias));
    lanes number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (; k + 16 <= count; k += 16, number += 16) {
        const unsigned short mask = MASK;
        *(loose *)(events + found) = (lanes)__builtin_ia32_compresssi512_mask(number, (lanes){0}, mask);
        found += __builtin_popcount(mask);
    }
#endif"""
_EIGHT = (
    "(unsigned char)__builtin_ia32_cmppd512_mask(*(const _vector *)(x + k{}), (_vector){{0}}, 4, (unsigned char)-1, 4)"
)
_MASK = {
    "float32": "__builtin_ia32_cmpps512_mask(*(const _vector *)(x + k), (_vector){0}, 4, (unsigned short)-1, 4)",
    "float64": f"(unsigned short)({_EIGHT.format('')}\n            | {_EIGHT.format(' + 8')} << 8)",
}


def prelude(used: set[str], dialect: Dialect, options: Mapping[str, int] = MappingProxyType({})) -> str:
    """Return the start of a text: `options`, types, and the functions of `used` with those that they call."""
    single = dialect.dtype == "float32"
    head = _HEAD.replace("REAL", "float" if single else "double")
    head = head.replace("BUILTIN_FMA", "__builtin_fmaf" if single else "__builtin_fma")
    parts = [_chosen(options) + _MACHINE, head]
    if math := math_text(used, dialect):
        parts.append(math + "\n")
    if noise := noise_text(used):
        parts.append(noise)
    for name, text in (LISTS | _TEXTS | DENSE).items():
        if name in used:
            parts.append(text.replace("COMPRESS", _COMPRESS_16.replace("MASK", _MASK[dialect.dtype])))
    return "\n".join(parts)


def _chosen(options: Mapping[str, int]) -> str:
    """Return definitions of what someone chose for a half, which replace what the machine says."""
    lines = [
        f"#define _{name.upper()} {options[name]}" for name in ("vector", "dense_rows", "stream") if name in options
    ]
    if "vector" in options:
        lines.append("#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX__)")
        lines.append(f'#pragma GCC target("prefer-vector-width={options["vector"]}")')
        lines.append("#endif")
    return "".join(f"{line}\n" for line in lines)
