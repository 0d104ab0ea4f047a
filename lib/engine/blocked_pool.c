/* Pooling of blocked tensors: a task is some (item, block) planes, 16 channels at a time. */
#include "engine/blocked_inside.h"

typedef struct job {
  const xai__block_kernels *k;
  const xai__pooling *p;
  const xai__blocked *x, *y; /* x NULL: a mean's transpose */
  const xai__blocked *g;     /* of x's shape; NULL: forward */
  bool fresh;                /* g holds nothing yet */
} job;

/* The taps of a window along one axis: `n` inside the image from `first` on. */
typedef struct span {
  int64_t first, n, counted;
} span;

static int64_t taps_before(int64_t start, int64_t step, int64_t kernel, int64_t end) {
  return start < end ? at_most(kernel, (end - 1 - start) / step + 1) : 0;
}

static span span_at(const xai__pooling *p, int d, int64_t o, int64_t extent) {
  const int64_t start = o * p->stride[d] - p->pad[d], step = p->dilation[d];
  if (start >= 0 && start + (p->kernel[d] - 1) * step < extent) /* no division inside */
    return (span){start, p->kernel[d], p->kernel[d]};
  const int64_t skip = start < 0 ? ceil_div(-start, step) : 0;
  const int64_t n = taps_before(start, step, p->kernel[d], extent);
  return (span){start + skip * step, n > skip ? n - skip : 0,
                taps_before(start, step, p->kernel[d], extent + p->pad_end[d])};
}

static float taps_counted(const xai__pooling *p, const span *v, const span *u) {
  return (float)(p->include_pad ? v->counted * u->counted : v->n * u->n);
}

/* Where the first tap of a window lies in a plane. */
static int64_t first_tap(const xai__blocked *b, const span *v, const span *u) {
  return v->first * xai__blocked_pitch(b) + u->first * XAI__BLOCK;
}

/* Calls for each tap, in order, with its address in a row-major plane of b. */
#define EACH_TAP(j, b, base, v, u, t, ...)                                                    \
  for (int64_t a_ = 0; a_ < (v)->n; a_++)                                                      \
    for (int64_t b_ = 0; b_ < (u)->n; b_++) {                                                  \
      t = (base) + ((v)->first + a_ * (j)->p->dilation[0]) * xai__blocked_pitch(b) +            \
          ((u)->first + b_ * (j)->p->dilation[1]) * XAI__BLOCK;                                 \
      __VA_ARGS__                                                                              \
    }

static void mean(const job *j, const float *x, const span *v, const span *u, float *to) {
  double sum[XAI__BLOCK] = {0};
  const float n = taps_counted(j->p, v, u);
  const int64_t step = j->p->dilation[1] * XAI__BLOCK;
  x += first_tap(j->x, v, u);
  for (int64_t a = 0; a < v->n; a++, x += j->p->dilation[0] * xai__blocked_pitch(j->x))
    j->k->total(x, NULL, step, u->n, sum);
  for (int l = 0; l < XAI__BLOCK; l++) to[l] = n > 0 ? (float)sum[l] / n : 0;
}

/* ---- rows of y ---- */

static void pool_rows(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  const xai__blocked *y = j->y;
  const int64_t blocks = xai__blocked_blocks(y), step = j->p->dilation[1] * XAI__BLOCK;
  const int64_t pitch = j->p->dilation[0] * xai__blocked_pitch(j->x);
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i % y->h, block = i / y->h % blocks, item = i / y->h / blocks;
    const span v = span_at(j->p, 0, row, j->x->h);
    const float *x = xai__blocked_row(j->x, item, block, 0);
    float *to = xai__blocked_row(y, item, block, row);
    xai__blocked_clear_border(y, item, block, row);
    for (int64_t o = 0; o < y->w; o++, to += XAI__BLOCK) {
      const span u = span_at(j->p, 1, o, j->x->w);
      if (j->p->kind == XAI__POOL_MAX)
        j->k->greatest(x + first_tap(j->x, &v, &u), pitch, step, v.n, u.n, to, NULL);
      else
        mean(j, x, &v, &u, to);
    }
  }
}

void xai__blocked_pool(xai__engine *e, const xai__pooling *p, const xai__blocked *x,
                       const xai__blocked *y) {
  job j = {.k = &e->block_kernels, .p = p, .x = x, .y = y};
  const int64_t work = y->w * p->kernel[0] * p->kernel[1] * XAI__BLOCK;
  xai__parallel(e, y->n * xai__blocked_blocks(y) * y->h, 16384 / (work + 1) + 1, pool_rows, &j);
}

/* ---- planes of g ---- */

static void back(const job *j, const float *x, const span *v, const span *u, const float *s,
                 float *g) {
  float top[XAI__BLOCK], winner[XAI__BLOCK], *t;
  if (j->p->kind == XAI__POOL_MEAN) {
    const float n = taps_counted(j->p, v, u);
    for (int l = 0; l < XAI__BLOCK; l++) top[l] = n > 0 ? s[l] / n : 0;
    EACH_TAP(j, j->g, g, v, u, t, { for (int l = 0; l < XAI__BLOCK; l++) t[l] += top[l]; })
    return;
  }
  const int64_t step = j->p->dilation[1] * XAI__BLOCK, rows = j->p->dilation[0];
  j->k->greatest(x + first_tap(j->x, v, u), rows * xai__blocked_pitch(j->x), step, v->n, u->n, top,
                 winner);
  j->k->route(winner, s, g + first_tap(j->g, v, u), rows * xai__blocked_pitch(j->g), step, v->n,
              u->n);
}

/* Zeroes rows [*clean, end) of a plane of g, if they are not there yet; row: row 0. */
static void clean_rows(const job *j, float *row, int64_t *clean, int64_t end) {
  const int64_t pitch = xai__blocked_pitch(j->g), edge = j->g->border * XAI__BLOCK;
  if (!j->fresh || end <= *clean) return;
  memset(row + *clean * pitch - edge, 0, (size_t)((end - *clean) * pitch) * sizeof *row);
  *clean = end;
}

static void pool_back_planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  const xai__blocked *y = j->y;
  const int64_t blocks = xai__blocked_blocks(y);
  for (int64_t i = begin; i < end; i++) {
    const float *x = j->x ? xai__blocked_row(j->x, i / blocks, i % blocks, 0) : NULL;
    float *g = xai__blocked_row(j->g, i / blocks, i % blocks, 0);
    int64_t clean = -j->g->border;
    for (int64_t row = 0; row < y->h; row++) {
      const span v = span_at(j->p, 0, row, j->g->h);
      clean_rows(j, g, &clean, v.n ? v.first + (v.n - 1) * j->p->dilation[0] + 1 : 0);
      const float *s = xai__blocked_row(y, i / blocks, i % blocks, row);
      for (int64_t o = 0; o < y->w; o++, s += XAI__BLOCK) {
        const span u = span_at(j->p, 1, o, j->g->w);
        back(j, x, &v, &u, s, g);
      }
    }
    clean_rows(j, g, &clean, j->g->h + j->g->border);
  }
}

void xai__blocked_pool_back(xai__engine *e, const xai__pooling *p, const xai__blocked *x,
                            const xai__blocked *s, const xai__blocked *g, bool fresh) {
  job j = {.k = &e->block_kernels, .p = p, .x = p->kind == XAI__POOL_MAX ? x : NULL, .y = s, .g = g,
           .fresh = fresh};
  const int64_t work = s->h * s->w * p->kernel[0] * p->kernel[1] * XAI__BLOCK;
  xai__parallel(e, s->n * xai__blocked_blocks(s), 16384 / (work + 1) + 1, pool_back_planes, &j);
}
