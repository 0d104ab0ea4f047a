/* Resize, Upsample: nearest, linear or cubic, by scales or to sizes.
 *
 * Relevance: nearest is routed, the others are linear maps without weights (norm). Upsample and
 * Resize of opset 10 count pixels from their corner (asymmetric) and round down. align_corners goes
 * by whole result sizes, as PyTorch and onnxruntime do, not by size * scale as the standard's
 * reference does. */
#include "op/resize.h"

#include <math.h>
#include <string.h>

static const char *const choices[4][7] = {
    {"nearest", "linear", "cubic", NULL},
    {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
     "tf_crop_and_resize", NULL},
    {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL},
    {"stretch", "not_larger", "not_smaller", NULL},
};
enum { MODE, COORDINATES, ROUNDING, POLICY };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };

#define AT(member) offsetof(xai__resize_attr, member)
static const xai__field resize_fields[] = {
    {.name = "mode", .type = XAI__TEXT, .offset = AT(name[MODE])},
    {.name = "coordinate_transformation_mode", .type = XAI__TEXT, .offset = AT(name[COORDINATES])},
    {.name = "nearest_mode", .type = XAI__TEXT, .offset = AT(name[ROUNDING])},
    {.name = "keep_aspect_ratio_policy", .type = XAI__TEXT, .offset = AT(name[POLICY])},
    {.name = "cubic_coeff_a", .type = XAI__FLOAT, .offset = AT(cubic_a), .preset = -0.75},
    {.name = "extrapolation_value", .type = XAI__FLOAT, .offset = AT(outside_value)},
    {.name = "exclude_outside", .type = XAI__INT, .offset = AT(exclude_outside)},
    {.name = "antialias", .type = XAI__INT, .offset = AT(antialias)},
    {.name = "axes", .type = XAI__INTS, .offset = AT(axes)},
    {0}};
static const xai__field upsample_fields[] = {
    {.name = "mode", .type = XAI__TEXT, .offset = AT(name[MODE])},
    {.name = "scales", .type = XAI__FLOATS, .offset = AT(scales)},
    {0}};

static bool is_resize_11(const xai__node *node) {
  return node->opset >= 11 && !strcmp(node->op->type, "Resize");
}

static int check(const xai__node *node, void *attr, xai_error *err) {
  xai__resize_attr *a = attr;
  for (int k = 0; k < 4; k++) {
    const char *const *name = choices[k];
    while (a->name[k] && *name && strcmp(*name, a->name[k])) name++;
    if (a->name[k] && !*name)
      return xai__fail(err, XAI_E_UNSUPPORTED, node->name, "%s: unknown choice '%s'",
                       node->op->type, a->name[k]);
    a->choice[k] = (int)(name - choices[k]);
  }
  if (is_resize_11(node)) return XAI_OK;
  a->choice[COORDINATES] = XAI__ASYMMETRIC;
  a->choice[ROUNDING] = XAI__FLOOR;
  return XAI_OK;
}

/* ---- plan ---- */

/* Operand i as floats that are known now; absent or empty: v NULL. */
static int known_floats(const xai__call *c, int i, const char *what, xai__floats *f) {
  *f = (xai__floats){0, NULL};
  if (!xai__has(c, i)) return XAI_OK;
  int64_t n = xai__count(&c->in[i].shape);
  if (n == 0) return XAI_OK;
  XAI__TRY(xai__need_float(c, i));
  if (n > 2 * XAI__MAX_RANK)
    return XAI__MALFORMED(c, "%s: %lld %s", c->node->op->type, (long long)n, what);
  if (!c->in[i].data)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "%s: the %s depend on the network's input", c->node->op->type, what);
  *f = (xai__floats){(int)n, xai__f(&c->in[i])};
  return XAI_OK;
}

typedef struct {
  int n, axis[XAI__MAX_RANK];
  xai__floats scales, region;
  const int64_t *sizes;
} request;

static int get_request(xai__call *c, request *r) {
  const xai__resize_attr *a = c->node->attr;
  int rank = c->in[0].shape.rank;
  bool named[XAI__MAX_RANK], new = is_resize_11(c->node);
  int64_t n_sizes = 0;
  XAI__TRY(xai__axes_mark(c, a->axes, rank, named));
  r->n = a->axes.n ? a->axes.n : rank;
  for (int i = 0; i < r->n; i++) {
    r->axis[i] = i;
    if (a->axes.n) XAI__TRY(xai__axis(a->axes.v[i], rank, c, &r->axis[i]));
  }
  r->scales = a->scales;
  r->region = (xai__floats){0, NULL};
  r->sizes = NULL;
  if (!a->scales.n) XAI__TRY(known_floats(c, new ? 2 : 1, "scales", &r->scales));
  if (new) XAI__TRY(xai__optional_ints(c, 3, "sizes", &r->sizes, &n_sizes));
  if (a->choice[COORDINATES] == XAI__CROP_AND_RESIZE) {
    XAI__TRY(known_floats(c, 1, "region", &r->region));
    if (r->region.n != 2 * r->n)
      return XAI__MALFORMED(c, "Resize: a region of %d numbers for %d axes", r->region.n, r->n);
  }
  if (r->scales.n ? r->scales.n != r->n || n_sizes : n_sizes != r->n)
    return XAI__MALFORMED(c, "%s: %d scales and %lld sizes for %d axes", c->node->op->type,
                          r->scales.n, (long long)n_sizes, r->n);
  return XAI_OK;
}

/* Wanted sizes, or with a policy the largest (smallest) of one scale that is in (around) them. */
static void scale_to_sizes(const request *r, int policy, xai__resize_plan *p) {
  double common = policy == NOT_LARGER ? HUGE_VAL : 0;
  for (int i = 0; i < r->n; i++) {
    double in = (double)p->in.d[r->axis[i]], scale = (double)r->sizes[i] / in;
    common = policy == NOT_LARGER ? fmin(common, scale) : fmax(common, scale);
    p->scale[r->axis[i]] = scale;
    p->out.d[r->axis[i]] = r->sizes[i];
  }
  for (int i = 0; policy != STRETCH && i < r->n; i++) {
    p->scale[r->axis[i]] = common;
    p->out.d[r->axis[i]] = xai__truncated(floor(common * (double)p->in.d[r->axis[i]] + 0.5));
  }
}

static int get_plan(xai__call *c, xai__resize_plan *p) {
  const xai__resize_attr *a = c->node->attr;
  request r;
  XAI__TRY(xai__need_float(c, 0));
  XAI__TRY(get_request(c, &r));
  *p = (xai__resize_plan){.mode = (xai__resize_mode)a->choice[MODE],
                          .coordinates = (xai__resize_coordinates)a->choice[COORDINATES],
                          .rounding = (xai__resize_rounding)a->choice[ROUNDING],
                          .antialias = a->antialias != 0,
                          .exclude_outside = a->exclude_outside != 0,
                          .cubic_a = a->cubic_a, .outside_value = a->outside_value,
                          .in = c->in[0].shape, .out = c->in[0].shape};
  for (int i = 0; i < p->in.rank; i++) p->scale[i] = p->to[i] = 1;
  if (!xai__count(&p->in))
    return XAI__MALFORMED(c, "%s: the operand of shape %s is empty", c->node->op->type,
                          xai__shape_text(&p->in).text);
  if (!r.scales.n) scale_to_sizes(&r, a->choice[POLICY], p);
  for (int i = 0; i < r.n; i++) {
    int axis = r.axis[i];
    if (r.scales.n) {
      p->scale[axis] = (double)r.scales.v[i];
      p->out.d[axis] = xai__truncated((double)floorf((float)p->in.d[axis] * r.scales.v[i]));
    }
    if (r.region.n) {
      p->from[axis] = (double)r.region.v[i];
      p->to[axis] = (double)r.region.v[r.n + i];
    }
    if (!(p->scale[axis] > 0) || p->out.d[axis] < 1)
      return XAI__MALFORMED(c, "%s: axis %d of size %lld cannot become %lld", c->node->op->type,
                            axis, (long long)p->in.d[axis], (long long)p->out.d[axis]);
  }
  return xai__need_countable(c, &p->out);
}

/* ---- operators ---- */

static int infer(xai__call *c) {
  xai__resize_plan p;
  XAI__TRY(get_plan(c, &p));
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = p.out;
  return XAI_OK;
}

static int forward(xai__call *c) {
  xai__resize_plan p;
  XAI__TRY(get_plan(c, &p));
  return xai__resample(c, &p, xai__f(&c->in[0]), xai__f(&c->out[0]));
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  xai__resize_plan p;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(get_plan(c, &p));
  return xai__resample_back(c, &p, xai__f(&gout[0]), xai__f(&gin[0]));
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  (void)in_static;
  bool nearest = ((const xai__resize_attr *)node->attr)->choice[MODE] == XAI__NEAREST;
  return nearest ? XAI__CROSS_ROUTE : XAI__CROSS_NORM;
}

#define RESIZE                                                                                     \
  .min_in = 1, .min_out = 1, .max_out = 1, .attr_size = sizeof(xai__resize_attr), .check = check,  \
  .infer = infer, .forward = forward, .vjp = vjp, .crossing = crossing,      \
  .homogeneous = true
const xai__op xai__op_Resize = {
    .type = "Resize", .max_in = 4, .since = 10, .fields = resize_fields, RESIZE};
const xai__op xai__op_Upsample = {
    .type = "Upsample", .max_in = 2, .since = 7, .fields = upsample_fields, RESIZE};
