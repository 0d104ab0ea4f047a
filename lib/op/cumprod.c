/* CumProd (ONNX 26): y_i = product of x_j, j <= i (exclusive: j < i; reverse: from the other end)
 * along an axis. With P_j the product of what comes before x_j,
 *
 *   dL/dx_j = P_j S_j,   S_j = g_j + x_j+1 S_j+1   (exclusive: S_j = g_j+1 + x_j+1 S_j+1)
 *
 * which needs no division. */
#include "op/check.h"
#include "op/loop.h"

typedef struct cumprod_attr {
  int64_t exclusive, reverse;
} cumprod_attr;
static const xai__field fields[] = {
    {"exclusive", XAI__INT, offsetof(cumprod_attr, exclusive), 0, false},
    {"reverse", XAI__INT, offsetof(cumprod_attr, reverse), 0, false},
    {0}};

static int axis_of(xai__call *c, int *axis) {
  const int64_t *v;
  int64_t n;
  XAI__TRY(xai__known_ints(c, 1, "axis", &v, &n));
  if (n != 1) return XAI__MALFORMED(c, "CumProd: %lld axes, must be one", (long long)n);
  return xai__axis(v[0], c->in[0].shape.rank, c, axis);
}

static int infer(xai__call *c) {
  int axis;
  XAI__TRY(xai__need_float(c, 0));
  c->out[0] = (xai__view){.dtype = XAI_F32, .shape = c->in[0].shape};
  return axis_of(c, &axis);
}

/* Lines along the axis: element k of one is at first + k * step. */
typedef struct lines {
  int64_t n, inner;
  bool exclusive, reverse;
  const float *x, *g;
  float *y;     /* written; backward added to */
  double *before; /* P, backward */
} lines;

static int64_t first_of(const lines *l, int64_t line, int64_t *step) {
  int64_t first = line / l->inner * l->n * l->inner + line % l->inner;
  *step = l->reverse ? -l->inner : l->inner;
  return l->reverse ? first + (l->n - 1) * l->inner : first;
}

static void multiply(void *ctx, int64_t begin, int64_t end) {
  const lines *l = ctx;
  for (int64_t line = begin; line < end; line++) {
    int64_t step, at = first_of(l, line, &step);
    double product = 1;
    for (int64_t k = 0; k < l->n; k++, at += step) {
      double before = product;
      product *= (double)l->x[at];
      l->y[at] = (float)(l->exclusive ? before : product);
    }
  }
}

static void differentiate(void *ctx, int64_t begin, int64_t end) {
  const lines *l = ctx;
  for (int64_t line = begin; line < end; line++) {
    int64_t step, first = first_of(l, line, &step);
    double *before = l->before + line * l->n, product = 1, after = 0;
    for (int64_t k = 0; k < l->n; k++) {
      before[k] = product;
      product *= (double)l->x[first + k * step];
    }
    for (int64_t k = l->n - 1; k >= 0; k--) {
      int64_t at = first + k * step;
      double g = (double)l->g[at], x = (double)l->x[at];
      if (!l->exclusive) after += g;
      l->y[at] += (float)(before[k] * after);
      after = x * after + (l->exclusive ? g : 0);
    }
  }
}

static int run(xai__call *c, lines l, xai__range_fn f) {
  const cumprod_attr *a = c->node->attr;
  const xai__shape *in = &c->in[0].shape;
  int axis;
  XAI__TRY(axis_of(c, &axis));
  l.x = xai__f(&c->in[0]);
  l.n = in->d[axis];
  l.inner = xai__span(in, axis + 1, in->rank);
  l.exclusive = a->exclusive != 0;
  l.reverse = a->reverse != 0;
  xai__split(c->engine, xai__span(in, 0, axis) * l.inner, xai__grain(l.n), f, &l);
  return XAI_OK;
}

static int forward(xai__call *c) {
  return run(c, (lines){.y = xai__f(&c->out[0])}, multiply);
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  size_t mark = xai__scratch_mark(c->engine);
  int64_t n = xai__count(&c->in[0].shape);
  double *before = xai__scratch(c->engine, (size_t)n, sizeof *before, c->err);
  if (!before) return XAI_E_MEMORY;
  int status = run(c, (lines){.g = xai__f(&gout[0]), .y = xai__f(&gin[0]), .before = before},
                   differentiate);
  xai__scratch_release(c->engine, mark);
  return status;
}

const xai__op xai__op_CumProd = {
    .type = "CumProd", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 26,
    .fields = fields, .attr_size = sizeof(cumprod_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_REFUSED};
