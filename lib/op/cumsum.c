/* CumSum: y_i = sum of x_j, j <= i (exclusive: j < i; reverse: from the other end) along an axis.
 * Its transpose is itself in the other direction. */
#include "op/check.h"
#include "op/loop.h"

typedef struct {
  int64_t exclusive, reverse;
} cumsum_attr;
static const xai__field fields[] = {
    {.name = "exclusive", .type = XAI__INT, .offset = offsetof(cumsum_attr, exclusive)},
    {.name = "reverse", .type = XAI__INT, .offset = offsetof(cumsum_attr, reverse)},
    {0}};

static int axis_of(xai__call *c, int *axis) {
  const int64_t *v;
  int64_t n;
  XAI__TRY(xai__known_ints(c, 1, "axis", &v, &n));
  if (n != 1) return XAI__MALFORMED(c, "CumSum: %lld axes, must be one", (long long)n);
  return xai__axis(v[0], c->in[0].shape.rank, c, axis);
}

static int infer(xai__call *c) {
  int axis;
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = c->in[0].shape;
  return axis_of(c, &axis);
}

typedef struct {
  const void *x;
  void *y;
  int64_t n, inner;
  bool exclusive, reverse, add; /* add: y += */
} sums;

#define LINES(name, T, A, store)                                                                   \
  static void name(void *ctx, int64_t begin, int64_t end) {                                        \
    const sums *s = ctx;                                                                           \
    for (int64_t line = begin; line < end; line++) {                                               \
      int64_t first = line / s->inner * s->n * s->inner + line % s->inner;                         \
      A sum = 0;                                                                                   \
      for (int64_t k = 0; k < s->n; k++) {                                                         \
        int64_t at = first + (s->reverse ? s->n - 1 - k : k) * s->inner;                           \
        A before = sum;                                                                            \
        sum += (A)((const T *)s->x)[at];                                                           \
        T value = (T)(s->exclusive ? before : sum);                                                \
        T *y = (T *)s->y + at;                                                                     \
        store;                                                                                     \
      }                                                                                            \
    }                                                                                              \
  }
LINES(lines_f32, float, double, *y = s->add ? *y + value : value)
LINES(lines_i64, int64_t, uint64_t, *y = value)

static int run(xai__call *c, const void *x, void *y, bool adjoint) {
  const cumsum_attr *a = c->node->attr;
  const xai__shape *in = &c->in[0].shape;
  int axis;
  XAI__TRY(axis_of(c, &axis));
  sums s = {x, y, in->d[axis], xai__span(in, axis + 1, in->rank), a->exclusive != 0,
            (a->reverse != 0) != adjoint, adjoint};
  xai__split(c->engine, xai__span(in, 0, axis) * s.inner, xai__grain(s.n),
             c->in[0].dtype == XAI_F32 ? lines_f32 : lines_i64, &s);
  return XAI_OK;
}

static int forward(xai__call *c) { return run(c, c->in[0].data, c->out[0].data, false); }

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  return run(c, gout[0].data, gin[0].data, true);
}

const xai__op xai__op_CumSum = {
    .type = "CumSum", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 11,
    .fields = fields, .attr_size = sizeof(cumsum_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .cross = XAI__CROSS_NORM};
