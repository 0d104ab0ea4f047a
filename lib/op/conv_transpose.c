/* ConvTranspose (ONNX 1, 11, 22): the adjoint of Conv, learnt upsampling.
 *
 *   z[n, g M + m, i stride - pad + k dilation] += w[g C/G + c, m, k] x[n, g C/G + c, i], plus b
 *
 * x (N,C,in...), w (C,M,kernel...), b (G M), z (N,G M,out...).
 *   out = stride (in - 1) + output_padding + (kernel - 1) dilation + 1 - pad - pad_end
 * With output_shape the pads follow from it; with auto_pad SAME out = in * stride. */
#include "op/linear.h"
#include "op/spatial.h"

typedef struct conv_attr {
  xai__spatial_attr window;
  int64_t group;
  xai__ints output_padding, output_shape;
} conv_attr;

static const xai__field fields[] = {
    XAI__SPATIAL_FIELDS(false),
    {"group", XAI__INT, offsetof(conv_attr, group), 1, false},
    {"output_padding", XAI__INTS, offsetof(conv_attr, output_padding), 0, false},
    {"output_shape", XAI__INTS, offsetof(conv_attr, output_shape), 0, false},
    {0}};

static int check_channels(const xai__call *c, const conv_attr *a) {
  const xai__shape *x = &c->in[0].shape, *w = &c->in[1].shape;
  int64_t out;
  if (w->d[0] != x->d[1] || a->group < 1 || w->d[0] < 1 || w->d[0] % a->group)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "the input has %lld channels, the weight takes %lld in %lld groups",
                     (long long)x->d[1], (long long)w->d[0], (long long)a->group);
  if (w->d[1] < 1 || !xai__mul(w->d[1], a->group, &out))
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "the weight has %lld output channels",
                     (long long)w->d[1]);
  return xai__need_vector(c, 2, out, "bias");
}

/* `full`: size of the output without any padding. */
static int resolve_axis(const xai__call *c, const conv_attr *a, int i, xai__spatial *w) {
  int k = i - (3 - w->axes);
  int64_t extra = a->output_padding.n ? a->output_padding.v[k] : 0;
  if (extra < 0 || extra > XAI__SPATIAL_MAX)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name, "output_padding is %lld",
                     (long long)extra);
  int64_t full = w->stride[i] * (w->in[i] - 1) + xai__spatial_extent(w, i) + extra, wanted = -1;
  if (a->output_shape.n) wanted = a->output_shape.v[a->output_shape.n - w->axes + k];
  else if (a->window.auto_pad && a->window.auto_pad[0] == 'S') wanted = w->in[i] * w->stride[i];
  if (wanted >= 0)
    xai__spatial_split(&a->window, full > wanted ? full - wanted : 0, &w->pad[i], &w->pad_end[i]);
  w->out[i] = wanted >= 0 ? wanted : full - w->pad[i] - w->pad_end[i];
  if (w->out[i] >= 1 && w->out[i] <= XAI__SPATIAL_MAX) return XAI_OK;
  return xai__fail(c->err, XAI_E_MODEL, c->node->name, "a spatial axis of the output would be %lld",
                   (long long)w->out[i]);
}

static int resolve(const xai__call *c, xai__spatial *w) {
  const conv_attr *a = c->node->attr;
  XAI__TRY(xai__spatial_read(c, &a->window, c->in[1].shape.d + 2, w));
  if (a->output_padding.n && a->output_padding.n != w->axes)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "output_padding has %d values for %d spatial axes", a->output_padding.n,
                     w->axes);
  if (a->output_shape.n && a->output_shape.n != w->axes && a->output_shape.n != w->axes + 2)
    return xai__fail(c->err, XAI_E_MODEL, c->node->name,
                     "output_shape has %d values for %d spatial axes", a->output_shape.n, w->axes);
  for (int i = 3 - w->axes; i < 3; i++) XAI__TRY(resolve_axis(c, a, i, w));
  return XAI_OK;
}

static int infer(xai__call *c) {
  const conv_attr *a = c->node->attr;
  xai__spatial w;
  XAI__TRY(xai__need_rank(c, 0, 3, 5));
  XAI__TRY(xai__need_rank(c, 1, c->in[0].shape.rank, c->in[0].shape.rank));
  for (int i = 0; i < 2; i++) XAI__TRY(xai__need_float(c, i));
  XAI__TRY(check_channels(c, a));
  XAI__TRY(resolve(c, &w));
  c->out[0].dtype = XAI_F32;
  xai__spatial_shape(&w, c->in[0].shape.d[0], c->in[1].shape.d[1] * a->group, &c->out[0].shape);
  return XAI_OK;
}

static int product(const xai__call *c, xai__product *p, int *x_operand) {
  const conv_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape, *weight = &c->in[1].shape;
  xai__spatial w;
  XAI__TRY(resolve(c, &w));
  *p = (xai__product){.kind = XAI__CONV_TRANSPOSE,
                      .n = x->d[0],
                      .groups = a->group,
                      .c = x->d[1] / a->group,
                      .m = weight->d[1],
                      .w = xai__f(&c->in[1])};
  xai__spatial_product(&w, p);
  xai__linear_bias(c, 2, weight->d[1] * a->group, p);
  *x_operand = 0;
  return XAI_OK;
}

const xai__op xai__op_ConvTranspose = {
    .type = "ConvTranspose",
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
