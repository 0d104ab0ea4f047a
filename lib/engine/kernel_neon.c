/* Kernels for AArch64. */
#include <arm_neon.h>

#include "engine/kernels.h"

typedef float32x4_t V;
#define VECTOR 4
#define ROWS 12
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SPLAT(v) vdupq_n_f32(v)
#define FILL xai__kernels_neon
#include "engine/kernel_body.h"
