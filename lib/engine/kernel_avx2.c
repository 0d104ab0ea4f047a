/* Kernels for AVX2 with FMA. */
#include <immintrin.h>

#include "engine/kernels.h"

typedef __m256 V;
#define VECTOR 8
#define ROWS 6
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SPLAT(v) _mm256_set1_ps(v)
#define FILL xai__kernels_avx2
#include "engine/kernel_body.h"
