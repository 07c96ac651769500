"""The C text of eligibility traces: sums over synapses that a chunk of steps adds, driven by the sources' events."""

from __future__ import annotations

from typing import Literal

MOST = 8  # states whose traces act on one another

_TEXT = """\
// Traces of one matrix of weights over a chunk of T steps. e[s] (B, M, N) is the trace of state s of the N targets by
// the weights from M sources, or (B, M) where it is the same for all targets.
#include <stddef.h>
#include <stdint.h>

typedef REAL real;
typedef SOURCE source;

struct _terms {  // of each state: its trace before the chunk, what it is multiplied by (B, N), whether targets share it
    int64_t count;
    const real *trace[MOST], *row[MOST];
    int64_t shared[MOST];
};

// out[i] += the traces of sample b and source j, each times its row.
static inline void _add_terms(const struct _terms *terms, int64_t b, int64_t j, int64_t M, int64_t N, real *out) {
    for (int64_t k = 0; k < terms->count; k++) {
        const real *row = terms->row[k] + b*N;
        if (terms->shared[k]) {
            const real e = terms->trace[k][b*M + j];
            if (e != 0)
                for (int64_t i = 0; i < N; i++) out[i] += e*row[i];
        } else {
            const real *e = terms->trace[k] + (b*M + j)*N;
            for (int64_t i = 0; i < N; i++) out[i] += e[i]*row[i];
        }
    }
}

// out (B, M, N): the traces after the chunk; u (T, B, N) is how the state depends on the drive of each step.
void advance(const int64_t *sizes, const source *z, const real *u, const struct _terms *terms, real *out) {
    const int64_t T = sizes[0], B = sizes[1], M = sizes[2], N = sizes[3], step = sizes[5], sample = sizes[6];
#pragma omp parallel for collapse(2) num_threads(sizes[4]) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t j = 0; j < M; j++) {
            real *restrict row = out + (b*M + j)*N;
            __builtin_memset(row, 0, (size_t)N*sizeof(real));
            _add_terms(terms, b, j, M, N, row);
            for (int64_t t = 0; t < T; t++) {
                const real x = (real)z[t*step + b*sample + j];
                if (x == 0) continue;
                const real *restrict g = u + (t*B + b)*N;
                for (int64_t i = 0; i < N; i++) row[i] += x*g[i];
            }
        }
}

// out (M, N): the gradient of the weights, from the learning signals a (T, B, N) and the traces before the chunk.
void learn(const int64_t *sizes, const source *z, const real *a, const struct _terms *terms, real *out) {
    enum { ROWS = 16 };
    const int64_t T = sizes[0], B = sizes[1], M = sizes[2], N = sizes[3], step = sizes[5], sample = sizes[6];
#pragma omp parallel for num_threads(sizes[4]) schedule(dynamic)
    for (int64_t first = 0; first < M; first += ROWS) {
        const int64_t last = first + ROWS < M ? first + ROWS : M;
        __builtin_memset(out + first*N, 0, (size_t)((last - first)*N)*sizeof(real));
        for (int64_t b = 0; b < B; b++) {
            for (int64_t j = first; j < last; j++) _add_terms(terms, b, j, M, N, out + j*N);
            for (int64_t t = 0; t < T; t++) {
                const source *x = z + t*step + b*sample;
                const real *restrict g = a + (t*B + b)*N;
                for (int64_t j = first; j < last; j++) {
                    if (x[j] == 0) continue;
                    const real w = (real)x[j];
                    real *restrict row = out + j*N;
                    for (int64_t i = 0; i < N; i++) row[i] += w*g[i];
                }
            }
        }
    }
}
"""


def emit_traces(real: Literal["float", "double"], source: Literal["uint8_t", "float", "double"]) -> str:
    """Return the text for states of type `real` and sources of type `source`; it reads no size of any network."""
    return _TEXT.replace("REAL", real).replace("SOURCE", source).replace("MOST", str(MOST))
