/* The adjoint of a convolution that reads an image: relevance or gradients of pixels.
 *
 * An image has few channels, which would leave most lanes of a block empty. So the lanes are
 * pixels of a row, `stride` apart, which see the same columns of the kernel (a phase), and a tile is
 * all channels by some of them, summed over the channels of s in planes, with zeros beside them:
 *   g[c][y][x] += sum over m, ky, kx of w[m][c][ky][kx] s[m][(y + pad - ky dilation) / stride][..].
 * A task owns some rows of one item of g. Pieces of a sum are of one ky. */
#include <math.h>

#include "engine/blocked_inside.h"

#define ROWS_A_TASK 14
#define PIECE_TERMS 256 /* of a sum, before it is added up */

typedef struct job {
  const xai__kernels *k;
  const xai__block_kernels *b;
  const xai__filters *f;
  const xai__blocked *s, *g;
  const xai__finish *finish;
  const float *w;
  int64_t *at;           /* of each phase: where its terms lie in planes of one row, for all m and kx */
  int64_t tasks_an_item, rows;
  int64_t before, pitch; /* zeros before a row of a plane; its floats */
  int64_t most;          /* rows of s that a task reads */
  int64_t line;          /* floats of a row of sums: [channel][phase][line] */
  size_t size;           /* floats a thread */
  float *scratch;
} job;

/* Rows [first, end) of s in planes: [row][m][pitch]. */
static void take_planes(const job *j, int64_t item, int64_t first, int64_t end, float *to) {
  const xai__blocked *s = j->s;
  const size_t after = (size_t)(j->pitch - j->before - s->w);
  for (int64_t row = first; row < end; row++)
    for (int64_t m = 0; m < s->c; m += XAI__BLOCK) {
      const int n = (int)at_most(XAI__BLOCK, s->c - m);
      j->b->separate(xai__blocked_row(s, item, m / XAI__BLOCK, row), n, s->w, to + j->before,
                     j->pitch, false);
      for (int c = 0; c < n; c++, to += j->pitch) {
        memset(to, 0, (size_t)j->before * sizeof *to);
        memset(to + j->before + s->w, 0, after * sizeof *to);
      }
    }
}

/* How many columns of the kernel a phase sees. */
static int64_t columns_of(const xai__product *p, int64_t phase) {
  int64_t n = 0;
  for (int64_t kx = 0; kx < p->kernel[2]; kx++) n += xai__image_phase(p, kx) == phase;
  return n;
}

/* Row y of g; planes begin at row `first` of s. */
static void sum_row(const job *j, int64_t y, const float *planes, int64_t first, float *acc,
                    float *sums) {
  const xai__product *p = j->f->p;
  const int64_t phases = p->stride[2], M = j->s->c, C = p->c;
  memset(sums, 0, (size_t)(C * phases * j->line) * sizeof *sums);
  for (int64_t ky = 0; ky < p->kernel[1]; ky++) {
    const int64_t down = y + p->pad[1] - ky * p->dilation[1], row = down / p->stride[1];
    if (down < 0 || down % p->stride[1] || row >= j->s->h) continue;
    const float *x = planes + (row - first) * M * j->pitch + j->before;
    const float *w = j->w + ky * p->kernel[2] * M * C;
    const int64_t *at = j->at;
    for (int64_t phase = 0; phase < phases; phase++) {
      const int64_t columns = columns_of(p, phase), n = ceil_div(j->g->w - phase, phases);
      const int64_t each = at_least(1, PIECE_TERMS / at_least(1, columns));
      for (int64_t m = 0; m < M && columns; m += each) {
        const int64_t terms = at_most(each, M - m) * columns;
        if (n > 0) {
          j->k->slide((int)C, terms, w, x, at, n, acc, j->line);
          for (int64_t c = 0; c < C; c++)
            j->k->add_scaled(sums + (c * phases + phase) * j->line, acc + c * j->line, n, 1);
        }
        w += terms * C;
        at += terms;
      }
    }
  }
}

static float finished(const xai__finish *f, float v, int64_t i) {
  switch (f->form) {
    case XAI__CLIP: return v < f->low ? f->low : v > f->high ? f->high : v;
    case XAI__BEND: return xai__edited(f->edit, v);
    case XAI__TIMES: return f->coef * xai__edited(f->edit, f->other->data[i]) * v;
    case XAI__STAB: return v + (v >= 0 ? f->stabilizer : -f->stabilizer);
    case XAI__DIVIDE: {
      const float d = v + (v >= 0 ? f->stabilizer : -f->stabilizer);
      if (d == 0 || (f->by && !(f->by_sign * f->by->data[i] > 0))) return 0;
      return f->coef * (f->other->data[i] / d);
    }
    default: return v;
  }
}

/* sums: [phase][line] of channel c. */
static void store_row(const job *j, int64_t item, int64_t c, int64_t y, const float *sums,
                      float *line) {
  const xai__blocked *g = j->g;
  const xai__finish *f = j->finish;
  const int64_t phases = j->f->p->stride[2], at = ((item * g->c + c) * g->h + y) * g->w;
  const float *v = sums;
  if (phases > 1) {
    j->k->weave(sums, j->line, phases, g->w, line);
    v = line;
  }
  if (f->form == XAI__TIMES && !f->add) {
    const xai__epilogue ep = {XAI__MULTIPLY_ADD, f->coef, NULL, f->edit, NULL};
    if (!f->accumulate) memset(g->data + at, 0, (size_t)g->w * sizeof *g->data);
    j->k->emit(&ep, g->data + at, f->other->data + at, v, g->w);
    return;
  }
  for (int64_t x = 0; x < g->w; x++) {
    const float sum = f->add ? v[x] + f->add->data[at + x] : v[x];
    const float r = finished(f, sum, at + x);
    g->data[at + x] = f->accumulate ? g->data[at + x] + r : r;
  }
}

static void task(void *ctx, int64_t index, int thread) {
  const job *j = ctx;
  const xai__product *p = j->f->p;
  const int64_t item = index / j->tasks_an_item, begin = index % j->tasks_an_item * j->rows;
  const int64_t end = at_most(begin + j->rows, j->g->h), line = p->stride[2] * j->line;
  const int64_t top = begin + p->pad[1] - (p->kernel[1] - 1) * p->dilation[1];
  const int64_t first = top > 0 ? ceil_div(top, p->stride[1]) : 0;
  const int64_t last = end - 1 + p->pad[1] < 0 ? -1 : (end - 1 + p->pad[1]) / p->stride[1];
  float *sums = j->scratch + (size_t)thread * j->size, *acc = sums + p->c * line;
  float *woven = acc + p->c * j->line, *planes = woven + line;
  take_planes(j, item, first, at_most(last + 1, j->s->h), planes);
  for (int64_t y = begin; y < end; y++) {
    sum_row(j, y, planes, first, acc, sums);
    for (int64_t c = 0; c < p->c; c++) store_row(j, item, c, y, sums + c * line, woven);
  }
}

/* Where the terms lie, and how far they reach beside a row. */
static int lay_out(xai__engine *e, job *j, xai_error *err) {
  const xai__product *p = j->f->p;
  const int64_t phases = p->stride[2], widest = ceil_div(j->g->w, phases);
  int64_t least = 0, most = 0, *at;
  if (!(at = xai__scratch(e, (size_t)(j->s->c * p->kernel[2]), sizeof *at, err))) return xai__no_memory(err);
  for (int64_t kx = 0; kx < p->kernel[2]; kx++) {
    const int64_t shift = xai__image_shift(p, kx);
    least = at_most(least, shift);
    most = at_least(most, shift);
  }
  j->at = at;
  j->before = -least;
  j->pitch = j->before + at_least(j->s->w, widest + XAI__MAX_VECTOR + most);
  j->line = widest + XAI__MAX_VECTOR;
  for (int64_t phase = 0; phase < phases; phase++)
    for (int64_t m = 0; m < j->s->c; m++)
      for (int64_t kx = 0; kx < p->kernel[2]; kx++)
        if (xai__image_phase(p, kx) == phase) *at++ = m * j->pitch + xai__image_shift(p, kx);
  return XAI_OK;
}

int xai__blocked_image_adjoint(xai__engine *e, const xai__filters *f, const float *packed,
                               const xai__blocked *s, xai__edit we, const xai__blocked *g,
                               const xai__finish *finish, xai_error *err) {
  const xai__product *p = f->p;
  job j = {.k = &e->k, .b = &e->block_kernels, .f = f, .s = s, .g = g, .finish = finish};
  if (xai__blocked_count(g) == 0) return XAI_OK;
  XAI__TRY(xai__blocked_weights(e, f, packed, &we, &j.w, err));
  XAI__TRY(lay_out(e, &j, err));
  const int threads = xai__pool_threads(e->pool);
  j.rows = at_least(1, at_most(ceil_div(g->h, threads), ROWS_A_TASK));
  j.tasks_an_item = ceil_div(g->h, j.rows);
  const int64_t reach = (p->kernel[1] - 1) * p->dilation[1] + j.rows;
  j.most = at_most(s->h, reach / p->stride[1] + 1);
  j.size = (size_t)(p->c * (p->stride[2] + 1) * j.line + p->stride[2] * j.line +
                    j.most * s->c * j.pitch + 15) / 16 * 16;
  j.scratch = xai__scratch(e, (size_t)threads * j.size, sizeof *j.scratch, err);
  if (!j.scratch) return xai__no_memory(err);
  xai__pool_run(e->pool, g->n * j.tasks_an_item, task, &j);
  return XAI_OK;
}
