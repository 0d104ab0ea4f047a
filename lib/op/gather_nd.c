/* GatherND (ONNX 11, 12, 13): y[batch..., k..., inner...] = x[batch..., index[batch..., k...],
 * inner...], where the last axis of `index` holds tuples that name the leading axes of x. */
#include "op/loop.h"
#include "op/places.h"
#include <limits.h>
#include <string.h>

typedef struct {
  int64_t batch_dims;
} gather_attr;
static const xai__field fields[] = {
    {.name = "batch_dims", .type = XAI__INT, .offset = offsetof(gather_attr, batch_dims)}, {0}};

typedef struct {
  xai__places p;
  size_t bytes; /* of a block */
  const char *x;
  char *y;
  const float *gy; /* of the result, and of the operand */
  float *gx;
} gathering;

static int read(const xai__call *c, gathering *g) {
  int64_t batch = ((const gather_attr *)c->node->attr)->batch_dims;
  if (batch < 0 || batch > INT_MAX) batch = -1;
  *g = (gathering){.x = c->in[0].data, .y = c->out[0].data};
  XAI__TRY(xai__places_tuples(c, (int)batch, &g->p));
  g->bytes = (size_t)g->p.inner * (c->in[0].dtype == XAI_F32 ? 4 : 8);
  return XAI_OK;
}

static int infer(xai__call *c) {
  const xai__shape *x = &c->in[0].shape, *index = &c->in[1].shape;
  gathering g;
  XAI__TRY(read(c, &g));
  xai__shape *s = &c->out[0].shape;
  int named = g.p.first_axis + g.p.rank;
  s->rank = index->rank - 1 + x->rank - named;
  if (s->rank > XAI__MAX_RANK)
    return XAI__MALFORMED(c, "GatherND: rank %d, at most %d is supported", s->rank, XAI__MAX_RANK);
  int j = 0;
  for (int i = 0; i < index->rank - 1; i++) s->d[j++] = index->d[i];
  for (int i = named; i < x->rank; i++) s->d[j++] = x->d[i];
  c->out[0].dtype = c->in[0].dtype;
  return xai__need_countable(c, s);
}

static void gather_blocks(void *ctx, int64_t begin, int64_t end) {
  const gathering *g = ctx;
  for (int64_t t = begin; t < end; t++)
    memcpy(g->y + (size_t)t * g->bytes, g->x + (size_t)xai__place(&g->p, t) * g->bytes, g->bytes);
}

static int forward(xai__call *c) {
  gathering g;
  XAI__TRY(read(c, &g));
  XAI__TRY(xai__places_check(c, &g.p));
  xai__split(c->engine, g.p.n, xai__grain(g.p.inner), gather_blocks, &g);
  return XAI_OK;
}

/* Columns of a block: two tasks never add to the same element. */
static void gather_back(void *ctx, int64_t begin, int64_t end) {
  const gathering *g = ctx;
  for (int64_t t = 0; t < g->p.n; t++) {
    const float *gy = g->gy + t * g->p.inner;
    float *gx = g->gx + xai__place(&g->p, t) * g->p.inner;
    for (int64_t i = begin; i < end; i++) gx[i] += gy[i];
  }
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  gathering g;
  XAI__TRY(read(c, &g));
  g.gy = xai__f(&gout[0]), g.gx = xai__f(&gin[0]);
  xai__split(c->engine, g.p.inner, xai__grain(g.p.n), gather_back, &g);
  return XAI_OK;
}

const xai__op xai__op_GatherND = {
    .type = "GatherND", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .since = 11,
    .fields = fields, .attr_size = sizeof(gather_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .cross = XAI__CROSS_ROUTE};
