/* Conv (ONNX 1, 11, 22): a correlation with groups, strides and dilations.
 *
 *   z[n,o,p] = b[o] + sum_{c,k} w[o,c,k] x[n, g C/G + c, p stride - pad + k dilation],  g = o G / O
 *
 * x (N,C,in...), w (O,C/G,kernel...), b (O), z (N,O,out...). One to three spatial axes. */
#include "op/linear.h"
#include "op/spatial.h"

typedef struct conv_attr {
  xai__spatial_attr window;
  int64_t group;
} conv_attr;

static const xai__field fields[] = {XAI__SPATIAL_FIELDS(false),
                                    {"group", XAI__INT, offsetof(conv_attr, group), 1, false},
                                    {0}};

static int check_channels(const xai__call *c, const conv_attr *a) {
  const xai__shape *x = &c->in[0].shape, *w = &c->in[1].shape;
  int64_t group = a->group, need;
  if (group < 1 || !xai__mul(w->d[1], group, &need) || need != x->d[1] || need == 0)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "the input has %lld channels, the weight takes %lld in %lld groups",
                     (long long)x->d[1], (long long)w->d[1], (long long)group);
  if (w->d[0] < 1 || w->d[0] % group)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "%lld output channels cannot be split into %lld groups", (long long)w->d[0],
                     (long long)group);
  return xai__need_vector(c, 2, w->d[0], "bias");
}

static int resolve(const xai__call *c, xai__spatial *w) {
  const conv_attr *a = c->node->attr;
  return xai__spatial_resolve(c, &a->window, c->in[1].shape.d + 2, false, w);
}

static int infer(xai__call *c) {
  xai__spatial w;
  XAI__TRY(xai__need_rank(c, 0, 3, 5));
  XAI__TRY(xai__need_rank(c, 1, c->in[0].shape.rank, c->in[0].shape.rank));
  for (int i = 0; i < 2; i++) XAI__TRY(xai__need_float(c, i));
  XAI__TRY(check_channels(c, c->node->attr));
  XAI__TRY(resolve(c, &w));
  c->out[0].dtype = XAI_F32;
  xai__spatial_shape(&w, c->in[0].shape.d[0], c->in[1].shape.d[0], &c->out[0].shape);
  return XAI_OK;
}

static int product(const xai__call *c, xai__product *p, int *x_operand) {
  const conv_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape, *weight = &c->in[1].shape;
  xai__spatial w;
  XAI__TRY(resolve(c, &w));
  *p = (xai__product){.kind = XAI__CONV,
                      .n = x->d[0],
                      .groups = a->group,
                      .c = weight->d[1],
                      .m = weight->d[0] / a->group,
                      .w = xai__f(&c->in[1])};
  xai__spatial_product(&w, p);
  xai__linear_bias(c, 2, weight->d[0], p);
  *x_operand = 0;
  return XAI_OK;
}

const xai__op xai__op_Conv = {
    .type = "Conv",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .since = 1,
    .fields = fields,
    .attr_size = sizeof(conv_attr),
    .infer = infer,
    .forward = xai__linear_forward,
    .vjp = xai__linear_vjp,
    .crossing = xai__linear_crossing,
    .product = product,
};
