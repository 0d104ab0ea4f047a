/* Split: parts of an operand along an axis, of given sizes (an attribute before opset 13, an
 * operand since) or equal ones; with num_outputs (opset 18) the last part may be smaller. */
#include "op/check.h"
#include "op/loop.h"

typedef struct {
  int64_t axis, num_outputs;
  xai__ints split;
} split_attr;
static const xai__field fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(split_attr, axis)},
    {.name = "num_outputs", .type = XAI__INT, .offset = offsetof(split_attr, num_outputs)},
    {.name = "split", .type = XAI__INTS, .offset = offsetof(split_attr, split)},
    {0}};

static int axis_of(const xai__call *c, int *axis) {
  return xai__axis(((const split_attr *)c->node->attr)->axis, c->in[0].shape.rank, c, axis);
}

static int unequal(const xai__call *c, int64_t size) {
  return XAI__MALFORMED(c, "Split: %lld elements do not make %d equal parts", (long long)size,
                        c->n_out);
}

static int set_sizes(xai__call *c, int axis, int64_t size, const xai__ints *given) {
  const split_attr *a = c->node->attr;
  int64_t part = (size + c->n_out - 1) / c->n_out, left = size;
  if (given->n && given->n != c->n_out)
    return XAI__MALFORMED(c, "Split: %d sizes for %d outputs", given->n, c->n_out);
  if (a->num_outputs && a->num_outputs != c->n_out)
    return XAI__MALFORMED(c, "Split: num_outputs is %lld, there are %d",
                          (long long)a->num_outputs, c->n_out);
  if (!given->n && !a->num_outputs && size % c->n_out) return unequal(c, size);
  for (int k = 0; k < c->n_out; k++) {
    int64_t d = given->n ? given->v[k] : k < c->n_out - 1 ? part : left;
    if (d < 0 || d > left) {
      if (!given->n) return unequal(c, size);
      return XAI__MALFORMED(c, "Split: part %d has size %lld, %lld of %lld are left", k,
                            (long long)d, (long long)left, (long long)size);
    }
    c->out[k].dtype = c->in[0].dtype;
    c->out[k].shape = c->in[0].shape;
    c->out[k].shape.d[axis] = d;
    left -= d;
  }
  if (!left) return XAI_OK;
  return XAI__MALFORMED(c, "Split: the parts leave %lld of %lld elements", (long long)left,
                        (long long)size);
}

static int infer(xai__call *c) {
  xai__ints given = ((const split_attr *)c->node->attr)->split;
  int axis;
  XAI__TRY(axis_of(c, &axis));
  if (!given.n) {
    int64_t n;
    XAI__TRY(xai__optional_ints(c, 1, "split", &given.v, &n));
    if (n > c->n_out)
      return XAI__MALFORMED(c, "Split: %lld sizes for %d outputs", (long long)n, c->n_out);
    given.n = (int)n;
  }
  return set_sizes(c, axis, c->in[0].shape.d[axis], &given);
}

static int forward(xai__call *c) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  int64_t start[XAI__MAX_RANK] = {0};
  for (int k = 0; k < c->n_out; k++) {
    if (c->out[k].data) xai__box_get(c->engine, &c->out[k], &c->in[0], start, NULL, false);
    start[axis] += c->out[k].shape.d[axis];
  }
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  int64_t start[XAI__MAX_RANK] = {0};
  for (int k = 0; k < c->n_out && gin[0].data; k++) {
    if (gout[k].data) xai__box_put(c->engine, &gout[k], &gin[0], start, NULL, true);
    start[axis] += c->out[k].shape.d[axis];
  }
  return XAI_OK;
}

const xai__op xai__op_Split = {
    .type = "Split", .min_in = 1, .max_in = 2, .min_out = 1, .max_out = -1, .since = 2,
    .fields = fields, .attr_size = sizeof(split_attr), .infer = infer,
    .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_NONE,
    .cross = XAI__CROSS_ROUTE};
