/* A linear layer with what is folded into it: z = after(W before(x) + b) as one W' x + b'.
 *
 * W' and b' are made once a graph and shared by its sessions; what follows from the shapes of the
 * inputs (a bias of one number an element, constants computed from shapes) belongs to the plan. */
#include <string.h>

#include "exec/convert.h"
#include "exec/layer.h"
#include "op/broadcast.h"
#include "op/own.h"

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

/* How many weights in a row belong to one channel. */
static int64_t run_length(const xai__product *p, bool output) {
  if (p->kind != XAI__MATMUL) return output && p->kind == XAI__CONV ? p->c * taps(p) : taps(p);
  bool m_is_last = p->w_transposed == p->w_left;
  return output == m_is_last ? 1 : m_is_last ? p->m : p->c;
}

static void scale_weights(folding *f, const float *scale, bool output) {
  int64_t n = xai__product_weight_count(f->p), run = run_length(f->p, output);
  for (int64_t i = 0; i < n; i += run) {
    float by = scale[channel_of(f->p, i, output)];
    for (int64_t k = i; k < i + run; k++) f->w[k] *= by;
  }
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
  if (f->w) xai__graph_copy(f->plan->graph, f->p->w, xai__product_weight_count(f->p), f->w);
  for (int64_t i = 0; i < f->n_bias; i++)
    f->b[i] = f->p->b ? f->p->b[(f->p->n_bias == channels_out(f->p) ? i / inner : i) % f->p->n_bias] : 0;
  for (int i = 0; i < f->step->n_before; i++) XAI__TRY(fold_before(f, f->step->before[i]));
  for (int i = 0; i < f->step->n_after; i++) XAI__TRY(fold_after(f, f->step->after[i]));
  return XAI_OK;
}

/* ---- where they are kept ---- */

enum { WEIGHTS, BIAS, PACKED, PANELS = 16 }; /* PACKED + xai__pack_form + 2 x the edit's form;
                                              * PANELS + the instruction set */

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

static xai__cache *cache_of(xai__plan *plan, const xai__step *s) {
  const xai_graph *g = plan->graph;
  bool fixed = is_fixed(g, &s->node, s->operand);
  for (int i = 0; i < s->n_before; i++) fixed = fixed && is_fixed(g, &g->nodes[s->before[i]], 0);
  for (int i = 0; i < s->n_after; i++) fixed = fixed && is_fixed(g, &g->nodes[s->after[i]], -1);
  return fixed ? &((xai_graph *)(uintptr_t)g)->made : &plan->made;
}

static bool is_folded(const xai__step *s) { return s->n_before || s->n_after; }

/* Whether only constants are added, to weights that lie in the node's own operand. */
static bool leaves_weights(const folding *f, const xai__layer_use *u) {
  if (f->step->n_before || f->p->w != xai__f(&u->call->in[1 - u->x])) return false;
  for (int i = 0; i < f->step->n_after; i++)
    if (!constant_of(f, f->step->after[i])) return false;
  return true;
}

/* Folds; the weights are kept only where they are multiplied as they are. */
static int make_folded(xai__layer_use *u, bool keep_weights) {
  folding f = {.plan = u->plan, .step = u->step, .call = u->call, .p = &u->p};
  xai__layer *l = u->layer;
  xai_error *err = u->call->err;
  xai__cache *for_w = cache_of(u->plan, u->step), *for_b = for_w;
  int *w_key, *b_key, n = key_of(u->step, WEIGHTS, u->call, &w_key);
  if (!n || !key_of(u->step, BIAS, u->call, &b_key)) return err->status;
  l->n_bias = f.n_bias = bias_length(&f);
  if (f.n_bias != channels_out(f.p)) for_b = &u->plan->made;
  l->b = xai__cache_find(for_b, b_key, n, NULL);
  const bool own = u->x < 2 && leaves_weights(&f, u);
  if (own) l->w = f.p->w;
  else if (keep_weights) l->w = xai__cache_find(for_w, w_key, n, NULL);
  if (l->b && (l->w || !keep_weights)) return XAI_OK;
  if (!own) f.w = xai__cache_new(for_w, w_key, n, xai__product_weight_count(f.p), err);
  f.b = own || f.w ? xai__cache_new(for_b, b_key, n, f.n_bias, err) : NULL;
  int status = f.b ? fold(&f) : err->status;
  if (!status) l->b = xai__cache_put(for_b, f.b);
  else xai__cache_drop(f.b);
  if (!status && keep_weights && !own) l->w = xai__cache_put(for_w, f.w);
  else xai__cache_drop(f.w);
  return status;
}

/* The weights of a layer as they are, or folded into f's arrays. own: the node's own product. */
static int weights_of(xai__layer_use *u, xai__cache *cache, xai__product *own, folding *f,
                      const float **w) {
  xai_error *err = u->call->err;
  int x;
  XAI__TRY(u->step->node.op->product(u->call, own, &x));
  *w = own->w;
  if (!is_folded(u->step)) return XAI_OK;
  *f = (folding){.plan = u->plan, .step = u->step, .call = u->call, .p = own};
  f->n_bias = u->layer->n_bias;
  f->w = xai__cache_new(cache, NULL, 0, xai__product_weight_count(own), err);
  f->b = f->w ? xai__cache_new(cache, NULL, 0, f->n_bias, err) : NULL;
  *w = f->w;
  return f->b ? fold(f) : err->status;
}

static bool is_loose(const xai__product *p) { return xai__is_loose(&(xai__view){.data = (void *)(uintptr_t)p->w}); }

/* Loose weights where they can be read: a copy, to be dropped. */
static int take_loose(const xai__layer_use *u, xai__cache *cache, xai__product *p, float **copy) {
  const int64_t n = xai__product_weight_count(p);
  if (!is_loose(p)) return XAI_OK;
  if (!(*copy = xai__cache_new(cache, NULL, 0, n, u->call->err))) return u->call->err->status;
  xai__graph_copy(u->plan->graph, p->w, n, *copy);
  p->w = *copy;
  return XAI_OK;
}

/* Packs the weights; squares and ones in their place if that is asked for. */
static int make_packed(xai__layer_use *u, xai__pack_form form, xai__edit we) {
  xai__cache *cache = cache_of(u->plan, u->step);
  xai_error *err = u->call->err;
  int *key, n = key_of(u->step, PACKED + (int)form + 2 * (int)we.form, u->call, &key);
  const float **slot = &u->layer->packed[form][we.form];
  if (!n) return err->status;
  if ((*slot = xai__cache_find(cache, key, n, NULL))) return XAI_OK;
  folding f = {0};
  xai__product p = u->p, own = {0};
  int64_t count = xai__product_weight_count(&p);
  float *edited = NULL, *copy = NULL, *to = xai__cache_new(cache, key, n, xai__pack_count(&p, form), err);
  int status = to ? weights_of(u, cache, &own, &f, &p.w) : err->status;
  if (!status) status = take_loose(u, cache, &p, &copy);
  if (!status && we.form != XAI__LINEAR) {
    edited = xai__cache_new(cache, NULL, 0, count, err);
    for (int64_t i = 0; edited && i < count; i++) edited[i] = xai__edited(we, p.w[i]);
    if (!edited) status = err->status;
    p.w = edited;
  }
  if (!status) {
    xai__pack(u->call->engine, &p, form, to);
    *slot = xai__cache_put(cache, to);
    xai__graph_forget(u->plan->graph, own.w, (size_t)count * sizeof *own.w);
  } else {
    xai__cache_drop(to);
  }
  xai__cache_drop(copy);
  xai__cache_drop(edited);
  xai__cache_drop(f.w);
  xai__cache_drop(f.b);
  return status;
}

/* The packed weights, and what is left to edit of them. */
static int packed(const xai__layer_use *u, xai__pack_form form, xai__edit *we, const float **to) {
  xai__engine *e = u->call->engine;
  size_t mark = xai__scratch_mark(e);
  xai__layer_use making = *u;
  if (!u->layer->packed[form][we->form]) XAI__TRY(make_packed(&making, form, *we));
  xai__scratch_release(e, mark);
  *to = u->layer->packed[form][we->form];
  if (we->form != XAI__LINEAR) *we = xai__identity;
  return XAI_OK;
}

/* ---- use ---- */

int xai__layer_open(xai__plan *plan, const xai__step *step, xai__layer *l, xai__call *c,
                    xai__layer_use *u) {
  *u = (xai__layer_use){.plan = plan, .step = step, .layer = l, .call = c, .times = 1};
  XAI__TRY(step->node.op->product(c, &u->p, &u->x));
  u->blocked = plan->native[step->origin];
  if (is_folded(step)) {
    size_t mark = xai__scratch_mark(c->engine);
    if (!l->b) XAI__TRY(make_folded(u, !u->blocked));
    u->blocked = u->blocked && l->n_bias == channels_out(&u->p);
    if (!u->blocked && !l->w) XAI__TRY(make_folded(u, true));
    xai__scratch_release(c->engine, mark);
    u->p.w = u->blocked ? NULL : l->w;
    u->p.b = l->b;
    u->p.n_bias = l->n_bias;
  }
  return XAI_OK;
}

/* The layout in which a side of the layer is to be: a border that is there already will do if it is
 * large enough. */
static int layout_of(const xai__layer_use *u, const xai__view *v, xai__side_of side) {
  if (!u->blocked || (side == XAI__INPUT_SIDE && xai__blocked_image(&u->p))) return 0;
  xai__pack_form form = side == XAI__INPUT_SIDE ? XAI__PACK_FORWARD : XAI__PACK_ADJOINT;
  int least = 1 + (side == XAI__RESULT_SIDE ? 0 : (int)xai__blocked_border(&u->p, form));
  return v->blocked < least ? least : v->blocked;
}

int xai__layer_take(const xai__layer_use *u, const xai__view *v, xai__side_of side, xai__blocked *t) {
  xai__view w;
  XAI__TRY(xai__convert(u->call->engine, v, layout_of(u, v, side), &w, u->call->err));
  *t = xai__blocked_of(&w);
  return XAI_OK;
}

int xai__layer_room(const xai__layer_use *u, const xai__view *v, xai__side_of side, xai__view *room) {
  return xai__convert_room(u->call->engine, v, layout_of(u, v, side), room, u->call->err);
}

int64_t xai__layer_together(const xai__layer_use *u, int64_t targets) {
  if (u->p.w_batches > 1) return 1;
  const int64_t in = xai__stored(&u->call->in[u->x]), out = xai__stored(&u->call->out[0]);
  return xai__together(in * (int64_t)sizeof(float), out * (int64_t)sizeof(float), targets);
}

typedef struct finish_job {
  const xai__finish *f;
  const float *z;
  float *s;
} finish_job;

static void stabilize(void *ctx, int64_t begin, int64_t end) {
  const finish_job *j = ctx;
  for (int64_t i = begin; i < end; i++) j->s[i] = xai__stab(j->z[i], j->f->stabilizer);
}

static void divide(void *ctx, int64_t begin, int64_t end) {
  const finish_job *j = ctx;
  const xai__finish *f = j->f;
  const float *R = f->other->data, *by = f->by ? f->by->data : NULL, *z = j->z;
  const float coef = f->coef, e = f->stabilizer, sign = f->by_sign;
  float *s = j->s;
  if (!by)
    for (int64_t i = begin; i < end; i++) s[i] = coef * xai__ratio(R[i], xai__stab(z[i], e));
  else
    for (int64_t i = begin; i < end; i++) {
      const float r = R[i]; /* read in any case, or the loop is not vectorised */
      s[i] = coef * xai__ratio(sign * by[i] > 0 ? r : 0, xai__stab(z[i], e));
    }
}

void xai__layer_divide(xai__engine *e, const xai__blocked *z, const xai__finish *f, float *s) {
  finish_job j = {f, z->data, s};
  xai__parallel(e, xai__blocked_count(z), 4096, f->form == XAI__STAB ? stabilize : divide, &j);
}

int64_t xai__layer_panels(const xai__engine *e, const xai__product *p) {
  enum { ROWS_WORTH = 32 }; /* a copy */
  return p->batch * p->rows < ROWS_WORTH ? 0 : xai__product_pack_count(e, p);
}

/* The weights of a matrix product in panels; without memory for them they are multiplied in place. */
static const float *panels(const xai__layer_use *u) {
  xai__engine *e = u->call->engine;
  xai__layer *l = u->layer;
  const int64_t count = xai__layer_panels(e, &u->p);
  if (l->panels || !count) return l->panels;
  xai__cache *cache = cache_of(u->plan, u->step);
  size_t mark = xai__scratch_mark(e);
  int *key, n = key_of(u->step, PANELS + xai__engine_isa(e), u->call, &key);
  if (n) l->panels = xai__cache_find(cache, key, n, NULL);
  float *made = n && !l->panels ? xai__cache_new(cache, key, n, count, NULL) : NULL;
  xai__product p = u->p;
  float *copy = NULL;
  if (made && !take_loose(u, cache, &p, &copy)) {
    xai__product_pack(e, &p, made);
    l->panels = xai__cache_put(cache, made);
  } else {
    xai__cache_drop(made);
  }
  xai__cache_drop(copy);
  xai__scratch_release(e, mark);
  return l->panels;
}

/* The product with its weights where they can be multiplied in place. */
static int in_place(const xai__layer_use *u, xai__product *p) {
  xai__layer *l = u->layer;
  *p = u->p;
  if (!is_loose(p)) return XAI_OK;
  if (!l->aligned) l->aligned = xai__graph_aligned(u->plan->graph, u->step->node.in[u->x == 0], u->call->err);
  p->w = l->aligned;
  return p->w ? XAI_OK : u->call->err->status;
}

typedef struct applying {
  xai__map map;
  const xai__finish *f;
} applying;

static void apply(const xai__map *m, float *v, int64_t n) {
  const xai__finish *f = ((const applying *)(const void *)m)->f;
  f->apply(f->low, f->high, v, n);
}

/* On the plain engine: activations by their own loops, STAB and DIVIDE after the product. */
static int plain_forward(const xai__layer_use *u, const xai__blocked *x, xai__edit xe, xai__edit we,
                         xai__edit be, const xai__blocked *z, const xai__finish *f) {
  xai__engine *e = u->call->engine;
  xai__epilogue ep = xai__set;
  const applying a = {{apply}, f};
  const bool activates = f->form == XAI__CLIP || f->form == XAI__BEND || f->form == XAI__APPLY;
  if (f->add) ep.x = f->add->data;
  if (activates) ep.map = &a.map;
  xai__product p = u->p;
  if (xai__edit_is_identity(we)) p.packed = panels(u);
  if (!p.packed) XAI__TRY(in_place(u, &p));
  XAI__TRY(xai__product_forward(e, &p, x->data, xe, we, be, z->data, ep, u->call->err));
  if (f->form == XAI__DIVIDE || f->form == XAI__STAB) xai__layer_divide(e, z, f, z->data);
  return XAI_OK;
}

int xai__layer_forward(const xai__layer_use *u, const xai__blocked *x, xai__edit xe, xai__edit we,
                       xai__edit be, const xai__blocked *z, const xai__finish *f) {
  const float *w;
  if (!u->blocked) return plain_forward(u, x, xe, we, be, z, f);
  XAI__TRY(packed(u, XAI__PACK_FORWARD, &we, &w));
  return xai__blocked_forward(u->call->engine, &u->p, w, x, xe, we, be, z, f, u->call->err);
}

int xai__layer_adjoint(const xai__layer_use *u, const xai__blocked *s, xai__edit we,
                       const xai__blocked *g, const xai__finish *f) {
  xai__engine *e = u->call->engine;
  xai__product p = u->p;
  const float *w;
  if (!u->blocked) XAI__TRY(in_place(u, &p));
  p.n *= u->times;
  p.batch *= u->times;
  if (u->blocked) {
    XAI__TRY(packed(u, xai__pack_read(&u->p, XAI__PACK_ADJOINT), &we, &w));
    return xai__blocked_adjoint(e, &p, w, s, we, g, f, u->call->err);
  }
  xai__epilogue ep = f->accumulate ? xai__add_to : xai__set;
  if (f->form == XAI__TIMES) {
    if (!f->accumulate) xai__fill(e, g->data, xai__blocked_count(g), 0);
    ep = (xai__epilogue){XAI__MULTIPLY_ADD, f->coef, f->other->data, f->edit, NULL};
  }
  return xai__product_adjoint(e, &p, s->data, we, g->data, ep, u->call->err);
}
