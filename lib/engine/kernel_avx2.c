/* Kernels for AVX2 with FMA. */
#include "engine/kernels.h"
#include "engine/simd_avx2.h"

#define ROWS 6
#define FILL xai__kernels_avx2
#include "engine/kernel_body.h"
