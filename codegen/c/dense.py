"""The C functions of products with matrices: dense ones of rows in registers, and the sums of outer products."""

DENSE = {
    "_dense": """\
// out[r] = x[r] @ w for rows of x: _TILE rows by two vectors of columns at a time, in registers.
#if defined(_DENSE_ROWS)
enum { _TILE = _DENSE_ROWS };
#elif defined(__AVX512F__)
enum { _TILE = 8 };
#else
enum { _TILE = 4 };
#endif

_INLINE void _dense_part(
    const int rows, const int vectors, int64_t depth, const real *x, int64_t x_stride, const real *w, int64_t columns,
    real *out, int64_t out_stride) {
    _CONTRACT
    _vector sum[8][2];
    _UNROLL for (int r = 0; r < rows; r++)
        _UNROLL for (int q = 0; q < vectors; q++) sum[r][q] = (_vector){0};
    for (int64_t k = 0; k < depth; k++) {
        _vector part[2];
        _UNROLL for (int q = 0; q < vectors; q++) part[q] = *(const _vector *)(w + k*columns + q*_LANES);
        _UNROLL for (int r = 0; r < rows; r++) {
            const _vector scale = x[r*x_stride + k] - (_vector){0};
            _UNROLL for (int q = 0; q < vectors; q++) sum[r][q] += scale*part[q];
        }
    }
    _UNROLL for (int r = 0; r < rows; r++)
        _UNROLL for (int q = 0; q < vectors; q++) *(_vector *)(out + r*out_stride + q*_LANES) = sum[r][q];
}

// Rows and columns that do not fill the last tile are computed twice, with the same result.
_INLINE void _dense_columns(
    const int vectors, int64_t rows, int64_t depth, int64_t columns, const real *x, int64_t x_stride, const real *w,
    real *out, int64_t out_stride) {
    const int64_t width = vectors*_LANES;
    for (int64_t at = 0; at < columns; at += width) {
        const int64_t c = at + width <= columns ? at : columns - width;
        if (rows >= _TILE) {
            for (int64_t next = 0; next < rows; next += _TILE) {
                const int64_t r = next + _TILE <= rows ? next : rows - _TILE;
                real *tile = out + r*out_stride + c;
                _dense_part(_TILE, vectors, depth, x + r*x_stride, x_stride, w + c, columns, tile, out_stride);
            }
        } else {
            for (int64_t r = 0; r < rows; r++) {
                real *tile = out + r*out_stride + c;
                _dense_part(1, vectors, depth, x + r*x_stride, x_stride, w + c, columns, tile, out_stride);
            }
        }
    }
}

_FUSED static void _dense(
    int64_t rows, int64_t depth, int64_t columns, const real *x, int64_t x_stride, const real *w,
    real *out, int64_t out_stride) {
    if (columns >= 2*_LANES) {
        _dense_columns(2, rows, depth, columns, x, x_stride, w, out, out_stride);
    } else if (columns >= _LANES) {
        _dense_columns(1, rows, depth, columns, x, x_stride, w, out, out_stride);
    } else {
        for (int64_t r = 0; r < rows; r++) {
            real sum[_LANES] = {0};
            for (int64_t k = 0; k < depth; k++)
                for (int64_t c = 0; c < columns; c++) sum[c] = _fma(x[r*x_stride + k], w[k*columns + c], sum[c]);
            for (int64_t c = 0; c < columns; c++) out[r*out_stride + c] = sum[c];
        }
    }
}
""",
    "_panels": """\
// The columns of a matrix, two vectors of them at a time, each time with its rows one after the other: a product of
// many rows finds them near, whatever the stride of w. The last columns overlap those before.
static real *_panels(const real *w, int64_t depth, int64_t columns) {
    const int64_t width = 2*_LANES;
    if (columns < width) return 0;
    real *packed = _take((size_t)((columns + width - 1)/width*width*depth)*sizeof(real)), *panel = packed;
    for (int64_t at = 0; at < columns; at += width, panel += depth*width) {
        const int64_t c = at + width <= columns ? at : columns - width;
        for (int64_t k = 0; k < depth; k++) __builtin_memcpy(panel + k*width, w + k*columns + c, sizeof(real)*width);
    }
    return packed;
}

_FUSED static void _dense_panels(
    int64_t rows, int64_t depth, int64_t columns, const real *x, int64_t x_stride, const real *w, const real *panels,
    real *out, int64_t out_stride) {
    const int64_t width = 2*_LANES;
    if (!panels || rows < _TILE) {
        _dense(rows, depth, columns, x, x_stride, w, out, out_stride);
        return;
    }
    for (int64_t at = 0; at < columns; at += width, panels += depth*width) {
        const int64_t c = at + width <= columns ? at : columns - width;
        for (int64_t next = 0; next < rows; next += _TILE) {
            const int64_t r = next + _TILE <= rows ? next : rows - _TILE;
            _dense_part(
                _TILE, 2, depth, x + r*x_stride, x_stride, panels, width, out + r*out_stride + c, out_stride);
        }
    }
}
""",
    "_scatter": """\
// dw[e] += value[e]*g for every event e, `columns` wide; a null `value` stands for ones. The vectors of a row do not
// overlap: a load that needs parts of two stores waits for both.
enum { _FEW = _LANES < 4 ? 1 : _LANES/4 };
typedef real _quarter __attribute__((vector_size(_FEW*sizeof(real)), aligned(sizeof(real)), may_alias));

_INLINE void _scatter_part(
    const int vectors, const int quarters, const int singles, const uint32_t *events, const real *value, int count,
    const real *g, real *dw, int64_t columns) {
    _CONTRACT
    const real *g4 = g + vectors*_LANES, *g1 = g4 + quarters*_FEW;
    _vector part[16];
    _quarter small[4];
    _UNROLL for (int q = 0; q < vectors; q++) part[q] = *(const _vector *)(g + q*_LANES);
    _UNROLL for (int q = 0; q < quarters; q++) small[q] = *(const _quarter *)(g4 + q*_FEW);
    for (int e = 0; e < count; e++) {
        real *row = dw + events[e]*columns, *row4 = row + vectors*_LANES, *row1 = row4 + quarters*_FEW;
        const real scale = value ? value[e] : 1;
        const _vector wide = scale - (_vector){0};
        const _quarter narrow = scale - (_quarter){0};
        if (value) {
            _UNROLL for (int q = 0; q < vectors; q++) *(_vector *)(row + q*_LANES) += wide*part[q];
            _UNROLL for (int q = 0; q < quarters; q++) *(_quarter *)(row4 + q*_FEW) += narrow*small[q];
        } else {
            _UNROLL for (int q = 0; q < vectors; q++) *(_vector *)(row + q*_LANES) += part[q];
            _UNROLL for (int q = 0; q < quarters; q++) *(_quarter *)(row4 + q*_FEW) += small[q];
        }
        for (int q = 0; q < singles; q++) row1[q] = _fma(scale, g1[q], row1[q]);
    }
}

_INLINE void _scatter(
    const uint32_t *events, const real *value, int count, const real *g, real *dw, const int64_t columns) {
    const int64_t wide = 16*_LANES, whole = columns/wide*wide, rest = columns - whole;
    for (int64_t c = 0; c < whole; c += wide) _scatter_part(16, 0, 0, events, value, count, g + c, dw + c, columns);
    const int vectors = (int)(rest/_LANES), quarters = (int)(rest%_LANES/_FEW), singles = (int)(rest%_FEW);
    if (rest) _scatter_part(vectors, quarters, singles, events, value, count, g + whole, dw + whole, columns);
}
""",
}
