/* TopK: the k largest (or smallest) along an axis and where they were, in order; the lower index
 * first among equals, NaN above all numbers. Derivatives go back to the elements chosen. */
#include <math.h>

#include "op/check.h"
#include "op/loop.h"

typedef struct {
  int64_t axis, k, largest, sorted;
} topk_attr;
static const xai__field fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(topk_attr, axis), .preset = -1},
    {.name = "k", .type = XAI__INT, .offset = offsetof(topk_attr, k), .preset = -1}, /* opset 1 */
    {.name = "largest", .type = XAI__INT, .offset = offsetof(topk_attr, largest), .preset = 1},
    {.name = "sorted", .type = XAI__INT, .offset = offsetof(topk_attr, sorted), .preset = 1},
    {0}};

static int infer(xai__call *c) {
  const topk_attr *a = c->node->attr;
  const int64_t *v = &a->k;
  int64_t n = 1;
  int axis;
  XAI__TRY(xai__axis(a->axis, c->in[0].shape.rank, c, &axis));
  if (c->n_in > 1) XAI__TRY(xai__known_ints(c, 1, "k", &v, &n));
  if (n != 1 || *v < 0 || *v > c->in[0].shape.d[axis])
    return XAI__MALFORMED(c, "TopK: k is %lld (of %lld numbers), the axis has %lld elements",
                          n == 1 ? (long long)*v : -1, (long long)n,
                          (long long)c->in[0].shape.d[axis]);
  for (int i = 0; i < c->n_out; i++) {
    c->out[i].shape = c->in[0].shape;
    c->out[i].shape.d[axis] = *v;
    c->out[i].dtype = i ? XAI_I64 : c->in[0].dtype;
  }
  return XAI_OK;
}

static int dtype(const xai__node *node, const int *in_dtype, int k) {
  (void)node;
  return k ? XAI_I64 : in_dtype[0];
}

typedef struct line {
  const xai__call *c;
  int64_t n, k, inner, at; /* at: of the line's first element */
  bool largest;
  int64_t *index; /* [.., k, inner] */
} line;

static bool comes_first(const line *l, int64_t a, int64_t b) {
  const xai__view *x = &l->c->in[0];
  if (x->dtype == XAI_I64) {
    int64_t u = xai__i(x)[l->at + a * l->inner], v = xai__i(x)[l->at + b * l->inner];
    return u == v ? a < b : (u > v) == l->largest;
  }
  float u = xai__f(x)[l->at + a * l->inner], v = xai__f(x)[l->at + b * l->inner];
  if (u == v || (isnan(u) && isnan(v))) return a < b;
  return (isnan(u) || u > v) == l->largest;
}

/* A heap of the indices chosen so far, the last of them on top. */
static void sink(const line *l, int64_t *heap, int64_t n) {
  int64_t i = 0, top = heap[0];
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && comes_first(l, heap[child * l->inner], heap[(child + 1) * l->inner])) child++;
    if (!comes_first(l, top, heap[child * l->inner])) break;
    heap[i * l->inner] = heap[child * l->inner];
  }
  heap[i * l->inner] = top;
}

static void rise(const line *l, int64_t *heap, int64_t i) {
  int64_t last = heap[i * l->inner];
  for (int64_t up; i > 0; i = up) {
    up = (i - 1) / 2;
    if (!comes_first(l, heap[up * l->inner], last)) break;
    heap[i * l->inner] = heap[up * l->inner];
  }
  heap[i * l->inner] = last;
}

static void choose(const line *l, int64_t *heap) {
  for (int64_t i = 0; i < l->n; i++) {
    if (i < l->k) {
      heap[i * l->inner] = i;
      rise(l, heap, i);
    } else if (l->k && comes_first(l, i, heap[0])) {
      heap[0] = i;
      sink(l, heap, l->k);
    }
  }
  for (int64_t left = l->k - 1; left > 0; left--) {
    int64_t last = heap[0];
    heap[0] = heap[left * l->inner];
    heap[left * l->inner] = last;
    sink(l, heap, left);
  }
}

static void lines(void *ctx, int64_t begin, int64_t end) {
  line l = *(const line *)ctx;
  const xai__call *c = l.c;
  for (int64_t i = begin; i < end; i++) {
    int64_t to = i / l.inner * l.k * l.inner + i % l.inner;
    l.at = i / l.inner * l.n * l.inner + i % l.inner;
    choose(&l, l.index + to);
    for (int64_t j = 0; j < l.k; j++) {
      int64_t from = l.at + l.index[to + j * l.inner] * l.inner;
      if (c->in[0].dtype == XAI_F32) xai__f(&c->out[0])[to + j * l.inner] = xai__f(&c->in[0])[from];
      else xai__i(&c->out[0])[to + j * l.inner] = xai__i(&c->in[0])[from];
    }
  }
}

/* Chosen indices and lengths; the indices go to the result, or to scratch where nobody wants them. */
static int lines_of(xai__call *c, line *l) {
  const topk_attr *a = c->node->attr;
  const xai__shape *x = &c->in[0].shape;
  int axis;
  XAI__TRY(xai__axis(a->axis, x->rank, c, &axis));
  *l = (line){.c = c, .n = x->d[axis], .k = c->out[0].shape.d[axis],
              .inner = xai__span(x, axis + 1, x->rank), .largest = a->largest != 0};
  l->index = c->n_out > 1 ? xai__i(&c->out[1]) : NULL;
  if (!l->index)
    l->index = xai__scratch(c->engine, (size_t)xai__count(&c->out[0].shape) + 1, sizeof *l->index, c->err);
  return l->index ? XAI_OK : c->err->status;
}

static int forward(xai__call *c) {
  line l;
  XAI__TRY(lines_of(c, &l));
  if (!l.n) return XAI_OK;
  xai__split(c->engine, xai__count(&c->in[0].shape) / l.n, xai__grain(4 * l.n), lines, &l);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  line l;
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  XAI__TRY(lines_of(c, &l));
  bool known = c->n_out > 1 && c->out[1].data;
  int64_t row = l.k * l.inner;
  for (int64_t i = 0; row && i < xai__count(&c->out[0].shape) / row * l.inner; i++) {
    int64_t to = i / l.inner * row + i % l.inner;
    l.at = i / l.inner * l.n * l.inner + i % l.inner;
    if (!known) choose(&l, l.index + to);
    for (int64_t j = 0; j < l.k; j++)
      xai__f(&gin[0])[l.at + l.index[to + j * l.inner] * l.inner] += xai__f(&gout[0])[to + j * l.inner];
  }
  return XAI_OK;
}

const xai__op xai__op_TopK = {
    .type = "TopK", .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 2, .since = 1,
    .fields = fields, .attr_size = sizeof(topk_attr), .dtype = dtype, .infer = infer,
    .forward = forward, .vjp = vjp, .cross = XAI__CROSS_ROUTE};
