/* A linear layer with what is folded into it: z = after(W before(x) + b) as one W' x + b'.
 *
 * W' and b' are made once a graph and shared by its sessions; what follows from the shapes of the
 * inputs (a bias of one number an element, constants computed from shapes) belongs to the plan. */
#include <string.h>

#include "exec/layer.h"
#include "op/broadcast.h"

typedef struct folding {
  const xai__plan *plan;
  const xai__step *step;
  xai__call *call;
  const xai__product *p;
  float *w, *b; /* being made */
  int64_t n_bias;
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
  const xai__node *node = &f->plan->graph->nodes[node_index];
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
  in[0] = (xai__view){.dtype = XAI_F32, .shape = {2, {1, channels}}, .data = zero};
  for (int k = 1; k < 5; k++) in[k] = f->plan->value[node->in[k]];
  out = ones = gin[0] = in[0];
  out.data = *shift;
  ones.data = one;
  gin[0].data = *scale;
  xai__call c = {node, node->n_in, 1, in, &out, in_static, e, f->call->err};
  XAI__TRY(xai__node_forward(&c));
  return xai__node_vjp(&c, &ones, gin);
}

static void scale_weights(folding *f, const float *scale, bool output) {
  int64_t n = xai__product_weight_count(f->p);
  for (int64_t i = 0; i < n; i++) f->w[i] *= scale[channel_of(f->p, i, output)];
}

static int fold_before(folding *f, int node) {
  const xai__product *p = f->p;
  int64_t channels = p->kind == XAI__MATMUL ? p->c : p->groups * p->c;
  int64_t n = xai__product_weight_count(p);
  float *scale, *shift;
  XAI__TRY(affine_of(f, node, channels, &scale, &shift));
  int64_t per_channel = channels_out(p);
  for (int64_t i = 0; i < n; i++) { /* without padding every output sees every tap */
    float v = f->w[i] * shift[channel_of(p, i, false)];
    f->b[channel_of(p, i, true) % per_channel] += v;
  }
  scale_weights(f, scale, false);
  return XAI_OK;
}

static int64_t elements_per_channel(const xai__product *p) {
  if (p->kind != XAI__MATMUL) return p->out[0] * p->out[1] * p->out[2];
  return p->w_left ? p->rows : 1;
}

static int fold_normalization(folding *f, int node) {
  int64_t channels = channels_out(f->p);
  int64_t inner = f->n_bias == channels ? 1 : elements_per_channel(f->p);
  float *scale, *shift;
  XAI__TRY(affine_of(f, node, channels, &scale, &shift));
  for (int64_t i = 0; i < f->n_bias; i++) {
    int64_t k = i / inner % channels;
    f->b[i] = f->b[i] * scale[k] + shift[k];
  }
  scale_weights(f, scale, true);
  return XAI_OK;
}

/* Whether a constant that repeats over z is one number a channel (or one for all). */
static bool is_by_channel(const folding *f, const xai__view *constant) {
  const xai__shape *z = &f->call->out[0].shape;
  int64_t stride[XAI__MAX_RANK], channels = channels_out(f->p), inner = elements_per_channel(f->p);
  xai__shape_strides_over(&constant->shape, z, stride);
  int64_t below = 1;
  for (int i = z->rank - 1; i >= 0; below *= z->d[i--])
    if (stride[i] && (below != inner || z->d[i] != channels)) return false;
  return true;
}

/* The constant that node `index` adds or subtracts; NULL for a BatchNormalization. */
static const xai__view *constant_of(const folding *f, int index) {
  const xai__node *node = &f->plan->graph->nodes[index];
  if (node->n_in > 2) return NULL;
  return &f->plan->value[node->in[f->plan->graph->values[node->in[0]].is_static ? 0 : 1]];
}

/* Adds sign * a constant that repeats over z. */
static int fold_shift(folding *f, const xai__view *constant, float sign) {
  const xai__shape *z = &f->call->out[0].shape;
  xai__engine *e = f->call->engine;
  if (f->n_bias == channels_out(f->p)) {
    const float *v = xai__f(constant);
    for (int64_t k = 0; k < f->n_bias; k++)
      f->b[k] += sign * v[xai__count(&constant->shape) == 1 ? 0 : k];
    return XAI_OK;
  }
  xai__view full = {.dtype = XAI_F32, .shape = *z};
  full.data = xai__scratch(e, (size_t)f->n_bias, sizeof(float), f->call->err);
  if (!full.data) return f->call->err->status;
  xai__broadcast_copy(e, &full, constant);
  xai__add_scaled(e, f->b, xai__f(&full), f->n_bias, sign);
  return XAI_OK;
}

static int fold_after(folding *f, int index) {
  const xai__view *constant = constant_of(f, index);
  if (!constant) return fold_normalization(f, index);
  bool minus = !strcmp(f->plan->graph->nodes[index].op->type, "Sub");
  return fold_shift(f, constant, minus ? -1 : 1);
}

/* How long the bias will be: one number a channel, unless a part of it differs within one. */
static int64_t bias_length(const folding *f) {
  int64_t channels = channels_out(f->p);
  bool by_channel = !f->p->b || f->p->n_bias == channels;
  for (int i = 0; i < f->step->n_after && by_channel; i++) {
    const xai__view *constant = constant_of(f, f->step->after[i]);
    by_channel = !constant || is_by_channel(f, constant);
  }
  return by_channel ? channels : xai__count(&f->call->out[0].shape);
}

static int fold(folding *f) {
  int64_t inner = f->n_bias == channels_out(f->p) ? 1 : elements_per_channel(f->p);
  memcpy(f->w, f->p->w, (size_t)xai__product_weight_count(f->p) * sizeof *f->w);
  for (int64_t i = 0; i < f->n_bias; i++)
    f->b[i] = f->p->b ? f->p->b[(f->p->n_bias == channels_out(f->p) ? i / inner : i) % f->p->n_bias] : 0;
  for (int i = 0; i < f->step->n_before; i++) XAI__TRY(fold_before(f, f->step->before[i]));
  for (int i = 0; i < f->step->n_after; i++) XAI__TRY(fold_after(f, f->step->after[i]));
  return XAI_OK;
}

/* ---- where they are kept ---- */

enum { WEIGHTS, BIAS };

/* What is folded, and what of it. */
static int key_of(const xai__step *s, int what, xai__call *c, int **key) {
  int n = 0, *k = xai__scratch(c->engine, (size_t)(s->n_before + s->n_after) + 3, sizeof *k, c->err);
  if (!(*key = k)) return 0;
  k[n++] = what;
  k[n++] = s->origin;
  k[n++] = s->n_before;
  for (int i = 0; i < s->n_before; i++) k[n++] = s->before[i];
  for (int i = 0; i < s->n_after; i++) k[n++] = s->after[i];
  return n;
}

/* Whether the other operands of a node are known since the graph was loaded. */
static bool is_fixed(const xai_graph *g, const xai__node *node, int operand) {
  for (int k = 0; k < node->n_in; k++) {
    int v = node->in[k];
    if (k != operand && v >= 0 && g->values[v].is_static && !g->values[v].constant.data) return false;
  }
  return true;
}

static bool all_fixed(const xai_graph *g, const xai__step *s) {
  bool fixed = is_fixed(g, &s->node, s->operand);
  for (int i = 0; i < s->n_before; i++) fixed = fixed && is_fixed(g, &g->nodes[s->before[i]], 0);
  for (int i = 0; i < s->n_after; i++) fixed = fixed && is_fixed(g, &g->nodes[s->after[i]], -1);
  return fixed;
}

static int make(folding *f, xai__plan *plan, xai__layer *l) {
  xai__cache *of_graph = &((xai_graph *)(uintptr_t)plan->graph)->made;
  xai__cache *for_w = all_fixed(plan->graph, f->step) ? of_graph : &plan->made, *for_b = for_w;
  int *w_key, *b_key, n = key_of(f->step, WEIGHTS, f->call, &w_key);
  if (!n || !key_of(f->step, BIAS, f->call, &b_key)) return f->call->err->status;
  f->n_bias = bias_length(f);
  if (f->n_bias != channels_out(f->p)) for_b = &plan->made;
  l->w = xai__cache_find(for_w, w_key, n, NULL);
  l->b = xai__cache_find(for_b, b_key, n, NULL);
  l->n_bias = f->n_bias;
  if (l->w && l->b) return XAI_OK;
  f->w = xai__cache_new(for_w, w_key, n, xai__product_weight_count(f->p), f->call->err);
  f->b = f->w ? xai__cache_new(for_b, b_key, n, f->n_bias, f->call->err) : NULL;
  int status = f->b ? fold(f) : f->call->err->status;
  if (status) {
    xai__cache_drop(f->w);
    xai__cache_drop(f->b);
    return status;
  }
  l->w = xai__cache_put(for_w, f->w);
  l->b = xai__cache_put(for_b, f->b);
  return XAI_OK;
}

int xai__layer_product(xai__plan *plan, const xai__step *step, xai__layer *l, xai__call *c,
                       xai__product *p, int *x) {
  memset(p, 0, sizeof *p);
  XAI__TRY(step->node.op->product(c, p, x));
  if (!step->n_before && !step->n_after) return XAI_OK;
  if (!l->ready) {
    folding f = {.plan = plan, .step = step, .call = c, .p = p};
    size_t mark = xai__scratch_mark(c->engine);
    int status = make(&f, plan, l);
    xai__scratch_release(c->engine, mark);
    if (status) return status;
    l->ready = true;
  }
  p->w = l->w;
  p->b = l->b;
  p->n_bias = l->n_bias;
  return XAI_OK;
}
