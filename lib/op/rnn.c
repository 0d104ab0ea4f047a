/* RNN (ONNX 1, 7, 14, 22): h' = f(W x + R h + Wb + Rb). */
#include "op/recurrent.h"

/* z += R h + Rb */
static void forward_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  for (int64_t b = begin; b < end; b++) {
    float *z = xai__cell_at(r, r->z, r->k, b, r->size);
    for (int64_t i = 0; i < r->size; i++)
      z[i] += r->part[b * r->size + i] + (r->rb ? r->rb[i] : 0);
    xai__cell_activate(r, 0, z, xai__cell_at(r, r->h, r->k + 1, b, r->size));
  }
}

static int step(xai__recurrent *r) {
  XAI__TRY(xai__cell_recur(r, xai__cell_at(r, r->h, r->k, 0, r->size), 0, 1));
  xai__cell_items(r, forward_items);
  return XAI_OK;
}

static void back_items(void *ctx, int64_t begin, int64_t end) {
  const xai__recurrent *r = ctx;
  for (int64_t b = begin; b < end; b++) {
    if (!xai__cell_active(r, b)) continue;
    const float *z = xai__cell_at(r, r->z, r->k, b, r->size);
    const float *h = xai__cell_at(r, r->h, r->k + 1, b, r->size);
    float *gz = r->gz + b * r->size, *gh = r->gh + b * r->size;
    if (!r->o) xai__cell_slope(r, 0, z, h, gh, gz);
    for (int64_t i = 0; r->o && i < r->size; i++) {
      float bias = r->wb && r->o->bias_zero ? r->wb[i] + r->rb[i] : 0;
      gz[i] = xai__ratio(gh[i], xai__stab(z[i] - bias, r->o->stabilizer));
    }
    for (int64_t i = 0; i < r->size; i++) gh[i] = 0;
  }
}

static int back(xai__recurrent *r) {
  xai__epilogue times = {XAI__MULTIPLY_ADD, 1, xai__cell_at(r, r->h, r->k, 0, r->size),
                         xai__identity, NULL};
  xai__cell_items(r, back_items);
  return xai__cell_recur_back(r, r->gz, 0, 1, r->gh, r->o ? times : xai__add_to);
}

static const xai__cell cell = {.gates = 1, .functions = 1, .presets = {"Tanh"}, .forward = step,
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

const xai__op xai__op_RNN = {
    .type = "RNN", .min_in = 3, .max_in = 6, .min_out = 0, .max_out = 2, .since = 1,
    .fields = xai__rnn_fields, .attr_size = sizeof(xai__recurrent_attr),
    .check = xai__recurrent_check, .infer = infer, .forward = forward, .vjp = vjp,
    .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_OWN, .relevance = relevance};
