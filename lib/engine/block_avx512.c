/* Blocked kernels for AVX-512. */
#include "engine/block_kernels.h"
#include "engine/simd_avx512.h"

#define HALF 7
#define LANES 32
#define FILL xai__block_kernels_avx512
#include "engine/block_body.h"
