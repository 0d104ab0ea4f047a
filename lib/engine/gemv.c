/* One row times a matrix: z[j] (epilogue)= sum over k of x[k] w(j, k), the weights read in place.
 *
 * Such products cost what reading w costs. Lanes are outputs, so an output's sum is the same chain
 * as in a tile of many rows; where w is [m][k], squares of it are transposed in registers. Where w
 * is [k][m], rows with x[k] = 0 are not read at all: an explanation starts from one output and
 * meets many inactive neurons. (fma(0, w, acc) = acc, as weights are finite.) */
#include "engine/matrix.h"
#include "engine/state.h"

#define SMALL_WORK (64 * 1024)

typedef struct job {
  const xai__kernels *k;
  const xai__matrix_side *w;
  const float *x;      /* [batch][length], edited */
  const int64_t *used; /* the k with x[k] != 0, of each batch: [batch][length] */
  const int64_t *uses; /* how many */
  int64_t length, parts, each;
  xai__spot spot;
} job;

static void sum_range(const job *j, int64_t batch, int64_t begin, int n, float *acc) {
  const xai__matrix_side *w = j->w;
  const float *from = w->data + batch * w->batch + begin * w->step, *x = j->x + batch * j->length;
  if (w->k_step != 1) {
    j->k->sum_rows(from, w->k_step, j->used + batch * j->length, j->uses[batch], x, n,
                   w->side.edit, acc);
    return;
  }
  const int most = j->k->vector;
  for (int i = 0; i < n; i += most)
    j->k->sum_columns(from + i * w->step, w->step, n - i < most ? n - i : most, j->length, x,
                      w->side.edit, acc + i);
}

static void task(void *ctx, int64_t index, int thread) {
  (void)thread;
  const job *j = ctx;
  const int64_t m = j->w->side.count, batch = index / j->parts, part = index % j->parts;
  const int64_t end = (part + 1) * j->each < m ? (part + 1) * j->each : m;
  float acc[XAI__GEMV_RANGE + XAI__MAX_VECTOR];
  for (int64_t i = part * j->each; i < end; i += XAI__GEMV_RANGE) {
    const int n = end - i < XAI__GEMV_RANGE ? (int)(end - i) : XAI__GEMV_RANGE;
    const int64_t at = batch * m + i;
    sum_range(j, batch, i, n, acc);
    j->k->add_bias(&j->spot, acc, n, at, 0);
    j->k->emit(&j->spot.ep, j->spot.z + at, j->spot.ep.x ? j->spot.ep.x + at : NULL, acc, n);
  }
}

static float *edited_copy(xai__engine *e, const float *x, int64_t n, xai__edit edit,
                          xai_error *err) {
  float *y = xai__scratch(e, (size_t)n, sizeof *y, err);
  if (y)
    for (int64_t i = 0; i < n; i++) y[i] = xai__edited(edit, x[i]);
  return y;
}

static int64_t *find_used(xai__engine *e, job *j, int64_t batches, xai_error *err) {
  int64_t *used = xai__scratch(e, (size_t)(batches * (j->length + 1)), sizeof *used, err);
  if (!used) return NULL;
  int64_t *uses = used + batches * j->length;
  for (int64_t b = 0; b < batches; b++) {
    uses[b] = 0;
    for (int64_t k = 0; k < j->length; k++)
      if (j->x[b * j->length + k] != 0) used[b * j->length + uses[b]++] = k;
  }
  j->used = used;
  j->uses = uses;
  return used;
}

int xai__gemv(xai__engine *e, const xai__matrix_side *w, const float *x, xai__edit xe,
              int64_t batches, int64_t k, const xai__spot *spot, xai_error *err) {
  const int64_t m = w->side.count;
  if (batches <= 0 || m <= 0) return XAI_OK;
  job j = {.k = &e->k, .w = w, .length = k, .spot = *spot};
  if (j.spot.bias) j.spot.bias_kind = XAI__BIAS_OF_ELEMENT; /* of channel j: element j modulo m */
  const size_t mark = xai__scratch_mark(e);
  j.x = edited_copy(e, x, batches * k, xe, err);
  if (!j.x || !find_used(e, &j, batches, err)) {
    xai__scratch_release(e, mark);
    return xai__no_memory(err);
  }
  const int64_t panels = (m + 2 * e->k.vector - 1) / (2 * e->k.vector);
  int64_t parts = (int64_t)xai__pool_threads(e->pool) * 4;
  if (parts > m * k / SMALL_WORK) parts = m * k / SMALL_WORK;
  if (parts > panels) parts = panels;
  if (parts < 1) parts = 1;
  j.each = (panels + parts - 1) / parts * 2 * e->k.vector;
  j.parts = (m + j.each - 1) / j.each;
  xai__pool_run(e->pool, batches * j.parts, task, &j);
  xai__scratch_release(e, mark);
  return XAI_OK;
}
