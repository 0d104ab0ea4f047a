/* Vectors of AVX2 with FMA. */
#include <immintrin.h>

typedef __m256 V;
#define VECTOR 8
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SPLAT(v) _mm256_set1_ps(v)
/* b where one is NaN */
#define MAX(a, b) _mm256_max_ps(a, b)
#define MIN(a, b) _mm256_min_ps(a, b)
#include "engine/simd.h"

INLINE V select_positive(V v, V pos, V neg) {
  return _mm256_blendv_ps(neg, pos, _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ));
}

INLINE void turn(V t[VECTOR]) {
  V a[8], b[8];
  UNROLL for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(t[i], t[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(t[i], t[i + 1]);
  }
  UNROLL for (int i = 0; i < 8; i += 4) {
    UNROLL for (int j = 0; j < 2; j++) {
      b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
      b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
    }
  }
  UNROLL for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}
