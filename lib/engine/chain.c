/* Two products with a function of rows between them, z = f(a b) c: attention. A task packs b and c of
 * a batch, and takes a tile of rows through both while it is in cache. */
#include <string.h>

#include "engine/chain.h"

#include "engine/matrix.h"
#include "engine/state.h"

typedef struct job {
  const xai__chain *c;
  const xai__kernels *k;
  int64_t parts, pitch; /* tasks of a batch; floats of a row between the products */
  size_t b, panels, rows, all; /* floats of b's panels, of c's and b's, of a packed tile, of a thread */
  float *scratch;
} job;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

static xai__matrix_side side_of(const xai__chained *x, int64_t batch, int64_t step, int64_t k_step) {
  const xai__edit times = {XAI__LINEAR, x->scale, x->scale};
  return xai__matrix(x->data + x->at[batch], 0, times, 0, step, k_step, 0, 1);
}

static void pack(const job *j, const xai__matrix_side *s, int64_t first, int n, int64_t k, int width,
                 float *to) {
  s->side.pack(&s->side, j->k, 0, first, n, 0, k, width, to);
  if (!xai__edit_is_identity(s->side.edit)) j->k->edit(s->side.edit, to, k * width);
}

/* Panels of two vectors, the last of one if that will do. */
static int width_of(const job *j, int64_t lanes) { return lanes > j->k->vector ? 2 * j->k->vector : j->k->vector; }

static void pack_panels(const job *j, const xai__matrix_side *s, int64_t lanes, int64_t k, float *to) {
  const int most = 2 * j->k->vector;
  for (int64_t l = 0; l < lanes; l += most, to += most * k)
    pack(j, s, l, (int)at_most(most, lanes - l), k, width_of(j, lanes - l), to);
}

/* to[rows][pitch] = packed rows times panels of `lanes`. */
static void multiply(const job *j, int rows, const float *a, const float *b, int64_t lanes, int64_t k,
                     float *to, int64_t pitch) {
  const int most = 2 * j->k->vector;
  float acc[XAI__MAX_ROWS * XAI__MAX_LANES];
  for (int64_t l = 0; l < lanes; l += most, b += most * k) {
    const int width = width_of(j, lanes - l);
    const size_t bytes = (size_t)at_most(most, lanes - l) * sizeof *acc;
    j->k->tile(rows, width / j->k->vector, k, a, b, acc, false, (xai__fetch){b, 0, 0});
    for (int r = 0; r < rows; r++) memcpy(to + r * pitch + l, acc + r * width, bytes);
  }
}

static void task(void *ctx, int64_t index, int thread) {
  const job *j = ctx;
  const xai__chain *c = j->c;
  const int64_t batch = index / j->parts, part = index % j->parts;
  const int64_t tiles = ceil_div(c->m, j->k->rows);
  float *b = j->scratch + (size_t)thread * j->all, *v = b + j->b, *packed = b + j->panels;
  float *between = packed + j->rows, *z = c->z + c->z_at[batch];
  const xai__matrix_side rows = side_of(&c->a, batch, c->a.row, c->a.column);
  const xai__matrix_side first = side_of(&c->b, batch, c->b.column, c->b.row);
  const xai__matrix_side second = side_of(&c->c, batch, c->c.column, c->c.row);
  pack_panels(j, &first, c->n, c->k, b);
  pack_panels(j, &second, c->v, c->n, v);
  for (int64_t t = tiles * part / j->parts; t < tiles * (part + 1) / j->parts; t++) {
    const int64_t begin = c->m * t / tiles;
    const int n = (int)(c->m * (t + 1) / tiles - begin);
    pack(j, &rows, begin, n, c->k, n, packed);
    multiply(j, n, packed, b, c->n, c->k, between, j->pitch);
    for (int r = 0; r < n; r++) c->f->f(c->f, between + r * j->pitch, c->n);
    j->k->transpose(between, j->pitch, n, c->n, n, packed);
    multiply(j, n, packed, v, c->v, c->n, z + begin * c->z_row, c->z_row);
  }
}

int xai__chain_run(xai__engine *e, const xai__chain *c, xai_error *err) {
  if (c->batch <= 0 || c->m <= 0 || c->v <= 0) return XAI_OK;
  const int64_t most = 2 * e->k.vector, threads = xai__pool_threads(e->pool);
  job j = {.c = c, .k = &e->k, .pitch = ceil_div(c->n, most) * most};
  j.parts = at_most(ceil_div(2 * threads, c->batch), ceil_div(c->m, e->k.rows));
  if (c->batch % threads == 0) j.parts = 1;
  j.b = (size_t)(j.pitch * (c->k + 1));
  j.panels = j.b + (size_t)(ceil_div(c->v, most) * most * (c->n + 1));
  j.rows = (size_t)((e->k.rows * (c->k > c->n ? c->k : c->n)) + XAI__MAX_VECTOR * XAI__MAX_VECTOR);
  j.all = (j.panels + j.rows + (size_t)(e->k.rows * j.pitch) + 15) / 16 * 16;
  const size_t mark = xai__scratch_mark(e);
  j.scratch = xai__scratch(e, j.all * (size_t)threads, sizeof(float), err);
  if (j.scratch) xai__pool_run(e->pool, c->batch * j.parts, task, &j);
  xai__scratch_release(e, mark);
  return j.scratch ? XAI_OK : xai__no_memory(err);
}
