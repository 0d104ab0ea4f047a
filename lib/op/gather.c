/* Gather: y[outer, k..., inner] = x[outer, index[k...], inner] along an axis.
 * GatherElements: y[..., k, ...] = x[..., index[..., k, ...], ...]. Negative indices count from the
 * end; what an index reaches is only known at run time, and checked then. */
#include "op/check.h"
#include "op/loop.h"
#include "op/strided.h"
#include <string.h>

typedef struct {
  int64_t axis;
} gather_attr;
static const xai__field fields[] = {
    {.name = "axis", .type = XAI__INT, .offset = offsetof(gather_attr, axis)}, {0}};

static int axis_of(const xai__call *c, int *axis) {
  return xai__axis(((const gather_attr *)c->node->attr)->axis, c->in[0].shape.rank, c, axis);
}

static int need_in_range(const xai__call *c, int axis) {
  const int64_t *index = xai__i(&c->in[1]);
  int64_t n = xai__count(&c->in[1].shape), size = c->in[0].shape.d[axis];
  for (int64_t k = 0; k < n; k++)
    if (index[k] < -size || index[k] >= size)
      return xai__fail(c->err, c->in_static[1] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "%s: index %lld at position %lld is outside axis %d of size %lld",
                       c->node->op->type, (long long)index[k], (long long)k, axis,
                       (long long)size);
  return XAI_OK;
}

static int64_t from_start(int64_t index, int64_t size) { return index < 0 ? index + size : index; }

typedef struct {
  const int64_t *index;
  int64_t n, size, inner, bytes; /* indices; x's axis; elements behind it; bytes of one */
  const char *x;
  char *y;
  const float *gy; /* of the result, and of the operand */
  float *gx;
} gathering;

static gathering gathering_of(const xai__call *c, int axis) {
  return (gathering){.index = xai__i(&c->in[1]), .n = xai__count(&c->in[1].shape),
                     .size = c->in[0].shape.d[axis],
                     .inner = xai__span(&c->in[0].shape, axis + 1, c->in[0].shape.rank),
                     .bytes = c->in[0].dtype == XAI_F32 ? 4 : 8,
                     .x = c->in[0].data, .y = c->out[0].data};
}

/* ---- Gather ---- */

static int gather_infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape, *index = &c->in[1].shape;
  int axis;
  XAI__TRY(xai__need_int(c, 1));
  XAI__TRY(axis_of(c, &axis));
  xai__shape *s = &c->out[0].shape;
  s->rank = x->rank - 1 + index->rank;
  if (s->rank > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "Gather: rank %d, at most %d is supported", s->rank, XAI__MAX_RANK);
  int j = 0;
  for (int i = 0; i < axis; i++) s->d[j++] = x->d[i];
  for (int i = 0; i < index->rank; i++) s->d[j++] = index->d[i];
  for (int i = axis + 1; i < x->rank; i++) s->d[j++] = x->d[i];
  c->out[0].dtype = c->in[0].dtype;
  return xai__need_countable(c, s);
}

/* Row r of y is (outer, k): inner elements. */
static void gather_rows(void *ctx, int64_t begin, int64_t end) {
  const gathering *g = ctx;
  size_t bytes = (size_t)(g->inner * g->bytes);
  for (int64_t r = begin; r < end; r++) {
    int64_t from = r / g->n * g->size + from_start(g->index[r % g->n], g->size);
    memcpy(g->y + (size_t)r * bytes, g->x + (size_t)from * bytes, bytes);
  }
}

/* One index. */
static bool gather_view(const xai__call *c, xai__strided *v) {
  const int64_t axis = ((const gather_attr *)c->node->attr)->axis, rank = v->shape.rank;
  const int at = (int)from_start(axis, rank);
  if (!c->in[1].data || xai__count(&c->in[1].shape) != 1) return false;
  const int64_t index = from_start(*xai__i(&c->in[1]), v->shape.d[at]);
  if (index < 0 || index >= v->shape.d[at]) return false;
  v->at += index * v->stride[at];
  v->shape.d[at] = 1;
  return xai__strided_reshape(v, &c->out[0].shape);
}

static int gather_forward(xai__call *c) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  XAI__TRY(need_in_range(c, axis));
  gathering g = gathering_of(c, axis);
  xai__split(c->engine, xai__span(&c->in[0].shape, 0, axis) * g.n, xai__grain(g.inner),
             gather_rows, &g);
  return XAI_OK;
}

/* Columns (outer, inner) of x: two tasks never add to the same element. */
static void gather_back(void *ctx, int64_t begin, int64_t end) {
  const gathering *g = ctx;
  while (begin < end) {
    int64_t outer = begin / g->inner, first = begin % g->inner;
    int64_t n = g->inner - first < end - begin ? g->inner - first : end - begin;
    for (int64_t k = 0; k < g->n; k++) {
      const float *gy = g->gy + (outer * g->n + k) * g->inner + first;
      float *gx = g->gx + (outer * g->size + from_start(g->index[k], g->size)) * g->inner + first;
      for (int64_t i = 0; i < n; i++) gx[i] += gy[i];
    }
    begin += n;
  }
}

static int gather_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  int axis;
  XAI__TRY(axis_of(c, &axis));
  gathering g = gathering_of(c, axis);
  g.gy = xai__f(&gout[0]), g.gx = xai__f(&gin[0]);
  xai__split(c->engine, xai__span(&c->in[0].shape, 0, axis) * g.inner, xai__grain(g.n),
             gather_back, &g);
  return XAI_OK;
}

const xai__op xai__op_Gather = {
    .type = "Gather", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 1,
    .fields = fields, .attr_size = sizeof(gather_attr), .infer = gather_infer,
    .view = gather_view, .forward = gather_forward, .vjp = gather_vjp, .cross = XAI__CROSS_ROUTE};

/* ---- GatherElements: y and index have one shape, x is at least as large beside the axis ---- */

static int elements_infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape, *index = &c->in[1].shape;
  int axis;
  XAI__TRY(xai__need_int(c, 1));
  XAI__TRY(axis_of(c, &axis));
  bool fits = index->rank == x->rank;
  for (int i = 0; fits && i < x->rank; i++) fits = i == axis || index->d[i] <= x->d[i];
  if (!fits)
    return XAI__MALFORMED(c, "GatherElements: indices of shape %s for %s along axis %d",
                          xai__shape_text(index).text, xai__shape_text(x).text, axis);
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = *index;
  return XAI_OK;
}

typedef struct {
  gathering g;
  int64_t stride; /* of x along the axis */
} picking;

/* Streams: line of x, of y (and index), at index 0 of the axis; then the steps along it. */
static void pick(void *ctx, const xai__run *r) {
  const picking *p = ctx;
  const gathering *g = &p->g;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t x = r->at[0] + i * r->step[0], y = r->at[1] + i * r->step[1];
    for (int64_t k = 0; k < g->n; k++, y += g->inner) {
      int64_t from = x + from_start(g->index[y], g->size) * p->stride;
      if (g->gx)
        g->gx[from] += g->gy[y];
      else
        memcpy(g->y + y * g->bytes, g->x + from * g->bytes, (size_t)g->bytes);
    }
  }
}

static int elements_run(xai__call *c, const float *gy, float *gx) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  xai__shape lines = c->in[1].shape;
  int64_t x[XAI__MAX_RANK], y[XAI__MAX_RANK];
  xai__strides(&c->in[0].shape, x);
  xai__strides(&lines, y);
  picking p = {gathering_of(c, axis), x[axis]};
  p.g.n = lines.d[axis], p.g.inner = y[axis], p.g.gy = gy, p.g.gx = gx;
  lines.d[axis] = 1;
  xai__loop l = xai__loop_over(&lines);
  xai__loop_add_strides(&l, x);
  xai__loop_add_strides(&l, y);
  xai__loop_each(c->engine, &l, pick, &p);
  return XAI_OK;
}

static int elements_forward(xai__call *c) {
  int axis;
  XAI__TRY(axis_of(c, &axis));
  XAI__TRY(need_in_range(c, axis));
  return elements_run(c, NULL, NULL);
}

static int elements_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  return elements_run(c, xai__f(&gout[0]), xai__f(&gin[0]));
}

const xai__op xai__op_GatherElements = {
    .type = "GatherElements", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 11,
    .fields = fields, .attr_size = sizeof(gather_attr), .infer = elements_infer,
    .forward = elements_forward, .vjp = elements_vjp, .cross = XAI__CROSS_ROUTE};
