/* AffineGrid: the sampling grid of an affine map [onnx.ai]: y[n, p, i] = sum_j theta[n, i, j] q[p, j]
 * with q the place p in [-1, 1], x first, and 1 last. theta [N, 2, 3] or [N, 3, 4]; size [N, C, H, W]
 * or [N, C, D, H, W]; y [N, H, W, 2] or [N, D, H, W, 3]. Linear in theta. */
#include "op/check.h"
#include "op/loop.h"

typedef struct {
  int64_t align_corners;
} grid_attr;
static const xai__field fields[] = {
    {.name = "align_corners", .type = XAI__INT, .offset = offsetof(grid_attr, align_corners)}, {0}};

static int infer(xai__call *c) {
  const int64_t *size;
  int64_t n;
  xai__shape *s = &c->out[0].shape;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(xai__need_rank(c, 0, 3, 3));
  XAI__TRY(xai__known_ints(c, 1, "size", &size, &n));
  const int64_t *theta = c->in[0].shape.d;
  if ((n != 4 && n != 5) || theta[0] != size[0] || theta[1] != n - 2 || theta[2] != n - 1)
    return XAI__MALFORMED(c, "AffineGrid: theta of shape %s, %lld sizes",
                          xai__shape_text(&c->in[0].shape).text, (long long)n);
  s->rank = (int)n;
  s->d[0] = size[0];
  for (int i = 2; i < n; i++) {
    s->d[i - 1] = size[i];
    if (size[i] < 1) return XAI__MALFORMED(c, "AffineGrid: size %lld", (long long)size[i]);
  }
  s->d[n - 1] = n - 2;
  return XAI_OK;
}

/* Coordinate j (x first) of place p. */
static double place(const xai__call *c, int64_t p, int64_t j) {
  const xai__shape *s = &c->out[0].shape;
  int axes = s->rank - 2;
  if (j == axes) return 1;
  for (int i = 0; i < j; i++) p /= s->d[axes - i];
  double n = (double)s->d[axes - j], k = (double)(p % s->d[axes - j]);
  if (((const grid_attr *)c->node->attr)->align_corners) return n > 1 ? 2 * k / (n - 1) - 1 : 0;
  return (2 * k + 1) / n - 1;
}

static void places(void *ctx, int64_t begin, int64_t end) {
  const xai__call *c = ctx;
  const xai__shape *s = &c->out[0].shape;
  int64_t rows = s->rank - 2, n = xai__span(s, 1, s->rank - 1);
  for (int64_t r = begin; r < end; r++) {
    const float *theta = xai__f(&c->in[0]) + r / n * rows * (rows + 1);
    for (int64_t i = 0; i < rows; i++) {
      double sum = 0;
      for (int64_t j = 0; j <= rows; j++)
        sum += (double)theta[i * (rows + 1) + j] * place(c, r % n, j);
      xai__f(&c->out[0])[r * rows + i] = (float)sum;
    }
  }
}

static int forward(xai__call *c) {
  xai__split(c->engine, xai__span(&c->out[0].shape, 0, c->out[0].shape.rank - 1), 256, places, c);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  const xai__shape *s = &c->out[0].shape;
  int64_t rows = s->rank - 2, n = xai__span(s, 1, s->rank - 1), size = rows * (rows + 1);
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  for (int64_t t = 0; t < s->d[0] * size; t++) {
    int64_t i = t % size / (rows + 1), j = t % (rows + 1);
    const float *g = xai__f(&gout[0]) + t / size * n * rows + i;
    double sum = 0;
    for (int64_t p = 0; p < n; p++) sum += (double)g[p * rows] * place(c, p, j);
    xai__f(&gin[0])[t] += (float)sum;
  }
  return XAI_OK;
}

const xai__op xai__op_AffineGrid = {
    .type = "AffineGrid", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 20,
    .fields = fields, .attr_size = sizeof(grid_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .cross = XAI__CROSS_NORM};
