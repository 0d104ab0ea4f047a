/* GRU (ONNX 1, 3, 7, 14, 22), gates z, r, h:
 *
 *   z = f(W x + R h + b),  r = f(W x + R h + b),  h' = (1 - z) n + z h
 *   n = g(W x + Wb + u'),  u' = R (r h) + Rb, or with linear_before_reset r (R h + Rb)
 *
 * The trace u is r h, or R h + Rb. */
#include "op/recurrent.h"
#include <string.h>

enum { UPDATE, RESET, HIDDEN, GATES };

static const float *at(const xai__recurrent *r, const float *gates, int gate) {
  return gates + gate * r->size;
}

/* The update and reset gates, and r h. */
static void gate_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    float *z = xai__cell_at(r, r->z, r->k, b, GATES * n);
    float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *part = r->part + b * (r->a->linear_before_reset ? GATES : HIDDEN) * n;
    const float *h = xai__cell_at(r, r->h, r->k, b, n);
    float *u = xai__cell_at(r, r->u, r->k, b, n);
    for (int64_t i = 0; i < HIDDEN * n; i++) z[i] += part[i] + (r->rb ? r->rb[i] : 0);
    xai__cell_activate(r, 0, z, y);
    xai__cell_activate(r, 0, at(r, z, RESET), y + RESET * n);
    for (int64_t i = 0; i < n; i++)
      u[i] = r->a->linear_before_reset
                 ? at(r, part, HIDDEN)[i] + (r->rb ? at(r, r->rb, HIDDEN)[i] : 0)
                 : at(r, y, RESET)[i] * h[i];
  }
}

/* The hidden gate and the state. */
static void hidden_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    float *z = xai__cell_at(r, r->z, r->k, b, GATES * n) + HIDDEN * n;
    float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *h = xai__cell_at(r, r->h, r->k, b, n), *u = xai__cell_at(r, r->u, r->k, b, n);
    float *next = xai__cell_at(r, r->h, r->k + 1, b, n);
    for (int64_t i = 0; i < n; i++)
      z[i] += r->a->linear_before_reset
                  ? at(r, y, RESET)[i] * u[i]
                  : r->part[b * n + i] + (r->rb ? at(r, r->rb, HIDDEN)[i] : 0);
    xai__cell_activate(r, 1, z, y + HIDDEN * n);
    for (int64_t i = 0; i < n; i++) next[i] = (1 - y[i]) * at(r, y, HIDDEN)[i] + y[i] * h[i];
  }
}

static int step(xai__recurrent *r) {
  bool before = r->a->linear_before_reset;
  XAI__TRY(xai__cell_recur(r, xai__cell_at(r, r->h, r->k, 0, r->size), 0, before ? GATES : HIDDEN));
  xai__cell_items(r, gate_items);
  if (!before) XAI__TRY(xai__cell_recur(r, xai__cell_at(r, r->u, r->k, 0, r->size), HIDDEN, 1));
  xai__cell_items(r, hidden_items);
  return XAI_OK;
}

/* ---- backwards: part holds s, what goes back through R of the hidden gate, and q = s R ---- */

static float *s_of(const xai__recurrent *r, int64_t b) { return r->part + b * r->size; }
static float *q_of(const xai__recurrent *r, int64_t b) {
  return r->part + (HIDDEN * r->items + b) * r->size;
}

/* To the hidden and update gates, and through z h. */
static void differentiate_hidden(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    const float *z = xai__cell_at(r, r->z, r->k, b, GATES * n);
    const float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *h = xai__cell_at(r, r->h, r->k, b, n);
    float *gz = r->gz + b * GATES * n, *gh = r->gh + b * n, *s = s_of(r, b);
    for (int64_t i = 0; i < n; i++) s[i] = gh[i] * (1 - y[i]);
    if (xai__cell_active(r, b)) {
      xai__cell_slope(r, 1, at(r, z, HIDDEN), at(r, y, HIDDEN), s, gz + HIDDEN * n);
      for (int64_t i = 0; i < n; i++) s[i] = gh[i] * (h[i] - at(r, y, HIDDEN)[i]);
      xai__cell_slope(r, 0, z, y, s, gz);
      for (int64_t i = 0; i < n; i++) gh[i] *= y[i];
    }
    for (int64_t i = 0; i < n; i++)
      s[i] = at(r, gz, HIDDEN)[i] * (r->a->linear_before_reset ? at(r, y, RESET)[i] : 1);
  }
}

/* Then to the reset gate, and through r h. */
static void differentiate_reset(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    if (!xai__cell_active(r, b)) continue;
    const float *z = xai__cell_at(r, r->z, r->k, b, GATES * n);
    const float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *h = xai__cell_at(r, r->h, r->k, b, n), *u = xai__cell_at(r, r->u, r->k, b, n);
    float *gz = r->gz + b * GATES * n, *gh = r->gh + b * n, *q = q_of(r, b);
    for (int64_t i = 0; i < n; i++) {
      gh[i] += q[i] * (r->a->linear_before_reset ? 1 : at(r, y, RESET)[i]);
      q[i] = r->a->linear_before_reset ? at(r, gz, HIDDEN)[i] * u[i] : q[i] * h[i];
    }
    xai__cell_slope(r, 0, at(r, z, RESET), at(r, y, RESET), q, gz + RESET * n);
  }
}

static void attribute_hidden(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    const float *z = xai__cell_at(r, r->z, r->k, b, GATES * n) + HIDDEN * n;
    const float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *h = xai__cell_at(r, r->h, r->k, b, n);
    const float *next = xai__cell_at(r, r->h, r->k + 1, b, n);
    float *gz = r->gz + b * n, *gh = r->gh + b * n, *s = s_of(r, b);
    for (int64_t i = 0; i < n; i++) {
      float reset = r->a->linear_before_reset ? at(r, y, RESET)[i] : 1, bias = 0;
      if (r->wb && r->o->bias_zero)
        bias = at(r, r->wb, HIDDEN)[i] + reset * at(r, r->rb, HIDDEN)[i];
      if (xai__cell_active(r, b)) {
        float share = xai__ratio(gh[i], xai__stab(next[i], r->o->stabilizer));
        float n_share = (1 - y[i]) * at(r, y, HIDDEN)[i] * share;
        gh[i] = y[i] * h[i] * share;
        gz[i] = xai__ratio(n_share, xai__stab(z[i] - bias, r->o->stabilizer));
      }
      s[i] = reset * gz[i];
    }
  }
}

static int back(xai__recurrent *r) {
  int64_t n = r->size;
  float *h = xai__cell_at(r, r->h, r->k, 0, n), *u = xai__cell_at(r, r->u, r->k, 0, n);
  xai__epilogue times = {XAI__MULTIPLY_ADD, 1, r->a->linear_before_reset ? h : u, xai__identity, NULL};
  xai__cell_items(r, r->o ? attribute_hidden : differentiate_hidden);
  if (r->o) return xai__cell_recur_back(r, r->part, HIDDEN, 1, r->gh, times);
  XAI__TRY(xai__cell_recur_back(r, r->part, HIDDEN, 1, q_of(r, 0), xai__set));
  xai__cell_items(r, differentiate_reset);
  for (int64_t b = 0; b < r->items; b++)
    memcpy(r->part + b * HIDDEN * n, r->gz + b * GATES * n, (size_t)(HIDDEN * n) * sizeof *r->gz);
  return xai__cell_recur_back(r, r->part, 0, HIDDEN, r->gh, xai__add_to);
}

static const xai__cell cell = {.gates = GATES, .functions = 2, .candidate = HIDDEN,
                               .presets = {"Sigmoid", "Tanh"}, .forward = step, .back = back};

static int infer(xai__call *c) { return xai__recurrent_infer(c, &cell); }
static int forward(xai__call *c) { return xai__recurrent_forward(c, &cell); }
static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return xai__recurrent_back(c, &cell, NULL, gout, gin);
}
static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  return xai__recurrent_back(c, &cell, o, gout, gin);
}

const xai__op xai__op_GRU = {
    .type = "GRU", .min_in = 3, .max_in = 6, .min_out = 0, .max_out = 2, .since = 1,
    .fields = xai__gru_fields, .attr_size = sizeof(xai__recurrent_attr),
    .check = xai__recurrent_check, .infer = infer, .forward = forward, .vjp = vjp,
    .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_OWN, .relevance = relevance};
