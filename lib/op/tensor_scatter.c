/* TensorScatter (ONNX 24): a cache with new rows written into it along `axis`, each item's from its
 * write index on (0 where there is none); circular: modulo the cache's length. */
#include "op/check.h"
#include "op/loop.h"
#include <string.h>

typedef struct scatter_attr {
  int64_t axis;
  const char *mode;
} scatter_attr;
static const xai__field fields[] = {
    {"axis", XAI__INT, offsetof(scatter_attr, axis), -2, false},
    {"mode", XAI__TEXT, offsetof(scatter_attr, mode), 0, false},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  const char *mode = ((const scatter_attr *)attr)->mode;
  if (!mode || !strcmp(mode, "linear") || !strcmp(mode, "circular")) return XAI_OK;
  return xai__fail(err, XAI_E_MODEL, node->name, "TensorScatter: unknown mode '%s'", mode);
}

/* Block k of the update is row k % length of line k / length: prefix axes, inner elements. */
typedef struct blocks {
  int64_t lines, lines_per_item, length, cache_length, inner, bytes;
  const int64_t *start;
  char *cache;
  const char *update;
  float *g_update;
  const float *g;
} blocks;

static int read_blocks(const xai__call *c, blocks *b) {
  const scatter_attr *a = c->node->attr;
  const xai__shape *cache = &c->in[0].shape, *update = &c->in[1].shape;
  int axis;
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  XAI__TRY(xai__axis(a->axis, cache->rank, c, &axis));
  xai__shape fits = *update;
  if (axis < fits.rank) fits.d[axis] = cache->d[axis];
  if (axis == 0 || !xai__shape_equal(&fits, cache) || update->d[axis] > cache->d[axis])
    return XAI__MALFORMED(c, "TensorScatter: %s does not fit into %s along axis %d",
                          xai__shape_text(update).text, xai__shape_text(cache).text, axis);
  *b = (blocks){.lines = xai__span(cache, 0, axis), .lines_per_item = xai__span(cache, 1, axis),
                .length = update->d[axis], .cache_length = cache->d[axis],
                .inner = xai__span(cache, axis + 1, cache->rank),
                .bytes = (int64_t)xai__dtype_size(c->in[0].dtype)};
  if (xai__has(c, 2)) b->start = xai__i(&c->in[2]);
  return XAI_OK;
}

static int infer(xai__call *c) {
  blocks b;
  if (c->in[0].dtype != c->in[1].dtype)
    return XAI__MALFORMED(c, "TensorScatter: cache and update have different types");
  XAI__TRY(xai__need_countable(c, &c->in[0].shape));
  XAI__TRY(read_blocks(c, &b));
  c->out[0] = (xai__view){.dtype = c->in[0].dtype, .shape = c->in[0].shape};
  if (!xai__has(c, 2)) return XAI_OK;
  const xai__shape *start = &c->in[2].shape;
  XAI__TRY(xai__need_int(c, 2));
  if (start->rank == 1 && start->d[0] == c->in[0].shape.d[0]) return XAI_OK;
  return XAI__MALFORMED(c, "TensorScatter: write indices of shape %s for %lld items",
                        xai__shape_text(start).text, (long long)c->in[0].shape.d[0]);
}

/* Where block k goes: its first element in the cache. */
static int64_t place(const blocks *b, int64_t k) {
  int64_t line = k / b->length, start = b->start ? b->start[line / b->lines_per_item] : 0;
  return (line * b->cache_length + (start + k % b->length) % b->cache_length) * b->inner;
}

static void write(void *ctx, int64_t begin, int64_t end) {
  const blocks *b = ctx;
  size_t bytes = (size_t)(b->inner * b->bytes);
  for (int64_t k = begin; k < end; k++)
    memcpy(b->cache + place(b, k) * b->bytes, b->update + (size_t)k * bytes, bytes);
}

static int forward(xai__call *c) {
  blocks b;
  XAI__TRY(read_blocks(c, &b));
  const char *mode = ((const scatter_attr *)c->node->attr)->mode;
  int64_t last = mode && mode[0] == 'c' ? b.cache_length - 1 : b.cache_length - b.length;
  for (int64_t i = 0; b.start && i < c->in[0].shape.d[0]; i++)
    if (b.start[i] < 0 || (b.start[i] > last && b.length))
      return xai__fail(c->err, c->in_static[2] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "TensorScatter: %lld rows cannot be written from row %lld on of %lld",
                       (long long)b.length, (long long)b.start[i], (long long)b.cache_length);
  b.cache = c->out[0].data;
  b.update = c->in[1].data;
  memcpy(b.cache, c->in[0].data, (size_t)(xai__count(&c->in[0].shape) * b.bytes));
  xai__split(c->engine, b.lines * b.length, xai__grain(b.inner), write, &b);
  return XAI_OK;
}

static void to_update(void *ctx, int64_t begin, int64_t end) {
  const blocks *b = ctx;
  for (int64_t k = begin; k < end; k++) {
    const float *g = b->g + place(b, k);
    for (int64_t i = 0; i < b->inner; i++) b->g_update[k * b->inner + i] += g[i];
  }
}

/* The cache keeps what was not written over. */
static int to_cache(xai__call *c, const blocks *b, float *gin) {
  size_t mark = xai__scratch_mark(c->engine);
  int64_t n = xai__count(&c->in[0].shape);
  float *kept = xai__scratch(c->engine, (size_t)n, sizeof *kept, c->err);
  if (!kept) return XAI_E_MEMORY;
  memcpy(kept, b->g, (size_t)n * sizeof *kept);
  for (int64_t k = 0; k < b->lines * b->length; k++)
    memset(kept + place(b, k), 0, (size_t)b->inner * sizeof *kept);
  xai__add_scaled(c->engine, gin, kept, n, 1);
  xai__scratch_release(c->engine, mark);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  blocks b;
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(read_blocks(c, &b));
  b.g = xai__f(&gout[0]);
  b.g_update = xai__f(&gin[1]);
  if (b.g_update) xai__split(c->engine, b.lines * b.length, xai__grain(b.inner), to_update, &b);
  return gin[0].data ? to_cache(c, &b, xai__f(&gin[0])) : XAI_OK;
}

const xai__op xai__op_TensorScatter = {
    .type = "TensorScatter", .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, .since = 24,
    .fields = fields, .attr_size = sizeof(scatter_attr), .check = check, .infer = infer,
    .forward = forward, .vjp = vjp, .vjp_needs = XAI__NEEDS_IN, .cross = XAI__CROSS_ROUTE};
