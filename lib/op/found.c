/* Operators whose result is as large as what they find: NonZero, Unique, NonMaxSuppression. What they
 * look at must be known when the network is planned; a session plans for the data where shapes alone
 * are not enough. */
#include <math.h>
#include <string.h>

#include "op/check.h"
#include "op/loop.h"

static int need_known(const xai__call *c, int i) {
  if (!xai__has(c, i) || c->in[i].data || !xai__count(&c->in[i].shape)) return XAI_OK;
  return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                   "%s: the shape of the result depends on operand %d, which is computed from the input",
                   c->node->op->type, i);
}

static int all_integers(const xai__node *node, const int *in_dtype, int k) {
  (void)node, (void)in_dtype, (void)k;
  return XAI_I64;
}

/* ---- NonZero: [rank, n], the places of what is not 0, in order ---- */

static bool is_nonzero(const xai__view *x, int64_t i) {
  return x->dtype == XAI_F32 ? xai__f(x)[i] != 0 : xai__i(x)[i] != 0;
}

static int nonzero_infer(xai__call *c) {
  int64_t n = 0;
  XAI__TRY(need_known(c, 0));
  for (int64_t i = 0; i < xai__count(&c->in[0].shape); i++) n += is_nonzero(&c->in[0], i);
  int rank = c->in[0].shape.rank;
  c->out[0].shape = (xai__shape){2, {rank ? rank : 1, n}};
  c->out[0].dtype = XAI_I64;
  return XAI_OK;
}

static int nonzero_forward(xai__call *c) {
  const xai__shape *s = &c->in[0].shape;
  int64_t n = c->out[0].shape.d[1], *y = xai__i(&c->out[0]), found = 0;
  for (int64_t i = 0; i < xai__count(s); i++) {
    if (!is_nonzero(&c->in[0], i)) continue;
    y[found] = 0;
    for (int64_t a = s->rank - 1, rest = i; a >= 0; rest /= s->d[a--]) y[a * n + found] = rest % s->d[a];
    found++;
  }
  return XAI_OK;
}

const xai__op xai__op_NonZero = {
    .type = "NonZero", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .since = 9,
    .dtype = all_integers, .infer = nonzero_infer, .forward = nonzero_forward,
    .cross = XAI__CROSS_NONE};

/* ---- Unique: the different slices along an axis (or elements), sorted or as they come; where each
 * first was, which one each is, how often it comes ---- */

typedef struct {
  int64_t axis, sorted;
} unique_attr;
static const xai__field unique_fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(unique_attr, axis), .preset = -0x1p62},
    {.name = "sorted", .type = XAI__INT, .offset = offsetof(unique_attr, sorted), .preset = 1},
    {0}};

/* x as [outer][n][inner]; the slices k of n are compared. */
typedef struct slices {
  const xai__view *x;
  int64_t outer, n, inner;
  int axis; /* -1: flat */
} slices;

static int slices_of(xai__call *c, slices *s) {
  const unique_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape;
  *s = (slices){&c->in[0], 1, xai__count(x), 1, -1};
  if ((double)a->axis <= -0x1p62) return XAI_OK;
  XAI__TRY(xai__axis(a->axis, x->rank, c, &s->axis));
  s->outer = xai__span(x, 0, s->axis);
  s->n = x->d[s->axis];
  s->inner = xai__span(x, s->axis + 1, x->rank);
  return XAI_OK;
}

static int64_t slice_at(const slices *s, int64_t k, int64_t e) {
  return (e / s->inner * s->n + k) * s->inner + e % s->inner;
}

/* < 0, 0, > 0; NaN is above all numbers and differs from itself. */
static int compare(const slices *s, int64_t a, int64_t b) {
  for (int64_t e = 0; e < s->outer * s->inner; e++) {
    int64_t i = slice_at(s, a, e), j = slice_at(s, b, e);
    if (s->x->dtype == XAI_I64) {
      int64_t u = xai__i(s->x)[i], v = xai__i(s->x)[j];
      if (u != v) return u < v ? -1 : 1;
      continue;
    }
    float u = xai__f(s->x)[i], v = xai__f(s->x)[j];
    if (isnan(u) || isnan(v)) return isnan(u) && isnan(v) ? (a > b) - (a < b) : isnan(v) ? -1 : 1;
    if (u != v) return u < v ? -1 : 1;
  }
  return 0;
}

/* Sorts the indices v by slice, the lower index first among equals; `room` is as long [merge]. */
static void sort(const slices *s, int64_t *v, int64_t *room, int64_t n) {
  for (int64_t width = 1; width < n; width *= 2)
    for (int64_t from = 0; from < n; from += 2 * width) {
      int64_t middle = from + width < n ? from + width : n, end = middle + width < n ? middle + width : n;
      int64_t i = from, j = middle;
      for (int64_t k = from; k < end; k++)
        room[k] = j == end || (i < middle && compare(s, v[i], v[j]) <= 0) ? v[i++] : v[j++];
      memcpy(v + from, room + from, (size_t)(end - from) * sizeof *v);
    }
}

/* The first index of each different slice in the order of the result, and for each slice which it is. */
static int find_unique(xai__call *c, const slices *s, int64_t **first, int64_t **inverse, int64_t *n) {
  const unique_attr *a = c->node->attr;
  size_t room = (size_t)s->n + 1;
  int64_t *v = xai__scratch(c->engine, 4 * room, sizeof *v, c->err);
  if (!v) return c->err->status;
  int64_t *other = v + room, *position = v + 3 * room;
  *first = v + 2 * room;
  *inverse = other;
  for (int64_t i = 0; i < s->n; i++) v[i] = i;
  sort(s, v, other, s->n);
  *n = 0;
  for (int64_t i = 0; i < s->n; i++) {
    if (!i || compare(s, v[i - 1], v[i])) (*first)[(*n)++] = v[i];
    other[v[i]] = *n - 1;
  }
  if (a->sorted) return XAI_OK;
  int64_t seen = 0;
  for (int64_t i = 0; i < s->n; i++)
    if ((*first)[other[i]] == i) position[other[i]] = seen++;
  for (int64_t i = 0; i < s->n; i++) other[i] = position[other[i]];
  for (int64_t i = s->n - 1; i >= 0; i--) (*first)[other[i]] = i;
  return XAI_OK;
}

static int unique_infer(xai__call *c) {
  slices s;
  int64_t *first, *inverse, n;
  XAI__TRY(slices_of(c, &s));
  XAI__TRY(need_known(c, 0));
  size_t mark = xai__scratch_mark(c->engine);
  int status = find_unique(c, &s, &first, &inverse, &n);
  xai__scratch_release(c->engine, mark);
  if (status) return status;
  c->out[0] = (xai__view){.dtype = c->in[0].dtype, .shape = c->in[0].shape};
  if (s.axis < 0) c->out[0].shape = (xai__shape){1, {n}};
  else c->out[0].shape.d[s.axis] = n;
  for (int k = 1; k < c->n_out; k++)
    c->out[k] = (xai__view){.dtype = XAI_I64, .shape = {1, {k == 2 ? s.n : n}}};
  return XAI_OK;
}

static int unique_dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node;
  return k ? XAI_I64 : in_dtype[0];
}

static int unique_forward(xai__call *c) {
  slices s, to;
  int64_t *first, *inverse, n;
  XAI__TRY(slices_of(c, &s));
  XAI__TRY(find_unique(c, &s, &first, &inverse, &n));
  to = (slices){&c->out[0], s.outer, n, s.inner, s.axis};
  for (int64_t k = 0; k < n; k++)
    for (int64_t e = 0; e < s.outer * s.inner; e++) {
      int64_t i = slice_at(&s, first[k], e), j = slice_at(&to, k, e);
      if (s.x->dtype == XAI_F32) xai__f(&c->out[0])[j] = xai__f(s.x)[i];
      else xai__i(&c->out[0])[j] = xai__i(s.x)[i];
    }
  int64_t *out[4] = {NULL};
  for (int k = 1; k < c->n_out; k++) out[k] = xai__i(&c->out[k]);
  for (int64_t k = 0; k < n && out[1]; k++) out[1][k] = first[k];
  for (int64_t k = 0; k < s.n && out[2]; k++) out[2][k] = inverse[k];
  for (int64_t k = 0; k < n && out[3]; k++) out[3][k] = 0;
  for (int64_t k = 0; k < s.n && out[3]; k++) out[3][inverse[k]]++;
  return XAI_OK;
}

/* Each result is its first element. */
static int unique_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  slices s, to;
  int64_t *first, *inverse, n;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(slices_of(c, &s));
  XAI__TRY(find_unique(c, &s, &first, &inverse, &n));
  to = (slices){&c->out[0], s.outer, n, s.inner, s.axis};
  for (int64_t k = 0; k < n; k++)
    for (int64_t e = 0; e < s.outer * s.inner; e++)
      xai__f(&gin[0])[slice_at(&s, first[k], e)] += xai__f(&gout[0])[slice_at(&to, k, e)];
  return XAI_OK;
}

const xai__op xai__op_Unique = {
    .type = "Unique", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 4, .since = 11,
    .fields = unique_fields, .attr_size = sizeof(unique_attr), .dtype = unique_dtype,
    .infer = unique_infer, .forward = unique_forward, .vjp = unique_vjp,
    .cross = XAI__CROSS_ROUTE};

/* ---- NonMaxSuppression(boxes [B, N, 4], scores [B, C, N], ...): [n, 3] batch, class, box ---- */

typedef struct {
  int64_t center_point_box;
} nms_attr;
static const xai__field nms_fields[] = {
    {.name = "center_point_box", .type = XAI__INT, .offset = offsetof(nms_attr, center_point_box)},
    {0}};

typedef struct box {
  double y1, x1, y2, x2;
} box;

static box box_at(const xai__call *c, const float *v) {
  double a = (double)v[0], b = (double)v[1], p = (double)v[2], q = (double)v[3];
  if (((const nms_attr *)c->node->attr)->center_point_box)
    return (box){b - q / 2, a - p / 2, b + q / 2, a + p / 2};
  return (box){fmin(a, p), fmin(b, q), fmax(a, p), fmax(b, q)};
}

static double overlap(box a, box b) {
  double h = fmin(a.y2, b.y2) - fmax(a.y1, b.y1), w = fmin(a.x2, b.x2) - fmax(a.x1, b.x1);
  double both = h > 0 && w > 0 ? h * w : 0;
  double all = (a.y2 - a.y1) * (a.x2 - a.x1) + (b.y2 - b.y1) * (b.x2 - b.x1) - both;
  return all > 0 ? both / all : 0;
}

static double number_or(const xai__call *c, int i, double preset) {
  if (!xai__has(c, i) || !xai__count(&c->in[i].shape)) return preset;
  return c->in[i].dtype == XAI_F32 ? (double)*xai__f(&c->in[i]) : (double)*xai__i(&c->in[i]);
}

/* Counts what is chosen, and writes it where y is not NULL. Greedy: the highest score first, the lower
 * index among equals. */
static int nms(xai__call *c, int64_t *y, int64_t *count) {
  const int64_t *s = c->in[1].shape.d;
  int64_t n = s[2];
  double most = number_or(c, 2, 0), threshold = number_or(c, 3, 0), least = number_or(c, 4, -INFINITY);
  size_t mark = xai__scratch_mark(c->engine);
  int64_t *order = xai__scratch(c->engine, 3 * (size_t)n + 1, sizeof *order, c->err);
  if (!order) return c->err->status;
  int64_t *room = order + n, *chosen = order + 2 * n;
  *count = 0;
  for (int64_t k = 0; k < s[0] * s[1]; k++) {
    xai__view scores = {.dtype = XAI_F32, .shape = {1, {n}}, .data = xai__f(&c->in[1]) + k * n};
    const float *boxes = xai__f(&c->in[0]) + k / s[1] * n * 4;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) order[i] = n - 1 - i; /* read from the end: highest, lowest index */
    sort(&(slices){&scores, 1, n, 1, -1}, order, room, n);
    for (int64_t i = n - 1; i >= 0 && (double)kept < most; i--) {
      bool free_of_others = (double)xai__f(&scores)[order[i]] > least;
      for (int64_t j = 0; j < kept && free_of_others; j++)
        free_of_others = overlap(box_at(c, boxes + order[i] * 4), box_at(c, boxes + chosen[j] * 4)) <= threshold;
      if (!free_of_others) continue;
      chosen[kept++] = order[i];
      if (y) {
        y[*count * 3] = k / s[1];
        y[*count * 3 + 1] = k % s[1];
        y[*count * 3 + 2] = order[i];
      }
      ++*count;
    }
  }
  xai__scratch_release(c->engine, mark);
  return XAI_OK;
}

static int nms_infer(xai__call *c) {
  const xai__shape *boxes = &c->in[0].shape, *scores = &c->in[1].shape;
  int64_t n;
  for (int i = 0; i < c->n_in; i++) {
    if (i != 2) XAI__TRY(xai__need_float(c, i));
    else if (xai__has(c, i)) XAI__TRY(xai__need_int(c, i));
    if (i > 1 && xai__has(c, i) && xai__count(&c->in[i].shape) > 1)
      return XAI__MALFORMED(c, "NonMaxSuppression: operand %d is not one number", i);
  }
  XAI__TRY(xai__need_rank(c, 0, 3, 3));
  XAI__TRY(xai__need_rank(c, 1, 3, 3));
  if (boxes->d[0] != scores->d[0] || boxes->d[1] != scores->d[2] || boxes->d[2] != 4)
    return XAI__MALFORMED(c, "NonMaxSuppression: boxes of shape %s, scores %s",
                          xai__shape_text(boxes).text, xai__shape_text(scores).text);
  for (int i = 0; i < c->n_in; i++) XAI__TRY(need_known(c, i));
  XAI__TRY(nms(c, NULL, &n));
  c->out[0] = (xai__view){.dtype = XAI_I64, .shape = {2, {n, 3}}};
  return XAI_OK;
}

static int nms_forward(xai__call *c) {
  int64_t n;
  return nms(c, xai__i(&c->out[0]), &n);
}

const xai__op xai__op_NonMaxSuppression = {
    .type = "NonMaxSuppression", .min_in = 2, .max_in = 5, .min_out = 1, .max_out = 1, .since = 10,
    .fields = nms_fields, .attr_size = sizeof(nms_attr), .dtype = all_integers, .infer = nms_infer,
    .forward = nms_forward, .cross = XAI__CROSS_NONE};
