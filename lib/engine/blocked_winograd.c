/* 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3), a quarter of the multiplications.
 *
 * A tile of 4x4 results needs 6x6 of the input. With d the input, g the weights,
 *   y = A' [ (G g G') . (B' d B) ] A,
 * the product summed over channels: 36 products of matrices, which the tile kernel does with
 * Winograd tiles for pixels. Points 0, +-1/sqrt 2, +-sqrt 2, infinity lose least: 1e-6 to 2e-6 of
 * the largest result. Weights are transformed as needed, from what the direct kernel reads.
 *
 * Where a denominator is near 0 next to large ones, only rounding is left: the guard makes such a
 * result 0, and a division serves 0 there. */
#include "engine/blocked_inside.h"

#define POINTS 36
#define FEWEST 12              /* results along an axis, where it begins to pay */
#define FEWEST_CHANNELS 32
#define INPUT_FLOATS (1 << 20) /* of transformed input at a time */
#define FEW_WEIGHTS (3 << 18)  /* transformed: where they meet enough tiles they are made once, and */
#define ENOUGH_TILES 512       /* so much input at a time then stays near with them */
#define NEAR_FLOATS (1 << 17)
#define MANY_TILES 64          /* each thread then transforms what it reads itself */
#define NEAR_TILES 56          /* whose products wait for their output transform */
#define PIECE_BLOCKS 16
#define LEAST_OF_TILE 1e-5f

typedef struct winograd {
  const xai__gather *g;
  const xai__kernels *k;
  int64_t across, down; /* tiles of a row, of a column */
  int64_t offset[2];    /* of the first tap */
  bool flipped[2];
  int64_t band, bands;  /* the rows of tiles (of all items) that are at work */
  float *input;         /* [point][block][tile][16] */
  int64_t blocks, point, plane;
  int64_t parts, most; /* of the bands, in a task; tiles that wait */
  float *weights; /* of all chunks, transformed once; or NULL */
  float *scratch;
  int64_t size, u_point, m_point;
} winograd;

static int64_t offset_of(const xai__axis *a) { return a->at + (a->at_step < 0 ? -2 : 0); }

bool xai__winograd_serves(const xai__gather *g) {
  for (int d = 0; d < 2; d++) {
    const xai__axis *a = &g->axis[d];
    if (a->taps != 3 || a->step != 1 || a->place_step != 1 || a->count < FEWEST) return false;
    if (a->at_step != 1 && a->at_step != -1) return false;
  }
  const xai__filters *f = g->f;
  return g->finish->winograd && !f->depthwise && g->x.pixel == XAI__BLOCK && !g->empty &&
         f->in >= FEWEST_CHANNELS && f->out >= FEWEST_CHANNELS;
}

int64_t xai__winograd_scratch(const xai__engine *e, const xai__product *p) {
  const int64_t in = at_least(p->c, p->m), across = ceil_div(at_least(p->out[2], p->in[2]), 4);
  const int64_t u = in * XAI__CHUNK + XAI__BLOCK;
  const int64_t m = at_least(NEAR_TILES, across) * XAI__CHUNK + XAI__BLOCK;
  if (p->kernel[1] != 3 || p->kernel[2] != 3 || p->stride[1] != 1 || p->stride[2] != 1 ||
      in * p->groups < FEWEST_CHANNELS || across * 4 < FEWEST)
    return 0;
  const int64_t band = across * ceil_div(p->groups * in, XAI__BLOCK) * XAI__BLOCK;
  const int64_t input = at_least(INPUT_FLOATS, POINTS * band) + POINTS * XAI__BLOCK;
  const int64_t each = input + POINTS * (u + m);
  return (int64_t)sizeof(float) * (xai__pool_threads(e->pool) * each + FEW_WEIGHTS);
}

/* ---- input ---- */

/* The 6x6 window at (y, x), a copy with zeros where it leaves the tensor and its border. */
static const float *window_at(const xai__source *s, const float *plane, int64_t y, int64_t x,
                              float *copy, int64_t *pitch) {
  const int64_t rows = s->h + s->border - y, columns = s->w + s->border - x;
  *pitch = s->pitch;
  if (rows >= 6 && columns >= 6) return plane + y * s->pitch + x * XAI__BLOCK;
  memset(copy, 0, POINTS * XAI__BLOCK * sizeof *copy);
  *pitch = 6 * XAI__BLOCK;
  for (int64_t r = 0; r < at_most(6, rows); r++)
    memcpy(copy + r * *pitch, plane + (y + r) * s->pitch + x * XAI__BLOCK,
           (size_t)(at_most(6, columns) * XAI__BLOCK) * sizeof *copy);
  return copy;
}

static void transform_input(void *ctx, int64_t index, int thread) {
  (void)thread;
  const winograd *j = ctx;
  const xai__source *s = &j->g->x;
  const int64_t i = index / j->blocks, block = index % j->blocks, band = j->band + i;
  const float *plane = s->data + band / j->down * s->item + block * s->block;
  float *to = j->input + block * j->plane + i * j->across * XAI__BLOCK;
  float copy[POINTS * XAI__BLOCK];
  for (int64_t x = 0; x < j->across; x++, to += XAI__BLOCK) {
    int64_t pitch;
    const float *from = window_at(s, plane, band % j->down * 4 + j->offset[0],
                                  x * 4 + j->offset[1], copy, &pitch);
    j->g->k->winograd_input(from, pitch, to, j->point);
  }
}

/* ---- products and output ---- */

static void transform_weights(const winograd *j, const float *w, int lanes, float *u) {
  const xai__gather *g = j->g;
  int64_t tap[9];
  for (int64_t b = 0; b < g->f->in; b += XAI__BLOCK) {
    const int64_t channels = at_most(g->f->in - b, XAI__BLOCK);
    for (int t = 0; t < 9; t++) {
      const int y = j->flipped[0] ? 2 - t / 3 : t / 3, x = j->flipped[1] ? 2 - t % 3 : t % 3;
      tap[t] = (y * 3 + x) * channels * lanes;
    }
    for (int64_t c = 0; c < channels; c++, w += lanes, u += lanes)
      g->k->winograd_weights(g->tile.we, w, tap, lanes, 9 * channels * lanes, u, j->u_point);
    w += 8 * channels * lanes;
  }
}

/* m[point][tile][lanes] of n tiles from `first` on. */
static void multiply(const winograd *j, const xai__tile *t, int64_t block, int64_t first,
                     int64_t n, const float *u, float *m) {
  const int64_t pieces = ceil_div(n, j->g->k->half(t));
  for (int p = 0; p < POINTS; p++) {
    const float *x = j->input + p * j->point + block * j->plane + first * XAI__BLOCK;
    for (int64_t i = 0, at = 0; i < pieces; ) {
      const int64_t width = (i + 1) * n / pieces - i * n / pieces;
      const bool two = i + 1 < pieces && (i + 2) * n / pieces - (i + 1) * n / pieces == width;
      const float *const run[2] = {x + at * XAI__BLOCK, x + (at + (two ? width : 0)) * XAI__BLOCK};
      j->g->k->tile(t, (int)width, two ? 2 : 1, run, u + p * j->u_point,
                    m + p * j->m_point + at * t->lanes, NULL);
      at += two ? 2 * width : width;
      i += two ? 2 : 1;
    }
  }
}

/* The results of one band, from tile `at` of m on. */
static void finish_band(const winograd *j, int64_t band, int64_t group, int64_t block, int lanes,
                        const float *m) {
  const xai__gather *g = j->g;
  const int64_t top = band % j->down * 4, rows = at_most(4, g->axis[0].count - top);
  const bool divides = g->finish->form == XAI__DIVIDE || g->finish->form == XAI__STAB;
  const float guard = divides ? LEAST_OF_TILE : 0;
  const float *bias = g->bias ? g->bias + block * XAI__BLOCK : NULL;
  xai__line line[4];
  float y[16 * XAI__BLOCK] __attribute__((aligned(64)));
  for (int64_t r = 0; r < rows; r++) {
    xai__gather_line(g, band / j->down * g->axis[0].count + top + r, group, block,
                     lanes / XAI__BLOCK, &line[r]);
    for (int b = 0; b < lanes / XAI__BLOCK; b++) {
      line[r].run[b].bias = NULL; /* the transform adds it */
      line[r].run[b].guarded = guard > 0;
    }
  }
  for (int64_t x = 0; x < j->across; x++, m += lanes)
    for (int b = 0; b < lanes / XAI__BLOCK; b++) {
      const int pixels = (int)at_most(4, g->axis[1].count - 4 * x);
      g->k->winograd_output(m + b * XAI__BLOCK, j->m_point, bias ? bias + b * XAI__BLOCK : NULL,
                            guard, y);
      for (int64_t r = 0; r < rows; r++)
        xai__gather_finish(g, &line[r].run[b], 4 * x, pixels, y + r * 4 * XAI__BLOCK, XAI__BLOCK);
    }
}

static void task(void *ctx, int64_t index, int thread) {
  const winograd *j = ctx;
  const xai__gather *g = j->g;
  const int64_t chunk = index / j->parts, part = index % j->parts;
  const int64_t group = chunk / g->chunks, first = chunk % g->chunks * XAI__CHUNK;
  const int64_t begin = part * j->bands / j->parts, end = (part + 1) * j->bands / j->parts;
  const int64_t together = at_least(1, NEAR_TILES / j->across), tap = 0;
  float *u = j->scratch + thread * j->size, *m = u + POINTS * j->u_point;
  if (j->weights) u = j->weights + chunk * POINTS * j->u_point;
  xai__tile t = g->tile;
  t.we = xai__identity;
  t.lanes = (int)at_most(g->out - first, XAI__CHUNK);
  t.taps = 1;
  t.tap = &tap;
  t.plane = j->plane;
  t.piece = PIECE_BLOCKS;
  if (!j->weights) transform_weights(j, xai__gather_weights(g, group, first, t.lanes, thread), t.lanes, u);
  for (int64_t i = begin; i < end; i += together) {
    const int64_t n = at_most(together, end - i);
    multiply(j, &t, group * g->in_blocks, i * j->across, n * j->across, u, m);
    for (int64_t b = 0; b < n; b++)
      finish_band(j, j->band + i + b, group, (group * g->out + first) / XAI__BLOCK, t.lanes,
                  m + b * j->across * t.lanes);
  }
}

static void all_weights(void *ctx, int64_t chunk, int thread) {
  const winograd *j = ctx;
  const xai__gather *g = j->g;
  const int64_t group = chunk / g->chunks, first = chunk % g->chunks * XAI__CHUNK;
  const int lanes = (int)at_most(g->out - first, XAI__CHUNK);
  transform_weights(j, xai__gather_weights(g, group, first, lanes, thread), lanes,
                    j->weights + chunk * POINTS * j->u_point);
}

/* Some bands from input to result, by one thread: what it reads, it wrote. */
static void own_bands(void *ctx, int64_t index, int thread) {
  winograd j = *(const winograd *)ctx;
  const int64_t begin = index * j.bands / j.parts, end = (index + 1) * j.bands / j.parts;
  j.band = begin;
  j.bands = end - begin;
  j.parts = 1;
  j.input += thread * POINTS * j.point;
  for (int64_t i = 0; i < j.bands * j.blocks; i++) transform_input(&j, i, thread);
  for (int64_t c = 0; c < j.g->f->groups * j.g->chunks; c++) task(&j, c, thread);
}

int xai__winograd(xai__engine *e, const xai__gather *g, xai_error *err) {
  winograd j = {.g = g, .k = &e->k, .across = ceil_div(g->axis[1].count, 4),
                .down = ceil_div(g->axis[0].count, 4), .blocks = g->f->groups * g->in_blocks};
  const int threads = xai__pool_threads(e->pool);
  const int64_t bands = g->z->n * j.down, chunks = g->f->groups * g->chunks;
  for (int d = 0; d < 2; d++) {
    j.offset[d] = offset_of(&g->axis[d]);
    j.flipped[d] = g->axis[d].at_step < 0;
  }
  const bool apart = bands >= threads && bands * j.across > MANY_TILES;
  j.u_point = g->f->in * XAI__CHUNK + XAI__BLOCK;
  j.m_point = at_least(NEAR_TILES, j.across) * XAI__CHUNK + XAI__BLOCK;
  const int64_t whole = chunks * POINTS * j.u_point;
  const bool once = apart && whole <= FEW_WEIGHTS && bands * j.across >= ENOUGH_TILES;
  const int64_t band = POINTS * j.blocks * XAI__BLOCK * j.across;
  const int64_t fit = (once ? NEAR_FLOATS : INPUT_FLOATS) / band;
  const int64_t share = apart ? ceil_div(bands, threads) : bands;
  const int64_t steps = ceil_div(share, at_least(1, fit)), most = ceil_div(share, steps);
  j.plane = most * j.across * XAI__BLOCK;
  j.point = j.blocks * j.plane + XAI__BLOCK; /* odd numbers of lines apart: no aliasing */
  j.size = POINTS * (j.u_point + j.m_point);
  j.input = xai__scratch(e, (size_t)((apart ? threads : 1) * POINTS * j.point), sizeof *j.input,
                         err);
  if (!j.input) return xai__no_memory(err);
  j.scratch = xai__scratch(e, (size_t)(threads * j.size), sizeof *j.scratch, err);
  if (!j.scratch) return xai__no_memory(err);
  if (once) {
    j.weights = xai__scratch(e, (size_t)whole, sizeof *j.weights, err);
    if (!j.weights) return xai__no_memory(err);
    xai__pool_run(e->pool, chunks, all_weights, &j);
  }
  if (apart) {
    j.bands = bands;
    j.parts = ceil_div(bands, most);
    xai__pool_run(e->pool, j.parts, own_bands, &j);
    return XAI_OK;
  }
  for (int64_t s = 0; s < steps; s++) {
    j.band = s * bands / steps;
    j.bands = (s + 1) * bands / steps - j.band;
    j.parts = threads == 1 ? 1 : at_most(j.bands, ceil_div(2 * threads, chunks));
    xai__pool_run(e->pool, j.bands * j.blocks, transform_input, &j);
    xai__pool_run(e->pool, chunks * j.parts, task, &j);
  }
  return XAI_OK;
}
