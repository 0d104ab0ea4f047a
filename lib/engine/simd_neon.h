/* Vectors of AArch64. */
#include <arm_neon.h>

typedef float32x4_t V;
#define VECTOR 4
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SPLAT(v) vdupq_n_f32(v)
/* NaN where one is NaN */
#define MAX(a, b) vmaxq_f32(a, b)
#define MIN(a, b) vminq_f32(a, b)
#include "engine/simd.h"

INLINE V select_positive(V v, V pos, V neg) {
  return vbslq_f32(vcgtq_f32(v, vdupq_n_f32(0)), pos, neg);
}

INLINE void turn(V t[VECTOR]) {
  const float32x4x2_t a = vtrnq_f32(t[0], t[1]), b = vtrnq_f32(t[2], t[3]);
  t[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  t[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  t[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  t[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
