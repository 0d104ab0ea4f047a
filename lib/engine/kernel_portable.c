/* Kernels in plain C: vectors of four floats, multiply then add. */
#include "engine/kernels.h"
#include "engine/simd_portable.h"

#define ROWS 6
#define FILL xai__kernels_portable
#include "engine/kernel_body.h"
