/* Concat: the operands one after the other along an axis. */
#include "op/check.h"
#include "op/loop.h"

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
  for (int k = 0; k < c->n_in; k++) {
    xai__box_put(c->engine, &c->in[k], &c->out[0], start, NULL, false);
    start[axis] += c->in[k].shape.d[axis];
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

const xai__op xai__op_Concat = {
    .type = "Concat", .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1, .since = 4,
    .fields = fields, .attr_size = sizeof(concat_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_ROUTE};
