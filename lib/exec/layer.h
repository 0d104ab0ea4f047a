/* Linear layers as sweeps see them. */
#ifndef XAI_EXEC_LAYER_H
#define XAI_EXEC_LAYER_H
#include "exec/exec.h"

/* The product of a step with everything folded in; *x: its input operand. l: of this step and plan. */
int xai__layer_product(xai__plan *plan, const xai__step *step, xai__layer *l, xai__call *c,
                       xai__product *p, int *x);

#endif
