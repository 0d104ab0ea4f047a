/* Reductions over some axes of one operand: which axes, and the loop over them. */
#ifndef XAI_OP_REDUCE_H
#define XAI_OP_REDUCE_H
#include "op/check.h"
#include "op/loop.h"

typedef struct xai__reduce_attr {
  xai__ints axes;
  int64_t keepdims, noop_with_empty_axes;
} xai__reduce_attr;
extern const xai__field xai__reduce_fields[];

/* From attribute axes or operand 1 to out[0]'s shape, dtype that of operand 0. */
int xai__reduce_infer(xai__call *c);
/* The result's shape with 1 for every reduced axis, and how many elements make up a group. */
int xai__reduce_plan(xai__call *c, xai__shape *kept, int64_t *group);
/* A loop over operand 0 with one stream: the result. Add streams of x's or the result's shape. */
xai__loop xai__reduce_loop(const xai__call *c, const xai__shape *kept);
/* gin[i] += g slope(x[i], y), divided by the group's size if `mean`; g and y per group. slope NULL:
 * 1. */
int xai__reduce_spread(xai__call *c, float (*slope)(float x, float y), bool mean, const float *g,
                       const xai__view *gin);

#endif
