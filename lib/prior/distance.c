/* The priors that keep x near a point: log p = -|x - c|^2, gradient -2 (x - c).
 *
 * l2: c = 0. mean: c is a class's or the data's mean. near: c is an input to stay close to, from
 * global to local. c: a number, or a tensor of an item's or of the whole batch's elements. */
#include <string.h>

#include "prior/prior.h"

typedef struct centre {
  int64_t n; /* elements */
  float *at;
  float number;
} centre;

static int create(xai_prior *p, xai_error *err) {
  centre *c = p->state = xai__arena_new(&p->arena, 1, sizeof *c, err);
  if (!c) return err->status;
  const xai__value *v = p->params.v; /* the one key, if any */
  *c = (centre){1, &c->number, (float)v->number};
  if (!p->params.n || (v->set && !v->tensor && !v->label)) return XAI_OK;
  XAI__TRY(xai__prior_tensor(p, v->name, -1, NULL, &c->at, err));
  c->n = xai__count(&v->tensor->shape);
  return XAI_OK;
}

static int fits(const xai_prior *p, const xai__shape *x, xai_error *err) {
  const int64_t n = ((const centre *)p->state)->n, item = xai__span(x, 1, x->rank);
  if (n == 1 || n == item || n == xai__count(x)) return XAI_OK;
  return xai__fail(err, XAI_E_INPUT, p->kind->name,
                   "prior '%s' is over %lld elements, an item of the input has %lld", p->kind->name,
                   (long long)n, (long long)item);
}

static int logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                float *gradient, xai_error *err) {
  const centre *c = p->state;
  const int64_t item = xai__span(&x->shape, 1, x->shape.rank);
  (void)e, (void)err;
  for (int64_t b = 0; b < x->shape.d[0]; b++) {
    const int64_t first = b * item;
    logp[b] = 0;
    for (int64_t i = first; i < first + item; i++) {
      const float d = xai__f(x)[i] - c->at[i % c->n];
      logp[b] -= (double)d * (double)d;
      if (gradient) gradient[i] = -2 * d;
    }
  }
  return XAI_OK;
}

const xai__prior_kind xai__prior_l2 = {"l2", "", create, NULL, logp, NULL};
const xai__prior_kind xai__prior_mean = {"mean", "mean=", create, fits, logp, NULL};
const xai__prior_kind xai__prior_near = {"near", "x0=", create, fits, logp, NULL};
