/* Strided views. */
#include "op/strided.h"

#include "op/loop.h"

xai__strided xai__strided_whole(const xai__shape *shape) {
  xai__strided s = {.shape = *shape, .scale = 1};
  xai__strides(shape, s.stride);
  return s;
}

/* Runs of axes of as many elements on either side; within one, the old axes must lie behind each
 * other. Axes of size 1 take part in none. */
bool xai__strided_reshape(xai__strided *s, const xai__shape *shape) {
  const xai__shape old = s->shape;
  int64_t stride[XAI__MAX_RANK];
  int i = old.rank - 1, j = shape->rank - 1;
  while (i >= 0 || j >= 0) {
    while (i >= 0 && old.d[i] == 1) i--;
    while (j >= 0 && shape->d[j] == 1) stride[j--] = 0;
    if (i < 0 || j < 0) break;
    int64_t have = old.d[i], need = 1, step = s->stride[i];
    while (need < have || need == 1) {
      if (j < 0) return false;
      stride[j] = step * need;
      need *= shape->d[j--];
      while (have < need) { /* takes the next old axis in */
        if (--i < 0) return false;
        if (old.d[i] == 1) continue;
        if (s->stride[i] != step * have) return false;
        have *= old.d[i];
      }
      if (!need) return false;
    }
    i--;
  }
  if (i >= 0 || j >= 0) return false;
  s->shape = *shape;
  for (int k = 0; k < shape->rank; k++) s->stride[k] = stride[k];
  return true;
}
