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
