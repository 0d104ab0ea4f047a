/* Loops over index boxes: axes are merged where every stream allows it, so that equal shapes become
 * one run and per-channel operands runs of a whole plane. */
#include "op/loop.h"
#include <string.h>

enum { CHUNK = 256 }; /* accumulators of a task */

xai__loop xai__loop_over(const xai__shape *box) {
  xai__loop l = {.rank = box->rank};
  memcpy(l.d, box->d, sizeof box->d);
  return l;
}

void xai__strides(const xai__shape *s, int64_t *stride) {
  int64_t n = 1;
  for (int i = s->rank - 1; i >= 0; i--) {
    stride[i] = n;
    n *= s->d[i];
  }
}

void xai__loop_add_strides(xai__loop *l, const int64_t *stride) {
  memcpy(l->stride[l->streams++], stride, (size_t)l->rank * sizeof *stride);
}

void xai__loop_add(xai__loop *l, const xai__shape *shape) {
  int64_t natural[XAI__MAX_RANK], stride[XAI__LOOP_RANK] = {0};
  xai__strides(shape, natural);
  for (int i = 0; i < shape->rank; i++)
    if (shape->d[i] != 1) stride[l->rank - shape->rank + i] = natural[i];
  xai__loop_add_strides(l, stride);
}

static void move_axis(const xai__loop *from, int i, xai__loop *to, int j) {
  to->d[j] = from->d[i];
  for (int k = 0; k < from->streams; k++) to->stride[k][j] = from->stride[k][i];
}

static bool mergeable(const xai__loop *l, int outer, const xai__loop *m, int inner) {
  for (int k = 0; k < l->streams; k++)
    if (l->stride[k][outer] != m->stride[k][inner] * m->d[inner]) return false;
  return true;
}

/* Drops axes of length 1 and merges neighbours; at least one axis is left. */
static xai__loop merged(const xai__loop *l) {
  xai__loop m = {.streams = l->streams};
  for (int i = 0; i < l->rank; i++) {
    if (l->d[i] == 1) continue;
    if (m.rank && mergeable(&m, m.rank - 1, l, i)) {
      int64_t d = m.d[m.rank - 1];
      move_axis(l, i, &m, m.rank - 1);
      m.d[m.rank - 1] *= d;
    } else {
      move_axis(l, i, &m, m.rank++);
    }
  }
  if (!m.rank) m.d[m.rank++] = 1;
  return m;
}

static int64_t product(const xai__loop *l, int rank) {
  int64_t n = 1;
  for (int i = 0; i < rank; i++) n *= l->d[i];
  return n;
}

void xai__split(xai__engine *e, int64_t n, int64_t grain, xai__range_fn f, void *ctx) {
  if (n <= 0) return;
  if (e && n > grain)
    xai__parallel(e, n, grain, f, ctx);
  else
    f(ctx, 0, n);
}

/* Sets r->at to row `row` of the first `rank` axes and idx to its index. */
static void seek(const xai__loop *l, int rank, int64_t row, int64_t *idx, xai__run *r) {
  memset(r->at, 0, sizeof r->at);
  for (int i = rank - 1; i >= 0; i--) {
    idx[i] = row % l->d[i];
    row /= l->d[i];
    for (int k = 0; k < l->streams; k++) r->at[k] += idx[i] * l->stride[k][i];
  }
}

static void next(const xai__loop *l, int rank, int64_t *idx, xai__run *r) {
  for (int i = rank - 1; i >= 0; i--) {
    idx[i]++;
    for (int k = 0; k < l->streams; k++) r->at[k] += l->stride[k][i];
    if (idx[i] < l->d[i]) return;
    for (int k = 0; k < l->streams; k++) r->at[k] -= l->d[i] * l->stride[k][i];
    idx[i] = 0;
  }
}

typedef struct {
  const xai__loop *l;
  xai__run_fn f;
  void *ctx;
} each_ctx;

static void each_range(void *ctx, int64_t begin, int64_t end) {
  const each_ctx *c = ctx;
  const xai__loop *l = c->l;
  int last = l->rank - 1;
  int64_t inner = l->d[last], row = begin / inner, column = begin % inner;
  int64_t idx[XAI__LOOP_RANK] = {0};
  xai__run start = {0};
  seek(l, last, row, idx, &start);
  while (begin < end) {
    xai__run r = start;
    r.n = inner - column < end - begin ? inner - column : end - begin;
    for (int k = 0; k < l->streams; k++) {
      r.step[k] = l->stride[k][last];
      r.at[k] += column * r.step[k];
    }
    c->f(c->ctx, &r);
    begin += r.n;
    column = 0;
    next(l, last, idx, &start);
  }
}

/* ---- where one stream runs along another axis than the last ---- */

enum { TILE = 16, TILE_RUN = 64 }; /* cache lines that are read again for the next index */

/* The axis along which a stream walks by 1 while it strides along the last one; -1: none, or too
 * short to matter. */
static int crossing_axis(const xai__loop *l) {
  for (int k = 0; k < l->streams; k++) {
    if (l->stride[k][l->rank - 1] <= 1) continue;
    for (int i = 0; i < l->rank - 1; i++)
      if (l->stride[k][i] == 1 && l->d[i] >= TILE) return i;
  }
  return -1;
}

/* Units of TILE indices of the last axis but one: short runs of each in turn. */
static void each_tile(void *ctx, int64_t begin, int64_t end) {
  const each_ctx *c = ctx;
  const xai__loop *l = c->l;
  const int last = l->rank - 1, across = last - 1;
  const int64_t tiles = (l->d[across] + TILE - 1) / TILE;
  int64_t idx[XAI__LOOP_RANK];
  xai__run start;
  for (int64_t t = begin; t < end; t++) {
    const int64_t from = t % tiles * TILE;
    const int64_t to = from + TILE < l->d[across] ? from + TILE : l->d[across];
    seek(l, across, t / tiles, idx, &start);
    for (int64_t column = 0; column < l->d[last]; column += TILE_RUN)
      for (int64_t i = from; i < to; i++) {
        xai__run r = {.n = l->d[last] - column < TILE_RUN ? l->d[last] - column : TILE_RUN};
        for (int k = 0; k < l->streams; k++) {
          r.step[k] = l->stride[k][last];
          r.at[k] = start.at[k] + i * l->stride[k][across] + column * r.step[k];
        }
        c->f(c->ctx, &r);
      }
  }
}

void xai__loop_each(xai__engine *e, const xai__loop *l, xai__run_fn f, void *ctx) {
  xai__loop m = merged(l);
  const int across = crossing_axis(&m);
  each_ctx c = {&m, f, ctx};
  if (across < 0) {
    xai__split(e, product(&m, m.rank), XAI__GRAIN, each_range, &c);
    return;
  }
  xai__loop turned = {.rank = 0, .streams = m.streams};
  for (int i = 0; i < m.rank - 1; i++)
    if (i != across) move_axis(&m, i, &turned, turned.rank++);
  move_axis(&m, across, &turned, turned.rank++);
  move_axis(&m, m.rank - 1, &turned, turned.rank++);
  c.l = &turned;
  const int64_t units = product(&turned, m.rank - 2) * ((m.d[across] + TILE - 1) / TILE);
  xai__split(e, units, xai__grain(TILE * m.d[m.rank - 1]), each_tile, &c);
}

typedef struct {
  xai__loop kept, folded; /* of equal streams; the run's axis is in neither */
  int64_t run, step[XAI__STREAMS];
  int64_t chunks, groups; /* runs of a kept axis are cut into chunks of accumulators */
  bool run_kept;
  const xai__fold *fold;
  void *ctx;
} fold_ctx;

static void fold_one(const fold_ctx *c, const xai__run *start, int64_t column, int64_t n) {
  xai__acc acc[CHUNK];
  int64_t accs = c->run_kept ? n : 1;
  for (int64_t i = 0; i < accs; i++) acc[i] = c->fold->start;
  int64_t idx[XAI__LOOP_RANK] = {0};
  xai__run at = *start;
  for (int k = 0; k < c->kept.streams; k++) at.at[k] += column * c->step[k];
  int64_t out = at.at[0];
  if (n > 0) {
    for (int64_t g = 0; g < c->groups; g++) {
      xai__run r = at;
      r.n = n;
      memcpy(r.step, c->step, sizeof r.step);
      c->fold->take(c->ctx, acc, c->run_kept ? 1 : 0, &r);
      next(&c->folded, c->folded.rank, idx, &at);
    }
  }
  c->fold->give(c->ctx, acc, accs, out, c->run_kept ? c->step[0] : 0);
}

static void fold_range(void *ctx, int64_t begin, int64_t end) {
  const fold_ctx *c = ctx;
  int64_t idx[XAI__LOOP_RANK] = {0}, column = begin % c->chunks * CHUNK;
  xai__run start = {0};
  seek(&c->kept, c->kept.rank, begin / c->chunks, idx, &start);
  for (int64_t t = begin; t < end; t++) {
    int64_t left = c->run - column;
    fold_one(c, &start, column, c->run_kept && left > CHUNK ? CHUNK : left);
    column += CHUNK;
    if (!c->run_kept || column >= c->run) {
      column = 0;
      next(&c->kept, c->kept.rank, idx, &start);
    }
  }
}

void xai__loop_fold(xai__engine *e, const xai__loop *l, const xai__fold *fold, void *ctx) {
  xai__loop m = merged(l);
  int last = m.rank - 1;
  fold_ctx c = {.kept = {.streams = m.streams}, .folded = {.streams = m.streams}, .run = m.d[last],
                .run_kept = m.stride[0][last] != 0, .chunks = 1, .fold = fold, .ctx = ctx};
  for (int k = 0; k < m.streams; k++) c.step[k] = m.stride[k][last];
  for (int i = 0; i < last; i++) {
    xai__loop *side = m.stride[0][i] ? &c.kept : &c.folded;
    move_axis(&m, i, side, side->rank++);
  }
  if (c.run_kept) c.chunks = (c.run + CHUNK - 1) / CHUNK;
  c.groups = product(&c.folded, c.folded.rank);
  int64_t tasks = product(&c.kept, c.kept.rank) * c.chunks;
  int64_t work = c.groups * (c.run_kept && c.run > CHUNK ? CHUNK : c.run);
  xai__split(e, tasks, xai__grain(work), fold_range, &c);
}

typedef struct {
  char *to;
  const char *from;
  float scale;
} copy_ctx;

#define COPY(name, T, assign, scale_)                                                              \
  static void name(void *ctx, const xai__run *r) {                                                 \
    const copy_ctx *c = ctx;                                                                       \
    T *to = (T *)(void *)c->to + r->at[0];                                                         \
    const T *from = (const T *)(const void *)c->from + r->at[1];                                   \
    int64_t a = r->step[0], b = r->step[1];                                                        \
    if (a == 1 && b == 1) {                                                                        \
      for (int64_t i = 0; i < r->n; i++) to[i] assign scale_ from[i];                              \
    } else if (a == 1 && b == 0) {                                                                 \
      T v = scale_ *from;                                                                          \
      for (int64_t i = 0; i < r->n; i++) to[i] assign v;                                           \
    } else {                                                                                       \
      for (int64_t i = 0; i < r->n; i++) to[i * a] assign scale_ from[i * b];                      \
    }                                                                                              \
  }
COPY(copy_f32, float, =, )
COPY(copy_i64, int64_t, =, )
COPY(add_f32, float, +=, c->scale *)

void xai__copy(xai__engine *e, const xai__loop *l, int dtype, void *to, const void *from) {
  xai__loop_each(e, l, dtype == XAI_F32 ? copy_f32 : copy_i64, &(copy_ctx){to, from, 1});
}

void xai__add_copy(xai__engine *e, const xai__loop *l, float *to, const float *from, float scale) {
  xai__loop_each(e, l, add_f32, &(copy_ctx){(char *)to, (const char *)from, scale});
}

static void sum_take(void *ctx, xai__acc *acc, int64_t acc_step, const xai__run *r) {
  const float *x = (const float *)(const void *)((const copy_ctx *)ctx)->from + r->at[1];
  int64_t step = r->step[1];
  if (step == 1)
    XAI__TAKE_SUM(x[i]);
  else
    XAI__TAKE_SUM(x[i * step]);
}

void xai__give_sums(const xai__acc *acc, int64_t n, int64_t step, float scale, float *to) {
  if (step == 1)
    for (int64_t i = 0; i < n; i++) to[i] += (float)acc[i].f * scale;
  else
    for (int64_t i = 0; i < n; i++) to[i * step] += (float)acc[i].f * scale;
}

static void sum_give(void *ctx, const xai__acc *acc, int64_t n, int64_t at, int64_t step) {
  const copy_ctx *c = ctx;
  xai__give_sums(acc, n, step, c->scale, (float *)(void *)c->to + at);
}

void xai__add_sums(xai__engine *e, const xai__loop *l, float *to, const float *from, float scale) {
  static const xai__fold fold = {{0}, sum_take, sum_give};
  xai__loop_fold(e, l, &fold, &(copy_ctx){(char *)to, (const char *)from, scale});
}

static void move_box(xai__engine *e, const xai__view *part, const xai__view *whole,
                     const int64_t *start, const int64_t *step, bool put, bool add) {
  int64_t stride[XAI__MAX_RANK], offset = 0;
  xai__strides(&whole->shape, stride);
  for (int i = 0; i < whole->shape.rank; i++) {
    offset += start[i] * stride[i];
    if (step) stride[i] *= step[i];
  }
  xai__loop l = xai__loop_over(&part->shape);
  if (!put) xai__loop_add(&l, &part->shape);
  xai__loop_add_strides(&l, stride);
  if (put) xai__loop_add(&l, &part->shape);
  char *box = (char *)whole->data + offset * (part->dtype == XAI_F32 ? 4 : 8);
  char *to = put ? box : part->data, *from = put ? part->data : box;
  if (add)
    xai__add_copy(e, &l, (float *)(void *)to, (const float *)(void *)from, 1);
  else
    xai__copy(e, &l, part->dtype, to, from);
}

void xai__box_get(xai__engine *e, const xai__view *part, const xai__view *whole,
                  const int64_t *start, const int64_t *step, bool add) {
  move_box(e, part, whole, start, step, false, add);
}

void xai__box_put(xai__engine *e, const xai__view *part, const xai__view *whole,
                  const int64_t *start, const int64_t *step, bool add) {
  move_box(e, part, whole, start, step, true, add);
}
