/* ScatterND, ScatterElements and Scatter, its old name: y is data, with the updates at the places
 * that the indices name, written over (reduction none) or by add, mul, max, min. Where places
 * repeat, updates take effect in their order; what an index reaches is checked at run time.
 *
 * Relevance goes to whatever was written last, or is the extremum; under `add` the summands share
 * it: R_i = x_i R / stab(sum). A product passes it to the data if the updates are constants. */
#include "op/loop.h"
#include "op/own.h"
#include "op/places.h"
#include <string.h>

typedef enum { NONE, ADD, MUL, MAX, MIN } reduction;
typedef struct {
  int64_t axis;
  const char *name;
  reduction kind;
} scatter_attr;

#define AXIS {.name = "axis", .type = XAI__INT, .offset = offsetof(scatter_attr, axis)}
#define REDUCTION {.name = "reduction", .type = XAI__TEXT, .offset = offsetof(scatter_attr, name)}
static const xai__field nd_fields[] = {REDUCTION, {0}};
static const xai__field elements_fields[] = {AXIS, REDUCTION, {0}};
static const xai__field old_fields[] = {AXIS, {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  static const char *const names[] = {"none", "add", "mul", "max", "min"};
  scatter_attr *a = attr;
  a->kind = NONE;
  if (!a->name) return XAI_OK;
  for (int k = NONE; k <= MIN; k++)
    if (!strcmp(a->name, names[k])) {
      a->kind = (reduction)k;
      return XAI_OK;
    }
  return xai__fail(err, XAI_E_MODEL, node->name,
                   "%s: reduction '%s' is none of none, add, mul, max and min", node->op->type,
                   a->name);
}

static reduction kind_of(const xai__node *node) {
  return ((const scatter_attr *)node->attr)->kind;
}

extern const xai__op xai__op_ScatterND;

static int read_places(const xai__call *c, xai__places *p) {
  if (c->node->op == &xai__op_ScatterND) return xai__places_tuples(c, 0, p);
  int axis;
  XAI__TRY(xai__axis(((const scatter_attr *)c->node->attr)->axis, c->in[0].shape.rank, c, &axis));
  return xai__places_elements(c, axis, p);
}

static int infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape, *index = &c->in[1].shape, *updates = &c->in[2].shape;
  xai__places p;
  XAI__TRY(read_places(c, &p));
  if (c->in[0].dtype != c->in[2].dtype)
    return XAI__MALFORMED(c, "%s: data and updates are of different types", c->node->op->type);
  bool fits;
  if (p.axis >= 0) {
    fits = xai__shape_equal(index, updates);
  } else {
    int head = index->rank - 1;
    fits = updates->rank == head + x->rank - p.rank;
    for (int i = 0; fits && i < updates->rank; i++)
      fits = updates->d[i] == (i < head ? index->d[i] : x->d[i - head + p.rank]);
  }
  if (!fits)
    return XAI__MALFORMED(c, "%s: updates of shape %s for indices of shape %s and data of shape %s",
                          c->node->op->type, xai__shape_text(updates).text,
                          xai__shape_text(index).text, xai__shape_text(x).text);
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = *x;
  return XAI_OK;
}

/* ---- forward ---- */

typedef struct {
  xai__places p;
  reduction kind;
  const void *updates;
  void *y;
  int64_t *owner; /* of every element: the update that it is; NULL: not wanted */
} scattering;

/* Columns of a block: two tasks never write the same element. */
#define APPLY(name, T, A)                                                                          \
  static void name(void *ctx, int64_t begin, int64_t end) {                                        \
    const scattering *s = ctx;                                                                     \
    reduction kind = s->kind;                                                                      \
    for (int64_t t = 0; t < s->p.n; t++) {                                                         \
      int64_t at = xai__place(&s->p, t) * s->p.inner;                                              \
      const T *u = (const T *)s->updates + t * s->p.inner;                                         \
      T *y = (T *)s->y + at;                                                                       \
      for (int64_t i = begin; i < end; i++) {                                                      \
        if (kind == ADD) {                                                                         \
          y[i] = (T)((A)y[i] + (A)u[i]);                                                           \
        } else if (kind == MUL) {                                                                  \
          y[i] = (T)((A)y[i] * (A)u[i]);                                                           \
        } else if (kind == NONE || (kind == MAX ? u[i] > y[i] : u[i] < y[i])) {                    \
          y[i] = u[i];                                                                             \
          if (s->owner) s->owner[at + i] = t;                                                      \
        }                                                                                          \
      }                                                                                            \
    }                                                                                              \
  }
APPLY(apply_f32, float, float)
APPLY(apply_i64, int64_t, uint64_t)

static int forward(xai__call *c) {
  scattering s = {.kind = kind_of(c->node), .updates = c->in[2].data, .y = c->out[0].data};
  bool is_float = c->in[0].dtype == XAI_F32;
  XAI__TRY(read_places(c, &s.p));
  XAI__TRY(xai__places_check(c, &s.p));
  memcpy(s.y, c->in[0].data, (size_t)xai__count(&c->in[0].shape) * (is_float ? 4 : 8));
  xai__split(c->engine, s.p.inner, xai__grain(s.p.n), is_float ? apply_f32 : apply_i64, &s);
  return XAI_OK;
}

/* ---- back ---- */

typedef struct {
  xai__places p;
  reduction kind;
  bool share;            /* ADD: the summand itself takes the place of its derivative, 1 */
  const int64_t *owner;  /* NONE, MAX, MIN; -1: the element is the data's */
  const int64_t *zeros;  /* MUL: factors that are 0, */
  const double *product; /* and the product of the others */
  const float *x, *g;    /* data or updates; of the result */
  float *gx;
} back;

/* Derivative of element `at` of the result by x, the t-th update or (-1) the data. */
static float derivative(const back *b, int64_t at, int64_t t, float x) {
  if (b->kind == ADD) return b->share ? x : 1;
  if (b->kind != MUL) return b->owner[at] == t ? 1 : 0;
  if (b->zeros[at] != (x == 0)) return 0;
  return (float)(x == 0 ? b->product[at] : b->product[at] / (double)x);
}

static void back_to_data(void *ctx, int64_t begin, int64_t end) {
  const back *b = ctx;
  for (int64_t i = begin; i < end; i++) {
    float d = derivative(b, i, -1, b->x[i]);
    if (d != 0) b->gx[i] += d * b->g[i];
  }
}

static void back_to_updates(void *ctx, int64_t begin, int64_t end) {
  const back *b = ctx;
  for (int64_t t = begin; t < end; t++) {
    int64_t at = xai__place(&b->p, t) * b->p.inner, from = t * b->p.inner;
    for (int64_t i = 0; i < b->p.inner; i++) {
      float d = derivative(b, at + i, t, b->x[from + i]);
      if (d != 0) b->gx[from + i] += d * b->g[at + i];
    }
  }
}

/* To operand 0 or 2. */
static void hand_back(xai__call *c, back *b, int k, float *gx) {
  if (!gx) return;
  b->x = xai__f(&c->in[k]);
  b->gx = gx;
  if (k == 0)
    xai__split(c->engine, xai__count(&c->in[0].shape), XAI__GRAIN, back_to_data, b);
  else
    xai__split(c->engine, b->p.n, xai__grain(b->p.inner), back_to_updates, b);
}

/* Runs forward once more to see whose the elements are. */
static int find_owners(xai__call *c, back *b) {
  int64_t n = xai__count(&c->in[0].shape);
  int64_t *owner = xai__scratch(c->engine, (size_t)n, sizeof *owner, c->err);
  float *y = owner ? xai__scratch(c->engine, (size_t)n, sizeof *y, c->err) : NULL;
  if (!y) return c->err->status;
  memcpy(y, c->in[0].data, (size_t)n * sizeof *y);
  for (int64_t i = 0; i < n; i++) owner[i] = -1;
  scattering s = {b->p, b->kind, c->in[2].data, y, owner};
  xai__split(c->engine, s.p.inner, xai__grain(s.p.n), apply_f32, &s);
  b->owner = owner;
  return XAI_OK;
}

static int find_products(xai__call *c, back *b) {
  int64_t n = xai__count(&c->in[0].shape);
  int64_t *zeros = xai__scratch(c->engine, (size_t)n, sizeof *zeros, c->err);
  double *product = zeros ? xai__scratch(c->engine, (size_t)n, sizeof *product, c->err) : NULL;
  if (!product) return c->err->status;
  const float *x = xai__f(&c->in[0]), *u = xai__f(&c->in[2]);
  for (int64_t i = 0; i < n; i++) {
    zeros[i] = x[i] == 0;
    product[i] = x[i] == 0 ? 1 : (double)x[i];
  }
  for (int64_t t = 0; t < b->p.n; t++) {
    int64_t at = xai__place(&b->p, t) * b->p.inner;
    for (int64_t i = 0; i < b->p.inner; i++, u++) {
      zeros[at + i] += *u == 0;
      if (*u != 0) product[at + i] *= (double)*u;
    }
  }
  b->zeros = zeros;
  b->product = product;
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gout[0].data || (!gin[0].data && !gin[2].data)) return XAI_OK;
  back b = {.kind = kind_of(c->node), .g = xai__f(&gout[0])};
  XAI__TRY(read_places(c, &b.p));
  size_t mark = xai__scratch_mark(c->engine);
  int status = b.kind == ADD ? XAI_OK : b.kind == MUL ? find_products(c, &b) : find_owners(c, &b);
  if (!status) {
    hand_back(c, &b, 0, gin[0].data);
    hand_back(c, &b, 2, gin[2].data);
  }
  xai__scratch_release(c->engine, mark);
  return status;
}

/* ---- relevance ---- */

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  reduction kind = kind_of(node);
  if (in_static[0] && in_static[2]) return XAI__CROSS_NONE;
  if (kind == ADD) return XAI__CROSS_OWN;
  if (kind == MUL) return in_static[2] ? XAI__CROSS_PASS : XAI__CROSS_REFUSED;
  return XAI__CROSS_ROUTE;
}

/* The share of operand 0 or 2: to its relevance, or to the ledger where nobody asks for it. */
static int share_of(xai__call *c, const xai__own_options *o, back *b, int k, float *gx) {
  if (gx || !o->ledger) {
    hand_back(c, b, k, gx);
    return XAI_OK;
  }
  if (c->in_static[k] && o->bias_zero) return XAI_OK; /* was not in the sum */
  int64_t n = xai__count(&c->in[k].shape);
  float *share = xai__scratch(c->engine, (size_t)n, sizeof *share, c->err);
  if (!share) return c->err->status;
  xai__fill(c->engine, share, n, 0);
  hand_back(c, b, k, share);
  o->ledger[c->in_static[k] ? XAI__BIAS : XAI__CONSTANT] += xai__sum(c->engine, share, n);
  return XAI_OK;
}

static int share_sum(xai__call *c, const xai__own_options *o, const float *R,
                     const xai__view *gin) {
  int64_t n = xai__count(&c->out[0].shape);
  float *z = xai__scratch(c->engine, (size_t)n, sizeof *z, c->err);
  float *s = z ? xai__scratch(c->engine, (size_t)n, sizeof *s, c->err) : NULL;
  if (!s) return c->err->status;
  back b = {.kind = ADD, .share = true, .g = s};
  XAI__TRY(read_places(c, &b.p));
  if (o->bias_zero && c->in_static[0]) xai__fill(c->engine, z, n, 0);
  else memcpy(z, c->in[0].data, (size_t)n * sizeof *z);
  scattering sum = {.p = b.p, .kind = ADD, .updates = c->in[2].data, .y = z};
  if (!o->bias_zero || !c->in_static[2])
    xai__split(c->engine, b.p.inner, xai__grain(b.p.n), apply_f32, &sum);
  xai__own_divide(c->engine, R, z, 1, n, o->stabilizer, s, o->ledger);
  XAI__TRY(share_of(c, o, &b, 0, gin[0].data));
  return share_of(c, o, &b, 2, gin[2].data);
}

static int relevance(xai__call *c, const xai__own_options *o, const xai__view *gout,
                     const xai__view *gin) {
  if (!gout[0].data) return XAI_OK;
  if (kind_of(c->node) != ADD) return vjp(c, gout, gin);
  size_t mark = xai__scratch_mark(c->engine);
  int status = share_sum(c, o, xai__f(&gout[0]), gin);
  xai__scratch_release(c->engine, mark);
  return status;
}

#define SCATTER(Type, since_, fields_)                                                             \
  const xai__op xai__op_##Type = {                                                                 \
      .type = #Type, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .since = since_,        \
      .fields = fields_, .attr_size = sizeof(scatter_attr), .check = check, .infer = infer,        \
      .forward = forward, .vjp = vjp, .crossing = crossing, .relevance = relevance};
SCATTER(ScatterND, 11, nd_fields)
SCATTER(ScatterElements, 11, elements_fields)
SCATTER(Scatter, 9, old_fields)
