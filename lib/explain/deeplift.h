/* DeepLIFT [Shrikumar et al. 2017], inside: a multiplier m for every activation, by a reverse sweep
 * over two forward passes, such that the sum of m (x - x0) over the operands of a step is that of
 * m (y - y0) over its results. */
#ifndef XAI_EXPLAIN_DEEPLIFT_H
#define XAI_EXPLAIN_DEEPLIFT_H
#include <math.h>

#include "explain/job.h"

/* How a step's result depends on its activations. */
typedef enum {
  XAI__APART,     /* no relevance crosses it */
  XAI__AFFINE,
  XAI__POINTWISE, /* element by element, on one activation */
  XAI__LARGEST,   /* each element is the largest of some */
  XAI__SMALLEST,
  XAI__PRODUCT,   /* along a straight line the derivative's mean is that at its middle */
  XAI__SMOOTH
} xai__dependence;

typedef struct xai__deeplift_step {
  xai__dependence how;
  int activation; /* the one operand that is a float activation, or -1 */
  int tail;       /* RevealCancel, of a sum: the pointwise step that is crossed with it, or -1 */
  bool deferred;  /* such a step, or one on the way to it: hands its multiplier on as it is */
} xai__deeplift_step;

typedef struct xai__deeplift {
  xai__plan *plan; /* holds the values at the baseline x0 */
  void **x;        /* per value that a step reads: those at the input x */
  xai__deeplift_step *step; /* per step of the plan */
  int *user;       /* per value: the step, crossed, that alone reads it, or -1 */
  int64_t items;
} xai__deeplift;

/* The xai__cross_fn of multipliers; user: const xai__deeplift *. */
int xai__deeplift_cross(void *deeplift, const xai__step *step, xai__call *c, const xai__view *gout,
                        const xai__view *gin);
xai__deeplift_step xai__deeplift_classify(const xai__plan *p, const xai__step *step);

/* Finds the steps that RevealCancel crosses as one. */
void xai__deeplift_pair(xai__deeplift *d);
/* Crosses a step with a tail. */
int xai__deeplift_reveal(const xai__deeplift *d, const xai__step *step, xai__call *c,
                         const xai__view *gout, const xai__view *gin);

/* ---- shared ---- */

/* Whether operand k has the shape of the result. */
bool xai__deeplift_alike(const xai__plan *p, const xai__node *node, int k);
/* The same call with the values at the input, in scratch. */
int xai__deeplift_at_input(const xai__deeplift *d, const xai__call *c, xai__call *input);
/* Views like these; floats that have data get zeros of their own, in scratch. */
int xai__deeplift_zeros(const xai__call *c, const xai__view *like, int n, xai__view **out);
/* to = x0 + part (x - x0) */
void xai__deeplift_between(xai__engine *e, const float *x0, const float *x, double part, int64_t n,
                           float *to);
/* The multiplier that hands on `share` for a difference d: their ratio, or the slope where it makes
 * up the share to within `noise`, as for d = 0. The ratio of two small differences is all noise. */
static inline float xai__deeplift_ratio(float share, float d, float slope, float noise) {
  return d != 0 && fabsf(share - slope * d) > noise ? share / d : slope;
}
#define XAI__ROUNDING 0x1p-22f /* of a value of a nonlinearity, relative */

#endif
