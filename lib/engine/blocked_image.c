/* The adjoint of a convolution that reads an image: relevance or gradients of pixels.
 *
 * An image has few channels, which would leave most lanes of a block empty. So the lanes are
 * (tap, channel): a row of s times the weights gives, for each of its positions, what each tap
 * hands on (as a 1x1 convolution would), and these are added up where the taps lie:
 *   g[c][y stride - pad + ky dilation][x ..] += sum over m of w[m][c][ky][kx] s[m][y][x].
 * A task owns some rows of one item of g and meets the rows of s in ascending order. */
#include <math.h>

#include "engine/blocked_inside.h"

#define ROWS_A_TASK 14
#define PIECE_BLOCKS 16 /* of 16 terms, of a piece of the sum */

typedef struct job {
  const xai__kernels *k;
  const xai__block_kernels *b;
  const xai__filters *f;
  const xai__blocked *s, *g;
  const xai__finish *finish;
  const float *w;
  xai__tile tile;
  int64_t columns;      /* (tap, channel), full blocks */
  int64_t tasks_an_item, rows;
  int64_t phases, line; /* a row of sums: [phase = x modulo stride][line] */
  size_t size;          /* floats a thread */
  float *scratch;
} job;

/* What one row of s hands on: to[column][w]. lanes: [w][16] of one block, in between. */
static void columns_of(const job *j, const float *s, float *lanes, float *to) {
  const int64_t w = j->s->w, tap = 0;
  float acc[XAI__TILE_PIXELS * XAI__CHUNK] __attribute__((aligned(64)));
  xai__tile t = j->tile;
  t.tap = &tap;
  for (int64_t first = 0; first < j->columns; first += XAI__CHUNK) {
    t.lanes = (int)at_most(j->columns - first, XAI__CHUNK);
    const int64_t pieces = ceil_div(w, j->b->half(&t));
    for (int64_t i = 0; i < pieces; i++) {
      const int64_t begin = i * w / pieces, n = (i + 1) * w / pieces - begin;
      const float *const x[2] = {s + begin * XAI__BLOCK, s + begin * XAI__BLOCK};
      j->b->tile(&t, (int)n, 1, x, NULL, j->w + first * j->f->in, acc);
      for (int64_t p = 0; p < n; p++)
        for (int l = 0; l < t.lanes; l += XAI__BLOCK)
          memcpy(lanes + (l / XAI__BLOCK * w + begin + p) * XAI__BLOCK, acc + p * t.lanes + l,
                 XAI__BLOCK * sizeof *acc);
    }
    for (int l = 0; l < t.lanes; l += XAI__BLOCK)
      j->b->separate(lanes + l * w, XAI__BLOCK, w, to + (first + l) * w, w, false);
  }
}

/* The columns of row `row` of s into the sums of rows [begin, end) of g. */
static void add_columns(const job *j, int64_t row, int64_t begin, int64_t end, const float *columns,
                        float *sums) {
  const xai__product *p = j->f->p;
  const int64_t w = j->s->w, stride = p->stride[2];
  for (int64_t ky = 0; ky < p->kernel[1]; ky++) {
    const int64_t y = row * p->stride[1] - p->pad[1] + ky * p->dilation[1];
    if (y < begin || y >= end) continue;
    for (int64_t kx = 0; kx < p->kernel[2]; kx++)
      for (int64_t c = 0; c < p->c; c++) {
        const int64_t at = kx * p->dilation[2];
        float *to = sums + ((c * j->rows + y - begin) * j->phases + at % stride) * j->line;
        const float *from = columns + ((ky * p->kernel[2] + kx) * p->c + c) * w;
        j->k->add_scaled(to + at / stride, from, w, 1);
      }
  }
}

static float finished(const xai__finish *f, float v, int64_t i) {
  switch (f->form) {
    case XAI__CLIP: return v < f->low ? f->low : v > f->high ? f->high : v;
    case XAI__BEND: return xai__edited(f->edit, v);
    case XAI__TIMES: return f->coef * xai__edited(f->edit, f->other->data[i]) * v;
    case XAI__GATE: return f->other->data[i] > 0 ? v : 0;
    case XAI__DIVIDE: {
      const float d = v + (v >= 0 ? f->stabilizer : -f->stabilizer);
      if (d == 0 || (f->by && !(f->by_sign * f->by->data[i] > 0))) return 0;
      return f->coef * (f->other->data[i] / d);
    }
    default: return v;
  }
}

static void store_row(const job *j, int64_t item, int64_t c, int64_t y, const float *sums,
                      float *line) {
  const xai__blocked *g = j->g;
  const xai__finish *f = j->finish;
  const int64_t pad = j->f->p->pad[2], at = ((item * g->c + c) * g->h + y) * g->w;
  const float *v = sums + pad;
  if (j->phases > 1) {
    j->k->weave(sums, j->line, j->phases, pad + g->w, line);
    v = line + pad;
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
  const int64_t end = at_most(begin + j->rows, j->g->h);
  const int64_t n_sums = p->c * j->rows * j->phases * j->line;
  float *sums = j->scratch + (size_t)thread * j->size, *columns = sums + n_sums;
  float *lanes = columns + j->columns * j->s->w, *line = lanes + XAI__CHUNK * j->s->w;
  memset(sums, 0, (size_t)n_sums * sizeof *sums);
  const int64_t reach = (p->kernel[1] - 1) * p->dilation[1], first = begin + p->pad[1] - reach;
  for (int64_t row = first > 0 ? ceil_div(first, p->stride[1]) : 0;
       row < j->s->h && row * p->stride[1] - p->pad[1] < end; row++) {
    columns_of(j, xai__blocked_row(j->s, item, 0, row), lanes, columns);
    add_columns(j, row, begin, end, columns, sums);
  }
  for (int64_t c = 0; c < p->c; c++)
    for (int64_t y = begin; y < end; y++)
      store_row(j, item, c, y, sums + (c * j->rows + y - begin) * j->phases * j->line, line);
}

int xai__blocked_image_adjoint(xai__engine *e, const xai__filters *f, const float *packed,
                               const xai__blocked *s, xai__edit we, const xai__blocked *g,
                               const xai__finish *finish, xai_error *err) {
  const xai__product *p = f->p;
  job j = {.k = &e->k, .b = &e->block_kernels, .f = f, .s = s, .g = g, .finish = finish};
  if (xai__blocked_count(g) == 0) return XAI_OK;
  XAI__TRY(xai__blocked_weights(e, f, packed, &we, &j.w, err));
  const int64_t blocks = ceil_div(f->in, XAI__BLOCK);
  j.tile = (xai__tile){.blocks = blocks, .last = f->in - (blocks - 1) * XAI__BLOCK,
                       .plane = xai__blocked_plane(s), .taps = 1, .step = XAI__BLOCK,
                       .piece = PIECE_BLOCKS, .we = we};
  j.columns = ceil_div(f->out, XAI__BLOCK) * XAI__BLOCK;
  const int threads = xai__pool_threads(e->pool);
  j.rows = at_least(1, at_most(ceil_div(g->h, threads), ROWS_A_TASK));
  j.tasks_an_item = ceil_div(g->h, j.rows);
  j.phases = p->stride[2];
  const int64_t far = s->w + (p->kernel[2] - 1) * p->dilation[2] / j.phases;
  j.line = at_least(far, ceil_div(p->pad[2] + g->w, j.phases)) + 1;
  j.size = (size_t)(p->c * j.rows * j.phases * j.line + (j.columns + XAI__CHUNK) * s->w +
                    p->pad[2] + g->w + 64) / 16 * 16;
  j.scratch = xai__scratch(e, (size_t)threads * j.size, sizeof *j.scratch, err);
  if (!j.scratch) return xai__no_memory(err);
  xai__pool_run(e->pool, g->n * j.tasks_an_item, task, &j);
  return XAI_OK;
}
