/* Kernels in plain C: vectors of four floats, multiply then add. */
#include "engine/kernels.h"

typedef float V __attribute__((vector_size(16)));
#define VECTOR 4
#define ROWS 6
#define FMA(a, b, c) ((a) * (b) + (c))
#define FMA1(a, b, c) ((a) * (b) + (c))
#define SPLAT(v) ((V){(v), (v), (v), (v)})
#define FILL xai__kernels_portable
#include "engine/kernel_simd.h"

typedef int mask __attribute__((vector_size(16)));
INLINE V select_positive(V v, V pos, V neg) {
  const mask m = v > SPLAT(0.0f);
  return (V)(((mask)pos & m) | ((mask)neg & ~m));
}

INLINE void turn(V t[VECTOR]) {
  const V a[VECTOR] = {t[0], t[1], t[2], t[3]};
  for (int i = 0; i < VECTOR; i++) t[i] = (V){a[0][i], a[1][i], a[2][i], a[3][i]};
}

#include "engine/kernel_body.h"
