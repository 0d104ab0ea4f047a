/* Convolutions of blocked tensors and their adjoints.
 *
 * Both are gathers (window.h): result position p of a phase sums, over taps and channels, what it
 * reads at p * step + at + tap * at_step. A tile of some output channels by up to 14 pixels of one
 * or two runs is summed in registers over the whole kernel and all channels, finished, and stored.
 * A task owns some result rows and some chunks of channels; it walks chunk by chunk, so that
 * weights are read once a task, from end to end. */
#include <math.h>

#include "engine/blocked_inside.h"

#define PIECE_TERMS 288             /* of a sum, before it is added up */
#define IMAGE_TERMS 64              /* the same, of images */
#define NEAR_FLOATS (96 * 1024)     /* of x that a task keeps near while chunks of weights pass */
#define WEIGHTS_NEAR (256 * 1024)   /* floats of weights that may pass once more */
#define FEW_PIXELS 64               /* of a result, split by channels only */
#define TASKS_A_THREAD 4

/* ---- a task ---- */

/* A row of pixels is cut into pieces[0] of width[0], then pieces[1] of width[1] = width[0] - 1. */
typedef struct cut {
  int64_t pieces[2], width[2];
} cut;

static cut cut_of(int64_t w, int half) {
  const int64_t n = ceil_div(w, half);
  return (cut){{w % n, n - w % n}, {w / n + 1, w / n}};
}

static const float *row_of(const xai__blocked *b, int64_t item, int64_t block, int64_t y) {
  return b ? xai__blocked_row(b, item, block, y) : NULL;
}

void xai__gather_line(const xai__gather *j, int64_t row, int64_t group, int64_t block, int blocks,
                      xai__line *l) {
  const xai__axis *y = &j->axis[0], *x = &j->axis[1];
  const int64_t item = row / y->count, p = row % y->count, to = y->place + p * y->place_step;
  l->x = j->empty ? NULL :
         j->x.data + item * j->x.item + group * j->in_blocks * j->x.block +
         (p * y->step + y->at) * j->x.pitch + x->at * j->x.pixel;
  for (int b = 0; b < blocks; b++, block++) {
    const int64_t first = x->place * XAI__BLOCK, step = x->place_step * XAI__BLOCK;
    const xai__finish *f = j->finish;
    l->run[b] = (xai__finish_run){.f = f,
                                  .lanes = (int)at_most(j->z->c - block * XAI__BLOCK, XAI__BLOCK),
                                  .bias = j->bias ? j->bias + block * XAI__BLOCK : NULL,
                                  .z = xai__blocked_row(j->z, item, block, to) + first,
                                  .step = step};
    xai__finish_run *r = &l->run[b];
    if (f->add) r->add = row_of(f->add, item, block, to) + first;
    if (f->other) r->other = row_of(f->other, item, block, to) + first;
    if (f->by) r->by = row_of(f->by, item, block, to) + first;
    if (x->place == 0 && !f->accumulate) xai__blocked_clear_border(j->z, item, block, to);
  }
}

/* Lanes past the last channel stay 0. */
static void apply(const xai__finish *f, float *z, int64_t pixels, int lanes) {
  f->apply(f->low, f->high, z, pixels * XAI__BLOCK);
  for (int64_t p = 0; p < pixels && lanes < XAI__BLOCK; p++)
    memset(z + p * XAI__BLOCK + lanes, 0, (size_t)(XAI__BLOCK - lanes) * sizeof(float));
}

void xai__gather_finish(const xai__gather *j, const xai__finish_run *at, int64_t first, int pixels,
                        const float *acc, int64_t acc_step) {
  xai__finish_run r = *at;
  const int64_t skip = first * r.step;
  r.z += skip;
  if (r.add) r.add += skip;
  if (r.other) r.other += skip;
  if (r.by) r.by += skip;
  j->k->finish(&r, pixels, acc, acc_step);
  if (r.f->form == XAI__APPLY) apply(r.f, r.z, pixels, r.lanes);
}

/* Whether sums can land straight from registers, side by side and in full blocks: bounds and biases. */
static bool can_land(const xai__gather *j, const xai__finish_run *run, int blocks, xai__landing *to) {
  static const float zeros[XAI__BLOCK];
  const xai__finish *f = j->finish;
  const bool bounded = f->form == XAI__CLIP;
  if (!bounded && f->form != XAI__KEEP && f->form != XAI__APPLY) return false;
  if (f->add || f->accumulate || run->step != XAI__BLOCK) return false;
  to->low = bounded ? f->low : -INFINITY;
  to->high = bounded ? f->high : INFINITY;
  for (int b = 0; b < blocks; b++) {
    if (run[b].lanes < XAI__BLOCK) return false;
    to->bias[b] = run[b].bias ? run[b].bias : zeros;
  }
  return true;
}

/* One or two result rows, against one chunk of weights. */
static void chunk_of_rows(const xai__gather *j, xai__tile *t, const cut *k,
                          const xai__line *lines, int rows, const float *w) {
  float acc[XAI__TILE_PIXELS * XAI__CHUNK] __attribute__((aligned(64)));
  const int blocks = t->lanes / XAI__BLOCK;
  xai__landing landing;
  const bool lands = can_land(j, lines->run, blocks, &landing);
  for (int kind = 0; kind < 2; kind++) {
    const int64_t n = k->pieces[kind] * rows, width = k->width[kind];
    const int64_t before = kind ? k->pieces[0] * k->width[0] : 0;
    int64_t at = before; /* of the next piece, in this row */
    const xai__line *line = lines;
    for (int64_t i = 0; i < n; i += 2) {
      const int runs = i + 1 < n ? 2 : 1;
      const xai__line *l[2];
      const float *x[2];
      int64_t first[2];
      for (int r = 0; r < runs; r++) {
        l[r] = line;
        first[r] = at;
        x[r] = j->empty ? NULL : line->x + at * t->step;
        for (int b = 0; b < blocks && lands; b++) landing.z[r][b] = line->run[b].z + at * XAI__BLOCK;
        at += width;
        if (at == before + k->pieces[kind] * width) at = before, line++;
      }
      if (runs == 1) x[1] = x[0];
      (j->f->depthwise ? j->k->depthwise : j->k->tile)(t, (int)width, runs, x, w, acc,
                                                       lands ? &landing : NULL);
      t->ahead = t->ahead == t->lanes * j->terms ? t->ahead + XAI__BLOCK : 0;
      for (int r = 0; r < runs && !lands; r++)
        for (int b = 0; b < blocks; b++)
          xai__gather_finish(j, &l[r]->run[b], first[r], (int)width,
                             acc + r * width * t->lanes + b * XAI__BLOCK, t->lanes);
    }
  }
  for (int r = 0; r < rows && lands && j->finish->form == XAI__APPLY; r++)
    for (int b = 0; b < blocks; b++)
      apply(j->finish, lines[r].run[b].z, j->axis[1].count, XAI__BLOCK);
}

typedef struct range {
  int64_t begin, end;
} range;

static range part(int64_t n, int64_t parts, int64_t i) {
  const int64_t each = n / parts, more = n % parts, begin = i * each + at_most(i, more);
  return (range){begin, begin + each + (i < more)};
}

const float *xai__gather_weights(const xai__gather *j, int64_t group, int64_t first, int lanes, int thread) {
  float *panel = j->panel + thread * j->panel_size;
  if (!j->turn) return j->w + (group * j->out + first) * j->terms;
  xai__pack_turn(j->turn, j->f, j->axis, j->w, group, first, lanes, panel);
  return panel;
}

static void task(void *ctx, int64_t index, int thread) {
  const xai__gather *j = ctx;
  const range rows = part(j->rows, j->row_parts, index / j->chunk_parts);
  const range chunks = part(j->f->groups * j->chunks, j->chunk_parts, index % j->chunk_parts);
  for (int64_t c = chunks.begin; c < chunks.end; c++) {
    const int64_t group = c / j->chunks, first = c % j->chunks * XAI__CHUNK;
    xai__tile t = j->tile;
    t.lanes = (int)at_most(j->out - first, XAI__CHUNK);
    const cut k =
        cut_of(j->axis[1].count, j->f->depthwise ? j->k->most : j->k->half(&t));
    const float *w = xai__gather_weights(j, group, first, t.lanes, thread);
    const int64_t block = (group * j->out + first) / XAI__BLOCK;
    const bool more = c + 1 < j->f->groups * j->chunks && !j->turn; /* its next task's too */
    t.ahead = more ? t.lanes * j->terms : 0;
    for (int64_t r = rows.begin; r < rows.end; r += 2) {
      xai__line lines[2];
      const int n = (int)at_most(2, rows.end - r);
      for (int i = 0; i < n; i++)
        xai__gather_line(j, r + i, group, block, t.lanes / XAI__BLOCK, &lines[i]);
      chunk_of_rows(j, &t, &k, lines, n, w);
    }
  }
}

/* ---- the plan of a phase ---- */

/* Each thread takes the same rows in every layer, so it reads what it wrote; results of few pixels
 * are split by channels. */
static void split(xai__gather *j, int threads) {
  const int64_t chunks = j->f->groups * j->chunks;
  const int64_t uneven = ceil_div(j->rows, threads) * threads - j->rows;
  const int64_t weights = j->f->groups * j->out * j->terms;
  j->row_parts = threads;
  if (j->rows * j->axis[1].count <= FEW_PIXELS || uneven * 10 > j->rows) j->row_parts = 1;
  const int64_t x = j->rows * j->axis[0].step * j->x.pitch * j->in_blocks * j->f->groups;
  const int64_t near = at_least(1, ceil_div(x, j->row_parts * NEAR_FLOATS));
  if (weights <= WEIGHTS_NEAR && chunks > 1)
    j->row_parts = at_most(j->rows, j->row_parts * near);
  const int64_t tasks = threads == 1 ? 1 : (int64_t)threads * TASKS_A_THREAD;
  j->chunk_parts = at_most(chunks, at_least(1, tasks / j->row_parts));
  if (chunks == 1 && j->row_parts <= threads) j->row_parts = at_most(j->rows, tasks);
}

/* Whether a sum without terms leaves no trace, but for zeros where it is not added. */
static bool of_zero_is_zero(const xai__gather *j) {
  const xai__finish *f = j->finish;
  return (f->form == XAI__KEEP || f->form == XAI__TIMES) && !f->add && !j->bias;
}

static int run_phase(xai__engine *e, xai__gather *j, int64_t phase, xai_error *err) {
  const xai__filters *f = j->f;
  xai__filters_axes(f, phase, j->axis);
  const xai__axis *y = &j->axis[0], *x = &j->axis[1];
  const bool image = j->x.pixel == 1;
  const int64_t channels = image ? f->in : 1, taps = j->empty ? 0 : y->taps * x->taps;
  if (y->count <= 0 || x->count <= 0) return XAI_OK;
  if (taps == 0 && of_zero_is_zero(j)) return XAI_OK;
  int64_t *tap = xai__scratch(e, (size_t)(taps * channels + 1), sizeof *tap, err);
  if (!tap) return xai__no_memory(err);
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < channels; c++)
      tap[t * channels + c] = t / x->taps * y->at_step * j->x.pitch +
                              t % x->taps * x->at_step * j->x.pixel + c * j->x.block;
  j->in_blocks = f->depthwise ? 1 : image ? 0 : ceil_div(f->in, XAI__BLOCK);
  j->tile.image = image;
  j->tile.taps = taps * channels;
  j->tile.blocks = f->depthwise ? 1 : j->in_blocks;
  if (image) {
    j->tile.blocks = at_least(1, ceil_div(j->tile.taps, IMAGE_TERMS));
    j->tile.taps = ceil_div(j->tile.taps, j->tile.blocks);
  }
  j->tile.last = image ? taps * channels - (j->tile.blocks - 1) * j->tile.taps
                       : f->in - (j->tile.blocks - 1) * XAI__BLOCK;
  j->tile.plane = image ? 0 : j->x.block;
  j->tile.tap = tap;
  j->tile.step = x->step * j->x.pixel;
  j->tile.piece = image ? 1 : at_least(1, PIECE_TERMS / (XAI__BLOCK * at_least(1, taps)));
  j->terms = f->in * taps;
  j->rows = j->z->n * y->count;
  if (xai__winograd_serves(j)) return xai__winograd(e, j, err);
  split(j, xai__pool_threads(e->pool));
  xai__pool_run(e->pool, j->row_parts * j->chunk_parts, task, j);
  return XAI_OK;
}

/* ---- operands ---- */

/* An image with its padding, edited: [n][c][h][w] of exactly what is read. */
typedef struct padding {
  const xai__blocked *x;
  xai__edit edit;
  const xai__axis *axis;
  int64_t h, w;
  float *to;
} padding;

static void pad_rows(void *ctx, int64_t begin, int64_t end) {
  const padding *j = ctx;
  const xai__blocked *x = j->x;
  const int64_t left = -j->axis[1].at;
  for (int64_t i = begin; i < end; i++) {
    const int64_t y = i % j->h + j->axis[0].at;
    float *to = j->to + i * j->w;
    memset(to, 0, (size_t)j->w * sizeof *to);
    if (y < 0 || y >= x->h) continue;
    const float *from = x->data + (i / j->h * x->h + y) * x->w;
    const int64_t last = at_most(x->w + left, j->w);
    for (int64_t p = at_least(left, 0); p < last; p++) to[p] = xai__edited(j->edit, from[p - left]);
  }
}

static int64_t extent(const xai__axis *a) {
  return (a->count - 1) * a->step + (a->taps - 1) * a->at_step + 1;
}

static int source_of_image(xai__engine *e, const xai__filters *f, const xai__blocked *x,
                           xai__edit xe, xai__source *s, xai_error *err) {
  xai__axis axis[2];
  xai__filters_axes(f, 0, axis);
  padding j = {x, xe, axis, extent(&axis[0]), extent(&axis[1]), NULL};
  j.to = xai__scratch(e, (size_t)(x->n * x->c * j.h * j.w), sizeof *j.to, err);
  if (!j.to) return xai__no_memory(err);
  xai__parallel(e, x->n * x->c * j.h, 16384 / (j.w + 1) + 1, pad_rows, &j);
  *s = (xai__source){.data = j.to - axis[0].at * j.w - axis[1].at, .item = x->c * j.h * j.w,
                     .block = j.h * j.w, .pitch = j.w, .pixel = 1};
  return XAI_OK;
}

/* A blocked tensor, edited: borders and spare lanes stay 0, also where all else becomes 1. */
typedef struct editing {
  const xai__kernels *k;
  const xai__blocked *from;
  xai__blocked to;
  xai__edit edit;
} editing;

static void edit_range(void *ctx, int64_t begin, int64_t end) {
  const editing *j = ctx;
  memcpy(j->to.data + begin, j->from->data + begin, (size_t)(end - begin) * sizeof(float));
  j->k->edit(j->edit, j->to.data + begin, end - begin);
}

static void ones_in_rows(void *ctx, int64_t begin, int64_t end) {
  const editing *j = ctx;
  const int64_t blocks = xai__blocked_blocks(&j->to);
  for (int64_t i = begin; i < end; i++) {
    const int64_t y = i % j->to.h, b = i / j->to.h % blocks, n = i / j->to.h / blocks;
    float *to = xai__blocked_row(&j->to, n, b, y);
    for (int64_t p = 0; p < j->to.w * XAI__BLOCK; p++)
      to[p] = b * XAI__BLOCK + p % XAI__BLOCK < j->to.c;
    xai__blocked_clear_border(&j->to, n, b, y);
  }
}

static int source_of(xai__engine *e, const xai__filters *f, const xai__blocked *x, xai__edit xe,
                     xai__source *s, xai_error *err) {
  if (x->plain) return source_of_image(e, f, x, xe, s, err);
  editing j = {&e->k, x, *x, xe};
  if (!xai__edit_is_identity(xe)) {
    j.to.data = xai__scratch(e, (size_t)xai__blocked_count(x), sizeof(float), err);
    if (!j.to.data) return xai__no_memory(err);
    if (xe.form == XAI__ONES)
      xai__parallel(e, x->n * xai__blocked_blocks(x) * x->h, 16, ones_in_rows, &j);
    else
      xai__parallel(e, xai__blocked_count(x), 16384, edit_range, &j);
  }
  const int64_t plane = xai__blocked_plane(x);
  *s = (xai__source){xai__blocked_row(&j.to, 0, 0, 0), xai__blocked_blocks(x) * plane, plane,
                     xai__blocked_pitch(x), XAI__BLOCK, x->h, x->w, x->border};
  return XAI_OK;
}

static int bias_of(xai__engine *e, const xai__product *p, xai__edit be, const float **bias,
                   xai_error *err) {
  *bias = NULL;
  if (!p->b || xai__edit_is_none(be)) return XAI_OK;
  const int64_t n = p->groups * p->m, all = ceil_div(n, XAI__BLOCK) * XAI__BLOCK;
  float *b = xai__scratch(e, (size_t)all, sizeof *b, err);
  if (!b) return xai__no_memory(err);
  for (int64_t i = 0; i < all; i++) b[i] = i < n ? xai__edited(be, p->b[i]) : 0;
  *bias = b;
  return XAI_OK;
}

static int check_border(const xai__filters *f, const xai__blocked *x, xai_error *err) {
  const int64_t need = xai__blocked_border(f->p, f->adjoint ? XAI__PACK_ADJOINT
                                                            : XAI__PACK_FORWARD);
  if (x->plain || x->border >= need) return XAI_OK;
  return xai__fail(err, XAI_E_UNSUPPORTED, NULL,
                   "a blocked tensor has a border of %lld, needs %lld", (long long)x->border, (long long)need);
}

/* Floats of a turned chunk. */
static int64_t panel_of(const xai__filters *f) {
  return f->in * f->p->kernel[1] * f->p->kernel[2] * XAI__CHUNK;
}

int64_t xai__blocked_scratch(const xai__engine *e, const xai__product *p, bool winograd) {
  const xai__filters f = xai__filters_of(p, XAI__PACK_ADJOINT);
  const int64_t panels = xai__pool_threads(e->pool) * panel_of(&f) * (int64_t)sizeof(float);
  return panels + (winograd ? xai__winograd_scratch(e, p) : 0);
}

static int convolve(xai__engine *e, const xai__filters *f, const float *packed,
                    const xai__blocked *x, xai__edit xe, xai__edit we, xai__edit be,
                    const xai__blocked *z, const xai__finish *finish, xai_error *err) {
  xai__gather j = {.k = &e->block_kernels, .f = f, .z = z, .finish = finish, .chunks = 0};
  const int64_t phases = xai__filters_phases(f);
  XAI__TRY(check_border(f, x, err));
  if (xai__blocked_count(z) == 0) return XAI_OK;
  const float *w;
  XAI__TRY(xai__blocked_weights(e, f, packed, &we, &w, err));
  if (!f->adjoint) XAI__TRY(bias_of(e, f->p, be, &j.bias, err));
  j.empty = xai__blocked_count(x) == 0;
  if (!j.empty) XAI__TRY(source_of(e, f, x, xe, &j.x, err));
  j.tile.we = we;
  j.out = ceil_div(f->out, XAI__BLOCK) * XAI__BLOCK;
  j.chunks = ceil_div(f->out, XAI__CHUNK);
  if (f->adjoint && xai__pack_read(f->p, XAI__PACK_ADJOINT) == XAI__PACK_FORWARD) {
    j.turn = &e->k;
    j.panel_size = panel_of(f);
    j.panel = xai__scratch(e, (size_t)(xai__pool_threads(e->pool) * j.panel_size), sizeof *j.panel, err);
    if (!j.panel) return xai__no_memory(err);
  }
  bool zeros = false;
  for (int64_t i = 0; i < phases; i++) zeros |= j.empty || !xai__filters_taps(f, i);
  if (zeros && of_zero_is_zero(&j) && !finish->accumulate)
    xai__fill(e, z->data, xai__blocked_count(z), 0);
  for (int64_t i = 0; i < phases; i++) {
    j.w = j.turn ? w : w + xai__filters_offset(f, i);
    XAI__TRY(run_phase(e, &j, i, err));
  }
  return XAI_OK;
}

int xai__blocked_forward(xai__engine *e, const xai__product *p, const float *packed,
                         const xai__blocked *x, xai__edit xe, xai__edit we, xai__edit be,
                         const xai__blocked *z, const xai__finish *f, xai_error *err) {
  const xai__filters filters = xai__filters_of(p, XAI__PACK_FORWARD);
  const size_t mark = xai__scratch_mark(e);
  const int status = convolve(e, &filters, packed, x, xe, we, be, z, f, err);
  xai__scratch_release(e, mark);
  return status;
}

int xai__blocked_adjoint(xai__engine *e, const xai__product *p, const float *packed,
                         const xai__blocked *s, xai__edit we, const xai__blocked *g,
                         const xai__finish *f, xai_error *err) {
  const xai__filters filters = xai__filters_of(p, XAI__PACK_ADJOINT);
  const size_t mark = xai__scratch_mark(e);
  const int status =
      filters.image
          ? xai__blocked_image_adjoint(e, &filters, packed, s, we, g, f, err)
          : convolve(e, &filters, packed, s, xai__identity, we, xai__identity, g, f, err);
  xai__scratch_release(e, mark);
  return status;
}
