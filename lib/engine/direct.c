/* Convolutions with few target channels a group (depthwise): one target row at a time, in a row of
 * accumulators, tap after tap along the whole row. */
#include <string.h>

#include "engine/convolve.h"
#include "engine/state.h"

#define ROWS_A_TASK_WORK (64 * 1024)

typedef struct job {
  const xai__kernels *k;
  const xai__convolution *c;
  const xai__axis *axis[3]; /* of each phase */
  int64_t phases[3], rows, target_row, rows_a_task;
  float *scratch;
} job;

/* All taps along the last axis, for every phase of the row. */
static void add_row(const job *j, float *acc, const float *x, const float *w) {
  for (int64_t f = 0; f < j->phases[2]; f++) {
    const xai__axis *a = &j->axis[2][f];
    for (int64_t t = 0; t < a->taps; t++) {
      int64_t begin, end;
      xai__axis_inside(a, t, &begin, &end);
      j->k->axpy(acc + a->place + begin * a->place_step, a->place_step,
                 x + begin * a->step + a->at + t * a->at_step, a->step, end - begin,
                 xai__edited(j->c->we, w[a->tap + t * a->tap_step]), j->c->xe);
    }
  }
}

/* Source rows that the taps of one leading axis see from target element i. */
typedef struct seen {
  const xai__axis *a;
  int64_t from;
} seen;

static seen look(const job *j, int d, int64_t i) {
  const xai__axis *a = &j->axis[d][i % j->phases[d]];
  return (seen){a, i / j->phases[d] * a->step + a->at};
}

static void one_row(const job *j, int64_t row, float *acc) {
  const xai__convolution *c = j->c;
  const xai__axis *last = j->axis[2];
  const int64_t y1 = row % j->axis[1]->target, above = row / j->axis[1]->target;
  const int64_t y0 = above % j->axis[0]->target, channel = above / j->axis[0]->target;
  const int64_t t = channel % c->tc, group = channel / c->tc % c->groups;
  const int64_t item = channel / c->tc / c->groups;
  const float *w = c->w + group * c->w_group + t * c->w_target;
  const float *x = c->x + (item * c->groups + group) * c->sc * c->source;
  const seen s0 = look(j, 0, y0), s1 = look(j, 1, y1);
  memset(acc, 0, (size_t)j->target_row * sizeof *acc);
  for (int64_t s = 0; s < c->sc; s++, w += c->w_source, x += c->source)
    for (int64_t t0 = 0; t0 < s0.a->taps; t0++) {
      const int64_t x0 = s0.from + t0 * s0.a->at_step;
      if (x0 < 0 || x0 >= s0.a->source) continue;
      for (int64_t t1 = 0; t1 < s1.a->taps; t1++) {
        const int64_t x1 = s1.from + t1 * s1.a->at_step;
        if (x1 < 0 || x1 >= s1.a->source) continue;
        const int64_t k0 = s0.a->tap + t0 * s0.a->tap_step;
        const int64_t k1 = s1.a->tap + t1 * s1.a->tap_step;
        add_row(j, acc, x + (x0 * s1.a->source + x1) * last->source,
                w + (k0 * s1.a->kernel + k1) * last->kernel);
      }
    }
  const int64_t at = row * j->target_row;
  j->k->add_bias(&c->spot, acc, j->target_row, at, group * c->tc + t);
  j->k->emit(&c->spot.ep, c->spot.z + at, c->spot.ep.x ? c->spot.ep.x + at : NULL, acc,
             j->target_row);
}

static void task(void *ctx, int64_t index, int thread) {
  const job *j = ctx;
  const int64_t begin = index * j->rows_a_task;
  const int64_t end = begin + j->rows_a_task < j->rows ? begin + j->rows_a_task : j->rows;
  for (int64_t row = begin; row < end; row++)
    one_row(j, row, j->scratch + thread * j->target_row);
}

int xai__convolve_direct(xai__engine *e, const xai__convolution *c, xai_error *err) {
  const int64_t *target = c->geometry.adjoint ? c->geometry.large : c->geometry.small;
  job j = {.k = &e->k, .c = c, .target_row = target[2]};
  j.rows = c->n * c->groups * c->tc * target[0] * target[1];
  if (j.rows <= 0 || j.target_row <= 0) return XAI_OK;
  const size_t mark = xai__scratch_mark(e);
  for (int d = 0; d < 3; d++) {
    j.phases[d] = xai__axis_phases(&c->geometry, d);
    xai__axis *a = xai__scratch(e, (size_t)j.phases[d], sizeof *a, err);
    if (!a) goto failed;
    for (int64_t f = 0; f < j.phases[d]; f++) a[f] = xai__axis_of(&c->geometry, d, f);
    j.axis[d] = a;
  }
  const int threads = xai__pool_threads(e->pool);
  j.scratch = xai__scratch(e, (size_t)threads * (size_t)j.target_row, sizeof(float), err);
  if (!j.scratch) goto failed;
  const int64_t taps = j.axis[0]->kernel * j.axis[1]->kernel * j.axis[2]->kernel;
  const int64_t work_a_row = c->sc * taps * j.target_row;
  j.rows_a_task = ROWS_A_TASK_WORK / (work_a_row > 0 ? work_a_row : 1) + 1;
  xai__pool_run(e->pool, (j.rows + j.rows_a_task - 1) / j.rows_a_task, task, &j);
  xai__scratch_release(e, mark);
  return XAI_OK;
failed:
  xai__scratch_release(e, mark);
  return xai__no_memory(err);
}
