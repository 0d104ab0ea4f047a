/* Blocked kernels for AArch64. */
#include "engine/block_kernels.h"
#include "engine/simd_neon.h"

#define HALF 3
#define LANES 16
#define FILL xai__block_kernels_neon
#include "engine/block_body.h"
