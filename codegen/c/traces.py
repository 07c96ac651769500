"""The C text of eligibility traces: sums over synapses that a chunk of steps adds, driven by the sources' events."""

from __future__ import annotations

from typing import Literal

MOST = 8  # states whose traces act on one another

_TEXT = """\
// Traces of one matrix of weights over a chunk of T steps. Of each state: e (B, M, N), its trace by the weights from M
// sources to N targets, or (B, M) where all targets have the same; what it becomes; and its gradient (B, N).
#include <stddef.h>
#include <stdint.h>

typedef REAL real;
typedef SOURCE source;

struct states {
    int64_t count, shared[MOST];
    const real *trace[MOST], *row[MOST];    // before the chunk; row is 0 where no gradient is asked for
    real *after[MOST];                      // 0 where the trace stays, or is the caller's to advance
    const real *drive[MOST];                // d state after the chunk / d drive of each step, (T, B, N)
    const real *jacobian[MOST][MOST];       // d state after / d state before, (B, N); 0 where it is zero
};

static inline void _add(real *restrict out, const real *restrict e, const real *restrict row, int64_t N) {
    for (int64_t i = 0; i < N; i++) out[i] += e[i]*row[i];
}

static inline void _scaled(real *restrict out, real x, const real *restrict row, int64_t N) {
    for (int64_t i = 0; i < N; i++) out[i] += x*row[i];
}

// out += the trace of state k of sample b and source j, times `row`.
static inline void _term(
    const struct states *states, int64_t k, const real *row, int64_t b, int64_t j, int64_t M, int64_t N, real *out) {
    const real *e = states->trace[k];
    if (!states->shared[k]) _add(out, e + (b*M + j)*N, row + b*N, N);
    else if (e[b*M + j] != 0) _scaled(out, e[b*M + j], row + b*N, N);
}

// gradient (M, N), or 0: of the weights, by the learning signals (T, B, N) of this chunk and the traces before it. The
// traces after it may be written over those before it: each source of each sample reads its own alone.
void chunk(const int64_t *sizes, const source *z, const real *signals, const struct states *states, real *gradient) {
    enum { ROWS = 16 };
    const int64_t T = sizes[0], B = sizes[1], M = sizes[2], N = sizes[3], step = sizes[5], sample = sizes[6];
    int64_t moving = 0;
    for (int64_t s = 0; s < states->count; s++) moving += states->after[s] != 0;
#pragma omp parallel for num_threads(sizes[4]) schedule(dynamic)
    for (int64_t first = 0; first < M; first += ROWS) {
        const int64_t last = first + ROWS < M ? first + ROWS : M;
        real next[moving ? states->count : 1][moving ? N : 1];
        if (gradient) __builtin_memset(gradient + first*N, 0, (size_t)((last - first)*N)*sizeof(real));
        for (int64_t b = 0; b < B; b++) {
            for (int64_t j = first; j < last; j++) {
                for (int64_t k = 0; gradient && k < states->count; k++)
                    if (states->row[k]) _term(states, k, states->row[k], b, j, M, N, gradient + j*N);
                if (!moving) continue;
                for (int64_t s = 0; s < states->count; s++) {
                    if (!states->after[s]) continue;
                    __builtin_memset(next[s], 0, sizeof next[s]);
                    for (int64_t k = 0; k < states->count; k++)
                        if (states->jacobian[s][k]) _term(states, k, states->jacobian[s][k], b, j, M, N, next[s]);
                    for (int64_t t = 0; t < T; t++) {
                        const real x = (real)z[t*step + b*sample + j];
                        if (x != 0) _scaled(next[s], x, states->drive[s] + (t*B + b)*N, N);
                    }
                }
                for (int64_t s = 0; s < states->count; s++)
                    if (states->after[s]) __builtin_memcpy(states->after[s] + (b*M + j)*N, next[s], sizeof next[s]);
            }
            for (int64_t t = 0; gradient && t < T; t++) {
                const source *x = z + t*step + b*sample;
                for (int64_t j = first; j < last; j++)
                    if (x[j] != 0) _scaled(gradient + j*N, (real)x[j], signals + (t*B + b)*N, N);
            }
        }
    }
}
"""


def emit_traces(real: Literal["float", "double"], source: Literal["uint8_t", "float", "double"]) -> str:
    """Return the text for states of type `real` and sources of type `source`; it reads no size of any network."""
    return _TEXT.replace("REAL", real).replace("SOURCE", source).replace("MOST", str(MOST))
