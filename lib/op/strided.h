/* Tensors as parts of others: what Transpose, Reshape or Gather would copy, where it lies. */
#ifndef XAI_OP_STRIDED_H
#define XAI_OP_STRIDED_H
#include "op/op.h"

/* Element (i, j, ...) is data[at + i stride[0] + j stride[1] + ...] times scale. */
struct xai__strided {
  xai__shape shape;
  int64_t stride[XAI__MAX_RANK], at;
  float scale;
};

xai__strided xai__strided_whole(const xai__shape *shape);
/* The same elements in another shape, if strides can say it. */
bool xai__strided_reshape(xai__strided *s, const xai__shape *shape);

#endif
