/* Blocked kernels for plain C. */
#include "engine/block_kernels.h"
#include "engine/simd_portable.h"

#define HALF 3
#define LANES 8
#define FILL xai__block_kernels_portable
#include "engine/block_body.h"
