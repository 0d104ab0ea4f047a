/* Attention: Z[..., i, l] = sum_j softmax_j(sum_k A[..., i, k] B[..., k, j]) C[..., j, l], for matrices
 * that lie anywhere in the operands; the softmax is a row's at a time, in cache. */
#include "op/attend.h"

#include "engine/chain.h"
#include "op/simd.h"

static int64_t stride_of(const xai__strided *s, int from_last) { return s->stride[s->shape.rank - from_last]; }

static bool has_runs(const xai__strided *s) { return stride_of(s, 1) == 1 || stride_of(s, 2) == 1; }

bool xai__attend_serves(const xai__attend *t) {
  const xai__shape *a = &t->a.shape, *b = &t->b.shape, *c = &t->c.shape;
  if (a->rank < 2 || b->rank != a->rank || c->rank != a->rank || !xai__count(&t->z.shape)) return false;
  for (int i = 0; i < a->rank - 2; i++)
    if (a->d[i] != b->d[i] || a->d[i] != c->d[i]) return false;
  return has_runs(&t->a) && has_runs(&t->b) && has_runs(&t->c) && stride_of(&t->z, 1) == 1;
}

typedef struct softmax_rows {
  xai__map map;
  void (*row)(const xai__softmax *s);
} softmax_rows;

static void softmax_row(const xai__map *m, float *v, int64_t n) {
  const softmax_rows *s = (const softmax_rows *)(const void *)m;
  s->row(&(xai__softmax){.n = n, .step = 1, .x = v, .out = v});
}

/* Where the matrices begin. */
static int64_t *places_of(xai__call *c, const xai__strided *s, int64_t matrices) {
  int64_t *at = xai__scratch(c->engine, (size_t)matrices, sizeof *at, c->err);
  for (int64_t m = 0; at && m < matrices; m++) {
    at[m] = s->at;
    int64_t rest = m;
    for (int i = s->shape.rank - 3; i >= 0; rest /= s->shape.d[i--])
      at[m] += rest % s->shape.d[i] * s->stride[i];
  }
  return at;
}

static xai__chained operand(xai__call *c, int k, const xai__strided *s, int64_t matrices) {
  return (xai__chained){xai__f(&c->in[k]), places_of(c, s, matrices), stride_of(s, 2), stride_of(s, 1), s->scale};
}

static int forward(xai__call *c) {
  const xai__attend *t = c->node->attr;
  const int rank = t->a.shape.rank;
  const int64_t matrices = xai__span(&t->a.shape, 0, rank - 2);
  const softmax_rows rows = {{softmax_row}, xai__simd_of(c->engine)->softmax_forward};
  xai__chain chain = {.batch = matrices,
                      .m = t->a.shape.d[rank - 2],
                      .k = t->a.shape.d[rank - 1],
                      .n = t->b.shape.d[rank - 1],
                      .v = t->c.shape.d[rank - 1],
                      .a = operand(c, 0, &t->a, matrices),
                      .b = operand(c, 1, &t->b, matrices),
                      .c = operand(c, 2, &t->c, matrices),
                      .f = &rows.map,
                      .z = xai__f(&c->out[0]),
                      .z_at = places_of(c, &t->z, matrices),
                      .z_row = stride_of(&t->z, 2)};
  if (!chain.a.at || !chain.b.at || !chain.c.at || !chain.z_at) return c->err->status;
  return xai__chain_run(c->engine, &chain, c->err);
}

const xai__op xai__op_attend = {.type = "Attention", .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
                                .attr_size = sizeof(xai__attend), .forward = forward,
                                .cross = XAI__CROSS_REFUSED};
