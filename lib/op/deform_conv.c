/* DeformConv [Dai et al. 2017; Zhu et al. 2019]: a convolution whose taps are moved by an offset and
 * scaled by a mask: y[o, p] = b_o + sum_{c,k} w[o, c, k] m[k, p] x[c, p s + k d - pad + offset[k, p]],
 * x between pixels, 0 outside. x [N, C, H, W], w [M, C/g, kh, kw], offset [N, 2 G kh kw, h, w] (y
 * before x), mask [N, G kh kw, h, w]: G groups of channels share offsets. Linear in x: relevance
 * treats offsets and mask as constants. */
#include <math.h>
#include <string.h>

#include "op/check.h"
#include "op/loop.h"
#include "op/own.h"

typedef struct {
  xai__ints dilations, kernel_shape, pads, strides;
  int64_t group, offset_group;
} deform_attr;
static const xai__field fields[] = {
    {.name = "dilations", .type = XAI__INTS, .offset = offsetof(deform_attr, dilations)},
    {.name = "kernel_shape", .type = XAI__INTS, .offset = offsetof(deform_attr, kernel_shape)},
    {.name = "pads", .type = XAI__INTS, .offset = offsetof(deform_attr, pads)},
    {.name = "strides", .type = XAI__INTS, .offset = offsetof(deform_attr, strides)},
    {.name = "group", .type = XAI__INT, .offset = offsetof(deform_attr, group), .preset = 1},
    {.name = "offset_group", .type = XAI__INT, .offset = offsetof(deform_attr, offset_group), .preset = 1},
    {0}};

typedef struct deform {
  int64_t items, channels, in[2], kernel[2], out[2], stride[2], dilation[2], pad[2];
  int64_t m, groups, offset_groups, taps, places;
  const float *x, *w, *offset, *mask, *gcol;
  float *col, *gx, *goffset, *gmask;
} deform;

static bool sane(int64_t v) { return v >= 0 && v <= 1 << 30; }

static int deform_of(xai__call *c, deform *d) {
  const deform_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape, *w = &c->in[1].shape, *off = &c->in[2].shape;
  memset(d, 0, sizeof *d);
  for (int i = 0; i < 5; i++) XAI__TRY(xai__need_float(c, i));
  for (int i = 0; i < 3; i++) XAI__TRY(xai__need_rank(c, i, 4, 4));
  *d = (deform){.items = x->d[0], .channels = x->d[1], .m = w->d[0], .groups = a->group,
                .offset_groups = a->offset_group, .taps = w->d[2] * w->d[3]};
  if (d->groups < 1 || d->offset_groups < 1 || d->channels % d->groups || d->m % d->groups ||
      d->channels % d->offset_groups || w->d[1] != d->channels / d->groups)
    return XAI__MALFORMED(c, "DeformConv: weights of shape %s for %s in %lld and %lld groups",
                          xai__shape_text(w).text, xai__shape_text(x).text, (long long)a->group,
                          (long long)a->offset_group);
  if ((a->dilations.n && a->dilations.n != 2) || (a->strides.n && a->strides.n != 2) ||
      (a->pads.n && a->pads.n != 4) || (a->kernel_shape.n && a->kernel_shape.n != 2))
    return XAI__MALFORMED(c, "DeformConv: an attribute is not of two axes");
  for (int i = 0; i < 2; i++) {
    int64_t tail = a->pads.n ? a->pads.v[i + 2] : 0;
    d->in[i] = x->d[i + 2];
    d->kernel[i] = w->d[i + 2];
    d->stride[i] = a->strides.n ? a->strides.v[i] : 1;
    d->dilation[i] = a->dilations.n ? a->dilations.v[i] : 1;
    d->pad[i] = a->pads.n ? a->pads.v[i] : 0;
    if (a->kernel_shape.n && a->kernel_shape.v[i] != d->kernel[i])
      return XAI__MALFORMED(c, "DeformConv: kernel_shape %lld, weights %lld",
                            (long long)a->kernel_shape.v[i], (long long)d->kernel[i]);
    if (d->kernel[i] < 1 || d->stride[i] < 1 || d->dilation[i] < 1 || !sane(d->kernel[i]) ||
        !sane(d->stride[i]) || !sane(d->dilation[i]) || !sane(d->pad[i]) || !sane(tail) || !sane(d->in[i]) ||
        d->in[i] + d->pad[i] + tail < (d->kernel[i] - 1) * d->dilation[i] + 1)
      return XAI__MALFORMED(c, "DeformConv: axis %d of %lld, kernel %lld", i, (long long)d->in[i],
                            (long long)d->kernel[i]);
    d->out[i] = (d->in[i] + d->pad[i] + tail - (d->kernel[i] - 1) * d->dilation[i] - 1) / d->stride[i] + 1;
  }
  d->places = d->out[0] * d->out[1];
  xai__shape want = {4, {d->items, 2 * d->offset_groups * d->taps, d->out[0], d->out[1]}};
  if (!xai__shape_equal(off, &want))
    return XAI__MALFORMED(c, "DeformConv: offset of shape %s, must be %s", xai__shape_text(off).text,
                          xai__shape_text(&want).text);
  want.d[1] /= 2;
  if (xai__has(c, 4) && !xai__shape_equal(&c->in[4].shape, &want))
    return XAI__MALFORMED(c, "DeformConv: mask of shape %s, must be %s",
                          xai__shape_text(&c->in[4].shape).text, xai__shape_text(&want).text);
  XAI__TRY(xai__need_vector(c, 3, d->m, "bias"));
  c->out[0].shape = (xai__shape){4, {d->items, d->m, d->out[0], d->out[1]}};
  d->x = xai__f(&c->in[0]);
  d->w = xai__f(&c->in[1]);
  d->offset = xai__f(&c->in[2]);
  d->mask = xai__has(c, 4) ? xai__f(&c->in[4]) : NULL;
  return XAI_OK;
}

static int infer(xai__call *c) {
  deform d;
  return deform_of(c, &d);
}

/* ---- samples: col[c][k][p] ---- */

/* Where tap (channel, k) of place p falls: the four pixels around, their weights, the slopes of these. */
typedef struct tap {
  int64_t at[4], offset, mask; /* -1: outside; offset of y, that of x is `places` further */
  double w[4], dy[4], dx[4], scale;
} tap;

static tap tap_of(const deform *d, int64_t channel, int64_t k, int64_t p) {
  int64_t group = channel / (d->channels / d->offset_groups), at = group * d->taps + k;
  tap t = {.offset = 2 * at * d->places + p, .mask = at * d->places + p};
  t.scale = d->mask ? (double)d->mask[t.mask] : 1;
  double y = (double)(p / d->out[1] * d->stride[0] - d->pad[0] + k / d->kernel[1] * d->dilation[0]) +
             (double)d->offset[t.offset];
  double x = (double)(p % d->out[1] * d->stride[1] - d->pad[1] + k % d->kernel[1] * d->dilation[1]) +
             (double)d->offset[t.offset + d->places];
  double y0 = floor(y), x0 = floor(x), ly = y - y0, lx = x - x0;
  for (int i = 0; i < 4; i++) {
    double v = y0 + i / 2, u = x0 + i % 2, wy = i / 2 ? ly : 1 - ly, wx = i % 2 ? lx : 1 - lx;
    bool inside = v >= 0 && v < (double)d->in[0] && u >= 0 && u < (double)d->in[1];
    t.at[i] = inside ? (int64_t)v * d->in[1] + (int64_t)u : -1;
    t.w[i] = wy * wx;
    t.dy[i] = i / 2 ? wx : -wx;
    t.dx[i] = i % 2 ? wy : -wy;
  }
  return t;
}

/* Rows (channel, k) of col. */
static void sample(void *ctx, int64_t begin, int64_t end) {
  const deform *d = ctx;
  for (int64_t r = begin; r < end; r++) {
    const float *x = d->x + r / d->taps * d->in[0] * d->in[1];
    for (int64_t p = 0; p < d->places; p++) {
      tap t = tap_of(d, r / d->taps, r % d->taps, p);
      double v = 0;
      for (int i = 0; i < 4; i++)
        if (t.at[i] >= 0) v += t.w[i] * (double)x[t.at[i]];
      d->col[r * d->places + p] = (float)(v * t.scale);
    }
  }
}

/* Channels of x. */
static void sample_back(void *ctx, int64_t begin, int64_t end) {
  const deform *d = ctx;
  for (int64_t r = begin * d->taps; r < end * d->taps; r++)
    for (int64_t p = 0; p < d->places; p++) {
      tap t = tap_of(d, r / d->taps, r % d->taps, p);
      for (int i = 0; i < 4; i++)
        if (t.at[i] >= 0)
          d->gx[r / d->taps * d->in[0] * d->in[1] + t.at[i]] +=
              (float)(t.w[i] * t.scale) * d->gcol[r * d->places + p];
    }
}

/* Groups of offsets. */
static void offset_back(void *ctx, int64_t begin, int64_t end) {
  const deform *d = ctx;
  int64_t share = d->channels / d->offset_groups;
  for (int64_t r = begin * share * d->taps; r < end * share * d->taps; r++) {
    const float *x = d->x + r / d->taps * d->in[0] * d->in[1];
    for (int64_t p = 0; p < d->places; p++) {
      tap t = tap_of(d, r / d->taps, r % d->taps, p);
      double g = (double)d->gcol[r * d->places + p], v = 0, dy = 0, dx = 0;
      for (int i = 0; i < 4; i++) {
        if (t.at[i] < 0) continue;
        v += t.w[i] * (double)x[t.at[i]];
        dy += t.dy[i] * (double)x[t.at[i]];
        dx += t.dx[i] * (double)x[t.at[i]];
      }
      if (d->gmask) d->gmask[t.mask] += (float)(g * v);
      if (d->goffset) {
        d->goffset[t.offset] += (float)(g * t.scale * dy);
        d->goffset[t.offset + d->places] += (float)(g * t.scale * dx);
      }
    }
  }
}

/* z = w col of each group, or col = w' z. */
static int multiply(xai__call *c, const deform *d, const float *col, float *z, bool adjoint) {
  int64_t rows = d->channels / d->groups * d->taps, m = d->m / d->groups;
  xai__gemm g = {.batch = d->groups, .m = adjoint ? rows : m, .n = d->places, .k = adjoint ? m : rows,
                 .a_stride = m * rows, .b_stride = (adjoint ? m : rows) * d->places,
                 .z_stride = (adjoint ? rows : m) * d->places, .a_transposed = adjoint};
  return xai__gemm_run(c->engine, &g, d->w, col, z, xai__set, c->err);
}

/* To the next item. */
static void next_item(deform *d) {
  int64_t x = d->channels * d->in[0] * d->in[1], taps = d->offset_groups * d->taps * d->places;
  d->x += x;
  d->offset += 2 * taps;
  if (d->mask) d->mask += taps;
  if (d->gx) d->gx += x;
  if (d->goffset) d->goffset += 2 * taps;
  if (d->gmask) d->gmask += taps;
}

static float *columns(xai__call *c, const deform *d) {
  return xai__scratch(c->engine, (size_t)(d->channels * d->taps) * (size_t)d->places + 1, sizeof(float), c->err);
}

static int forward(xai__call *c) {
  deform d;
  XAI__TRY(deform_of(c, &d));
  if (!(d.col = columns(c, &d))) return c->err->status;
  float *y = xai__f(&c->out[0]);
  for (int64_t n = 0; n < d.items; n++, y += d.m * d.places, next_item(&d)) {
    xai__split(c->engine, d.channels * d.taps, xai__grain(8 * d.places), sample, &d);
    XAI__TRY(multiply(c, &d, d.col, y, false));
    for (int64_t i = 0; xai__has(c, 3) && i < d.m * d.places; i++) y[i] += xai__f(&c->in[3])[i / d.places];
  }
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  deform d;
  if (gin[1].data || (c->n_in > 3 && gin[3].data))
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "DeformConv: no derivative by its weights or its bias");
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(deform_of(c, &d));
  float *col = columns(c, &d);
  if (!col) return c->err->status;
  const float *g = xai__f(&gout[0]);
  d.gcol = col;
  d.gx = xai__f(&gin[0]);
  d.goffset = xai__f(&gin[2]);
  d.gmask = c->n_in > 4 ? xai__f(&gin[4]) : NULL;
  for (int64_t n = 0; n < d.items; n++, g += d.m * d.places, next_item(&d)) {
    XAI__TRY(multiply(c, &d, g, col, true));
    if (d.gx) xai__split(c->engine, d.channels, 1, sample_back, &d);
    if (d.goffset || d.gmask) xai__split(c->engine, d.offset_groups, 1, offset_back, &d);
  }
  return XAI_OK;
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  bool weights = in_static[1] && (node->n_in < 4 || in_static[3]);
  return weights ? XAI__CROSS_OWN : XAI__CROSS_REFUSED;
}

const xai__op xai__op_DeformConv = {
    .type = "DeformConv", .min_in = 3, .max_in = 5, .min_out = 1, .max_out = 1, .since = 19,
    .fields = fields, .attr_size = sizeof(deform_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .crossing = crossing, .relevance = xai__own_first};
