/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the layers of quantised files.
 *
 *   y = saturate(round(x / s) + z), halves to even      x' = (y - z) s
 *
 * s and z: one number, a list along `axis`, or x's rank with axes of 1 or, along `axis`, one for
 * each block of block_size. The integers of QuantizeLinear are kept in float32, which holds them
 * exactly, so that derivatives and relevance pass: d y / d x = 1 / s where y is not saturated
 * (straight-through), and relevance goes through unchanged.
 *
 * QLinearConv and its like become their dequantised form when a file is read: integers as float32
 * through Conv or MatMul, whose sums below 2^24 are exact, then rescaled and rounded as
 * [onnx.ai, QLinearConv] says. Explanations see an ordinary layer. */
#include <math.h>
#include <string.h>

#include "op/check.h"
#include "op/loop.h"

typedef struct {
  int64_t axis, block_size, output_dtype, saturate, precision;
} quantize_attr;
#define FIELD(member, at_first) \
  {.name = #member, .type = XAI__INT, .offset = offsetof(quantize_attr, member), .preset = at_first}
static const xai__field fields[] = {FIELD(axis, 1),     FIELD(block_size, 0), FIELD(output_dtype, 0),
                                    FIELD(saturate, 1), FIELD(precision, 0),  {0}};

/* What a type holds. */
static const struct range {
  int dtype;
  float low, high;
} ranges[] = {{XAI_U8, 0, 255},       {XAI_I8, -128, 127}, {XAI_U16, 0, 65535},
              {XAI_I16, -32768, 32767}, {XAI_U4, 0, 15},     {XAI_I4, -8, 7}};

static const struct range *range_of(int dtype) {
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (ranges[i].dtype == dtype) return &ranges[i];
  return NULL;
}

/* Of a QuantizeLinear: as its attribute or its zero point says, uint8 without. */
static int quantized_dtype(const xai__node *node, const int *declared) {
  const quantize_attr *a = node->attr;
  if (a->output_dtype) return (int)a->output_dtype;
  if (node->n_in < 3 || node->in[2] < 0) return XAI_U8;
  return declared ? declared[2] : 0;
}

static int quantize_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)k;
  return quantized_dtype(node, in_dtype);
}

static int dequantize_dtype(const xai__node *node, const int *in_dtype, int k) {
  const quantize_attr *a = node->attr;
  (void)k;
  return a->output_dtype ? (int)a->output_dtype : in_dtype[1];
}

/* ---- where the scale and the zero point of an element are ---- */

/* Strides of operand i over x, one block at a time along `axis`, and from block to block. */
typedef struct spread {
  int64_t stride[XAI__MAX_RANK], next;
} spread;

static int spread_of(const xai__call *c, int i, spread *s) {
  const quantize_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape, *q = &c->in[i].shape;
  int axis = 0;
  memset(s, 0, sizeof *s);
  if (!xai__has(c, i) || xai__count(q) == 1) return XAI_OK;
  XAI__TRY(xai__axis(a->axis, x->rank, c, &axis));
  if (q->rank == 1 && x->rank > 0 && !a->block_size) {
    s->stride[axis] = 1;
    if (q->d[0] == x->d[axis]) return XAI_OK;
  } else if (q->rank == x->rank) {
    bool fits = true;
    xai__shape_strides_over(q, x, s->stride);
    for (int k = 0; k < x->rank; k++) {
      int64_t n = x->d[k];
      if (k == axis && a->block_size) n = n / a->block_size + (n % a->block_size != 0);
      fits = fits && (q->d[k] == n || (q->d[k] == 1 && !a->block_size));
    }
    if (a->block_size) {
      s->next = s->stride[axis];
      s->stride[axis] = 0;
    }
    if (fits) return XAI_OK;
  }
  return XAI__MALFORMED(c, "operand %d of shape %s does not fit a tensor of shape %s along axis %d",
                        i, xai__shape_text(q).text, xai__shape_text(x).text, axis);
}

static int infer(xai__call *c) {
  const quantize_attr *a = c->node->attr;
  spread s;
  XAI__TRY(xai__need_float(c, 1));
  if (a->block_size < 0)
    return XAI__MALFORMED(c, "block_size is %lld", (long long)a->block_size);
  XAI__TRY(spread_of(c, 1, &s));
  XAI__TRY(spread_of(c, 2, &s));
  c->out[0].shape = c->in[0].shape;
  c->out[0].dtype = XAI_F32;
  return XAI_OK;
}

static int quantize_infer(xai__call *c) {
  int dtype = quantized_dtype(c->node, c->node->declared);
  if (!range_of(dtype))
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "quantisation to %s (data type %d) is not supported", xai__dtype_name(dtype),
                     dtype);
  return infer(c);
}

/* ---- loops ---- */

typedef void (*element_fn)(void *ctx, int64_t x, int64_t scale, int64_t zero);

typedef struct walk {
  const xai__call *c;
  element_fn each;
  int64_t x, scale, zero; /* of the block */
  const float *gout;
  float *gin;
} walk;

static void walk_run(void *ctx, const xai__run *r) {
  const walk *w = ctx;
  for (int64_t i = 0; i < r->n; i++)
    w->each(ctx, w->x + r->at[0] + i * r->step[0], w->scale + r->at[1] + i * r->step[1],
            w->zero + r->at[2] + i * r->step[2]);
}

/* Every element of x with its scale and zero point, block by block along `axis`. */
static int walk_all(walk *w) {
  const xai__call *c = w->c;
  const quantize_attr *a = c->node->attr;
  xai__shape box = c->in[0].shape;
  spread scale, zero;
  int64_t stride[XAI__MAX_RANK];
  int axis = 0;
  XAI__TRY(spread_of(c, 1, &scale));
  XAI__TRY(spread_of(c, 2, &zero));
  if (!xai__count(&box)) return XAI_OK;
  if (a->block_size) XAI__TRY(xai__axis(a->axis, box.rank, c, &axis));
  xai__strides(&box, stride);
  int64_t n = box.rank ? box.d[axis] : 1, block = a->block_size ? a->block_size : n;
  for (int64_t j = 0, at = 0; at < n; j++, at += block) {
    if (box.rank) box.d[axis] = block < n - at ? block : n - at;
    w->x = box.rank ? at * stride[axis] : 0;
    w->scale = j * scale.next;
    w->zero = j * zero.next;
    xai__loop l = xai__loop_over(&box);
    xai__loop_add_strides(&l, stride);
    xai__loop_add_strides(&l, scale.stride);
    xai__loop_add_strides(&l, zero.stride);
    xai__loop_each(c->engine, &l, walk_run, w);
    if (block >= n - at) break; /* at + block may overflow */
  }
  return XAI_OK;
}

static double number(const xai__view *v, int64_t i) {
  if (!v->data || v->shape.rank < 0) return 0;
  return v->dtype == XAI_F32 ? (double)xai__f(v)[i] : (double)xai__i(v)[i];
}
static double zero_point(const xai__call *c, int64_t i) {
  return xai__has(c, 2) ? number(&c->in[2], i) : 0;
}

static float quantized(const xai__call *c, int64_t x, int64_t scale, int64_t zero) {
  float q = rintf((float)number(&c->in[0], x) / xai__f(&c->in[1])[scale]);
  return (float)((double)q + zero_point(c, zero));
}

static void quantize_one(void *ctx, int64_t x, int64_t scale, int64_t zero) {
  const walk *w = ctx;
  const struct range *r = range_of(quantized_dtype(w->c->node, w->c->node->declared));
  xai__f(&w->c->out[0])[x] = fminf(fmaxf(quantized(w->c, x, scale, zero), r->low), r->high);
}

static void dequantize_one(void *ctx, int64_t x, int64_t scale, int64_t zero) {
  const walk *w = ctx;
  float q = (float)(number(&w->c->in[0], x) - zero_point(w->c, zero));
  xai__f(&w->c->out[0])[x] = q * xai__f(&w->c->in[1])[scale];
}

static void quantize_back(void *ctx, int64_t x, int64_t scale, int64_t zero) {
  const walk *w = ctx;
  const struct range *r = range_of(quantized_dtype(w->c->node, w->c->node->declared));
  float q = quantized(w->c, x, scale, zero);
  if (q >= r->low && q <= r->high) w->gin[x] += w->gout[x] / xai__f(&w->c->in[1])[scale];
}

static void dequantize_back(void *ctx, int64_t x, int64_t scale, int64_t zero) {
  const walk *w = ctx;
  (void)zero;
  w->gin[x] += w->gout[x] * xai__f(&w->c->in[1])[scale];
}

static int quantize(xai__call *c) { return walk_all(&(walk){.c = c, .each = quantize_one}); }
static int dequantize(xai__call *c) { return walk_all(&(walk){.c = c, .each = dequantize_one}); }

static int back(xai__call *c, const xai__view *gout, const xai__view *gin, element_fn each) {
  XAI__TRY(xai__vjp_only(c, gin, 1));
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  return walk_all(&(walk){.c = c, .each = each, .gout = xai__f(&gout[0]), .gin = xai__f(&gin[0])});
}
static int quantize_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return back(c, gout, gin, quantize_back);
}
static int dequantize_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  return back(c, gout, gin, dequantize_back);
}

const xai__op xai__op_QuantizeLinear = {
    .type = "QuantizeLinear", .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, .since = 10,
    .fields = fields, .attr_size = sizeof(quantize_attr), .dtype = quantize_dtype,
    .infer = quantize_infer, .forward = quantize, .vjp = quantize_vjp, .cross = XAI__CROSS_PASS};
const xai__op xai__op_DequantizeLinear = {
    .type = "DequantizeLinear", .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, .since = 10,
    .fields = fields, .attr_size = sizeof(quantize_attr), .dtype = dequantize_dtype,
    .infer = infer, .forward = dequantize, .vjp = dequantize_vjp, .cross = XAI__CROSS_PASS};

/* ---- DynamicQuantizeLinear: scale and zero point from the extremes of x and 0 ---- */

static int dynamic_infer(xai__call *c) {
  XAI__TRY(xai__need_float(c, 0));
  c->out[0].shape = c->in[0].shape;
  for (int k = 1; k < c->n_out; k++) c->out[k].shape.rank = 0;
  return XAI_OK;
}

static int dynamic_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)in_dtype;
  return k == 1 ? XAI_F32 : XAI_U8;
}

static void dynamic_scale(const xai__call *c, float *scale, float *zero) {
  const float *x = xai__f(&c->in[0]);
  float low = 0, high = 0;
  for (int64_t i = 0; i < xai__count(&c->in[0].shape); i++) {
    low = fminf(low, x[i]);
    high = fmaxf(high, x[i]);
  }
  *scale = high > low ? (high - low) / 255 : 1;
  *zero = rintf(fminf(fmaxf(-low / *scale, 0), 255));
}

static int dynamic_forward(xai__call *c) {
  const float *x = xai__f(&c->in[0]);
  float *y = xai__f(&c->out[0]), scale, zero;
  dynamic_scale(c, &scale, &zero);
  for (int64_t i = 0; i < xai__count(&c->in[0].shape); i++)
    y[i] = fminf(fmaxf(rintf(x[i] / scale) + zero, 0), 255);
  if (c->n_out > 1 && c->out[1].data) *xai__f(&c->out[1]) = scale;
  if (c->n_out > 2 && c->out[2].data) *xai__f(&c->out[2]) = zero;
  return XAI_OK;
}

/* The scale is held constant. */
static int dynamic_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  float scale, zero;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  dynamic_scale(c, &scale, &zero);
  xai__add_scaled(c->engine, xai__f(&gin[0]), xai__f(&gout[0]), xai__count(&gin[0].shape), 1 / scale);
  return XAI_OK;
}

const xai__op xai__op_DynamicQuantizeLinear = {
    .type = "DynamicQuantizeLinear", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 3,
    .since = 11, .dtype = dynamic_dtype, .infer = dynamic_infer, .forward = dynamic_forward,
    .vjp = dynamic_vjp, .cross = XAI__CROSS_PASS, .only_first = true};

/* ---- layers of integers, in their dequantised form ---- */

/* Operand k, "" where it is absent. */
static const char *operand(const xai__expansion *x, int k) { return k < x->n_in ? x->in[k] : ""; }

/* type(a, b, c) along an axis, as tensor `out`; NULL: it failed. */
static const char *add(xai__expansion *x, const char *type, const char *out, int64_t axis,
                       const char *a, const char *b, const char *c) {
  const char *in[] = {a, b, c};
  xai__attr attr = {.name = "axis", .type = 2, .i = axis};
  bool has_axis = !strcmp(type, "QuantizeLinear") || !strcmp(type, "DequantizeLinear");
  if (!a || !b || !c || !out || x->add(x, type, out, in, 3, &attr, has_axis)) return NULL;
  return out;
}

static const char *one(xai__expansion *x) {
  xai__attr value = {.name = "value_float", .type = 1, .f = 1};
  const char *out = x->inner(x, "one");
  return out && !x->add(x, "Constant", out, NULL, 0, &value, 1) ? out : NULL;
}

/* The integers of operand k without their zero point z. */
static const char *integers(xai__expansion *x, int k, int z, int64_t axis, const char *unit) {
  const char *name = x->inner(x, k ? "w" : "x");
  return add(x, "DequantizeLinear", name, axis, operand(x, k), unit, operand(x, z));
}

/* Conv (of the file's attributes) or MatMul of integers. */
static const char *layer(xai__expansion *x, const char *type, const char *out, const char *a,
                         const char *b, const char *bias) {
  const char *in[] = {a, b, bias};
  if (!a || !b || !bias || !out || x->add(x, type, out, in, 3, x->attrs, x->n_attrs)) return NULL;
  return out;
}

/* round(sum * (sa sb / sy)) + z; the factors are one for all, or sb one along `axis`. */
static const char *requantized(xai__expansion *x, const char *sum, int64_t axis, int sa, int sb,
                               int sy, const char *unit) {
  const char *s = add(x, "Mul", x->inner(x, "scales"), 0, operand(x, sa), operand(x, sb), "");
  const char *f = add(x, "Div", x->inner(x, "factor"), 0, s, operand(x, sy), "");
  const char *y = add(x, "DequantizeLinear", x->inner(x, "scaled"), axis, sum, f, "");
  return add(x, "QuantizeLinear", x->out[0], axis, y, unit, operand(x, sy + 1));
}

/* x, its scale and zero point, the same of w, of y; bias. */
static int expand_conv(xai__expansion *x) {
  const char *unit = one(x), *bias = operand(x, 8);
  if (bias[0]) bias = add(x, "DequantizeLinear", x->inner(x, "bias"), 0, bias, unit, "");
  const char *sum = layer(x, "Conv", x->inner(x, "sum"), integers(x, 0, 2, 1, unit),
                          integers(x, 3, 5, 0, unit), bias);
  return requantized(x, sum, 1, 1, 4, 6, unit) ? XAI_OK : x->err->status;
}

/* a, its scale and zero point, the same of b, of y. Those of a and y may be one a row. */
static int expand_matmul(xai__expansion *x) {
  const char *unit = one(x);
  const char *sum = layer(x, "MatMul", x->inner(x, "sum"), integers(x, 0, 2, -2, unit),
                          integers(x, 3, 5, -1, unit), "");
  if (x->single(x, operand(x, 1)) && x->single(x, operand(x, 6)))
    return requantized(x, sum, -1, 1, 4, 6, unit) ? XAI_OK : x->err->status;
  sum = add(x, "DequantizeLinear", x->inner(x, "rows"), -2, sum, operand(x, 1), "");
  sum = add(x, "DequantizeLinear", x->inner(x, "columns"), -1, sum, operand(x, 4), "");
  sum = add(x, "QuantizeLinear", x->out[0], -2, sum, operand(x, 6), operand(x, 7));
  return sum ? XAI_OK : x->err->status;
}

static int expand_conv_integer(xai__expansion *x) {
  const char *unit = one(x);
  const char *sum = layer(x, "Conv", x->out[0], integers(x, 0, 2, 1, unit),
                          integers(x, 1, 3, 0, unit), "");
  return sum ? XAI_OK : x->err->status;
}

static int expand_matmul_integer(xai__expansion *x) {
  const char *unit = one(x);
  const char *sum = layer(x, "MatMul", x->out[0], integers(x, 0, 2, -2, unit),
                          integers(x, 1, 3, -1, unit), "");
  return sum ? XAI_OK : x->err->status;
}

#define LAYER(Type, low, high, first, how)                                                     \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = low, .max_in = high, .min_out = 1,  \
                                  .max_out = 1, .since = first, .expand = how}
LAYER(QLinearConv, 8, 9, 10, expand_conv);
LAYER(QLinearMatMul, 8, 8, 10, expand_matmul);
LAYER(ConvInteger, 2, 4, 10, expand_conv_integer);
LAYER(MatMulInteger, 2, 4, 10, expand_matmul_integer);
