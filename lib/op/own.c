#include "op/own.h"
#include <math.h>

typedef struct divide_ctx {
  const float *R, *z;
  float scale, stabilizer, *s;
} divide_ctx;

static void divide_range(void *ctx, int64_t begin, int64_t end) {
  const divide_ctx *c = ctx;
  for (int64_t i = begin; i < end; i++)
    c->s[i] = xai__ratio(c->R[i], xai__stab(c->scale * c->z[i], c->stabilizer));
}

void xai__own_divide(xai__engine *e, const float *R, const float *z, float scale, int64_t n,
                     float stabilizer, float *s, double *ledger) {
  xai__parallel(e, n, XAI__GRAIN, divide_range, &(divide_ctx){R, z, scale, stabilizer, s});
  for (int64_t i = 0; ledger && i < n; i++) {
    float y = scale * z[i];
    xai__column column = xai__stab(y, stabilizer) != 0 ? XAI__STABILISER : XAI__EMPTY;
    if (!isinf(y)) ledger[column] += (double)R[i] - (double)s[i] * (double)y;
  }
}

void xai__own_lose(xai__engine *e, const float *R, int64_t n, const float *taken, int64_t n_taken,
                   double *ledger, xai__column column) {
  if (!ledger) return;
  ledger[column] += xai__sum(e, R, n);
  if (taken) ledger[column] -= xai__sum(e, taken, n_taken);
}

int xai__own_first(xai__call *c, const xai__own_options *o, const xai__view *gout,
                   const xai__view *gin) {
  xai__engine *e = c->engine;
  const float *R = xai__f(&gout[0]), *y = xai__f(&c->out[0]), *x = xai__f(&c->in[0]);
  int64_t n = xai__count(&gout[0].shape), m = xai__count(&c->in[0].shape);
  if (!R) return XAI_OK;
  if (!gin[0].data) {
    xai__own_lose(e, R, n, NULL, 0, o->ledger, XAI__CONSTANT);
    return XAI_OK;
  }
  size_t views = (size_t)(c->n_in + c->n_out);
  xai__view *s = xai__scratch(e, views, sizeof *s, c->err), *g = s ? s + c->n_out : NULL;
  float *share = xai__scratch(e, (size_t)n, sizeof *share, c->err);
  float *slope = xai__scratch(e, (size_t)m, sizeof *slope, c->err);
  if (!s || !share || !slope) return c->err->status;
  for (size_t k = 0; k < views; k++) {
    s[k] = (int)k < c->n_out ? c->out[k] : c->in[k - (size_t)c->n_out];
    s[k].data = NULL;
  }
  s[0].data = share;
  g[0].data = slope;
  xai__own_divide(e, R, y, 1, n, o->stabilizer, share, o->ledger);
  xai__fill(e, slope, m, 0);
  XAI__TRY(c->node->op->vjp(c, s, g));
  xai__add_product(e, xai__f(&gin[0]), x, slope, m);
  if (o->ledger)
    o->ledger[XAI__BIAS] += xai__dot(e, y, share, n) - xai__dot(e, x, slope, m);
  return XAI_OK;
}

double xai__own_total(const xai__call *c, const xai__view *v, int n) {
  double sum = 0;
  for (int k = 0; k < n; k++)
    if (v[k].data) sum += xai__sum(c->engine, xai__f(&v[k]), xai__count(&v[k].shape));
  return sum;
}

void xai__own_lose_rest(const xai__call *c, const xai__own_options *o, const xai__view *gout,
                        const xai__view *gin, double before) {
  if (!o->ledger) return;
  double handed = xai__own_total(c, gin, c->n_in) - before;
  o->ledger[XAI__RULE] += xai__own_total(c, gout, c->n_out) - handed;
}
