/* Kernels for AArch64. */
#include "engine/kernels.h"
#include "engine/simd_neon.h"

#define ROWS 12
#define FILL xai__kernels_neon
#include "engine/kernel_body.h"
