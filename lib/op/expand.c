/* Expand and Tile: repeated operands. */
#include "op/broadcast.h"

/* ---- Expand: y is x broadcast together with a shape ---- */

static int expand_infer(xai__call *c) {
  const int64_t *v;
  int64_t n;
  XAI__TRY(xai__known_ints(c, 1, "shape", &v, &n));
  if (n > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "Expand: rank %lld, at most %d is supported", (long long)n,
                          XAI__MAX_RANK);
  xai__shape wanted = {.rank = (int)n};
  bool fits = true;
  for (int i = 0; i < wanted.rank; i++) {
    wanted.d[i] = v[i];
    fits = fits && v[i] >= 0;
  }
  if (!fits || !xai__shape_broadcast(&c->in[0].shape, &wanted, &c->out[0].shape))
    return XAI__MALFORMED(c, "Expand: %s does not expand to %s",
                          xai__shape_text(&c->in[0].shape).text, xai__shape_text(&wanted).text);
  c->out[0].dtype = c->in[0].dtype;
  return xai__need_countable(c, &c->out[0].shape);
}

static int expand_forward(xai__call *c) {
  xai__broadcast_copy(c->engine, &c->out[0], &c->in[0]);
  return XAI_OK;
}

static int expand_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (gin[0].data && gout[0].data) xai__sum_to(c->engine, &gin[0], &gout[0], 1);
  return XAI_OK;
}

const xai__op xai__op_Expand = {
    .type = "Expand", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 8,
    .infer = expand_infer, .forward = expand_forward, .vjp = expand_vjp,
    .cross = XAI__CROSS_ROUTE};

/* ---- Tile: y[r * d + i] = x[i] along every axis; each axis of y is looped over as (r, i) ---- */

static int tile_infer(xai__call *c) {
  const xai__shape *in = &c->in[0].shape;
  const int64_t *v;
  int64_t n;
  XAI__TRY(xai__known_ints(c, 1, "repeats", &v, &n));
  if (n != in->rank)
    return XAI__MALFORMED(c, "Tile: %lld repeats for a tensor of rank %d", (long long)n, in->rank);
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape.rank = in->rank;
  for (int i = 0; i < in->rank; i++)
    if (!xai__mul(in->d[i], v[i], &c->out[0].shape.d[i]))
      return XAI__MALFORMED(c, "Tile: axis %d of size %lld cannot be repeated %lld times", i,
                            (long long)in->d[i], (long long)v[i]);
  return xai__need_countable(c, &c->out[0].shape);
}

static xai__loop tiles(const xai__call *c, bool adjoint) {
  const xai__shape *in = &c->in[0].shape;
  const int64_t *repeats = xai__i(&c->in[1]);
  int64_t x[XAI__MAX_RANK], y[XAI__MAX_RANK], wide[2][XAI__LOOP_RANK];
  xai__strides(in, x);
  xai__strides(&c->out[0].shape, y);
  xai__loop l = {.rank = 2 * in->rank};
  for (int i = 0; i < in->rank; i++) {
    l.d[2 * i] = repeats[i];
    l.d[2 * i + 1] = in->d[i];
    wide[0][2 * i] = in->d[i] * y[i];
    wide[0][2 * i + 1] = y[i];
    wide[1][2 * i] = 0;
    wide[1][2 * i + 1] = x[i];
  }
  xai__loop_add_strides(&l, wide[adjoint]);
  xai__loop_add_strides(&l, wide[!adjoint]);
  return l;
}

static int tile_forward(xai__call *c) {
  xai__loop l = tiles(c, false);
  xai__copy(c->engine, &l, c->in[0].dtype, c->out[0].data, c->in[0].data);
  return XAI_OK;
}

static int tile_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  xai__loop l = tiles(c, true);
  xai__add_sums(c->engine, &l, xai__f(&gin[0]), xai__f(&gout[0]), 1);
  return XAI_OK;
}

const xai__op xai__op_Tile = {
    .type = "Tile", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 6,
    .infer = tile_infer, .forward = tile_forward, .vjp = tile_vjp, .cross = XAI__CROSS_ROUTE};
