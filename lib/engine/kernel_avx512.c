/* Kernels for AVX-512. */
#include <immintrin.h>

#include "engine/kernels.h"

typedef __m512 V;
#define VECTOR 16
#define ROWS 14
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SPLAT(v) _mm512_set1_ps(v)
#define FILL xai__kernels_avx512
#include "engine/kernel_body.h"
