/* What every kernel file starts from: inlining, and loads and stores of the vector type V. */
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__) /* unrolls constant loops by itself */
#pragma STDC FP_CONTRACT OFF
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE V load(const float *p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float *p, V v) { memcpy(p, &v, sizeof v); }
