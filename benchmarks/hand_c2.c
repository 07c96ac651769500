/* c2 by hand: recurrent CuBa-LIF. Forward gathers the rows of the neurons that spiked; backward needs a dense product
 * with W^T in every step; the gradient of W is gathered again afterwards. */
#include "hand.h"

enum {
  N = 256,
  ROWS_FORWARD = 16,  /* samples that share one tile */
  ROWS_BACKWARD = 64,
  BLOCK = 32,         /* rows whose spikes are listed before any is gathered: two simple loops overlap better */
  R = 8,              /* rows and vectors of the product's register tile */
  V = 2,
  SLACK = 32,
};

/* sum[0:N] += the listed rows of w, the sum in registers. */
INLINE void add_rows(float *sum, const float *w, const uint16_t *list, int count) {
  for (int part = 0; part < N; part += 16 * L) {
    vf s[16];
    for (int q = 0; q < 16; q++) s[q] = load(sum + part + q * L);
    for (int e = 0; e < count; e++) {
      const float *row = w + (long)list[e] * N + part;
      for (int q = 0; q < 16; q++) s[q] += load(row + q * L);
    }
    for (int q = 0; q < 16; q++) store(sum + part + q * L, s[q]);
  }
}

/* Add `row` to each listed row of w, `row` in registers. */
INLINE void add_to_rows(float *w, const float *row, const uint16_t *list, int count) {
  for (int part = 0; part < N; part += 16 * L) {
    vf r[16];
    for (int q = 0; q < 16; q++) r[q] = load(row + part + q * L);
    for (int e = 0; e < count; e++) {
      float *to = w + (long)list[e] * N + part;
      for (int q = 0; q < 16; q++) store(to + q * L, load(to + q * L) + r[q]);
    }
  }
}

/* out[r, first:first+V*L] += g[r, :] @ wt[:, first:first+V*L] for R rows. */
static __attribute__((noinline)) void multiply(float *out, const float *g, const float *wt, int first) {
  vf s[R][V];
  for (int r = 0; r < R; r++)
    for (int q = 0; q < V; q++) s[r][q] = load(out + r * N + first + q * L);
  for (int k = 0; k < N; k++) {
    vf w[V];
    for (int q = 0; q < V; q++) w[q] = load(wt + k * N + first + q * L);
    for (int r = 0; r < R; r++) {
      vf gk = splat(g[r * N + k]);
      for (int q = 0; q < V; q++) s[r][q] = fused(gk, w[q], s[r][q]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int q = 0; q < V; q++) store(out + r * N + first + q * L, s[r][q]);
}

void forward(const float *x, const float *w, float *z, float *c, long T, long B, Neuron p, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long b = 0; b < B; b += ROWS_FORWARD) {
    float v[ROWS_FORWARD][N] __attribute__((aligned(64))), i[ROWS_FORWARD][N] __attribute__((aligned(64)));
    uint16_t spiked[ROWS_FORWARD][N + SLACK];
    int count[ROWS_FORWARD] = {0};
    memset(v, 0, sizeof v);
    memset(i, 0, sizeof i);
    for (long t = 0; t < T; t++)
      for (int r = 0; r < ROWS_FORWARD; r++) {
        const long row = (t * B + b + r) * N;
        float *iv = i[r], *vv = v[r];
        for (int k = 0; k < N; k += L) {
          __builtin_prefetch(x + row + B * N + k);
          store(iv + k, load(iv + k) + load(x + row + k));
        }
        add_rows(iv, w, spiked[r], count[r]);
        int n = 0;
        for (int k = 0; k < N; k += L) {
          vf i1 = load(iv + k), v1 = p.a * load(vv + k) + p.b * i1, c1 = v1 - p.theta;
          vi spike = c1 > 0.0f;
          stream(c + row + k, c1);
          stream(z + row + k, where(spike, splat(1), splat(0)));
          store(vv + k, where(spike, splat(0), v1));
          store(iv + k, p.a_s * i1);
          n = append(spiked[r], n, spike, k);
        }
        count[r] = n;
      }
    _mm_sfence();
  }
}

/* wt is W transposed; gx[t] is at once the gradient of x and that of the recurrent drive. */
void backward(const float *gz, const float *c, const float *wt, float *gx, long T, long B, Neuron p, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long b = 0; b < B; b += ROWS_BACKWARD) {
    float gv[ROWS_BACKWARD][N] __attribute__((aligned(64))), gi[ROWS_BACKWARD][N] __attribute__((aligned(64)));
    float sum[ROWS_BACKWARD][N] __attribute__((aligned(64)));
    memset(gv, 0, sizeof gv);
    memset(gi, 0, sizeof gi);
    for (long t = T - 1; t >= 0; t--) {
      const long tile = (t * B + b) * N;
      memcpy(sum, gz + tile, sizeof sum);
      for (int first = 0; first < N; first += V * L)
        for (int r = 0; r < ROWS_BACKWARD; r += R) multiply(sum[r], gi[r], wt, first);
      for (int r = 0; r < ROWS_BACKWARD; r++)
        for (int k = 0; k < N; k += L) {
          const long at = tile + r * N + k;
          __builtin_prefetch(c + at - B * N);
          __builtin_prefetch(gz + at - B * N);
          vf c1 = load(c + at), width = 1.0f + p.beta * (vf)((vi)c1 & 0x7fffffff);
          vf g = load(sum[r] + k) / (width * width) + where(c1 > 0.0f, splat(0), load(gv[r] + k));
          vf g1 = p.b * g + p.a_s * load(gi[r] + k);
          store(gv[r] + k, p.a * g);
          store(gi[r] + k, g1);
          stream(gx + at, g1);
        }
    }
    _mm_sfence();
  }
}

/* gw += z[t]^T gx[t+1] over t: one private sum per thread, added in order; `sums` holds threads * N * N. */
void backward_weight(const float *c, const float *gx, float *gw, float *sums, long T, long B, int threads) {
  const long rows = (T - 1) * B;
#pragma omp parallel num_threads(threads)
  {
    const int me = omp_get_thread_num(), team = omp_get_num_threads();
    float *sum = sums + (long)me * N * N;
    const long end = rows * (me + 1) / team;
    uint16_t spiked[BLOCK][N + SLACK];
    int count[BLOCK];
    memset(sum, 0, sizeof(float) * N * N);
    for (long first = rows * me / team; first < end; first += BLOCK) {
      const int block = end - first < BLOCK ? end - first : BLOCK;
      for (int r = 0; r < block; r++) {
        count[r] = 0;
        for (int k = 0; k < N; k += L)
          count[r] = append(spiked[r], count[r], load(c + (first + r) * N + k) > 0.0f, k);
      }
      for (int r = 0; r < block; r++) add_to_rows(sum, gx + (first + r + B) * N, spiked[r], count[r]);
    }
#pragma omp barrier
#pragma omp for schedule(static)
    for (long k = 0; k < N * N; k += L) {
      vf total = load(sums + k);
      for (int other = 1; other < team; other++) total += load(sums + (long)other * N * N + k);
      store(gw + k, total);
    }
  }
}
