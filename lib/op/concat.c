/* Concat: the operands one after the other along an axis. What already lies there (exec/inside.c) stays. */
#include "op/blocked.h"
#include "op/check.h"
#include "op/loop.h"
#include <string.h>

typedef struct {
  int64_t axis;
} concat_attr;
static const xai__field fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(concat_attr, axis), .required = true},
    {0}};

static int axis_of(const xai__call *c, int *axis) {
  return xai__axis(((const concat_attr *)c->node->attr)->axis, c->in[0].shape.rank, c, axis);
}

static int infer(xai__call *c) {
  int axis;
  XAI__TRY(xai__need_same(c, 0));
  XAI__TRY(axis_of(c, &axis));
  xai__shape *s = &c->out[0].shape;
  *s = c->in[0].shape;
  c->out[0].dtype = c->in[0].dtype;
  for (int k = 1; k < c->n_in; k++) {
    const xai__shape *in = &c->in[k].shape;
    bool fits = in->rank == s->rank;
    for (int i = 0; fits && i < s->rank; i++) fits = i == axis || in->d[i] == s->d[i];
    if (!fits || !xai__add(s->d[axis], in->d[axis], &s->d[axis]))
      return XAI__MALFORMED(c, "Concat: shapes %s and %s do not fit along axis %d",
                            xai__shape_text(&c->in[0].shape).text, xai__shape_text(in).text, axis);
  }
  return xai__need_countable(c, s);
}

static int forward(xai__call *c) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  int64_t start[XAI__MAX_RANK] = {0};
  const char *to = c->out[0].data;
  for (int k = 0; k < c->n_in; k++) {
    if (c->in[k].data != to) xai__box_put(c->engine, &c->in[k], &c->out[0], start, NULL, false);
    start[axis] += c->in[k].shape.d[axis];
    to += xai__count(&c->in[k].shape) * (int64_t)xai__dtype_size(c->in[k].dtype);
  }
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  int64_t start[XAI__MAX_RANK] = {0};
  for (int k = 0; k < c->n_in && gout[0].data; k++) {
    if (gin[k].data) xai__box_get(c->engine, &gin[k], &gout[0], start, NULL, true);
    start[axis] += c->in[k].shape.d[axis];
  }
  return XAI_OK;
}

/* ---- blocked: whole blocks of channels, so that none is cut ---- */

static bool blocked_serves(const xai__call *c) {
  int axis;
  if (axis_of(c, &axis) || axis != 1) return false;
  for (int k = 0; k < c->n_in; k++)
    if (!c->in[k].blocked || (k < c->n_in - 1 && c->in[k].shape.d[1] % XAI__BLOCK)) return false;
  return true;
}

typedef struct block_ctx {
  xai__blocked part;
  float *whole;        /* the place of the part's first item */
  int64_t item, plane; /* floats of an item of the whole; of a plane with its border */
  bool add;            /* part += its place; else the place = part */
} block_ctx;

static void block_planes(void *ctx, int64_t begin, int64_t end) {
  const block_ctx *b = ctx;
  const int64_t blocks = xai__blocked_planes(&b->part) / b->part.n;
  for (int64_t i = begin; i < end; i++) {
    float *p = b->part.data + i * b->plane;
    float *w = b->whole + i / blocks * b->item + i % blocks * b->plane;
    if (!b->add) memcpy(w, p, (size_t)b->plane * sizeof *w);
    for (int64_t k = 0; b->add && k < b->plane; k++) p[k] += w[k];
  }
}

/* Every part of the whole that has data, copied or added; what lies there already is left. */
static void block_all(xai__call *c, const xai__view *parts, const xai__view *whole, bool add) {
  const xai__blocked all = xai__blocked_of(whole);
  block_ctx b = {.whole = all.data, .item = xai__stored(whole) / all.n, .add = add,
                 .plane = xai__stored(whole) / xai__blocked_planes(&all)};
  for (int k = 0; k < c->n_in; k++) {
    b.part = xai__blocked_of(&parts[k]);
    const int64_t planes = xai__blocked_planes(&b.part);
    if (b.part.data && b.part.data != b.whole)
      xai__parallel(c->engine, planes, xai__grain(b.plane), block_planes, &b);
    b.whole += planes / b.part.n * b.plane;
  }
}

static int blocked_forward(xai__call *c) {
  block_all(c, c->in, &c->out[0], false);
  return XAI_OK;
}

static int blocked_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (gout[0].data) block_all(c, gin, &gout[0], true);
  return XAI_OK;
}

static const xai__op_blocked blocked = {blocked_serves, XAI__ALIKE, blocked_forward, blocked_vjp};

const xai__op xai__op_Concat = {
    .type = "Concat", .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1, .since = 4,
    .fields = fields, .attr_size = sizeof(concat_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_NONE, .blocked = &blocked, .cross = XAI__CROSS_ROUTE};
