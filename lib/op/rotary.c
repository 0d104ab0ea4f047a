/* RotaryEmbedding (ONNX 23): pairs of elements of each head, turned by their position's angles.
 *
 *   y_a = c x_a - s x_b,  y_b = s x_a + c x_b;   (a, b) = (j, j + D/2), interleaved (2j, 2j + 1)
 *
 * x (N,H,L,E), or (N,L,H E) with num_heads; the first D = rotary_embedding_dim of E elements turn
 * (0: all), the others stay. c, s: row position_ids[n,l] of a cache (P,D/2), or without positions
 * row (n,l) of one of (N,L,D/2). Linear in x: the transpose turns back. */
#include "op/check.h"
#include "op/loop.h"

typedef struct rotary_attr {
  int64_t heads, dim, interleaved;
} rotary_attr;
static const xai__field fields[] = {
    {"num_heads", XAI__INT, offsetof(rotary_attr, heads), 0, false},
    {"rotary_embedding_dim", XAI__INT, offsetof(rotary_attr, dim), 0, false},
    {"interleaved", XAI__INT, offsetof(rotary_attr, interleaved), 0, false},
    {0}};

enum { X, COS, SIN, POSITIONS };

typedef struct rotation {
  int64_t n, heads, length, size, half; /* half: D/2 */
  bool rows_first;                      /* (N,L,H,E) */
  bool interleaved;
  const int64_t *position;
  const float *x, *cos, *sin, *g;
  float *y, *g_cos, *g_sin;
} rotation;

static int read_rotation(const xai__call *c, rotation *r) {
  const rotary_attr *a = c->node->attr;
  const xai__shape *s = &c->in[X].shape;
  XAI__TRY(xai__need_float(c, X));
  XAI__TRY(xai__need_rank(c, X, 3, 4));
  XAI__TRY(xai__need_countable(c, s));
  bool flat = s->rank == 3;
  if (flat && (a->heads < 1 || s->d[2] % a->heads))
    return XAI__MALFORMED(c, "RotaryEmbedding: %lld heads in %s", (long long)a->heads,
                          xai__shape_text(s).text);
  int64_t size = flat ? s->d[2] / a->heads : s->d[3], dim = a->dim ? a->dim : size;
  if (dim < 0 || dim > size || dim % 2)
    return XAI__MALFORMED(c, "RotaryEmbedding: %lld of %lld elements cannot turn in pairs",
                          (long long)dim, (long long)size);
  *r = (rotation){.n = s->d[0], .heads = flat ? a->heads : s->d[1], .length = s->d[flat ? 1 : 2],
                  .size = size, .half = dim / 2, .rows_first = flat,
                  .interleaved = a->interleaved != 0, .x = xai__f(&c->in[X]),
                  .cos = xai__f(&c->in[COS]), .sin = xai__f(&c->in[SIN])};
  if (xai__has(c, POSITIONS)) r->position = xai__i(&c->in[POSITIONS]);
  return XAI_OK;
}

static int need_cache(const xai__call *c, int i, const rotation *r) {
  const xai__shape *s = &c->in[i].shape;
  bool looked_up = xai__has(c, POSITIONS);
  XAI__TRY(xai__need_float(c, i));
  XAI__TRY(xai__need_rank(c, i, looked_up ? 2 : 3, looked_up ? 2 : 3));
  bool fits = s->d[s->rank - 1] == r->half && xai__shape_equal(s, &c->in[COS].shape);
  if (!looked_up) fits &= s->d[0] == r->n && s->d[1] == r->length;
  if (fits) return XAI_OK;
  return XAI__MALFORMED(c, "RotaryEmbedding: a cache of %s for %s, of which %lld pairs turn",
                        xai__shape_text(s).text, xai__shape_text(&c->in[X].shape).text,
                        (long long)r->half);
}

static int infer(xai__call *c) {
  rotation r;
  XAI__TRY(read_rotation(c, &r));
  XAI__TRY(need_cache(c, COS, &r));
  XAI__TRY(need_cache(c, SIN, &r));
  if (xai__has(c, POSITIONS)) {
    const xai__shape *s = &c->in[POSITIONS].shape;
    XAI__TRY(xai__need_int(c, POSITIONS));
    if (s->rank != 2 || s->d[0] != r.n || s->d[1] != r.length)
      return XAI__MALFORMED(c, "RotaryEmbedding: positions of shape %s for %s",
                            xai__shape_text(s).text, xai__shape_text(&c->in[X].shape).text);
  }
  c->out[0] = (xai__view){.dtype = XAI_F32, .shape = c->in[X].shape};
  return XAI_OK;
}

/* Row (n,h,l): where it is in x, and its row of the caches. */
static int64_t row_of(const rotation *r, int64_t row, int64_t *angles) {
  int64_t l = row % r->length, h = row / r->length % r->heads, n = row / r->length / r->heads;
  int64_t token = n * r->length + l;
  *angles = (r->position ? r->position[token] : token) * r->half;
  return (r->rows_first ? token * r->heads + h : row) * r->size;
}
static int64_t first_of(const rotation *r, int64_t j) { return r->interleaved ? 2 * j : j; }
static int64_t partner(const rotation *r) { return r->interleaved ? 1 : r->half; }

static void turn(void *ctx, int64_t begin, int64_t end) {
  const rotation *r = ctx;
  for (int64_t row = begin; row < end; row++) {
    int64_t angles, at = row_of(r, row, &angles), b = partner(r);
    for (int64_t j = 0; j < r->half; j++) {
      const float *x = r->x + at + first_of(r, j);
      float *y = r->y + at + first_of(r, j), c = r->cos[angles + j], s = r->sin[angles + j];
      float xa = x[0], xb = x[b];
      y[0] = c * xa - s * xb;
      y[b] = s * xa + c * xb;
    }
    for (int64_t j = 2 * r->half; j < r->size; j++) r->y[at + j] = r->x[at + j];
  }
}

static void turn_back(void *ctx, int64_t begin, int64_t end) {
  const rotation *r = ctx;
  for (int64_t row = begin; row < end; row++) {
    int64_t angles, at = row_of(r, row, &angles), b = partner(r);
    for (int64_t j = 0; j < r->half; j++) {
      const float *g = r->g + at + first_of(r, j);
      float *y = r->y + at + first_of(r, j), c = r->cos[angles + j], s = r->sin[angles + j];
      y[0] += c * g[0] + s * g[b];
      y[b] += c * g[b] - s * g[0];
    }
    for (int64_t j = 2 * r->half; j < r->size; j++) r->y[at + j] += r->g[at + j];
  }
}

/* Columns of the caches: several rows of x may share one of theirs. */
static void to_caches(void *ctx, int64_t begin, int64_t end) {
  const rotation *r = ctx;
  for (int64_t row = 0; row < r->n * r->heads * r->length; row++) {
    int64_t angles, at = row_of(r, row, &angles), b = partner(r);
    for (int64_t j = begin; j < end; j++) {
      const float *x = r->x + at + first_of(r, j), *g = r->g + at + first_of(r, j);
      if (r->g_cos) r->g_cos[angles + j] += g[0] * x[0] + g[b] * x[b];
      if (r->g_sin) r->g_sin[angles + j] += g[b] * x[0] - g[0] * x[b];
    }
  }
}

static int forward(xai__call *c) {
  rotation r;
  XAI__TRY(read_rotation(c, &r));
  int64_t rows = c->in[COS].shape.d[0];
  for (int64_t i = 0; r.position && i < r.n * r.length; i++)
    if (r.position[i] < 0 || r.position[i] >= rows)
      return xai__fail(c->err, c->in_static[POSITIONS] ? XAI_E_MODEL : XAI_E_INPUT, c->node->name,
                       "RotaryEmbedding: position %lld, the cache has %lld rows",
                       (long long)r.position[i], (long long)rows);
  r.y = xai__f(&c->out[0]);
  xai__split(c->engine, r.n * r.heads * r.length, xai__grain(r.size), turn, &r);
  return XAI_OK;
}

static int vjp(xai__call *c, const xai__view *gout, const xai__view *gin) {
  rotation r;
  if (!gout[0].data) return XAI_OK;
  XAI__TRY(read_rotation(c, &r));
  r.g = xai__f(&gout[0]);
  r.y = xai__f(&gin[X]);
  r.g_cos = xai__f(&gin[COS]);
  r.g_sin = xai__f(&gin[SIN]);
  int64_t rows = r.n * r.heads * r.length;
  if (r.y) xai__split(c->engine, rows, xai__grain(r.size), turn_back, &r);
  if (r.g_cos || r.g_sin) xai__split(c->engine, r.half, xai__grain(rows), to_caches, &r);
  return XAI_OK;
}

static xai__crossing crossing(const xai__node *node, const bool *in_static) {
  bool angles[] = {in_static[X], in_static[COS], in_static[SIN]};
  xai__node without_positions = *node;
  without_positions.n_in = POSITIONS;
  return xai__cross_first(&without_positions, angles, XAI__CROSS_NORM);
}

const xai__op xai__op_RotaryEmbedding = {
    .type = "RotaryEmbedding", .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1, .since = 23,
    .fields = fields, .attr_size = sizeof(rotary_attr), .infer = infer, .forward = forward,
    .vjp = vjp, .vjp_needs = XAI__NEEDS_IN, .crossing = crossing, .homogeneous = true};
