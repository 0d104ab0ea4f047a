/* The blocked loops around the tile kernel.
 *
 * A task owns a rectangle of z. For each block of rows it packs the rows once, then walks the lane
 * panels: pack one, multiply it with every row tile, finish the tile while it is in L1. Where K is
 * too long for a packed lane panel to stay in L2, it is cut, and the partial tiles wait in `slots`
 * between the pieces. Cuts are at multiples of XAI__PIECE, so that neither they nor the rectangle
 * change the order of a sum. */
#include "engine/gemm.h"

#include "engine/state.h"

#define LONGEST_K 1536
#define LONGEST_K_OF_FEW_ROWS 256 /* a panel is used once or twice: keep it in L1 */
#define FEW_ROWS 4
#define ROW_FLOATS (640 * 1024)   /* packed rows of one task */
#define MOST_ROWS 4096            /* of one task's block */
#define SLOT_FLOATS (256 * 1024)
#define SMALL_WORK (64 * 1024)    /* multiplications that are not worth a second thread */
#define TASKS_A_THREAD 3

typedef struct job {
  const xai__kernels *k;
  const xai__problem *p;
  int64_t row_parts, lane_parts; /* of one batch */
  int64_t k_pieces, row_block, lane_block;
  bool all_of_k; /* of the rows is packed at once: lanes are then read from end to end */
  int panel; /* lanes of a full panel */
  size_t rows_size, panel_size, slots_size;
  float *scratch;
  int64_t *row_at; /* [threads][row_block] */
} job;

typedef struct range {
  int64_t begin, end;
} range;

/* Part i of `parts` of [begin, end), boundaries at multiples of `unit` behind begin. */
static range part(range r, int64_t parts, int64_t unit, int64_t i) {
  const int64_t units = (r.end - r.begin + unit - 1) / unit;
  const int64_t each = units / parts, more = units % parts;
  const int64_t from = i * each + (i < more ? i : more), to = from + each + (i < more);
  range out = {r.begin + from * unit, r.begin + to * unit};
  if (out.end > r.end) out.end = r.end;
  return out;
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- one task ---- */

static void pack(const job *j, const xai__side *s, int64_t batch, int64_t first, int n, range k,
                 int width, float *to) {
  s->pack(s, j->k, batch, first, n, k.begin, k.end, width, to);
  if (s->edit.form != XAI__ONES && !xai__edit_is_identity(s->edit))
    j->k->edit(s->edit, to, (k.end - k.begin) * width);
}

static range piece_of_k(const job *j, int64_t i) {
  return part((range){0, j->p->k}, j->k_pieces, XAI__PIECE, i);
}

/* Row tiles of a block differ by at most one in height and lie behind each other. */
static int64_t row_tiles(const job *j, range rows) {
  return ceil_div(rows.end - rows.begin, j->k->rows);
}

static void pack_rows(const job *j, int64_t batch, range rows, range k, float *to) {
  const int64_t tiles = row_tiles(j, rows);
  for (int64_t t = 0; t < tiles; t++) {
    const range r = part(rows, tiles, 1, t);
    const int n = (int)(r.end - r.begin);
    pack(j, j->p->row, batch, r.begin, n, k, n, to);
    to += (k.end - k.begin) * n;
  }
}

/* The rows and lanes being worked on, and their parts of the offsets in z. */
typedef struct area {
  int64_t batch;
  range rows, lanes, k;
  const int64_t *row_at, *lane_at;
  bool first, last; /* piece of K */
} area;

static void finish(const job *j, const area *s, range tile, int width, float *acc) {
  const xai__problem *p = j->p;
  const int64_t first = p->spot.bias_kind == XAI__BIAS_OF_ROW ? tile.begin : s->lanes.begin;
  j->k->finish(&p->spot, acc, (int)(tile.end - tile.begin), (int)(s->lanes.end - s->lanes.begin),
               width, s->row_at + (tile.begin - s->rows.begin), s->lane_at,
               s->batch * p->bias_per_batch + first);
}

/* One lane panel against all row tiles of the block, over one piece of K. */
static void multiply(const job *j, const area *s, const float *a, const float *b, float *slot) {
  const int vectors = s->lanes.end - s->lanes.begin > j->k->vector ? 2 : 1;
  const int64_t tiles = row_tiles(j, s->rows), k = s->k.end - s->k.begin;
  for (int64_t t = 0; t < tiles; t++) {
    const range tile = part(s->rows, tiles, 1, t);
    const int n = (int)(tile.end - tile.begin);
    j->k->tile(n, vectors, k, a, b, slot, !s->first);
    if (s->last) finish(j, s, tile, vectors * j->k->vector, slot);
    a += k * n;
    if (!(s->first && s->last)) slot += (int64_t)j->k->rows * j->panel;
  }
}

/* Piece `i` of K for the lane panel that begins at `lane`. */
static void panel(const job *j, area *s, int64_t i, int64_t lane, int64_t end, const float *rows,
                  float *packed, int64_t *lane_at, float *slot) {
  const int n = (int)at_most(j->panel, end - lane);
  const int width = n > j->k->vector ? 2 * j->k->vector : j->k->vector;
  s->first = i == 0;
  s->last = i == j->k_pieces - 1;
  s->k = piece_of_k(j, i);
  s->lanes = (range){lane, lane + n};
  s->lane_at = lane_at;
  if (s->last) j->p->lane->place(j->p->lane, s->batch, lane, n, lane_at);
  pack(j, j->p->lane, s->batch, lane, n, s->k, width, packed);
  multiply(j, s, rows, packed, slot);
}

static void block(const job *j, int64_t batch, range rows, range lanes, int thread) {
  float *packed_rows =
      j->scratch + (size_t)thread * (j->rows_size + j->panel_size + j->slots_size);
  float *packed = packed_rows + j->rows_size, *slots = packed + j->panel_size;
  int64_t *row_at = j->row_at + thread * j->row_block, lane_at[XAI__MAX_LANES];
  area s = {.batch = batch, .rows = rows, .row_at = row_at};
  const int64_t height = rows.end - rows.begin;
  const int64_t slots_a_panel = j->k_pieces > 1 ? row_tiles(j, rows) * j->k->rows * j->panel : 0;
  j->p->row->place(j->p->row, batch, rows.begin, (int)height, row_at);
  if (j->all_of_k) {
    for (int64_t i = 0; i < j->k_pieces; i++)
      pack_rows(j, batch, rows, piece_of_k(j, i), packed_rows + height * piece_of_k(j, i).begin);
    for (int64_t l = lanes.begin; l < lanes.end; l += j->panel)
      for (int64_t i = 0; i < j->k_pieces; i++)
        panel(j, &s, i, l, lanes.end, packed_rows + height * piece_of_k(j, i).begin, packed,
              lane_at, slots);
    return;
  }
  for (int64_t i = 0; i < j->k_pieces; i++) {
    float *slot = slots;
    pack_rows(j, batch, rows, piece_of_k(j, i), packed_rows);
    for (int64_t l = lanes.begin; l < lanes.end; l += j->panel, slot += slots_a_panel)
      panel(j, &s, i, l, lanes.end, packed_rows, packed, lane_at, slot);
  }
}

static void task(void *ctx, int64_t index, int thread) {
  const job *j = ctx;
  const int64_t lane_part = index % j->lane_parts, above = index / j->lane_parts;
  const int64_t row_part = above % j->row_parts, batch = above / j->row_parts;
  const range rows = part((range){0, j->p->row->count}, j->row_parts, 1, row_part);
  const range lanes = part((range){0, j->p->lane->count}, j->lane_parts, j->panel, lane_part);
  const int64_t row_blocks = ceil_div(rows.end - rows.begin, j->row_block);
  for (int64_t r = 0; r < row_blocks; r++) {
    const range some_rows = part(rows, row_blocks, 1, r);
    for (int64_t l = lanes.begin; l < lanes.end; l += j->lane_block)
      block(j, batch, some_rows, (range){l, at_most(l + j->lane_block, lanes.end)}, thread);
  }
}

/* ---- the plan ---- */

/* Cuts a batch into at least `wanted` rectangles (if it can), where least is packed twice. */
static void split(job *j, int64_t wanted) {
  const int64_t rows = j->p->row->count, lanes = j->p->lane->count;
  const int64_t most_rows = ceil_div(rows, j->k->rows), most_lanes = ceil_div(lanes, j->panel);
  double least = -1;
  for (int64_t l = 1; l <= at_most(wanted, most_lanes); l++) {
    const int64_t r = at_most(ceil_div(wanted, l), most_rows);
    const double packed = (double)l * (double)rows + (double)r * (double)lanes;
    const double idle = (double)wanted / (double)at_most(r * l, wanted);
    if (least >= 0 && packed * idle >= least) continue;
    least = packed * idle;
    j->row_parts = r;
    j->lane_parts = l;
  }
}

static void plan(const xai__engine *e, job *j) {
  const xai__problem *p = j->p;
  const int64_t rows = p->row->count, lanes = p->lane->count;
  const double work = (double)rows * (double)lanes * (double)p->k * (double)p->batch;
  const int threads = xai__pool_threads(e->pool);
  int64_t tasks = threads == 1 ? 1 : (int64_t)threads * TASKS_A_THREAD;
  if (work < SMALL_WORK * (double)tasks) tasks = (int64_t)at_least(1, (int64_t)(work / SMALL_WORK));
  j->panel = 2 * j->k->vector;
  split(j, ceil_div(tasks, p->batch));
  const int64_t task_rows = ceil_div(rows, j->row_parts);
  j->k_pieces = ceil_div(p->k, task_rows <= FEW_ROWS ? LONGEST_K_OF_FEW_ROWS : LONGEST_K);
  if (j->k_pieces == 0) j->k_pieces = 1;
  j->all_of_k = j->k_pieces == 1 || task_rows * p->k <= ROW_FLOATS;
  const int64_t piece = XAI__PIECE * at_least(1, ceil_div(ceil_div(p->k, XAI__PIECE), j->k_pieces));
  const int64_t height = j->k->rows;
  const int64_t k = j->all_of_k ? at_least(1, p->k) : piece;
  const int64_t most_rows = at_most(MOST_ROWS, ROW_FLOATS / k);
  j->row_block = at_most(task_rows, at_least(height, most_rows / height * height));
  const int64_t tiles = ceil_div(j->row_block, height);
  const int64_t most_panels = at_least(1, SLOT_FLOATS / (tiles * height * j->panel));
  const int64_t panels = at_most(ceil_div(ceil_div(lanes, j->panel), j->lane_parts), most_panels);
  j->lane_block = j->all_of_k ? lanes : panels * j->panel;
  const int64_t slots = j->k_pieces == 1 ? 1 : j->all_of_k ? tiles : tiles * panels;
  j->rows_size = (size_t)ceil_div(j->row_block * k, 16) * 16;
  j->panel_size = (size_t)ceil_div(piece * j->panel, 16) * 16;
  j->slots_size = (size_t)(slots * height * j->panel);
}

int xai__problem_run(xai__engine *e, const xai__problem *p, xai_error *err) {
  if (p->batch <= 0 || p->row->count <= 0 || p->lane->count <= 0) return XAI_OK;
  job j = {.k = &e->k, .p = p};
  plan(e, &j);
  const size_t mark = xai__scratch_mark(e);
  const size_t threads = (size_t)xai__pool_threads(e->pool);
  const size_t each = j.rows_size + j.panel_size + j.slots_size;
  j.scratch = xai__scratch(e, threads * each, sizeof *j.scratch, err);
  if (j.scratch)
    j.row_at = xai__scratch(e, threads * (size_t)j.row_block, sizeof *j.row_at, err);
  if (j.row_at)
    xai__pool_run(e->pool, p->batch * j.row_parts * j.lane_parts, task, &j);
  xai__scratch_release(e, mark);
  return j.row_at ? XAI_OK : xai__no_memory(err);
}

/* ---- orientation ---- */

/* What a tile of this many rows reaches of the peak: few accumulators wait for each other. */
static double speed_of_rows(const xai__kernels *k, int64_t rows) {
  const double height = (double)rows / (double)ceil_div(rows, k->rows);
  return height / (height + 1.5);
}

static double speed(const xai__kernels *k, int64_t rows, int64_t lanes) {
  const int64_t filled = ceil_div(lanes, k->vector) * k->vector;
  return speed_of_rows(k, rows) * (double)lanes / (double)filled;
}

void xai__problem_orient(const xai__kernels *k, xai__problem *p) {
  if (speed(k, p->row->count, p->lane->count) * 1.05 >=
      speed(k, p->lane->count, p->row->count))
    return;
  const xai__side *s = p->row;
  p->row = p->lane;
  p->lane = s;
  if (p->spot.bias_kind == XAI__BIAS_OF_ROW)
    p->spot.bias_kind = XAI__BIAS_OF_LANE;
  else if (p->spot.bias_kind == XAI__BIAS_OF_LANE)
    p->spot.bias_kind = XAI__BIAS_OF_ROW;
}
