/* The loops of simd.h for AVX-512. */
#define SIMD xai__simd_avx512
#include "op/simd_body.h"
