/* Checks that inferences share, and one conversion. All report the node and both sides of a mismatch. */
#ifndef XAI_OP_CHECK_H
#define XAI_OP_CHECK_H
#include "op/op.h"

/* XAI_E_MODEL at this node: XAI__MALFORMED(c, "has %d operands", n). */
#define XAI__MALFORMED(c, ...) xai__fail((c)->err, XAI_E_MODEL, (c)->node->name, __VA_ARGS__)

/* Operand i is there and holds integers (or booleans). */
int xai__need_int(const xai__call *c, int i);
/* Operands from..n_in-1, all there, share one storage type. */
int xai__need_same(const xai__call *c, int from);
/* Operand i is a list of integers, or absent with *n = 0 and *v = NULL. */
int xai__optional_ints(xai__call *c, int i, const char *what, const int64_t **v, int64_t *n);
/* The axes of an attribute, or of operand i where the attribute is empty. */
int xai__axes_given(xai__call *c, xai__ints attr, int i, xai__ints *axes);
/* Marks axes of a tensor of this rank; one named twice is an error. */
int xai__axes_mark(const xai__call *c, xai__ints axes, int rank, bool *marked);
/* The shape's size and strides do not overflow, even where an axis is 0. */
int xai__need_countable(const xai__call *c, const xai__shape *s);

/* Towards zero; what does not fit in 64 bits, and NaN, becomes the smallest integer. */
static inline int64_t xai__truncated(double v) {
  return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

#endif
