/* Vector types and helpers of the hand-written kernels: the widest vectors that the machine has. */
#pragma once
#include <immintrin.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__
enum { L = 16 };
#else
enum { L = 8 };
#endif
typedef float vf __attribute__((vector_size(4 * L)));
typedef float vf_any __attribute__((vector_size(4 * L), aligned(4)));
typedef int32_t vi __attribute__((vector_size(4 * L)));

INLINE vf load(const float *p) { return *(const vf_any *)p; }
INLINE void store(float *p, vf x) { *(vf_any *)p = x; }
INLINE vf splat(float x) { return x - (vf){}; }
INLINE vf where(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

/* What is not read again soon goes past the caches: no line is fetched only to be overwritten. */
INLINE void stream(float *p, vf x) {
#ifdef __AVX512F__
  _mm512_stream_ps(p, (__m512)x);
#else
  _mm256_stream_ps(p, (__m256)x);
#endif
}

/* The build forbids contraction, so the matrix product asks for it. */
INLINE vf fused(vf a, vf b, vf c) {
#ifdef __AVX512F__
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#endif
}

/* Append `base + lane` for every lane set in `mask`, without a branch; `list` has room for L more. */
INLINE int append(uint16_t *list, int count, vi mask, int base) {
#ifdef __AVX512F__
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __mmask16 set = _mm512_movepi32_mask((__m512i)mask);
  __m512i packed = _mm512_maskz_compress_epi32(set, _mm512_add_epi32(_mm512_set1_epi32(base), lanes));
  _mm256_storeu_si256((__m256i *)(list + count), _mm512_cvtepi32_epi16(packed));
  return count + __builtin_popcount(set);
#else
  unsigned set = _mm256_movemask_ps((__m256)mask);
  for (int lane = 0; lane < L; lane++) {
    list[count] = base + lane;
    count += (set >> lane) & 1;
  }
  return count;
#endif
}

typedef struct {
  float a, b, a_s, theta, beta; /* v1 = a v + b i, i1 = a_s i */
} Neuron;
