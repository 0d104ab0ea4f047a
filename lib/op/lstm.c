/* LSTM (ONNX 1, 7, 14, 22), gates i, o, f, g, all of W x + R h + b:
 *
 *   i = f(. + P_i c),  f = f(. + P_f c) (input_forget: 1 - i),  g = g(.),  c' = f c + i g
 *   o = f(. + P_o c'),  h' = o h(c')
 *
 * `clip` bounds what f and g get, not c' (as onnxruntime has it). */
#include "op/recurrent.h"

enum { IN, OUT, FORGET, NEW, GATES };
enum { PEEP_IN, PEEP_OUT, PEEP_FORGET };
enum { F, G, H };

static float *at(const xai__recurrent *r, float *gates, int gate) { return gates + gate * r->size; }
static float peep(const xai__recurrent *r, int which, int64_t i) {
  return r->p ? r->p[which * r->size + i] : 0;
}

static void forward_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    float *z = xai__cell_at(r, r->z, r->k, b, GATES * n);
    float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    float *h = xai__cell_at(r, r->h, r->k + 1, b, n);
    const float *part = r->part + b * GATES * n;
    const float *c = xai__cell_at(r, r->cell, r->k, b, n);
    float *next = xai__cell_at(r, r->cell, r->k + 1, b, n), *forget = at(r, y, FORGET);
    for (int64_t i = 0; i < GATES * n; i++) z[i] += part[i] + (r->rb ? r->rb[i] : 0);
    for (int64_t i = 0; i < n; i++) {
      at(r, z, IN)[i] += peep(r, PEEP_IN, i) * c[i];
      at(r, z, FORGET)[i] += peep(r, PEEP_FORGET, i) * c[i];
    }
    xai__cell_activate(r, F, at(r, z, IN), y);
    xai__cell_activate(r, F, at(r, z, FORGET), forget);
    xai__cell_activate(r, G, at(r, z, NEW), at(r, y, NEW));
    for (int64_t i = 0; i < n; i++) {
      if (r->a->input_forget) forget[i] = 1 - y[i];
      next[i] = forget[i] * c[i] + y[i] * at(r, y, NEW)[i];
      at(r, z, OUT)[i] += peep(r, PEEP_OUT, i) * next[i];
    }
    xai__cell_activate(r, F, at(r, z, OUT), at(r, y, OUT));
    xai__cell_activate(r, H, next, h);
    for (int64_t i = 0; i < n; i++) h[i] *= at(r, y, OUT)[i];
  }
}

static int step(xai__recurrent *r) {
  XAI__TRY(xai__cell_recur(r, xai__cell_at(r, r->h, r->k, 0, r->size), 0, GATES));
  xai__cell_items(r, forward_items);
  return XAI_OK;
}

/* ---- backwards ---- */

static void differentiate_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    if (!xai__cell_active(r, b)) continue;
    float *z = xai__cell_at(r, r->z, r->k, b, GATES * n);
    float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *c = xai__cell_at(r, r->cell, r->k, b, n);
    const float *next = xai__cell_at(r, r->cell, r->k + 1, b, n);
    float *gz = r->gz + b * GATES * n, *gh = r->gh + b * n, *gc = r->gcell + b * n;
    float *g = r->part + b * GATES * n, *hc = g + n; /* room for two vectors */
    xai__cell_activate(r, H, next, hc);
    for (int64_t i = 0; i < n; i++) g[i] = gh[i] * hc[i];
    xai__cell_slope(r, F, at(r, z, OUT), at(r, y, OUT), g, at(r, gz, OUT));
    for (int64_t i = 0; i < n; i++) g[i] = gh[i] * at(r, y, OUT)[i];
    xai__cell_slope(r, H, next, hc, g, gc);
    for (int64_t i = 0; i < n; i++) {
      gc[i] += peep(r, PEEP_OUT, i) * at(r, gz, OUT)[i];
      gh[i] = 0;
      g[i] = gc[i] * (at(r, y, NEW)[i] - (r->a->input_forget ? c[i] : 0));
    }
    xai__cell_slope(r, F, z, y, g, gz);
    for (int64_t i = 0; i < n; i++) g[i] = gc[i] * y[i];
    xai__cell_slope(r, G, at(r, z, NEW), at(r, y, NEW), g, at(r, gz, NEW));
    for (int64_t i = 0; i < n; i++) g[i] = r->a->input_forget ? 0 : gc[i] * c[i];
    xai__cell_slope(r, F, at(r, z, FORGET), at(r, y, FORGET), g, at(r, gz, FORGET));
    for (int64_t i = 0; i < n; i++)
      gc[i] = gc[i] * at(r, y, FORGET)[i] + peep(r, PEEP_IN, i) * gz[i] +
              peep(r, PEEP_FORGET, i) * at(r, gz, FORGET)[i];
  }
}

/* Gates are factors: h' is c', which is split into f c and i g. */
static void attribute_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  int64_t n = r->size;
  for (int64_t b = begin; b < end; b++) {
    if (!xai__cell_active(r, b)) continue;
    const float *z = at(r, xai__cell_at(r, r->z, r->k, b, GATES * n), NEW);
    float *y = xai__cell_at(r, r->y, r->k, b, GATES * n);
    const float *c = xai__cell_at(r, r->cell, r->k, b, n);
    const float *next = xai__cell_at(r, r->cell, r->k + 1, b, n);
    float *gz = r->gz + b * n, *gh = r->gh + b * n, *gc = r->gcell + b * n;
    for (int64_t i = 0; i < n; i++) {
      float share = xai__ratio(gc[i] + gh[i], xai__stab(next[i], r->o->stabilizer)), bias = 0;
      if (r->wb && r->o->bias_zero) bias = r->wb[NEW * n + i] + r->rb[NEW * n + i];
      gz[i] = xai__ratio(y[i] * at(r, y, NEW)[i] * share, xai__stab(z[i] - bias, r->o->stabilizer));
      gc[i] = at(r, y, FORGET)[i] * c[i] * share;
      gh[i] = 0;
    }
  }
}

static int back(xai__recurrent *r) {
  xai__epilogue times = {XAI__MULTIPLY_ADD, 1, xai__cell_at(r, r->h, r->k, 0, r->size),
                         xai__identity, NULL};
  xai__cell_items(r, r->o ? attribute_items : differentiate_items);
  if (r->o) return xai__cell_recur_back(r, r->gz, NEW, 1, r->gh, times);
  return xai__cell_recur_back(r, r->gz, 0, GATES, r->gh, xai__add_to);
}

static const xai__cell cell = {.gates = GATES, .functions = 3, .candidate = NEW, .has_cell = true,
                               .presets = {"Sigmoid", "Tanh", "Tanh"}, .forward = step,
                               .back = back};

static int infer(xai__call *c) { return xai__recurrent_infer(c, &cell); }
static int forward(xai__call *c) { return xai__recurrent_forward(c, &cell); }
static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return xai__recurrent_back(c, &cell, NULL, gout, gin);
}
static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  return xai__recurrent_back(c, &cell, o, gout, gin);
}

const xai__op xai__op_LSTM = {
    .type = "LSTM", .min_in = 3, .max_in = 8, .min_out = 0, .max_out = 3, .since = 1,
    .fields = xai__lstm_fields, .attr_size = sizeof(xai__recurrent_attr),
    .check = xai__recurrent_check, .infer = infer, .forward = forward, .vjp = vjp,
    .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_OWN, .relevance = relevance};
