/* Col2Im: sums of the columns of blocks at the places in the image that they came from [onnx.ai].
 * x [N, C prod(block), L] -> y [N, C, image...], L places of a block in the padded image. */
#include <string.h>

#include "op/check.h"
#include "op/loop.h"

typedef struct {
  xai__ints dilations, pads, strides;
} col_attr;
static const xai__field fields[] = {
    {.name = "dilations", .type = XAI__INTS, .offset = offsetof(col_attr, dilations)},
    {.name = "pads", .type = XAI__INTS, .offset = offsetof(col_attr, pads)},
    {.name = "strides", .type = XAI__INTS, .offset = offsetof(col_attr, strides)},
    {0}};

enum { AXES = XAI__MAX_RANK - 2, LARGEST = 1 << 30 };

typedef struct columns {
  int axes;
  int64_t image[AXES], block[AXES], places[AXES], dilation[AXES], stride[AXES], pad[AXES];
  int64_t n_image, n_block, n_places;
  const float *from;
  float *to;
} columns;

static int64_t entry(xai__ints v, int i, int64_t preset) { return v.n ? v.v[i] : preset; }

static int columns_of(xai__call *c, columns *m) {
  const col_attr *a = c->node->attr;
  const int64_t *image, *block;
  int64_t n, n_block;
  memset(m, 0, sizeof *m);
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 3, 3));
  XAI__TRY(xai__known_ints(c, 1, "image_shape", &image, &n));
  XAI__TRY(xai__known_ints(c, 2, "block_shape", &block, &n_block));
  if (n != n_block || n < 1 || n > AXES || (a->dilations.n && a->dilations.n != n) ||
      (a->strides.n && a->strides.n != n) || (a->pads.n && a->pads.n != 2 * n))
    return XAI__MALFORMED(c, "Col2Im: lists of %lld, %lld, %d, %d and %d numbers", (long long)n,
                          (long long)n_block, a->dilations.n, a->pads.n, a->strides.n);
  m->axes = (int)n;
  m->n_image = m->n_block = m->n_places = 1;
  for (int i = 0; i < n; i++) {
    int64_t d = entry(a->dilations, i, 1), s = entry(a->strides, i, 1);
    int64_t head = entry(a->pads, i, 0), tail = entry(a->pads, i + (int)n, 0);
    int64_t in = image[i], b = block[i], limit = LARGEST;
    if (in < 1 || b < 1 || d < 1 || s < 1 || head < 0 || tail < 0 || in > limit || b > limit ||
        d > limit || s > limit || head > limit || tail > limit || (b - 1) * d + 1 > in + head + tail)
      return XAI__MALFORMED(c, "Col2Im: axis %d: image %lld, block %lld", i, (long long)in, (long long)b);
    m->image[i] = in;
    m->block[i] = b;
    m->dilation[i] = d;
    m->stride[i] = s;
    m->pad[i] = head;
    m->places[i] = (in + head + tail - (b - 1) * d - 1) / s + 1;
    if (!xai__mul(m->n_image, in, &m->n_image) || !xai__mul(m->n_block, b, &m->n_block) ||
        !xai__mul(m->n_places, m->places[i], &m->n_places))
      return XAI__MALFORMED(c, "Col2Im: too large");
  }
  const int64_t *x = c->in[0].shape.d;
  if (x[1] % m->n_block || x[2] != m->n_places)
    return XAI__MALFORMED(c, "Col2Im: shape %s for blocks of %lld at %lld places",
                          xai__shape_text(&c->in[0].shape).text, (long long)m->n_block,
                          (long long)m->n_places);
  c->out[0].shape = (xai__shape){2 + m->axes, {x[0], x[1] / m->n_block}};
  for (int i = 0; i < n; i++) c->out[0].shape.d[2 + i] = image[i];
  return XAI_OK;
}

static int infer(xai__call *c) {
  columns m;
  return columns_of(c, &m);
}

/* The pixel of entry k of the block at place p, or -1 outside. */
static int64_t pixel(const columns *m, int64_t k, int64_t p) {
  int64_t at = 0, step = 1;
  for (int i = m->axes - 1; i >= 0; i--) {
    int64_t x = p % m->places[i] * m->stride[i] + k % m->block[i] * m->dilation[i] - m->pad[i];
    if (x < 0 || x >= m->image[i]) return -1;
    at += x * step;
    step *= m->image[i];
    p /= m->places[i];
    k /= m->block[i];
  }
  return at;
}

/* Planes (item, channel). */
static void fold(void *ctx, int64_t begin, int64_t end) {
  const columns *m = ctx;
  for (int64_t plane = begin; plane < end; plane++) {
    float *y = m->to + plane * m->n_image;
    const float *x = m->from + plane * m->n_block * m->n_places;
    memset(y, 0, (size_t)m->n_image * sizeof *y);
    for (int64_t k = 0; k < m->n_block; k++)
      for (int64_t p = 0; p < m->n_places; p++) {
        int64_t at = pixel(m, k, p);
        if (at >= 0) y[at] += x[k * m->n_places + p];
      }
  }
}

static void unfold(void *ctx, int64_t begin, int64_t end) {
  const columns *m = ctx;
  for (int64_t plane = begin; plane < end; plane++)
    for (int64_t k = 0; k < m->n_block; k++)
      for (int64_t p = 0; p < m->n_places; p++) {
        int64_t at = pixel(m, k, p);
        if (at >= 0)
          m->to[(plane * m->n_block + k) * m->n_places + p] += m->from[plane * m->n_image + at];
      }
}

static int run(xai__call *c, xai__range_fn f, const float *from, float *to) {
  columns m;
  XAI__TRY(columns_of(c, &m));
  m.from = from;
  m.to = to;
  xai__split(c->engine, c->out[0].shape.d[0] * c->out[0].shape.d[1],
             xai__grain(m.n_block * m.n_places), f, &m);
  return XAI_OK;
}

static int forward(xai__call *c) { return run(c, fold, xai__f(&c->in[0]), xai__f(&c->out[0])); }

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  return run(c, unfold, xai__f(&gout[0]), xai__f(&gin[0]));
}

const xai__op xai__op_Col2Im = {
    .type = "Col2Im", .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .since = 18,
    .fields = fields, .attr_size = sizeof(col_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .cross = XAI__CROSS_NORM};
