/* DepthToSpace, SpaceToDepth: blocks of b x b pixels to channels and back. Trilu: one triangle of
 * each matrix.
 *
 *   space[n, c, h b + i, w b + j] = depth[n, (i b + j) C + c, h, w]      (DCR; CRD: c b^2 + i b + j) */
#include "op/check.h"
#include "op/loop.h"
#include <string.h>

typedef struct {
  int64_t size;
  const char *mode;
} blocks_attr;
static const xai__field depth_fields[] = {
    {.name = "blocksize", .type = XAI__INT, .offset = offsetof(blocks_attr, size),
     .required = true},
    {.name = "mode", .type = XAI__TEXT, .offset = offsetof(blocks_attr, mode)},
    {0}};
static const xai__field space_fields[] = {
    {.name = "blocksize", .type = XAI__INT, .offset = offsetof(blocks_attr, size),
     .required = true},
    {0}};

static int check(const xai__node *node, void *attr, xai_error *err) {
  const blocks_attr *a = attr;
  if (a->size < 1 || a->size > 1 << 15)
    return xai__fail(err, XAI_E_MODEL, node->name, "%s: block size %lld", node->op->type,
                     (long long)a->size);
  if (a->mode && strcmp(a->mode, "DCR") && strcmp(a->mode, "CRD"))
    return xai__fail(err, XAI_E_MODEL, node->name, "%s: unknown mode '%s'", node->op->type,
                     a->mode);
  return XAI_OK;
}

static int misfit(const xai__call *c) {
  return XAI__MALFORMED(c, "%s: %s does not divide into blocks of %lld", c->node->op->type,
                        xai__shape_text(&c->in[0].shape).text,
                        (long long)((const blocks_attr *)c->node->attr)->size);
}

static int depth_infer(xai__call *c) {
  int64_t b = ((const blocks_attr *)c->node->attr)->size;
  const int64_t *d = c->in[0].shape.d;
  XAI__TRY(xai__need_rank(c, 0, 4, 4));
  xai__shape s = {4, {d[0], d[1] / (b * b), 0, 0}};
  if (d[1] % (b * b) || !xai__mul(d[2], b, &s.d[2]) || !xai__mul(d[3], b, &s.d[3]))
    return misfit(c);
  c->out[0].shape = s;
  c->out[0].dtype = c->in[0].dtype;
  return xai__need_countable(c, &s);
}

static int space_infer(xai__call *c) {
  int64_t b = ((const blocks_attr *)c->node->attr)->size;
  const int64_t *d = c->in[0].shape.d;
  XAI__TRY(xai__need_rank(c, 0, 4, 4));
  xai__shape s = {4, {d[0], 0, d[2] / b, d[3] / b}};
  if (d[2] % b || d[3] % b || !xai__mul(d[1], b * b, &s.d[1])) return misfit(c);
  c->out[0].shape = s;
  c->out[0].dtype = c->in[0].dtype;
  return xai__need_countable(c, &s);
}

/* Streams over (n, c, h, i, w, j): the result, then the operand; the other way for the adjoint. */
static xai__loop blocks(const xai__call *c, bool to_space, bool adjoint) {
  const blocks_attr *a = c->node->attr;
  const int64_t *depth = to_space ? c->in[0].shape.d : c->out[0].shape.d;
  int64_t b = a->size, C = depth[1] / (b * b), plane = depth[2] * depth[3], w = depth[3];
  bool crd = a->mode && !strcmp(a->mode, "CRD");
  int64_t block = (crd ? 1 : C) * plane; /* from one pixel of a block to the next */
  int64_t in_depth[6] = {depth[1] * plane, crd ? b * b * plane : plane, w, b * block, 1, block};
  xai__shape box = {6, {depth[0], C, depth[2], b, depth[3], b}};
  xai__loop l = xai__loop_over(&box);
  if (to_space != adjoint) xai__loop_add(&l, &box);
  xai__loop_add_strides(&l, in_depth);
  if (to_space == adjoint) xai__loop_add(&l, &box);
  return l;
}

static int move(xai__call *c, bool to_space) {
  xai__loop l = blocks(c, to_space, false);
  xai__copy(c->engine, &l, c->in[0].dtype, c->out[0].data, c->in[0].data);
  return XAI_OK;
}

static int move_back(xai__call *c, bool to_space, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  xai__loop l = blocks(c, to_space, true);
  xai__add_copy(c->engine, &l, xai__f(&gin[0]), xai__f(&gout[0]), 1);
  return XAI_OK;
}

#define BLOCKS(Type, fields_, infer_, to_space)                                                    \
  static int forward_##Type(xai__call *c) { return move(c, to_space); }                            \
  static int vjp_##Type(xai__call *c, const xai__view *gout, const xai__view *gin) {               \
    return move_back(c, to_space, gout, gin);                                                      \
  }                                                                                                \
  const xai__op xai__op_##Type = {.type = #Type, .min_in = 1, .max_in = 1, .min_out = 1,           \
                                  .max_out = 1, .since = 1, .fields = fields_,                     \
                                  .attr_size = sizeof(blocks_attr), .check = check,                \
                                  .infer = infer_, .forward = forward_##Type, .vjp = vjp_##Type,   \
                                  .cross = XAI__CROSS_ROUTE};
BLOCKS(DepthToSpace, depth_fields, depth_infer, true)
BLOCKS(SpaceToDepth, space_fields, space_infer, false)

/* ---- Trilu: y[r, k] = x[r, k] where k - r >= diagonal (upper) or <= diagonal, else 0 ---- */

typedef struct {
  int64_t upper;
} trilu_attr;
static const xai__field trilu_fields[] = {
    {.name = "upper", .type = XAI__INT, .offset = offsetof(trilu_attr, upper), .preset = 1}, {0}};

/* Beyond the corners there is nothing to tell apart: k is kept within them. */
static int diagonal_of(xai__call *c, int64_t *diagonal) {
  const xai__shape *s = &c->in[0].shape;
  const int64_t *v;
  int64_t n;
  XAI__TRY(xai__optional_ints(c, 1, "k", &v, &n));
  int64_t k = n ? v[0] : 0, low = -s->d[s->rank - 2], high = s->d[s->rank - 1];
  *diagonal = k < low ? low : k > high ? high : k;
  return XAI_OK;
}

static int trilu_infer(xai__call *c) {
  int64_t diagonal;
  XAI__TRY(xai__need_rank(c, 0, 2, XAI__MAX_RANK));
  c->out[0].dtype = c->in[0].dtype;
  c->out[0].shape = c->in[0].shape;
  return diagonal_of(c, &diagonal);
}

/* The kept columns of row r: from, to. */
static void kept(const xai__call *c, int64_t diagonal, int64_t row, int64_t *from, int64_t *to) {
  const xai__shape *s = &c->in[0].shape;
  int64_t r = row % s->d[s->rank - 2], n = s->d[s->rank - 1];
  bool upper = ((const trilu_attr *)c->node->attr)->upper != 0;
  int64_t cut = r + diagonal + !upper;
  cut = cut < 0 ? 0 : cut > n ? n : cut;
  *from = upper ? cut : 0;
  *to = upper ? n : cut;
}

static int trilu_forward(xai__call *c) {
  const xai__shape *s = &c->in[0].shape;
  int64_t diagonal, from, to, n = s->d[s->rank - 1], rows = xai__span(s, 0, s->rank - 1);
  size_t bytes = c->in[0].dtype == XAI_F32 ? 4 : 8;
  XAI__TRY(diagonal_of(c, &diagonal));
  memset(c->out[0].data, 0, (size_t)(rows * n) * bytes);
  for (int64_t r = 0; r < rows; r++) {
    kept(c, diagonal, r, &from, &to);
    size_t at = (size_t)(r * n + from) * bytes;
    if (to > from)
      memcpy((char *)c->out[0].data + at, (const char *)c->in[0].data + at,
             (size_t)(to - from) * bytes);
  }
  return XAI_OK;
}

static int trilu_vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  if (!gin[0].data || !gout[0].data) return XAI_OK;
  const xai__shape *s = &c->in[0].shape;
  int64_t diagonal, from, to, n = s->d[s->rank - 1], rows = xai__span(s, 0, s->rank - 1);
  XAI__TRY(diagonal_of(c, &diagonal));
  for (int64_t r = 0; r < rows; r++) {
    kept(c, diagonal, r, &from, &to);
    for (int64_t k = from; k < to; k++) xai__f(&gin[0])[r * n + k] += xai__f(&gout[0])[r * n + k];
  }
  return XAI_OK;
}

const xai__op xai__op_Trilu = {
    .type = "Trilu", .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1, .since = 14,
    .fields = trilu_fields, .attr_size = sizeof(trilu_attr), .infer = trilu_infer,
    .forward = trilu_forward, .vjp = trilu_vjp, .cross = XAI__CROSS_ROUTE};
