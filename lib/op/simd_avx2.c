/* The loops of simd.h for AVX2 with FMA. */
#define SIMD xai__simd_avx2
#include "op/simd_body.h"
