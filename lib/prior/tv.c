/* Total variation, for pictures x [N,...,H,W]:
 *   log p = -sum over pixels of sqrt(dx^2 + dy^2 + 1e-8), dx and dy the differences to the right
 *   and to below, 0 at the border [Mahendran and Vedaldi 2015]. */
#include <math.h>

#include "prior/prior.h"

static int fits(const xai_prior *p, const xai__shape *x, xai_error *err) {
  if (x->rank >= 3) return XAI_OK;
  return xai__fail(err, XAI_E_INPUT, p->kind->name,
                   "prior 'tv' is over pictures [N,...,H,W], the input is %s", xai__shape_text(x).text);
}

/* One plane; g is added to. */
static double plane(int64_t height, int64_t width, const float *x, float *g) {
  double sum = 0;
  for (int64_t y = 0; y < height; y++)
    for (int64_t i = y * width; i < (y + 1) * width; i++) {
      const bool right = i + 1 < (y + 1) * width, below = y + 1 < height;
      const double dx = right ? (double)x[i + 1] - (double)x[i] : 0;
      const double dy = below ? (double)x[i + width] - (double)x[i] : 0;
      const double length = sqrt(dx * dx + dy * dy + 1e-8);
      sum += length;
      if (!g) continue;
      g[i] += (float)((dx + dy) / length);
      if (right) g[i + 1] -= (float)(dx / length);
      if (below) g[i + width] -= (float)(dy / length);
    }
  return sum;
}

static int logp(const xai_prior *p, xai__engine *e, const xai__view *x, double *logp,
                float *gradient, xai_error *err) {
  const xai__shape *s = &x->shape;
  const int64_t height = s->d[s->rank - 2], width = s->d[s->rank - 1], size = height * width;
  const int64_t planes = xai__span(s, 1, s->rank - 2);
  (void)p, (void)err;
  if (gradient) xai__fill(e, gradient, xai__count(s), 0);
  for (int64_t b = 0; b < s->d[0]; b++) {
    logp[b] = 0;
    for (int64_t k = b * planes; k < (b + 1) * planes; k++)
      logp[b] -= plane(height, width, xai__f(x) + k * size, gradient ? gradient + k * size : NULL);
  }
  return XAI_OK;
}

const xai__prior_kind xai__prior_tv = {"tv", "", NULL, fits, logp, NULL};
