/* Vectors of AVX-512. */
#include <immintrin.h>

typedef __m512 V;
#define VECTOR 16
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SPLAT(v) _mm512_set1_ps(v)
/* b where one is NaN */
#define MAX(a, b) _mm512_max_ps(a, b)
#define MIN(a, b) _mm512_min_ps(a, b)
#include "engine/simd.h"

INLINE V select_positive(V v, V pos, V neg) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ), neg, pos);
}

/* Pairs, then fours within each 128-bit quarter, then the quarters themselves. */
INLINE void turn(V t[VECTOR]) {
  V a[16], b[16];
  UNROLL for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(t[i], t[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(t[i], t[i + 1]);
  }
  UNROLL for (int i = 0; i < 16; i += 4) {
    UNROLL for (int j = 0; j < 2; j++) {
      b[i + 2 * j] = _mm512_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
      b[i + 2 * j + 1] = _mm512_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
    }
  }
  UNROLL for (int i = 0; i < 4; i++) {
    a[i] = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
  }
  UNROLL for (int i = 0; i < 8; i++) {
    t[i] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
    t[i + 8] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0xdd);
  }
}

#define HAS_MASKS

INLINE __mmask16 first(int n) { return (__mmask16)((1u << n) - 1); }

INLINE V load_part(const float *p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }

INLINE void store_part(float *p, V v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }

INLINE void copy_even(const float *x, int n, float *to) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  for (; n > 8; n -= VECTOR, x += 2 * VECTOR, to += VECTOR) {
    const int m = n < VECTOR ? n : VECTOR;
    const V high = load_part(x + VECTOR, 2 * m - 1 - VECTOR);
    store_part(to, _mm512_permutex2var_ps(load(x), even, high), m);
  }
  if (n > 0)
    store_part(to, _mm512_permutexvar_ps(even, load_part(x, 2 * n - 1)), n);
}
