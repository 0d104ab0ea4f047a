/* Convolutions with few target channels a group (depthwise, or towards the image): no packing.
 *
 * A task is some rows of one item and group. Its source rows are copied into zero-padded planes,
 * split by column and row modulo the step, so that a tap is one offset into them for every
 * position: position (p1, p2) of tap k reads x[at[k] + p1 * pitch + p2]. Positions are then walked
 * as one long run, the few beyond the end of each row being thrown away. */
#include <string.h>

#include "engine/convolve.h"
#include "engine/state.h"

#define MOST_CHANNELS 4
#define SOURCE_FLOATS (96 * 1024) /* of one task, if a row fits */
#define SUM_FLOATS (8 * 1024)
#define MOST_FLOATS (256 * 1024)
#define TASK_WORK (128 * 1024)

/* Along one axis: the range of source offsets that the taps of all phases reach. */
typedef struct reach {
  const xai__axis *axis; /* [phases] */
  int64_t phases, count; /* positions of the longest phase */
  int64_t low, high, step;
} reach;

typedef struct job {
  const xai__kernels *k;
  const xai__convolution *c;
  reach r[3];
  int64_t rows, chunks;   /* positions along axis 1 in a task; tasks a slice */
  int64_t lines, pitch;   /* of a plane */
  int64_t planes, k_most; /* in a task; taps of a phase, over all source channels */
  int64_t run;            /* positions, rounded up */
  int64_t pieces, pieces_a_task;
  size_t size;            /* floats a thread */
  float *scratch;
  int64_t *at; /* [threads][k_most] */
} job;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- one task ---- */

typedef struct buffers {
  float *planes, *w, *sums, *line;
  int64_t *at;
} buffers;

static buffers buffers_of(const job *j, int thread) {
  buffers b;
  b.planes = j->scratch + (size_t)thread * j->size;
  b.sums = b.planes + j->planes * j->lines * j->pitch + 2 * XAI__MAX_VECTOR;
  b.line = b.sums + j->r[2].phases * j->c->tc * j->run;
  b.w = b.line + j->r[2].axis->target;
  b.at = j->at + thread * j->k_most;
  return b;
}

/* Source row `y` of a slice (NULL: outside) into its line of the planes of one row remainder. */
static void copy_line(const job *j, const float *row, float *to) {
  const reach *r = &j->r[2];
  const int64_t source = r->axis->source, plane = j->lines * j->pitch;
  for (int64_t phase = 0; phase < r->step; phase++, to += plane) {
    const int64_t first = phase + r->low; /* column i of the line is first + i * step */
    int64_t begin = first < 0 ? ceil_div(-first, r->step) : 0;
    int64_t end = source > first ? ceil_div(source - first, r->step) : 0;
    begin = row ? at_most(begin, j->pitch) : j->pitch;
    end = end < begin ? begin : at_most(end, j->pitch);
    memset(to, 0, (size_t)begin * sizeof *to);
    if (end > begin)
      j->k->take(j->c->xe, row + first + begin * r->step, r->step, end - begin, to + begin);
    memset(to + end, 0, (size_t)(j->pitch - end) * sizeof *to);
  }
}

/* The planes [source channel][tap of axis 0][row remainder][column remainder][lines][pitch]. */
static void copy_planes(const job *j, const xai__axis *a0, int64_t p0, const float *x, int64_t p1,
                        float *to) {
  const reach *r = &j->r[1];
  const int64_t height = r->axis->source, width = j->r[2].axis->source;
  for (int64_t s = 0; s < j->c->sc; s++, x += j->c->source)
    for (int64_t t0 = 0; t0 < a0->taps; t0++) {
      const int64_t y0 = p0 * a0->step + a0->at + t0 * a0->at_step;
      const bool inside = y0 >= 0 && y0 < a0->source;
      for (int64_t phase = 0; phase < r->step; phase++)
        for (int64_t line = 0; line < j->lines; line++) {
          const int64_t y1 = (p1 + line) * r->step + r->low + phase;
          const bool here = inside && y1 >= 0 && y1 < height;
          copy_line(j, here ? x + (y0 * height + y1) * width : NULL,
                    to + (phase * j->r[2].step * j->lines + line) * j->pitch);
        }
      to += r->step * j->r[2].step * j->lines * j->pitch;
    }
}

/* Offsets and weights of the taps of phases a1, a2; returns their number. */
static int64_t list_taps(const job *j, const xai__axis *a0, const xai__axis *a1,
                         const xai__axis *a2, const float *w, const buffers *b) {
  const xai__convolution *c = j->c;
  const int64_t plane = j->lines * j->pitch, step1 = j->r[1].step, step2 = j->r[2].step;
  int64_t k = 0;
  for (int64_t s = 0; s < c->sc; s++)
    for (int64_t t0 = 0; t0 < a0->taps; t0++)
      for (int64_t t1 = 0; t1 < a1->taps; t1++)
        for (int64_t t2 = 0; t2 < a2->taps; t2++, k++) {
          const int64_t d1 = a1->at + t1 * a1->at_step - j->r[1].low;
          const int64_t d2 = a2->at + t2 * a2->at_step - j->r[2].low;
          const int64_t in = ((s * a0->taps + t0) * step1 + d1 % step1) * step2 + d2 % step2;
          const int64_t k0 = a0->tap + t0 * a0->tap_step, k1 = a1->tap + t1 * a1->tap_step;
          const int64_t k2 = a2->tap + t2 * a2->tap_step;
          const float *from = w + s * c->w_source + (k0 * a1->kernel + k1) * a2->kernel + k2;
          b->at[k] = in * plane + d1 / step1 * j->pitch + d2 / step2;
          for (int64_t t = 0; t < c->tc; t++)
            b->w[k * c->tc + t] = xai__edited(c->we, from[t * c->w_target]);
        }
  return k;
}

/* A finished target row: the phases of the last axis woven, bias, epilogue. */
static void emit_row(const job *j, const buffers *b, float *sums, int64_t channel, int64_t at) {
  const reach *r = &j->r[2];
  const xai__spot *s = &j->c->spot;
  const int64_t n = r->axis->target;
  if (r->phases > 1) {
    j->k->weave(sums, j->c->tc * j->run, r->phases, n, b->line);
    sums = b->line;
  }
  j->k->add_bias(s, sums, n, at, channel);
  j->k->emit(&s->ep, s->z + at, s->ep.x ? s->ep.x + at : NULL, sums, n);
}

static void piece(const job *j, int64_t index, const buffers *b) {
  const xai__convolution *c = j->c;
  const int64_t target0 = j->r[0].axis->target, target1 = j->r[1].axis->target;
  const int64_t first = index % j->chunks * j->rows;
  index /= j->chunks;
  const int64_t i0 = index % target0, group = index / target0 % c->groups;
  const int64_t item = index / target0 / c->groups;
  const xai__axis *a0 = &j->r[0].axis[i0 % j->r[0].phases];
  const float *w = c->w + group * c->w_group;
  copy_planes(j, a0, i0 / j->r[0].phases, c->x + (item * c->groups + group) * c->sc * c->source,
              first, b->planes);
  for (int64_t f1 = 0; f1 < j->r[1].phases; f1++) {
    const xai__axis *a1 = &j->r[1].axis[f1];
    const int64_t rows = at_most(j->rows, a1->count - first);
    if (rows <= 0) continue;
    for (int64_t f2 = 0; f2 < j->r[2].phases; f2++) {
      const int64_t k = list_taps(j, a0, a1, &j->r[2].axis[f2], w, b);
      j->k->slide((int)c->tc, k, b->w, b->planes, b->at, (rows - 1) * j->pitch + j->r[2].count,
                  b->sums + f2 * c->tc * j->run, j->run);
    }
    for (int64_t t = 0; t < c->tc; t++) {
      const int64_t channel = group * c->tc + t;
      const int64_t plane = ((item * c->groups * c->tc + channel) * target0 + i0) * target1;
      for (int64_t p = 0; p < rows; p++)
        emit_row(j, b, b->sums + t * j->run + p * j->pitch, channel,
                 (plane + a1->place + (first + p) * a1->place_step) * j->r[2].axis->target);
    }
  }
}

static void task(void *ctx, int64_t index, int thread) {
  const job *j = ctx;
  const buffers b = buffers_of(j, thread);
  const int64_t begin = index * j->pieces_a_task;
  const int64_t end = at_most(begin + j->pieces_a_task, j->pieces);
  for (int64_t i = begin; i < end; i++) piece(j, i, &b);
}

/* ---- the plan ---- */

static reach reach_of(const xai__axis *axis, int64_t phases) {
  reach r = {axis, phases, .low = INT64_MAX, .high = INT64_MIN, .step = axis->step};
  for (int64_t f = 0; f < phases; f++) {
    const xai__axis *a = &axis[f];
    if (a->count > r.count) r.count = a->count;
    if (a->taps == 0) continue;
    const int64_t one = a->at, other = a->at + (a->taps - 1) * a->at_step;
    if (at_most(one, other) < r.low) r.low = at_most(one, other);
    if (r.high < one) r.high = one;
    if (r.high < other) r.high = other;
  }
  if (r.low > r.high) r.low = r.high = 0; /* no taps at all */
  return r;
}

/* Sizes for tasks of `rows` rows; false if they are too large. */
static bool fit(job *j, int64_t rows) {
  const xai__convolution *c = j->c;
  const reach *r1 = &j->r[1], *r2 = &j->r[2];
  const int64_t columns = (r2->count - 1) * r2->step + r2->high - r2->low + 1;
  int64_t taps0 = 0, taps1 = 0, taps2 = 0;
  for (int64_t f = 0; f < j->r[0].phases; f++)
    if (j->r[0].axis[f].taps > taps0) taps0 = j->r[0].axis[f].taps;
  for (int64_t f = 0; f < r1->phases; f++)
    if (r1->axis[f].taps > taps1) taps1 = r1->axis[f].taps;
  for (int64_t f = 0; f < r2->phases; f++)
    if (r2->axis[f].taps > taps2) taps2 = r2->axis[f].taps;
  j->rows = rows;
  j->pitch = ceil_div(columns, r2->step);
  j->lines = ceil_div((rows - 1) * r1->step + r1->high - r1->low + 1, r1->step);
  j->planes = c->sc * taps0 * r1->step * r2->step;
  j->k_most = c->sc * taps0 * taps1 * taps2;
  j->run = ceil_div((rows - 1) * j->pitch + r2->count, XAI__MAX_VECTOR) * XAI__MAX_VECTOR;
  const int64_t source = j->planes * j->lines * j->pitch, sums = r2->phases * c->tc * j->run;
  const int64_t rest = r2->axis->target + j->k_most * c->tc + 4 * XAI__MAX_VECTOR;
  j->size = (size_t)ceil_div(source + sums + rest, 16) * 16;
  return rows == 1 ? source + sums + rest <= MOST_FLOATS
                   : source <= SOURCE_FLOATS && sums <= SUM_FLOATS;
}

/* Tasks of as many rows as fit; false if not even one does. */
static bool plan(job *j, int threads) {
  const xai__convolution *c = j->c;
  int64_t rows = j->r[1].count;
  while (rows > 1 && !fit(j, rows)) rows = rows * 3 / 4;
  if (rows == 1 && !fit(j, 1)) return false;
  j->chunks = ceil_div(j->r[1].count, rows);
  fit(j, ceil_div(j->r[1].count, j->chunks));
  j->pieces = c->n * c->groups * j->r[0].axis->target * j->chunks;
  const int64_t work = j->rows * j->pitch * j->k_most * c->tc + 1;
  const int64_t share = ceil_div(j->pieces, (int64_t)threads * 8);
  j->pieces_a_task = at_most(share, TASK_WORK / work + 1);
  return true;
}

static bool prepare(xai__engine *e, job *j, bool *fits, xai_error *err) {
  const xai__convolution *c = j->c;
  for (int d = 0; d < 3; d++) {
    const int64_t phases = xai__axis_phases(&c->geometry, d);
    xai__axis *a = xai__scratch(e, (size_t)phases, sizeof *a, err);
    if (!a) return false;
    for (int64_t f = 0; f < phases; f++) a[f] = xai__axis_of(&c->geometry, d, f);
    j->r[d] = reach_of(a, phases);
  }
  const int threads = xai__pool_threads(e->pool);
  *fits = plan(j, threads);
  if (!*fits) return true;
  j->scratch = xai__scratch(e, (size_t)threads * j->size, sizeof *j->scratch, err);
  if (!j->scratch) return false;
  j->at = xai__scratch(e, (size_t)(threads * j->k_most), sizeof *j->at, err);
  return j->at != NULL;
}

int xai__convolve_direct(xai__engine *e, const xai__convolution *c, bool *done, xai_error *err) {
  *done = false;
  if (c->tc > MOST_CHANNELS) return XAI_OK;
  job j = {.k = &e->k, .c = c};
  const size_t mark = xai__scratch_mark(e);
  const bool ready = prepare(e, &j, done, err);
  if (ready && *done)
    xai__pool_run(e->pool, ceil_div(j.pieces, j.pieces_a_task), task, &j);
  xai__scratch_release(e, mark);
  return ready ? XAI_OK : xai__no_memory(err);
}
