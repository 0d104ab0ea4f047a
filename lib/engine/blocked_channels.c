/* Sums and products of a blocked tensor and one number a channel, and their transposes.
 *
 * Rows are dealt out as convolutions deal them, upper ones first, so that a thread finds in its
 * cache what it wrote. */
#include "engine/blocked_inside.h"

typedef struct job {
  const xai__block_kernels *k;
  bool product, add;
  const xai__blocked *x, *v, *y; /* y = x v; or y += x v */
  const xai__blocked *s, *g;     /* g += sum of s (x) */
} job;

static const float *numbers_of(const xai__blocked *v, int64_t item, int64_t block) {
  return xai__blocked_row(v, v->n == 1 ? 0 : item, block, 0);
}

static void rows(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  const xai__blocked *y = j->y;
  const int64_t blocks = xai__blocked_blocks(y);
  for (int64_t i = begin; i < end; i++) {
    const int64_t block = i % blocks, row = i / blocks % y->h, item = i / blocks / y->h;
    j->k->by_channel(j->product, j->add, xai__blocked_row(j->x, item, block, row),
                     numbers_of(j->v, item, block), y->w, xai__blocked_row(y, item, block, row));
    if (!j->add) xai__blocked_clear_border(y, item, block, row);
  }
}

static void each_row(xai__engine *e, job *j) {
  const xai__blocked *y = j->y;
  j->k = &e->block_kernels;
  xai__parallel(e, y->n * xai__blocked_blocks(y) * y->h, 8192 / (y->w * XAI__BLOCK + 1) + 1, rows, j);
}

void xai__blocked_by_channel(xai__engine *e, bool product, const xai__blocked *x,
                             const xai__blocked *v, const xai__blocked *y) {
  each_row(e, &(job){.product = product, .x = x, .v = v, .y = y});
}

void xai__blocked_by_channel_back(xai__engine *e, const xai__blocked *s, const xai__blocked *v,
                                  const xai__blocked *g) {
  each_row(e, &(job){.product = true, .add = true, .x = s, .v = v, .y = g});
}

/* ---- sums of planes ---- */

static void planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  const xai__blocked *s = j->s;
  const int64_t blocks = xai__blocked_blocks(j->g), repeats = s->n / at_least(1, j->g->n);
  for (int64_t i = begin; i < end; i++) { /* (item of g, block) */
    double sum[XAI__BLOCK] = {0};
    for (int64_t item = i / blocks * repeats; item < (i / blocks + 1) * repeats; item++)
      for (int64_t y = 0; y < s->h; y++)
        j->k->total(xai__blocked_row(s, item, i % blocks, y),
                    j->x ? xai__blocked_row(j->x, item, i % blocks, y) : NULL, XAI__BLOCK,
                    s->w, sum);
    float *to = xai__blocked_row(j->g, i / blocks, i % blocks, 0);
    for (int l = 0; l < XAI__BLOCK; l++) to[l] += (float)sum[l];
  }
}

void xai__blocked_channel_sums(xai__engine *e, const xai__blocked *s, const xai__blocked *x,
                               const xai__blocked *g) {
  job j = {.k = &e->block_kernels, .x = x, .s = s, .g = g};
  xai__parallel(e, g->n * xai__blocked_blocks(g), 8192 / (s->h * s->w * XAI__BLOCK + 1) + 1, planes, &j);
}
