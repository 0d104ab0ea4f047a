/* Vectors of plain C: vectors of four floats, multiply then add. */
typedef float V __attribute__((vector_size(16)));
#define VECTOR 4
#define FMA(a, b, c) ((a) * (b) + (c))
#define FMA1(a, b, c) ((a) * (b) + (c))
#define SPLAT(v) ((V){(v), (v), (v), (v)})
#include "engine/simd.h"

typedef int mask __attribute__((vector_size(16)));
/* b where one is NaN */
INLINE V choose(mask m, V a, V b) { return (V)(((mask)a & m) | ((mask)b & ~m)); }
#define MAX(a, b) choose((a) > (b), a, b)
#define MIN(a, b) choose((a) < (b), a, b)

INLINE V select_positive(V v, V pos, V neg) {
  return choose(v > SPLAT(0.0f), pos, neg);
}

INLINE void turn(V t[VECTOR]) {
  const V a[VECTOR] = {t[0], t[1], t[2], t[3]};
  for (int i = 0; i < VECTOR; i++) t[i] = (V){a[0][i], a[1][i], a[2][i], a[3][i]};
}
