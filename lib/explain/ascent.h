/* How an ascent goes from a gradient to the next point: the optimiser, the linear maps around it
 * and the box.
 *
 *   d = T' g;   d = optimiser(d);   x = box(x + T d)
 *
 * T: the identity; for pictures [...,H,W] a blur of the gradient whose width goes to 0 with the
 * steps, and the frequency parametrisation [Olah et al. 2017]: T = C' diag(1 / f^power), C the
 * orthonormal cosine transform and f a coefficient's distance from the origin, so that x is searched
 * for as a spectrum in which low frequencies come first. Scaled so that a step keeps its size. */
#ifndef XAI_EXPLAIN_ASCENT_H
#define XAI_EXPLAIN_ASCENT_H
#include "base/param.h"
#include "engine/engine.h"

#define XAI__ASCENT_SCHEMA \
  "steps=200[1,1000000];rate=0.05[0,inf];optimizer=adam|momentum|gradient;" \
  "momentum=0.9[0,0.9999];low=;high=;" \
  "blur=0[0,1000];frequency=0[0,4];"

typedef struct xai__ascent {
  xai__engine *engine;
  xai__shape item;                  /* [1, ...] of what is searched for */
  int64_t items, size;              /* of `size` elements */
  int64_t steps;
  double rate, momentum, blur, power;
  void (*optimizer)(struct xai__ascent *a, int64_t step, float *g); /* g: from gradient to step */
  float *m, *v;                     /* its state, [items][size] */
  const float *low, *high;          /* [size], or NULL */
  float *cosine, *scale, *smooth, *work; /* of the maps, NULL where there is none */
} xai__ascent;

/* item: shape with a leading 1; arena: where its buffers live. XAI_E_ARGUMENT where a map needs a
 * picture or a bound does not fit. `name` of what is searched for, in messages. */
int xai__ascent_begin(xai__ascent *a, xai__engine *e, const xai__params *p, const xai__shape *item,
                      int64_t items, const char *name, xai__arena *arena, xai_error *err);
/* x [items][size], to begin with: into the box. */
void xai__ascent_clip(const xai__ascent *a, float *x);
/* One step, `step` from 0; g, the gradient at x, is used up. */
int xai__ascent_step(xai__ascent *a, int64_t step, float *x, float *g, xai_error *err);

#endif
