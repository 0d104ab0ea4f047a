/* Slice: x[start:end:step] along some axes, as in Python; starts, ends and axes are attributes
 * before opset 10, operands since. */
#include "op/check.h"
#include "op/loop.h"

typedef struct {
  xai__ints starts, ends, axes;
} slice_attr;
static const xai__field fields[] = {
    {.name = "starts", .type = XAI__INTS, .offset = offsetof(slice_attr, starts)},
    {.name = "ends", .type = XAI__INTS, .offset = offsetof(slice_attr, ends)},
    {.name = "axes", .type = XAI__INTS, .offset = offsetof(slice_attr, axes)},
    {0}};

typedef struct {
  xai__shape shape;
  int64_t start[XAI__MAX_RANK], step[XAI__MAX_RANK];
} slice;

/* starts, ends, axes, steps */
static int ranges(xai__call *c, xai__ints list[4]) {
  static const char *const name[] = {"starts", "ends", "axes", "steps"};
  const slice_attr *a = c->node->attr;
  list[0] = a->starts, list[1] = a->ends, list[2] = a->axes, list[3] = (xai__ints){0, NULL};
  if (c->n_in == 1) return XAI_OK;
  for (int k = 0; k < 4; k++) {
    int64_t n;
    XAI__TRY(xai__optional_ints(c, k + 1, name[k], &list[k].v, &n));
    if (n > XAI__MAX_RANK)
      return XAI__MALFORMED(c, "Slice: %lld %s for a tensor of rank %d", (long long)n, name[k],
                            c->in[0].shape.rank);
    list[k].n = (int)n;
  }
  return XAI_OK;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
  return v < low ? low : v > high ? high : v;
}

/* One axis of size n: bounds clamped as Python does, so that start + i * step stays inside. */
static void cut(int64_t n, int64_t start, int64_t end, int64_t step, slice *s, int axis) {
  int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  start = clamp(start < 0 ? start + n : start, low, high);
  end = clamp(end < 0 ? end + n : end, low, high);
  step = clamp(step, -n - 1, n + 1);
  int64_t way = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
  s->shape.d[axis] = way > 0 ? (way - 1) / stride + 1 : 0;
  s->start[axis] = way > 0 ? start : 0;
  s->step[axis] = step;
}

static int resolve(xai__call *c, slice *s) {
  xai__ints list[4];
  bool named[XAI__MAX_RANK];
  XAI__TRY(ranges(c, list));
  int n = list[0].n;
  if (list[1].n != n || (list[2].n && list[2].n != n) || (list[3].n && list[3].n != n) ||
      n > c->in[0].shape.rank)
    return XAI__MALFORMED(c, "Slice: %d starts, %d ends, %d axes, %d steps for a tensor of rank %d",
                          n, list[1].n, list[2].n, list[3].n, c->in[0].shape.rank);
  XAI__TRY(xai__axes_mark(c, list[2], c->in[0].shape.rank, named));
  s->shape = c->in[0].shape;
  for (int i = 0; i < XAI__MAX_RANK; i++) s->start[i] = 0, s->step[i] = 1;
  for (int i = 0; i < n; i++) {
    int axis = i;
    int64_t step = list[3].n ? list[3].v[i] : 1;
    if (list[2].n) XAI__TRY(xai__axis(list[2].v[i], s->shape.rank, c, &axis));
    if (step == 0) return XAI__MALFORMED(c, "Slice: step 0 along axis %d", axis);
    cut(c->in[0].shape.d[axis], list[0].v[i], list[1].v[i], step, s, axis);
  }
  return XAI_OK;
}

static int infer(xai__call *c) {
  slice s;
  XAI__TRY(resolve(c, &s));
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = s.shape;
  return XAI_OK;
}

static int forward(xai__call *c) {
  slice s;
  XAI__TRY(resolve(c, &s));
  xai__box_get(c->engine, &c->out[0], &c->in[0], s.start, s.step, false);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  slice s;
  XAI__TRY(resolve(c, &s));
  xai__box_put(c->engine, &gout[0], &gin[0], s.start, s.step, true);
  return XAI_OK;
}

const xai__op xai__op_Slice = {
    .type = "Slice", .min_in = 1, .max_in = 5, .min_out = 1, .max_out = 1, .since = 1,
    .fields = fields, .attr_size = sizeof(slice_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_ROUTE};
