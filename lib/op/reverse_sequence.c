/* ReverseSequence (ONNX 10): the first sequence_lens[b] steps of item b in reverse order. Axes 0
 * and 1 are time and batch in either order. It is its own inverse and transpose. */
#include "op/check.h"
#include "op/loop.h"
#include <string.h>

typedef struct reverse_attr {
  int64_t batch_axis, time_axis;
} reverse_attr;
static const xai__field fields[] = {
    {"batch_axis", XAI__INT, offsetof(reverse_attr, batch_axis), 1, false},
    {"time_axis", XAI__INT, offsetof(reverse_attr, time_axis), 0, false},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  const reverse_attr *a = attr;
  if ((a->batch_axis == 0 && a->time_axis == 1) || (a->batch_axis == 1 && a->time_axis == 0))
    return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "ReverseSequence: batch axis %lld, time axis %lld",
                   (long long)a->batch_axis, (long long)a->time_axis);
}

static int infer(xai__call *c) {
  const reverse_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape, *lens = &c->in[1].shape;
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  XAI__TRY(xai__need_int(c, 1));
  if (lens->rank != 1 || lens->d[0] != x->d[a->batch_axis])
    return XAI__MALFORMED(c, "ReverseSequence: lengths of shape %s for axis %lld of %s",
                          xai__shape_text(lens).text, (long long)a->batch_axis,
                          xai__shape_text(x).text);
  c->out[0] = (xai__view){.dtype = c->in[0].dtype, .shape = *x};
  return XAI_OK;
}

typedef struct steps {
  const int64_t *lens;
  int64_t columns, inner, bytes; /* axis 1; elements of a step; bytes of one */
  bool time_first;
  const char *x;
  char *y;
  bool add;
} steps;

static void reverse(void *ctx, int64_t begin, int64_t end) {
  const steps *s = ctx;
  for (int64_t k = begin; k < end; k++) {
    int64_t row = k / s->columns, column = k % s->columns;
    int64_t t = s->time_first ? row : column, b = s->time_first ? column : row, len = s->lens[b];
    if (t < len) t = len - 1 - t;
    int64_t from = (s->time_first ? t * s->columns + b : b * s->columns + t) * s->inner;
    int64_t to = k * s->inner;
    if (!s->add) {
      memcpy(s->y + to * s->bytes, s->x + from * s->bytes, (size_t)(s->inner * s->bytes));
      continue;
    }
    const float *x = (const float *)(const void *)s->x + from;
    float *y = (float *)(void *)s->y + to;
    for (int64_t i = 0; i < s->inner; i++) y[i] += x[i];
  }
}

static int run(xai__call *c, const void *x, void *y, bool add) {
  const xai__shape *s = &c->in[0].shape;
  steps ctx = {xai__i(&c->in[1]), s->d[1], xai__span(s, 2, s->rank),
               (int64_t)xai__dtype_size(c->in[0].dtype),
               ((const reverse_attr *)c->node->attr)->time_axis == 0, x, y, add};
  xai__split(c->engine, s->d[0] * s->d[1], xai__grain(ctx.inner), reverse, &ctx);
  return XAI_OK;
}

static int forward(xai__call *c) {
  const int64_t *lens = xai__i(&c->in[1]);
  int64_t length = c->in[0].shape.d[((const reverse_attr *)c->node->attr)->time_axis];
  for (int64_t b = 0; b < c->in[1].shape.d[0]; b++)
    if (lens[b] < 0 || lens[b] > length)
      return xai__fail(c->err, c->in_static[1] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "ReverseSequence: length %lld of item %lld, there are %lld steps",
                       (long long)lens[b], (long long)b, (long long)length);
  return run(c, c->in[0].data, c->out[0].data, false);
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || !gin[0].data) return XAI_OK;
  return run(c, gout[0].data, gin[0].data, true);
}

const xai__op xai__op_ReverseSequence = {
    .type = "ReverseSequence", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 10,
    .fields = fields, .attr_size = sizeof(reverse_attr), .check = check, .infer = infer,
    .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_ROUTE};
