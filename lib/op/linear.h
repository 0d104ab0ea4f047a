/* What all linear layers share: everything follows from the operator's `product`. */
#ifndef XAI_OP_LINEAR_H
#define XAI_OP_LINEAR_H
#include "op/op.h"

int xai__linear_forward(xai__call *c);
/* To the input only: constants have no derivative. */
int xai__linear_vjp(xai__call *c, const xai__view *gout, const xai__view *gin);
/* LINEAR if operand 0 alone is an activation, REFUSED if another is. */
xai__crossing xai__linear_crossing(const xai__node *node, const bool *in_static);
/* Operand i as p's bias of n elements, if it is there. */
void xai__linear_bias(const xai__call *c, int i, int64_t n, xai__product *p);

#endif
