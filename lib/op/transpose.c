/* Transpose: y[i_perm(0), i_perm(1), ...] = x[i_0, i_1, ...]. */
#include "op/blocked.h"
#include "op/check.h"
#include "op/loop.h"
#include "op/strided.h"

typedef struct {
  xai__ints perm;
} transpose_attr;
static const xai__field fields[] = {
    {.name = "perm", .type = XAI__INTS, .offset = offsetof(transpose_attr, perm)}, {0}};

/* Axis of x behind axis i of y: reversed order by default. */
static int source(const xai__call *c, int i) {
  const transpose_attr *a = c->node->attr;
  return a->perm.n ? (int)a->perm.v[i] : c->in[0].shape.rank - 1 - i;
}

static int infer(xai__call *c) {
  const transpose_attr *a = c->node->attr;
  const xai__shape *in = &c->in[0].shape;
  bool used[XAI__MAX_RANK] = {false};
  if (a->perm.n && a->perm.n != in->rank)
    return XAI__MALFORMED(c, "Transpose: perm names %d axes of a tensor of rank %d", a->perm.n,
                          in->rank);
  for (int i = 0; i < a->perm.n; i++) {
    int64_t p = a->perm.v[i];
    if (p < 0 || p >= in->rank || used[p])
      return XAI__MALFORMED(c, "Transpose: perm is no permutation of %d axes", in->rank);
    used[p] = true;
  }
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape.rank = in->rank;
  for (int i = 0; i < in->rank; i++) c->out[0].shape.d[i] = in->d[source(c, i)];
  return XAI_OK;
}

static void permuted(const xai__call *c, int64_t *stride) {
  int64_t natural[XAI__MAX_RANK];
  xai__strides(&c->in[0].shape, natural);
  for (int i = 0; i < c->in[0].shape.rank; i++) stride[i] = natural[source(c, i)];
}

static bool view(const xai__call *c, xai__strided *v) {
  const xai__strided x = *v;
  v->shape = c->out[0].shape;
  for (int i = 0; i < x.shape.rank; i++) v->stride[i] = x.stride[source(c, i)];
  return true;
}

static int forward(xai__call *c) {
  int64_t stride[XAI__MAX_RANK];
  permuted(c, stride);
  xai__loop l = xai__loop_over(&c->out[0].shape);
  xai__loop_add(&l, &c->out[0].shape);
  xai__loop_add_strides(&l, stride);
  xai__copy(c->engine, &l, c->in[0].dtype, c->out[0].data, c->in[0].data);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  int64_t stride[XAI__MAX_RANK];
  permuted(c, stride);
  xai__loop l = xai__loop_over(&c->out[0].shape);
  xai__loop_add_strides(&l, stride);
  xai__loop_add(&l, &c->out[0].shape);
  xai__add_copy(c->engine, &l, xai__f(&gin[0]), xai__f(&gout[0]), 1);
  return XAI_OK;
}

const xai__op xai__op_Transpose = {
    .type = "Transpose", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 1,
    .fields = fields, .attr_size = sizeof(transpose_attr), .infer = infer, .blocked = &xai__blocked_channels_last, .view = view, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_NONE, .cross = XAI__CROSS_ROUTE};
