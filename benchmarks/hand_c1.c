/* c1 by hand: feed-forward CuBa-LIF. One tile of neurons at a time through all steps, its state in the first cache;
 * rows are prefetched one step ahead and results stored past the caches. */
#include "hand.h"

enum { TILE = 2048 };

void forward(const float *x, float *z, float *c, long T, long M, Neuron p, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long first = 0; first < M; first += TILE) {
    float v[TILE] __attribute__((aligned(64))) = {0}, i[TILE] __attribute__((aligned(64))) = {0};
    for (long t = 0; t < T; t++) {
      const long row = t * M + first;
      for (int k = 0; k < TILE; k += L) {
        __builtin_prefetch(x + row + M + k);
        vf i1 = load(i + k) + load(x + row + k);
        vf v1 = p.a * load(v + k) + p.b * i1;
        vf c1 = v1 - p.theta;
        vi spike = c1 > 0.0f;
        stream(c + row + k, c1);
        stream(z + row + k, where(spike, splat(1), splat(0)));
        store(v + k, where(spike, splat(0), v1));
        store(i + k, p.a_s * i1);
      }
    }
    _mm_sfence();
  }
}

void backward(const float *gz, const float *c, float *gx, long T, long M, Neuron p, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long first = 0; first < M; first += TILE) {
    float gv[TILE] __attribute__((aligned(64))) = {0}, gi[TILE] __attribute__((aligned(64))) = {0};
    for (long t = T - 1; t >= 0; t--) {
      const long row = t * M + first;
      for (int k = 0; k < TILE; k += L) {
        __builtin_prefetch(gz + row - M + k);
        __builtin_prefetch(c + row - M + k);
        vf c1 = load(c + row + k), width = 1.0f + p.beta * (vf)((vi)c1 & 0x7fffffff);
        vf g = load(gz + row + k) / (width * width) + where(c1 > 0.0f, splat(0), load(gv + k));
        vf g1 = p.b * g + p.a_s * load(gi + k);
        store(gv + k, p.a * g);
        store(gi + k, g1);
        stream(gx + row + k, g1);
      }
    }
    _mm_sfence();
  }
}
