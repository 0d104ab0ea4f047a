/* The loops of simd.h for AArch64. */
#define SIMD xai__simd_neon
#include "op/simd_body.h"
