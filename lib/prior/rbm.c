/* The layers of a Boltzmann machine: up, down, chance, energies. */
#include "prior/rbm.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

int xai__rbm_resize(xai__rbm *r, int64_t height, int64_t width, const char *where, xai_error *err) {
  const int64_t size[] = {height, width};
  for (int d = 0; d < 2; d++) {
    r->size[d] = size[d];
    r->out[d] = size[d] - r->kernel[d] + 1;
    if (r->out[d] < 1)
      return xai__fail(err, XAI_E_INPUT, where, "filters of %lldx%lld do not fit into a picture of %lldx%lld",
                       (long long)r->kernel[0], (long long)r->kernel[1], (long long)height, (long long)width);
    if (r->out[d] % r->pool)
      return xai__fail(err, XAI_E_INPUT, where, "a map of %lld units is not divided by pool=%lld (pictures of %lldx%lld)",
                       (long long)r->out[d], (long long)r->pool, (long long)height, (long long)width);
  }
  int64_t plane;
  if (!xai__mul(height, width, &plane) || !xai__mul(r->channels, plane, &r->n) || !xai__mul(r->filters, plane, &r->m))
    return xai__fail(err, XAI_E_LIMIT, where, "pictures of %lldx%lld have too many elements", (long long)height,
                     (long long)width);
  r->m = r->filters * r->out[0] * r->out[1];
  return XAI_OK;
}

void xai__rbm_spread(xai__rbm *r, const float *a, const float *s, int64_t n_s, const float *b, float *to) {
  const int64_t of_channel = r->n / r->channels, of_filter = r->m ? r->m / r->filters : 1;
  float *s_to = to + r->n, *precision = s_to + r->n, *b_to = precision + r->n;
  for (int64_t i = 0; i < r->n; i++) {
    to[i] = a[i / of_channel];
    s_to[i] = s[n_s == 1 ? 0 : i];
    precision[i] = 1 / (s_to[i] * s_to[i]);
  }
  for (int64_t j = 0; j < r->m; j++) b_to[j] = b[j / of_filter];
  r->a = to;
  r->s = s_to;
  r->precision = precision;
  r->b = b_to;
}

xai__product xai__rbm_map(const xai__rbm *r, int64_t batch) {
  const xai__product dense = {.kind = XAI__MATMUL, .n = batch, .groups = 1, .c = r->n, .m = r->m,
                              .batch = 1, .rows = batch, .w_batches = 1, .w = r->w, .b = r->b,
                              .n_bias = r->m};
  const xai__product conv = {.kind = XAI__CONV, .n = batch, .groups = 1, .c = r->channels, .m = r->filters,
                             .in = {1, r->size[0], r->size[1]}, .out = {1, r->out[0], r->out[1]},
                             .kernel = {1, r->kernel[0], r->kernel[1]}, .stride = {1, 1, 1},
                             .dilation = {1, 1, 1}, .w = r->w, .b = r->b, .n_bias = r->m};
  return r->conv ? conv : dense;
}

void xai__rbm_scale(const xai__rbm *r, xai__engine *e, int64_t batch, const float *mean, const float *z,
                    float sign, float *x, float *scaled) {
  xai__gaussian_units u = {r->n, sign, mean, z, r->s, r->precision, x, scaled};
  xai__parallel(e, batch, 1 + 4096 / r->n, xai__units_of(e)->gaussian, &u);
}

int xai__rbm_up(const xai__rbm *r, xai__engine *e, int64_t batch, const float *scaled, float *pre,
                xai_error *err) {
  const xai__product p = xai__rbm_map(r, batch);
  if (!r->m) return XAI_OK;
  return xai__product_forward(e, &p, scaled, xai__identity, xai__identity, xai__identity, pre, xai__set, err);
}

int xai__rbm_down(const xai__rbm *r, xai__engine *e, int64_t batch, const float *h, float *mean,
                  xai_error *err) {
  const xai__product p = xai__rbm_map(r, batch);
  for (int64_t i = 0; i < batch; i++) memcpy(mean + i * r->n, r->a, (size_t)r->n * sizeof *mean);
  return r->m ? xai__product_adjoint(e, &p, h, xai__identity, mean, xai__add_to, err) : XAI_OK;
}

/* ---- probabilistic max-pooling ---- */

typedef struct pooling {
  const xai__rbm *r;
  const float *pre;
  float beta, scale, *prob, *state;
  double *softplus;
  xai__chance chance;
} pooling;

/* Block `index` of an item; at: its first unit. Returns log(1 + sum exp). */
static double block(const pooling *p, int64_t item, int64_t index, int64_t at) {
  const xai__rbm *r = p->r;
  const int64_t width = r->out[1], pool = r->pool;
  double top = 0, sum, left = 1;
  for (int64_t k = 0; k < pool * pool; k++)
    top = fmax(top, (double)(p->beta * p->pre[at + k / pool * width + k % pool]));
  sum = exp(-top);
  for (int64_t k = 0; k < pool * pool; k++)
    sum += exp((double)(p->beta * p->pre[at + k / pool * width + k % pool]) - top);
  if (p->state) {
    uint32_t words[4];
    const int64_t blocks = r->m / (pool * pool);
    xai__philox(p->chance.seed, p->chance.stream, (uint64_t)((p->chance.first_item + item) * blocks + index), words);
    left = (words[0] + 0.5) / 4294967296.0;
  }
  for (int64_t k = 0; k < pool * pool; k++) {
    const int64_t i = at + k / pool * width + k % pool;
    const double prob = exp((double)(p->beta * p->pre[i]) - top) / sum;
    if (p->prob) p->prob[i] = p->scale * (float)prob;
    if (p->state) p->state[i] = left > 0 && left <= prob ? 1 : 0;
    left -= prob;
  }
  return top + log(sum);
}

static void pool_items(void *ctx, int64_t begin, int64_t end) {
  const pooling *p = ctx;
  const xai__rbm *r = p->r;
  const int64_t rows = r->out[0] / r->pool, columns = r->out[1] / r->pool;
  for (int64_t item = begin; item < end; item++) {
    double sum = 0;
    for (int64_t k = 0; k < r->filters * rows * columns; k++) {
      const int64_t plane = k / (rows * columns), row = k / columns % rows, column = k % columns;
      sum += block(p, item, k, item * r->m + (plane * r->out[0] + row * r->pool) * r->out[1] + column * r->pool);
    }
    if (p->softplus) p->softplus[item] = sum;
  }
}

/* ---- chance and energies ---- */

void xai__rbm_hidden(const xai__rbm *r, xai__engine *e, int64_t batch, const float *pre, float beta,
                     float scale, const xai__chance *c, float *prob, float *state) {
  const xai__chance none = {0}, *chance = c ? c : &none;
  if (r->pool > 1) {
    pooling p = {r, pre, beta, scale, prob, state, NULL, *chance};
    xai__parallel(e, batch, 1, pool_items, &p);
    return;
  }
  xai__bernoulli b = {chance->seed, chance->stream, batch * r->m, chance->first_item * r->m / XAI__GROUP,
                      beta, scale, pre, prob, state};
  xai__parallel(e, xai__groups(b.n), 64, xai__units_of(e)->bernoulli, &b);
}

void xai__rbm_normals(const xai__rbm *r, xai__engine *e, int64_t batch, const xai__chance *c, float *z) {
  xai__normal_units u = {c->seed, c->stream, batch * r->n, c->first_item * r->n / XAI__GROUP, z};
  xai__parallel(e, xai__groups(u.n), 32, xai__units_of(e)->normals, &u);
}

void xai__rbm_energies(const xai__rbm *r, xai__engine *e, int64_t batch, const float *x, const float *pre,
                       float beta, double *quadratic, double *softplus) {
  xai__energies s = {r->n, r->m, beta, x, r->a, r->precision, pre, quadratic, r->pool > 1 ? NULL : softplus};
  if (s.energy || s.softplus) xai__parallel(e, batch, 1 + 4096 / r->n, xai__units_of(e)->energies, &s);
  pooling p = {r, pre, beta, 1, NULL, NULL, softplus, {0}};
  if (r->pool > 1) xai__parallel(e, batch, 1, pool_items, &p);
}

/* ---- Gibbs sampling ---- */

int xai__rbm_scratch(const xai__rbm *r, xai__engine *e, int64_t batch, xai__rbm_batch *out, xai_error *err) {
  out->scaled = xai__scratch(e, (size_t)(batch * r->n), sizeof(float), err);
  out->pre = xai__scratch(e, (size_t)(batch * r->m) + 1, sizeof(float), err);
  out->state = xai__scratch(e, (size_t)(batch * r->m) + 1, sizeof(float), err);
  return out->scaled && out->pre && out->state ? XAI_OK : err->status;
}

int xai__rbm_gibbs(const xai__rbm *r, xai__engine *e, int64_t batch, float beta, const xai__chance *c,
                   const xai__rbm_batch *work, float *x, xai_error *err) {
  const xai__chance noise = {c->seed, c->stream + 1, c->first_item};
  float *mean = work->scaled;
  xai__rbm_scale(r, e, batch, x, NULL, 1, x, work->scaled);
  XAI__TRY(xai__rbm_up(r, e, batch, work->scaled, work->pre, err));
  xai__rbm_hidden(r, e, batch, work->pre, beta, 1, c, NULL, work->state);
  for (int64_t i = 0; i < batch * r->m && beta != 1; i++) work->state[i] *= beta;
  XAI__TRY(xai__rbm_down(r, e, batch, work->state, mean, err));
  xai__rbm_normals(r, e, batch, &noise, x);
  xai__rbm_scale(r, e, batch, mean, x, 1, x, NULL);
  return XAI_OK;
}
