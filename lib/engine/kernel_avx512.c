/* Kernels for AVX-512. */
#include "engine/kernels.h"
#include "engine/simd_avx512.h"

#define ROWS 14
#define FILL xai__kernels_avx512
#include "engine/kernel_body.h"
