/* Linear layers as sweeps see them: a product with all that is folded into it, multiplied by the
 * blocked engine where the plan says so, else by the plain one. */
#ifndef XAI_EXEC_LAYER_H
#define XAI_EXEC_LAYER_H
#include "exec/exec.h"
#include "op/blocked.h"

/* One step (or unit) whose product is multiplied. */
typedef struct xai__layer_use {
  xai__plan *plan;
  const xai__step *step;
  xai__layer *layer;
  xai__call *call;
  xai__product p; /* the bias may be taken out; the weights are the layer's affair */
  int x;          /* the input operand */
  bool blocked;
  int64_t times;  /* targets that the adjoint serves in one product: items after each other */
} xai__layer_use;

/* l: of this step and plan. */
int xai__layer_open(xai__plan *plan, const xai__step *step, xai__layer *l, xai__call *c,
                    xai__layer_use *u);

/* How many of `targets` the adjoint had better serve at a time: the fewer the larger their tensors. */
int64_t xai__layer_together(const xai__layer_use *u, int64_t targets);

/* Floats of the panels in which the weights of a matrix product are kept for the forward sweep; 0: in none. */
int64_t xai__layer_panels(const xai__engine *e, const xai__product *p);

/* A view in the layout that the layer works in: as x, as z (or what is added to it), which may have any
 * border, or as s, which its adjoint reads. */
typedef enum { XAI__INPUT_SIDE, XAI__RESULT_SIDE, XAI__ADJOINT_SIDE } xai__side_of;
int xai__layer_take(const xai__layer_use *u, const xai__view *v, xai__side_of side, xai__blocked *t);
/* Room for one, to be handed over with xai__convert_back; v itself where the layouts are the same. */
int xai__layer_room(const xai__layer_use *u, const xai__view *v, xai__side_of side, xai__view *room);

/* z = finish(we(w) xe(x) + be(b)); forms KEEP, CLIP, BEND, APPLY, STAB and DIVIDE. `add` may be z. */
int xai__layer_forward(const xai__layer_use *u, const xai__blocked *x, xai__edit xe, xai__edit we,
                       xai__edit be, const xai__blocked *z, const xai__finish *f);
/* g = finish(we(w)' s), of u->times targets; forms KEEP and TIMES. */
int xai__layer_adjoint(const xai__layer_use *u, const xai__blocked *s, xai__edit we,
                       const xai__blocked *g, const xai__finish *f);
/* The STAB or DIVIDE of a finish alone, from z to s (which may be z); all of one layout. */
void xai__layer_divide(xai__engine *e, const xai__blocked *z, const xai__finish *f, float *s);

#endif
