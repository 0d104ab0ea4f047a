/* Blocked kernels for AVX2 with FMA. */
#include "engine/block_kernels.h"
#include "engine/simd_avx2.h"

#define HALF 3
#define LANES 16
#define FILL xai__block_kernels_avx2
#include "engine/block_body.h"
