/* One step of contrastive divergence. */
#include "prior/contrast.h"

#include <math.h>
#include <string.h>

int xai__contrast_allocate(xai__contrast *t, xai__arena *arena, xai_error *err) {
  const int64_t n = t->r.n, m = t->r.m, batch = t->batch;
  const struct {
    float **to;
    int64_t n;
  } floats[] = {{&t->w, t->n_w}, {&t->a, t->n_a}, {&t->s, t->n_s}, {&t->b, t->n_b},
                {&t->w_speed, t->n_w}, {&t->a_speed, t->n_a}, {&t->b_speed, t->n_b},
                {&t->spread, 3 * n + m}, {&t->x, 2 * batch * n}, {&t->p, 2 * batch * m},
                {&t->mean, batch * n}, {&t->scaled, batch * n}, {&t->pre, batch * m},
                {&t->state, batch * m}, {&t->gradient, t->n_w},
                {&t->turned_x, t->r.conv ? 2 * batch * n : 0}, {&t->turned_p, t->r.conv ? 2 * batch * m : 0}};
  for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
    if (!(*floats[i].to = xai__arena_new(arena, (size_t)floats[i].n, sizeof(float), err))) return err->status;
  t->pull = xai__arena_new(arena, (size_t)n, sizeof *t->pull, err);
  t->sums = xai__arena_new(arena, (size_t)(t->n_a + 2 * t->n_b), sizeof *t->sums, err);
  return t->pull && t->sums ? XAI_OK : err->status;
}

void xai__contrast_spread(xai__contrast *t) {
  t->r.w = t->w;
  xai__rbm_spread(&t->r, t->a, t->s, t->n_s, t->b, t->spread);
}

/* ---- statistics ---- */

/* pull += sign * sum over the batch of (x - a)^2 / 2 s^2 - x (mean - a) / s^2; mean = a +- W h. */
static void add_pull(xai__contrast *t, const float *x, const float *mean, double sign, double sign_h) {
  const xai__rbm *r = &t->r;
  for (int64_t k = 0; k < t->batch; k++)
    for (int64_t i = 0; i < r->n; i++) {
      const double d = (double)x[k * r->n + i] - (double)r->a[i];
      const double back = sign_h * ((double)mean[k * r->n + i] - (double)r->a[i]);
      t->pull[i] += sign * (double)r->precision[i] * (0.5 * d * d - (double)x[k * r->n + i] * back);
    }
}

/* p and v, -q: what the gradients are made of. */
static int contrast(xai__contrast *t, xai__engine *e, xai_error *err) {
  const xai__rbm *r = &t->r;
  const int64_t batch = t->batch;
  float *v = t->x + batch * r->n, *q = t->p + batch * r->m;
  xai__chance c = {t->seed, t->stream, 0};
  xai__rbm_scale(r, e, batch, t->x, NULL, 1, t->x, t->scaled);
  XAI__TRY(xai__rbm_up(r, e, batch, t->scaled, t->pre, err));
  xai__rbm_hidden(r, e, batch, t->pre, 1, 1, &c, t->p, t->state);
  if (t->learn_variance) {
    memset(t->pull, 0, (size_t)r->n * sizeof *t->pull);
    XAI__TRY(xai__rbm_down(r, e, batch, t->p, t->mean, err));
    add_pull(t, t->x, t->mean, 1, 1);
  }
  if (t->persistent) {
    c.stream++;
    xai__rbm_scale(r, e, batch, v, NULL, 1, v, t->scaled);
    XAI__TRY(xai__rbm_up(r, e, batch, t->scaled, t->pre, err));
    xai__rbm_hidden(r, e, batch, t->pre, 1, 1, &c, NULL, t->state);
  }
  for (int64_t step = 0; step < t->steps; step++) {
    const bool last = step + 1 == t->steps;
    c.stream++;
    XAI__TRY(xai__rbm_down(r, e, batch, t->state, t->mean, err));
    if (t->sample) xai__rbm_normals(r, e, batch, &c, v);
    xai__rbm_scale(r, e, batch, t->mean, t->sample ? v : NULL, 1, v, t->scaled);
    XAI__TRY(xai__rbm_up(r, e, batch, t->scaled, t->pre, err));
    c.stream++;
    if (last) xai__rbm_hidden(r, e, batch, t->pre, 1, -1, NULL, q, NULL);
    else xai__rbm_hidden(r, e, batch, t->pre, 1, 1, &c, NULL, t->state);
  }
  t->stream = c.stream + 1;
  if (!t->learn_variance) return XAI_OK;
  XAI__TRY(xai__rbm_down(r, e, batch, q, t->mean, err));
  add_pull(t, v, t->mean, -1, -1);
  return XAI_OK;
}

/* to[channels][items][plane] from [items][channels][plane]. */
static void turn(const float *from, int64_t items, int64_t channels, int64_t plane, float *to) {
  for (int64_t i = 0; i < items; i++)
    for (int64_t c = 0; c < channels; c++)
      memcpy(to + (c * items + i) * plane, from + (i * channels + c) * plane, (size_t)plane * sizeof *to);
}

/* gradient[filters][channels][kernel] = sum over items and places of x and p: the correlation of x with
 * p, where items are the channels. */
static int filter_gradient(xai__contrast *t, xai__engine *e, xai_error *err) {
  const xai__rbm *r = &t->r;
  const int64_t items = 2 * t->batch, taps = r->kernel[0] * r->kernel[1];
  turn(t->x, items, r->channels, r->size[0] * r->size[1], t->turned_x);
  turn(t->p, items, r->filters, r->out[0] * r->out[1], t->turned_p);
  const xai__product p = {.kind = XAI__CONV, .n = r->channels, .groups = 1, .c = items, .m = r->filters,
                          .in = {1, r->size[0], r->size[1]}, .out = {1, r->kernel[0], r->kernel[1]},
                          .kernel = {1, r->out[0], r->out[1]}, .stride = {1, 1, 1},
                          .dilation = {1, 1, 1}, .w = t->turned_p};
  float *z = t->gradient;
  const size_t mark = xai__scratch_mark(e);
  if (r->channels > 1 && !(z = xai__scratch(e, (size_t)t->n_w, sizeof *z, err))) return err->status;
  const int status = xai__product_forward(e, &p, t->turned_x, xai__identity, xai__identity, xai__identity, z,
                                          xai__set, err);
  if (!status && z != t->gradient) turn(z, r->channels, r->filters, taps, t->gradient);
  xai__scratch_release(e, mark);
  return status;
}

static int weight_gradient(xai__contrast *t, xai__engine *e, xai_error *err) {
  const xai__gemm g = {.batch = 1, .m = t->r.n, .n = t->r.m, .k = 2 * t->batch, .a_transposed = true};
  if (!t->n_w) return XAI_OK;
  return t->r.conv ? filter_gradient(t, e, err) : xai__gemm_run(e, &g, t->x, t->p, t->gradient, xai__set, err);
}

/* ---- the step ---- */

/* to[k] += sign * the sum of rows[items][n] over items and the k-th of `groups` runs of neighbours. */
static void add_columns(const float *rows, int64_t items, int64_t n, int64_t groups, double sign, double *to) {
  const int64_t width = groups ? n / groups : 0;
  for (int64_t row = 0; row < items; row++, rows += n)
    for (int64_t k = 0; k < groups; k++)
      for (int64_t i = k * width; i < (k + 1) * width; i++) to[k] += sign * (double)rows[i];
}

static void move(float *value, float *speed, float momentum, double by) {
  *speed = momentum * *speed + (float)by;
  *value += *speed;
}

static void move_biases(xai__contrast *t) {
  const xai__rbm *r = &t->r;
  const int64_t batch = t->batch;
  const double places_a = (double)(batch * (r->n / t->n_a)), places_b = (double)(batch * (t->n_b ? r->m / t->n_b : 1));
  double *of_x = t->sums, *of_p = of_x + t->n_a, *of_q = of_p + t->n_b;
  memset(t->sums, 0, (size_t)(t->n_a + 2 * t->n_b) * sizeof *t->sums);
  add_columns(t->x, batch, r->n, t->n_a, 1, of_x);
  add_columns(t->x + batch * r->n, batch, r->n, t->n_a, -1, of_x);
  add_columns(t->p, batch, r->m, t->n_b, 1, of_p);
  add_columns(t->p + batch * r->m, batch, r->m, t->n_b, 1, of_q);
  for (int64_t i = 0; i < t->n_a; i++)
    move(&t->a[i], &t->a_speed[i], t->momentum, (double)t->rate * of_x[i] / places_a);
  for (int64_t j = 0; j < t->n_b; j++) {
    double by = (of_p[j] + of_q[j]) / places_b;
    if (t->sparsity > 0) by += (double)t->sparsity_cost * ((double)t->sparsity - of_p[j] / places_b);
    move(&t->b[j], &t->b_speed[j], t->momentum, (double)t->rate * by);
  }
}

/* At most one part in a hundred a step. */
static void move_variance(xai__contrast *t) {
  const int64_t width = t->r.n / t->n_s;
  for (int64_t k = 0; k < t->n_s; k++) {
    double by = 0;
    for (int64_t i = k * width; i < (k + 1) * width; i++) by += t->pull[i];
    by *= (double)t->rate / (double)(t->batch * width);
    by = by > 0.01 ? 0.01 : by < -0.01 ? -0.01 : by;
    const double variance = (double)t->s[k] * (double)t->s[k] * exp(by);
    t->s[k] = (float)sqrt(fmin(fmax(variance, t->low), t->high));
  }
}

int xai__contrast_step(xai__contrast *t, xai__engine *e, xai_error *err) {
  const double places = (double)(t->batch * t->r.out[0] * t->r.out[1]);
  XAI__TRY(contrast(t, e, err));
  XAI__TRY(weight_gradient(t, e, err));
  xai__momentum m = {t->momentum, (float)((double)t->rate / places), t->rate * t->decay, t->gradient, t->w_speed, t->w};
  xai__parallel(e, t->n_w, 1 << 14, xai__units_of(e)->momentum, &m);
  move_biases(t);
  if (t->learn_variance) move_variance(t);
  xai__contrast_spread(t);
  return XAI_OK;
}
