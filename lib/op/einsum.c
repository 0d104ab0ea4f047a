/* Einsum (ONNX 12): a sum over the labels that the result does not have of the product of up to
 * four operands, with repeated labels (diagonals) and "..." for axes that are broadcast.
 *
 * Each label is an axis of a loop, each tensor a stream along it; a derivative is the same loop
 * with the streams in another order. Two operands that form a batched matrix product as they lie in
 * memory run as one. Rows of an activation times a constant ("bsd,dhk->bshk") are a linear layer;
 * else relevance is shared equally by the n operands that are activations, as in MatMul:
 * s = R / stab(n y), R_k = x_k dy/dx_k' s. */
#include "op/check.h"
#include "op/loop.h"
#include "op/own.h"
#include <string.h>

enum { LABELS = 128, MOST = XAI__STREAMS - 1 };

typedef struct {
  const char *equation;
} einsum_attr;
static const xai__field fields[] = {{.name = "equation", .type = XAI__TEXT,
                                     .offset = offsetof(einsum_attr, equation), .required = true},
                                    {0}};

/* One term of the equation: a label for each axis. Those of "..." are XAI__MAX_RANK - 1 for the
 * last one and so on down, all others the letters themselves. */
typedef struct term {
  int rank, dots; /* where "..." stands; -1: nowhere */
  unsigned char label[LABELS];
} term;

typedef struct einsum {
  xai__loop l; /* stream 0: the result; k + 1: operand k */
  xai__shape out;
} einsum;

static bool is_letter(char s) { return (s >= 'a' && s <= 'z') || (s >= 'A' && s <= 'Z'); }

/* Up to a comma, "->" or the end. */
static int read_term(const xai__call *c, const char **text, term *t) {
  *t = (term){.dots = -1};
  const char *s = *text;
  for (; *s && *s != ',' && *s != '-'; s++) {
    if (*s == ' ') continue;
    if (is_letter(*s) && t->rank < LABELS) {
      t->label[t->rank++] = (unsigned char)*s;
    } else if (!strncmp(s, "...", 3) && t->dots < 0) {
      t->dots = t->rank;
      s += 2;
    } else {
      return XAI__MALFORMED(c, "Einsum: equation '%s' is wrong at '%s'",
                            ((const einsum_attr *)c->node->attr)->equation, s);
    }
  }
  *text = s;
  return XAI_OK;
}

/* Puts n labels in the place of "...". */
static void put_dots(term *t, int n) {
  if (t->dots < 0) return;
  memmove(t->label + t->dots + n, t->label + t->dots, (size_t)(t->rank - t->dots));
  for (int i = 0; i < n; i++) t->label[t->dots + i] = (unsigned char)(XAI__MAX_RANK - n + i);
  t->rank += n;
}

static int read_operand(const xai__call *c, int k, term *t, int64_t *size, int *dots) {
  const xai__shape *x = &c->in[k].shape;
  XAI__TRY(xai__need_float(c, k));
  XAI__TRY(xai__need_rank(c, k, 0, XAI__MAX_RANK));
  int n = x->rank - t->rank;
  if (t->dots < 0 ? n != 0 : n < 0)
    return XAI__MALFORMED(c, "Einsum: operand %d of shape %s has %d axes, its term %d labels", k,
                          xai__shape_text(x).text, x->rank, t->rank);
  if (t->dots >= 0 && n > *dots) *dots = n;
  put_dots(t, n);
  for (int i = 0; i < x->rank; i++) {
    int64_t *d = &size[t->label[i]];
    if (*d >= 0 && *d != x->d[i] && *d != 1 && x->d[i] != 1)
      return XAI__MALFORMED(c, "Einsum: axis %d of operand %d is %lld, its label was %lld before",
                            i, k, (long long)x->d[i], (long long)*d);
    if (*d < 0 || *d == 1) *d = x->d[i];
  }
  return XAI_OK;
}

/* Without "->": the axes of "...", then the labels that occur once, in order. */
static void implied_result(const term *in, int n, term *out) {
  int count[LABELS] = {0};
  for (int k = 0; k < n; k++)
    for (int i = 0; i < in[k].rank; i++) count[in[k].label[i]]++;
  *out = (term){.dots = 0};
  for (int v = XAI__MAX_RANK; v < LABELS; v++)
    if (count[v] == 1) out->label[out->rank++] = (unsigned char)v;
}

static int add_axis(const xai__call *c, einsum *e, int *axis, const int64_t *size, int label) {
  if (axis[label] >= 0) return XAI_OK;
  if (e->l.rank == XAI__LOOP_RANK)
    return XAI__MALFORMED(c, "Einsum: more than %d labels", XAI__LOOP_RANK);
  e->l.d[e->l.rank] = size[label];
  axis[label] = e->l.rank++;
  return XAI_OK;
}

static void add_stream(einsum *e, const xai__shape *s, const term *t, const int *axis) {
  int64_t stride[XAI__MAX_RANK], *to = e->l.stride[e->l.streams++];
  xai__strides(s, stride);
  for (int i = 0; i < s->rank; i++)
    if (s->d[i] != 1) to[axis[t->label[i]]] += stride[i];
}

static int read(const xai__call *c, einsum *e) {
  const char *equation = ((const einsum_attr *)c->node->attr)->equation, *s = equation;
  term in[MOST], out;
  int64_t size[LABELS];
  int axis[LABELS], dots = 0;
  if (c->n_in > MOST)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "Einsum: %d operands, at most %d are supported", c->n_in, MOST);
  for (int v = 0; v < LABELS; v++) size[v] = axis[v] = -1;
  for (int k = 0; k < c->n_in; k++) {
    if (k > 0 && *s++ != ',')
      return XAI__MALFORMED(c, "Einsum: equation '%s' has %d terms for %d operands", equation, k,
                            c->n_in);
    XAI__TRY(read_term(c, &s, &in[k]));
    XAI__TRY(read_operand(c, k, &in[k], size, &dots));
  }
  if (*s && strncmp(s, "->", 2))
    return XAI__MALFORMED(c, "Einsum: equation '%s' is wrong at '%s'", equation, s);
  implied_result(in, c->n_in, &out);
  if (*s) {
    s += 2;
    XAI__TRY(read_term(c, &s, &out));
    if (*s) return XAI__MALFORMED(c, "Einsum: equation '%s' is wrong at '%s'", equation, s);
  }
  if (out.rank + (out.dots < 0 ? 0 : dots) > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "Einsum: rank %d, at most %d is supported", out.rank + dots,
                          XAI__MAX_RANK);
  put_dots(&out, dots);
  *e = (einsum){.out = {.rank = out.rank}};
  for (int i = 0; i < out.rank; i++) {
    if (size[out.label[i]] < 0 || axis[out.label[i]] >= 0)
      return XAI__MALFORMED(c, "Einsum: label '%c' of the result is %s in '%s'", out.label[i],
                            axis[out.label[i]] >= 0 ? "twice" : "in no operand", equation);
    e->out.d[i] = size[out.label[i]];
    XAI__TRY(add_axis(c, e, axis, size, out.label[i]));
  }
  XAI__TRY(xai__need_countable(c, &e->out));
  for (int k = 0; k < c->n_in; k++)
    for (int i = 0; i < in[k].rank; i++) XAI__TRY(add_axis(c, e, axis, size, in[k].label[i]));
  add_stream(e, &e->out, &out, axis);
  for (int k = 0; k < c->n_in; k++) add_stream(e, &c->in[k].shape, &in[k], axis);
  return XAI_OK;
}

static int infer(xai__call *c) {
  einsum e;
  XAI__TRY(read(c, &e));
  c->out[0].dtype = XAI_F32;
  c->out[0].shape = e.out;
  return XAI_OK;
}

/* ---- to += or = sum of the product of the factors ---- */

typedef struct {
  xai__loop l; /* stream 0: to; then the factors */
  const float *x[MOST];
  float *to;
  bool add;
} contraction;

static void take(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {
  const contraction *t = ctx;
  const float *x = t->x[0] + r->at[1], *y = t->x[1] + r->at[2];
  int n = t->l.streams - 1;
  if (n == 1) {
    XAI__TAKE_SUM(x[i * r->step[1]]);
  } else if (n == 2) {
    XAI__TAKE_SUM((double)x[i * r->step[1]] * (double)y[i * r->step[2]]);
  } else {
    for (int64_t i = 0; i < r->n; i++) {
      double v = 1;
      for (int k = 0; k < n; k++) v *= (double)t->x[k][r->at[k + 1] + i * r->step[k + 1]];
      acc[i * acc_step].f += v;
    }
  }
}

static void give(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {
  const contraction *t = ctx;
  for (int64_t i = 0; i < n; i++) {
    float *to = t->to + at + i * step;
    *to = (t->add ? *to : 0) + (float)acc[i].f;
  }
}

/* Axes that the same streams have, as one axis. */
typedef struct group {
  int64_t n, stride[3];
} group;

/* Which of the three streams walk along an axis picks its group; false if a stream cannot walk a
 * group as one axis. */
static bool join(const xai__loop *l, group *of) {
  for (int i = 0; i < 8; i++) of[i] = (group){.n = 1};
  for (int i = l->rank - 1; i >= 0; i--) {
    if (l->d[i] == 1) continue;
    int which = 0;
    for (int k = 0; k < 3; k++) which |= (l->stride[k][i] != 0) << k;
    group *g = &of[which];
    for (int k = 0; k < 3; k++) {
      if (g->n == 1) g->stride[k] = l->stride[k][i];
      else if (l->stride[k][i] != g->stride[k] * g->n) return false;
    }
    if (!xai__mul(g->n, l->d[i], &g->n)) return false;
  }
  return true;
}

/* Rows and columns lie in stream k as a matrix does. */
static bool is_matrix(const group *rows, const group *columns, int k) {
  return (columns->n == 1 || columns->stride[k] == 1) &&
         (rows->n == 1 || rows->stride[k] == columns->n);
}

/* As one product of matrices a (stream `left`) and b, if the tensors lie so. */
static bool as_gemm(const contraction *t, int left, xai__gemm *g) {
  group of[8];
  if (t->l.streams != 3 || !join(&t->l, of)) return false;
  int right = 3 - left;
  const group *batch = &of[7], *m = &of[1 | 1 << left], *n = &of[1 | 1 << right], *k = &of[6];
  if (of[0].n != 1 || of[1].n != 1 || of[2].n != 1 || of[4].n != 1) return false;
  if (batch->n < 1 || m->n < 1 || n->n < 1 || k->n < 1 || !is_matrix(m, n, 0)) return false;
  *g = (xai__gemm){batch->n, m->n, n->n, k->n, batch->stride[left], batch->stride[right],
                   batch->stride[0], !is_matrix(m, k, left), !is_matrix(k, n, right)};
  return (!g->a_transposed || is_matrix(k, m, left)) &&
         (!g->b_transposed || is_matrix(n, k, right));
}

static int contract(xai__call *c, contraction *t) {
  static const xai__fold fold = {{0}, take, give};
  for (int left = 1; left <= 2; left++) {
    xai__gemm g;
    if (as_gemm(t, left, &g))
      return xai__gemm_run(c->engine, &g, t->x[left - 1], t->x[2 - left], t->to,
                           t->add ? xai__add_to : xai__set, c->err);
  }
  xai__loop_fold(c->engine, &t->l, &fold, t);
  return XAI_OK;
}

static int forward(xai__call *c) {
  einsum e;
  XAI__TRY(read(c, &e));
  contraction t = {.l = e.l, .to = xai__f(&c->out[0])};
  for (int k = 0; k < c->n_in; k++) t.x[k] = xai__f(&c->in[k]);
  return contract(c, &t);
}

/* gx += what reaches operand k of g: its stream takes the place of the result's. */
static int back_to(xai__call *c, const einsum *e, int k, const float *g, float *gx) {
  contraction t = {.l = e->l, .to = gx, .add = true};
  for (int i = 0; i < c->n_in; i++) t.x[i] = i == k ? g : xai__f(&c->in[i]);
  memcpy(t.l.stride[0], e->l.stride[k + 1], sizeof t.l.stride[0]);
  memcpy(t.l.stride[k + 1], e->l.stride[0], sizeof t.l.stride[0]);
  return contract(c, &t);
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  einsum e;
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(read(c, &e));
  for (int k = 0; k < c->n_in; k++)
    if (gin[k].data) XAI__TRY(back_to(c, &e, k, xai__f(&gout[0]), xai__f(&gin[k])));
  return XAI_OK;
}

/* ---- rows times a constant ---- */

/* x "RS", w "SM" or, transposed, "MS", y "RM", for runs of labels R, S and M: operand x of two. */
typedef struct layer {
  int x, n_rows, n_sums, n_out;
  bool transposed;
} layer;

static bool read_layer(const xai__node *node, const bool *in_static, layer *l) {
  const char *s = ((const einsum_attr *)node->attr)->equation;
  char of[3][32] = {""}; /* operands, result */
  int n[3] = {0}, k = 0;
  if (node->n_in != 2 || in_static[0] == in_static[1]) return false;
  for (; *s; s++) {
    if (*s == ' ') continue;
    if (*s == ',' || (*s == '-' && s[1] == '>')) {
      s += *s == '-';
      if (++k == 3) return false;
    } else {
      if (!is_letter(*s) || n[k] == 31 || strchr(of[k], *s)) return false; /* also "..." */
      of[k][n[k]++] = *s;
    }
  }
  *l = (layer){.x = in_static[0]};
  const char *x = of[l->x], *w = of[1 - l->x], *y = of[2];
  while (x[l->n_rows] && x[l->n_rows] == y[l->n_rows]) l->n_rows++;
  l->n_sums = n[l->x] - l->n_rows;
  l->n_out = n[2] - l->n_rows;
  size_t sums = (size_t)l->n_sums, out = (size_t)l->n_out;
  l->transposed = strncmp(w, x + l->n_rows, sums) != 0;
  const char *first = l->transposed ? y + l->n_rows : x + l->n_rows;
  const char *second = l->transposed ? x + l->n_rows : y + l->n_rows;
  size_t n_first = l->transposed ? out : sums;
  return k == 2 && sums && out && strlen(w) == sums + out && !strncmp(w, first, n_first) &&
         !strcmp(w + n_first, second) && !strpbrk(x, y + l->n_rows);
}

static int product(const xai__call *c, xai__product *p, int *x_operand) {
  layer l;
  if (!read_layer(c->node, c->in_static, &l)) return XAI_E_UNSUPPORTED;
  const xai__shape *x = &c->in[l.x].shape, *w = &c->in[1 - l.x].shape, *y = &c->out[0].shape;
  int64_t sums = xai__span(x, l.n_rows, x->rank), out = xai__span(y, l.n_rows, y->rank);
  if (xai__count(w) != sums * out)
    return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                     "Einsum: no rule where %s repeats over %s", xai__shape_text(w).text,
                     xai__shape_text(x).text);
  *p = (xai__product){.kind = XAI__MATMUL, .n = l.n_rows ? x->d[0] : 1, .groups = 1, .c = sums,
                      .m = out, .batch = 1, .rows = xai__span(x, 0, l.n_rows), .w_batches = 1,
                      .w_transposed = l.transposed, .w = xai__f(&c->in[1 - l.x])};
  *x_operand = l.x;
  return XAI_OK;
}

/* ---- relevance ---- */

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  layer l;
  if (read_layer(node, in_static, &l)) return XAI__CROSS_LINEAR;
  for (int k = 0; k < node->n_in; k++)
    if (!in_static[k]) return XAI__CROSS_OWN;
  return XAI__CROSS_NONE;
}

/* Under matmul=value the only one of two operands that comes from a softmax gets nothing. */
static bool takes_part(const xai__call *c, const xai__own_options *o, int k) {
  if (c->in_static[k]) return false;
  bool value = !strcmp(o->matmul, "value") && c->n_in == 2 && !c->in_static[1 - k] &&
               o->from_softmax[0] != o->from_softmax[1];
  return !value || !o->from_softmax[k];
}

static int share_out(xai__call *c, const xai__own_options *o, const float *R,
                     const xai__view *gin) {
  einsum e;
  xai__engine *engine = c->engine;
  int64_t n = xai__count(&c->out[0].shape);
  int shares = 0;
  for (int k = 0; k < c->n_in; k++) shares += takes_part(c, o, k);
  float *s = xai__scratch(engine, (size_t)n, sizeof *s, c->err);
  if (!s) return c->err->status;
  XAI__TRY(read(c, &e));
  xai__own_divide(engine, R, xai__f(&c->out[0]), (float)shares, n, o->stabilizer, s, o->ledger);
  for (int k = 0; k < c->n_in; k++) {
    if (!takes_part(c, o, k)) continue;
    if (!gin[k].data) {
      if (o->ledger) o->ledger[XAI__CONSTANT] += xai__dot(engine, s, xai__f(&c->out[0]), n);
      continue;
    }
    int64_t size = xai__count(&c->in[k].shape);
    float *g = xai__scratch(engine, (size_t)size, sizeof *g, c->err);
    if (!g) return c->err->status;
    xai__fill(engine, g, size, 0);
    XAI__TRY(back_to(c, &e, k, s, g));
    xai__add_product(engine, xai__f(&gin[k]), xai__f(&c->in[k]), g, size);
  }
  return XAI_OK;
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  size_t mark = xai__scratch_mark(c->engine);
  int status = share_out(c, o, xai__f(&gout[0]), gin);
  xai__scratch_release(c->engine, mark);
  return status;
}

const xai__op xai__op_Einsum = {
    .type = "Einsum", .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1, .since = 12,
    .fields = fields, .attr_size = sizeof(einsum_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .crossing = crossing, .product = product, .relevance = relevance};
