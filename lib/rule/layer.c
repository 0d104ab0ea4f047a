/* A linear layer with what is folded into it: z = after(W before(x) + b) as one W' x + b'. */
#include <string.h>

#include "op/broadcast.h"
#include "rule/rule.h"

typedef struct folding {
  xai__rules *r;
  const xai__step *step;
  xai__call *call;
  xai__product *p;
  xai__layer *layer;
} folding;

static int64_t taps(const xai__product *p) { return p->kernel[0] * p->kernel[1] * p->kernel[2]; }
static int64_t channels_out(const xai__product *p) {
  return p->kind == XAI__MATMUL ? p->m : p->groups * p->m;
}

/* The output (or input) channel that weight i belongs to. */
static int64_t channel_of(const xai__product *p, int64_t i, bool output) {
  if (p->kind == XAI__MATMUL) {
    bool m_is_last = p->w_transposed == p->w_left;
    return output ? (m_is_last ? i % p->m : i / p->c % p->m) : (m_is_last ? i / p->m % p->c : i % p->c);
  }
  int64_t k = taps(p), inner = p->kind == XAI__CONV ? p->c : p->m;
  int64_t row = i / (inner * k), column = i / k % inner;
  bool rows_are_output = p->kind == XAI__CONV;
  int64_t group = row / (rows_are_output ? p->m : p->c);
  return rows_are_output == output ? row : group * inner + column;
}

/* scale[c], shift[c] of a BatchNormalization: its derivative, and its value at 0. */
static int affine_of(folding *f, int node_index, int64_t channels, float **scale, float **shift) {
  const xai__node *node = &f->r->plan->graph->nodes[node_index];
  xai__engine *e = f->call->engine;
  xai__view in[5], out, ones, gin[5] = {{0}};
  bool in_static[5] = {false, true, true, true, true};
  float *zero = xai__scratch(e, (size_t)channels, sizeof *zero, f->call->err);
  float *one = xai__scratch(e, (size_t)channels, sizeof *one, f->call->err);
  *scale = xai__scratch(e, (size_t)channels, sizeof **scale, f->call->err);
  *shift = xai__scratch(e, (size_t)channels, sizeof **shift, f->call->err);
  if (!zero || !one || !*scale || !*shift) return f->call->err->status;
  for (int64_t i = 0; i < channels; i++) {
    zero[i] = (*scale)[i] = 0;
    one[i] = 1;
  }
  in[0] = (xai__view){XAI_F32, {2, {1, channels}}, zero};
  for (int k = 1; k < 5; k++) in[k] = f->r->plan->value[node->in[k]];
  out = ones = gin[0] = in[0];
  out.data = *shift;
  ones.data = one;
  gin[0].data = *scale;
  xai__call c = {node, node->n_in, 1, in, &out, in_static, e, f->call->err};
  XAI__TRY(xai__node_forward(&c));
  return xai__node_vjp(&c, &ones, gin);
}

/* Weights and a bias of `n_bias` elements of the layer's own, to be edited. */
static int own_copies(folding *f) {
  xai__layer *l = f->layer;
  xai__memory *m = xai__engine_memory(f->call->engine);
  size_t n = (size_t)xai__product_weight_count(f->p), n_b = (size_t)channels_out(f->p);
  if (f->p->b && f->p->n_bias != channels_out(f->p)) n_b = (size_t)f->p->n_bias;
  xai__free(l->own_w); /* of a call that failed half-way */
  xai__free(l->own_b);
  l->own_b = NULL;
  l->own_w = xai__new_raw(m, n, sizeof *l->own_w, f->call->err);
  l->own_b = xai__new(m, n_b, sizeof *l->own_b, f->call->err);
  if (!l->own_w || !l->own_b) return f->call->err->status;
  memcpy(l->own_w, f->p->w, n * sizeof *l->own_w);
  if (f->p->b) memcpy(l->own_b, f->p->b, n_b * sizeof *l->own_b);
  l->n_bias = (int64_t)n_b;
  return XAI_OK;
}

static void scale_weights(folding *f, const float *scale, bool output) {
  int64_t n = xai__product_weight_count(f->p);
  for (int64_t i = 0; i < n; i++) f->layer->own_w[i] *= scale[channel_of(f->p, i, output)];
}

static int fold_before(folding *f, int node) {
  const xai__product *p = f->p;
  int64_t channels = p->kind == XAI__MATMUL ? p->c : p->groups * p->c;
  int64_t n = xai__product_weight_count(p);
  float *scale, *shift;
  XAI__TRY(affine_of(f, node, channels, &scale, &shift));
  int64_t per_channel = channels_out(p);
  for (int64_t i = 0; i < n; i++) { /* without padding every output sees every tap */
    float v = f->layer->own_w[i] * shift[channel_of(p, i, false)];
    f->layer->own_b[channel_of(p, i, true) % per_channel] += v;
  }
  scale_weights(f, scale, false);
  return XAI_OK;
}

static int64_t elements_per_channel(const xai__product *p) {
  if (p->kind != XAI__MATMUL) return p->out[0] * p->out[1] * p->out[2];
  return p->w_left ? p->rows : 1;
}

static int fold_normalization(folding *f, int node) {
  xai__layer *l = f->layer;
  int64_t channels = channels_out(f->p);
  int64_t inner = l->n_bias == channels ? 1 : elements_per_channel(f->p);
  float *scale, *shift;
  XAI__TRY(affine_of(f, node, channels, &scale, &shift));
  for (int64_t i = 0; i < l->n_bias; i++) {
    int64_t k = i / inner % channels;
    l->own_b[i] = l->own_b[i] * scale[k] + shift[k];
  }
  scale_weights(f, scale, true);
  return XAI_OK;
}

/* Adds sign * a constant that repeats over z: as one number a channel where it is that, else as one
 * an element. */
static int fold_shift(folding *f, const xai__view *constant, float sign) {
  xai__layer *l = f->layer;
  const xai__shape *z = &f->call->out[0].shape;
  xai__engine *e = f->call->engine;
  int64_t stride[XAI__MAX_RANK], channels = channels_out(f->p), inner = elements_per_channel(f->p);
  bool by_channel = l->n_bias == channels;
  xai__shape_strides_over(&constant->shape, z, stride);
  int64_t below = 1;
  for (int i = z->rank - 1; i >= 0; below *= z->d[i--])
    by_channel = by_channel && (!stride[i] || (below == inner && z->d[i] == channels));
  if (by_channel) {
    const float *v = xai__f(constant);
    for (int64_t k = 0; k < channels; k++)
      l->own_b[k] += sign * v[xai__count(&constant->shape) == 1 ? 0 : k];
    return XAI_OK;
  }
  int64_t n = xai__count(z);
  xai__view full = {XAI_F32, *z, xai__new_raw(xai__engine_memory(e), (size_t)n, sizeof(float), f->call->err)};
  if (!full.data) return f->call->err->status;
  xai__broadcast_copy(e, &full, constant);
  int64_t old_inner = l->n_bias == channels ? inner : 1;
  for (int64_t i = 0; i < n; i++)
    xai__f(&full)[i] = sign * xai__f(&full)[i] + l->own_b[i / old_inner % l->n_bias];
  xai__free(l->own_b);
  l->own_b = full.data;
  l->n_bias = n;
  return XAI_OK;
}

static int fold_after(folding *f, int index) {
  const xai__plan *plan = f->r->plan;
  const xai__node *node = &plan->graph->nodes[index];
  if (node->n_in > 2) return fold_normalization(f, index);
  int constant = plan->graph->values[node->in[0]].is_static ? 0 : 1;
  return fold_shift(f, &plan->value[node->in[constant]], strcmp(node->op->type, "Sub") ? 1 : -1);
}

static int fold(folding *f) {
  XAI__TRY(own_copies(f));
  for (int i = 0; i < f->step->n_before; i++) XAI__TRY(fold_before(f, f->step->before[i]));
  for (int i = 0; i < f->step->n_after; i++) XAI__TRY(fold_after(f, f->step->after[i]));
  return XAI_OK;
}

int xai__layer_product(xai__rules *r, const xai__step *step, xai__call *c, xai__product *p, int *x) {
  xai__layer *l = &r->layer[step - r->plan->steps.v];
  memset(p, 0, sizeof *p);
  XAI__TRY(step->node.op->product(c, p, x));
  if (!step->n_before && !step->n_after) return XAI_OK;
  if (!l->ready) {
    folding f = {r, step, c, p, l};
    size_t mark = xai__scratch_mark(c->engine);
    int status = fold(&f);
    xai__scratch_release(c->engine, mark);
    if (status) return status;
    l->ready = true;
  }
  p->w = l->own_w;
  p->b = l->own_b;
  p->n_bias = l->n_bias;
  return XAI_OK;
}
