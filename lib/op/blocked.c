/* Blocked views, and operators that work on them element for element. */
#include "op/blocked.h"

#include <string.h>

xai__blocked xai__blocked_of(const xai__view *v) {
  const xai__shape *s = &v->shape;
  bool is_image = s->rank == 3 || s->rank == 4;
  if (!v->blocked && !is_image)
    return (xai__blocked){.n = xai__times(v), .c = 1, .h = 1, .w = xai__count(s), .plain = true, .data = v->data};
  return (xai__blocked){.n = s->d[0] * xai__times(v),
                        .c = s->d[1],
                        .h = s->rank == 4 ? s->d[2] : 1,
                        .w = s->d[s->rank - 1],
                        .border = v->blocked ? v->blocked - 1 : 0,
                        .plain = !v->blocked,
                        .data = v->data};
}

int64_t xai__stored(const xai__view *v) {
  if (!v->blocked) return xai__count(&v->shape) * xai__times(v);
  xai__blocked b = xai__blocked_of(v);
  return xai__blocked_count(&b);
}

xai__view xai__some_targets(const xai__view *v, int64_t first, int64_t n) {
  xai__view some = *v;
  some.times = 1;
  if (v->data) some.data = xai__f(v) + first * xai__stored(&some);
  some.times = n;
  return some;
}

bool xai__blocked_is_plain(const xai__view *v) {
  const xai__shape *s = &v->shape;
  return v->blocked <= 1 && (s->rank == 3 || s->rank == 4) && s->d[1] % XAI__BLOCK == 0 &&
         xai__span(s, 2, s->rank) == 1;
}

/* ---- element for element ---- */

/* Whether zeros, as in borders and spare lanes, stay zeros: tried out. */
static bool zero_stays(const xai__call *c) {
  size_t mark = xai__scratch_mark(c->engine);
  xai_error err;
  float zero = 0, y = 1;
  xai__view number = {.dtype = XAI_F32, .shape = {1, {1}}, .data = &zero}, out = number;
  xai__view *in = xai__scratch(c->engine, (size_t)c->n_in, sizeof *in, &err);
  out.data = &y;
  for (int k = 0; in && k < c->n_in; k++)
    in[k] = c->in_static[k] || c->in[k].shape.rank < 0 ? c->in[k] : number;
  xai__call at_zero = {c->node, c->n_in, 1, in, &out, c->in_static, c->engine, &err};
  bool stays = in && !c->node->op->forward(&at_zero) && y == 0;
  xai__scratch_release(c->engine, mark);
  return stays;
}

static bool alike_serves(const xai__call *c) {
  for (int k = 0; k < c->n_in; k++) {
    if (c->in[k].shape.rank < 0) continue;
    bool number = xai__count(&c->in[k].shape) == 1 && c->in[k].data;
    bool same = c->in[k].blocked && xai__shape_equal(&c->in[k].shape, &c->out[0].shape);
    if (c->in_static[k] ? !number : !same) return false;
  }
  return true;
}

static void clear_planes(void *ctx, int64_t begin, int64_t end) {
  const xai__blocked *b = ctx;
  const int64_t blocks = (b->c + XAI__BLOCK - 1) / XAI__BLOCK, edge = b->border * XAI__BLOCK;
  const int64_t row = (b->w + 2 * b->border) * XAI__BLOCK, rows = b->h + 2 * b->border;
  for (int64_t plane = begin; plane < end; plane++) {
    float *at = b->data + plane * rows * row;
    const int64_t used = b->c - plane % blocks * XAI__BLOCK;
    for (int64_t y = 0; y < rows; y++, at += row) {
      const bool inside = y >= b->border && y < b->border + b->h;
      memset(at, 0, (size_t)(inside ? edge : row) * sizeof *at);
      if (!inside) continue;
      memset(at + row - edge, 0, (size_t)edge * sizeof *at);
      for (int64_t x = edge; used < XAI__BLOCK && x < row - edge; x += XAI__BLOCK)
        memset(at + x + used, 0, (size_t)(XAI__BLOCK - used) * sizeof *at);
    }
  }
}

void xai__blocked_clear(xai__engine *e, const xai__blocked *b) {
  int64_t cost = (b->h + 2 * b->border) * XAI__BLOCK;
  if (b->border || b->c % XAI__BLOCK)
    xai__parallel(e, xai__blocked_planes(b), xai__grain(cost), clear_planes, (void *)(uintptr_t)b);
}

static xai__view flat(const xai__view *v) {
  if (!v->blocked) return *v;
  return (xai__view){.dtype = v->dtype, .shape = {1, {xai__stored(v)}}, .fresh = v->fresh,
                     .data = v->data};
}

/* The call with flat views, in scratch. */
static int flatten(const xai__call *c, xai__call *f) {
  xai__view *v = xai__scratch(c->engine, (size_t)(c->n_in + c->n_out), sizeof *v, c->err);
  if (!v) return c->err->status;
  for (int k = 0; k < c->n_in; k++) v[k] = flat(&c->in[k]);
  for (int k = 0; k < c->n_out; k++) v[c->n_in + k] = flat(&c->out[k]);
  *f = *c;
  f->in = v;
  f->out = v + c->n_in;
  return XAI_OK;
}

static int alike_forward(xai__call *c) {
  xai__call f;
  XAI__TRY(flatten(c, &f));
  XAI__TRY(c->node->op->forward(&f));
  xai__blocked y = xai__blocked_of(&c->out[0]);
  if (!zero_stays(c)) xai__blocked_clear(c->engine, &y);
  return XAI_OK;
}

static int alike_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  xai__call f;
  XAI__TRY(flatten(c, &f));
  xai__view *g = xai__scratch(c->engine, (size_t)c->n_in + 1, sizeof *g, c->err);
  if (!g) return c->err->status;
  for (int k = 0; k < c->n_in; k++) g[k] = flat(&gin[k]);
  xai__view from = flat(&gout[0]);
  return c->node->op->vjp(&f, &from, g);
}

const xai__op_blocked xai__blocked_alike = {alike_serves, XAI__ALIKE, alike_forward, alike_vjp};
