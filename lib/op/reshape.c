/* Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout: the same elements in another shape. */
#include "op/broadcast.h"

#define ALIAS(Type) .type = #Type, .min_out = 1, .max_out = 1, .alias = true, .cross = XAI__CROSS_ROUTE

static int give(xai__call *c, const xai__shape *s) {
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = *s;
  return XAI_OK;
}

/* ---- Reshape ---- */

typedef struct {
  int64_t allowzero;
} reshape_attr;
static const xai__field reshape_fields[] = {
    {.name = "allowzero", .type = XAI__INT, .offset = offsetof(reshape_attr, allowzero)}, {0}};

static int mismatch(const xai__call *c, const int64_t *v, int64_t n) {
  xai__shape wanted = {.rank = (int)n};
  for (int i = 0; i < wanted.rank; i++) wanted.d[i] = v[i];
  return XAI__MALFORMED(c, "Reshape: shape %s does not fit into %s",
                        xai__shape_text(&c->in[0].shape).text, xai__shape_text(&wanted).text);
}

/* 0 keeps the operand's size of that axis (unless allowzero), one -1 takes what is left. */
static int reshape_infer(xai__call *c) {
  const xai__shape *in = &c->in[0].shape;
  bool keep = !((const reshape_attr *)c->node->attr)->allowzero;
  const int64_t *v;
  int64_t n, known = 1, all = xai__count(in);
  XAI__TRY(xai__known_ints(c, 1, "shape", &v, &n));
  if (n > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "Reshape: rank %lld, at most %d is supported", (long long)n,
                          XAI__MAX_RANK);
  xai__shape s = {.rank = (int)n};
  int rest = -1;
  for (int i = 0; i < s.rank; i++) {
    bool copied = v[i] == 0 && keep;
    if (v[i] < -1 || (v[i] == -1 && rest >= 0) || (copied && i >= in->rank))
      return mismatch(c, v, n);
    if (v[i] == -1) {
      rest = i;
      continue;
    }
    s.d[i] = copied ? in->d[i] : v[i];
    if (!xai__mul(known, s.d[i], &known)) return mismatch(c, v, n);
  }
  if (rest >= 0) {
    if (known == 0 || all % known) return mismatch(c, v, n);
    s.d[rest] = all / known;
  } else if (known != all) {
    return mismatch(c, v, n);
  }
  XAI__TRY(xai__need_countable(c, &s));
  return give(c, &s);
}

const xai__op xai__op_Reshape = {
    ALIAS(Reshape), .min_in = 2, .max_in = 2, .since = 5, .fields = reshape_fields,
    .attr_size = sizeof(reshape_attr), .infer = reshape_infer};

/* ---- Flatten ---- */

typedef struct {
  int64_t axis;
} flatten_attr;
static const xai__field flatten_fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(flatten_attr, axis), .preset = 1}, {0}};

static int flatten_infer(xai__call *c) {
  const xai__shape *in = &c->in[0].shape;
  int64_t axis = ((const flatten_attr *)c->node->attr)->axis;
  int cut = in->rank; /* as an axis, the rank itself is legal here */
  if (axis != in->rank) XAI__TRY(xai__axis(axis, in->rank, c, &cut));
  return give(c, &(xai__shape){2, {xai__span(in, 0, cut), xai__span(in, cut, in->rank)}});
}

const xai__op xai__op_Flatten = {
    ALIAS(Flatten), .min_in = 1, .max_in = 1, .since = 1, .fields = flatten_fields,
    .attr_size = sizeof(flatten_attr), .infer = flatten_infer};

/* ---- Squeeze, Unsqueeze: axes an attribute before opset 13, an operand since ---- */

typedef struct {
  xai__ints axes;
} axes_attr;
static const xai__field axes_fields[] = {
    {.name = "axes", .type = XAI__INTS, .offset = offsetof(axes_attr, axes)}, {0}};

static int squeeze_infer(xai__call *c) {
  const xai__shape *in = &c->in[0].shape;
  xai__ints axes;
  bool gone[XAI__MAX_RANK];
  XAI__TRY(xai__axes_given(c, ((const axes_attr *)c->node->attr)->axes, 1, &axes));
  XAI__TRY(xai__axes_mark(c, axes, in->rank, gone));
  xai__shape s = {0};
  for (int i = 0; i < in->rank; i++) {
    if (gone[i] && in->d[i] != 1)
      return XAI__MALFORMED(c, "Squeeze: axis %d of %s is not 1", i, xai__shape_text(in).text);
    if (axes.n ? !gone[i] : in->d[i] != 1) s.d[s.rank++] = in->d[i];
  }
  return give(c, &s);
}

static int unsqueeze_infer(xai__call *c) {
  const xai__shape *in = &c->in[0].shape;
  xai__ints axes;
  bool added[XAI__MAX_RANK];
  XAI__TRY(xai__axes_given(c, ((const axes_attr *)c->node->attr)->axes, 1, &axes));
  xai__shape s = {.rank = in->rank + axes.n};
  if (s.rank > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "Unsqueeze: rank %d, at most %d is supported", s.rank, XAI__MAX_RANK);
  XAI__TRY(xai__axes_mark(c, axes, s.rank, added));
  for (int i = 0, j = 0; i < s.rank; i++) s.d[i] = added[i] ? 1 : in->d[j++];
  return give(c, &s);
}

const xai__op xai__op_Squeeze = {
    ALIAS(Squeeze), .min_in = 1, .max_in = 2, .since = 1, .fields = axes_fields,
    .attr_size = sizeof(axes_attr), .infer = squeeze_infer};
const xai__op xai__op_Unsqueeze = {
    ALIAS(Unsqueeze), .min_in = 1, .max_in = 2, .since = 1, .fields = axes_fields,
    .attr_size = sizeof(axes_attr), .infer = unsqueeze_infer};

const xai__op xai__op_Identity = {ALIAS(Identity), .min_in = 1, .max_in = 1, .since = 1};

/* ---- Dropout: the identity, also in training where the ratio is 0; its second output says that
 * every element was kept ---- */

typedef struct {
  float ratio;
  int64_t seed, is_test;
} dropout_attr;
static const xai__field dropout_fields[] = {
    {.name = "ratio", .type = XAI__FLOAT, .offset = offsetof(dropout_attr, ratio)},
    {.name = "seed", .type = XAI__INT, .offset = offsetof(dropout_attr, seed)},
    {.name = "is_test", .type = XAI__INT, .offset = offsetof(dropout_attr, is_test)},
    {0}};

static int mask_dtype(const xai__node *node, const int *in_dtype, int k) {
  return k == 0 || node->opset < 10 ? in_dtype[0] : XAI_BOOL;
}

static int dropout_infer(xai__call *c) {
  const int64_t *training;
  int64_t n;
  XAI__TRY(xai__optional_ints(c, 2, "training_mode", &training, &n));
  const xai__view *ratio = &c->in[1];
  bool drops = !xai__has(c, 1) || ratio->dtype != XAI_F32 || !ratio->data ||
               xai__count(&ratio->shape) != 1 || *xai__f(ratio) != 0;
  if (n > 0 && training[0] && drops)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name, "Dropout in training mode");
  for (int k = 0; k < c->n_out; k++) c->out[k].shape = c->in[0].shape;
  c->out[0].dtype = c->in[0].dtype;
  if (c->n_out > 1) c->out[1].dtype = c->node->opset < 10 ? c->in[0].dtype : XAI_I64;
  return XAI_OK;
}

static int dropout_forward(xai__call *c) {
  if (c->n_out < 2 || !c->out[1].data) return XAI_OK;
  static const float one_f = 1;
  static const int64_t one_i = 1;
  xai__loop l = xai__loop_over(&c->out[1].shape);
  xai__loop_add(&l, &c->out[1].shape);
  xai__loop_add(&l, &(xai__shape){0});
  bool f = c->out[1].dtype == XAI_F32;
  xai__copy(c->engine, &l, c->out[1].dtype, c->out[1].data, f ? (const void *)&one_f : &one_i);
  return XAI_OK;
}

const xai__op xai__op_Dropout = {
    .type = "Dropout", .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 2, .since = 1,
    .fields = dropout_fields, .attr_size = sizeof(dropout_attr), .alias = true,
    .cross = XAI__CROSS_ROUTE, .dtype = mask_dtype, .infer = dropout_infer,
    .forward = dropout_forward};
