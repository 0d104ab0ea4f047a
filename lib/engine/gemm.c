/* The blocked loops around the tile kernel.
 *
 * Where one product is spread over threads, its smaller side is packed once, by all of them, and a
 * task packs a piece of the other: rows, a block of them at a time, and then a panel of lanes (and
 * a part of the row tiles, where panels are few); or lanes, and then as many rows as stay in L2.
 * Where there are many batches, a task is a batch and packs both. Lanes may come packed already.
 *
 * A panel is multiplied with every row tile, and each tile finished while it is in L1.
 * Where K is too long for a packed panel to stay in L2, it is cut into pieces, and the partial
 * tiles wait in `slots` between them; cuts are at multiples of XAI__PIECE, so that they do not
 * change the order of a sum. While a panel is multiplied, the tile kernel fetches what is packed
 * next into the cache. */
#include "engine/gemm.h"

#include "engine/state.h"

#define LONGEST_K 1536
#define LONGEST_K_OF_FEW_ROWS 256 /* a panel is used once or twice: keep it in L1 */
#define FEW_ROWS 4
#define OWN_FLOATS (640 * 1024)     /* packed rows of a task */
#define SHARED_FLOATS (2048 * 1024) /* what is packed for all threads */
#define LONG_FLOATS (256 * 1024)    /* rows that do not stay in L2 with all else */
#define PART_FLOATS (128 * 1024)    /* packed rows of a task, where lanes are shared */
#define SMALL_WORK (64 * 1024)      /* multiplications that are not worth a second thread */
#define TASKS_A_THREAD 3

typedef struct range {
  int64_t begin, end;
} range;

typedef struct job {
  const xai__kernels *k;
  const xai__problem *p;
  int threads;
  enum { NOTHING, ROWS, LANES } shared;
  int64_t batch;       /* being worked on, where something is shared */
  range rows;          /* being worked on, where they are shared */
  int64_t row_block;   /* rows packed at once, at most */
  int64_t row_parts;   /* LANES: tasks; ROWS: parts of a panel's tiles */
  int64_t k_pieces;
  int panel;           /* lanes of a full panel */
  size_t rows_size, panel_size, slots_size;
  float *packed_rows;  /* [1 or threads][rows_size] */
  float *packed_panel; /* [threads, or panels if all are packed][panel_size] */
  const float *all_panels; /* the latter, or the lanes' own; NULL: packed one by one */
  float *slots;        /* [threads][slots_size] */
  int64_t *row_at;     /* [1 or threads][row_block] */
} job;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

/* Part i of `parts` of [begin, end), boundaries at multiples of `unit` behind begin. */
static range part(range r, int64_t parts, int64_t unit, int64_t i) {
  const int64_t units = (r.end - r.begin + unit - 1) / unit;
  const int64_t each = units / parts, more = units % parts;
  const int64_t from = i * each + (i < more ? i : more), to = from + each + (i < more);
  range out = {r.begin + from * unit, r.begin + to * unit};
  if (out.end > r.end) out.end = r.end;
  return out;
}

static int64_t length(range r) { return r.end - r.begin; }

static range piece_of_k(const job *j, int64_t i) {
  return part((range){0, j->p->k}, j->k_pieces, XAI__PIECE, i);
}

/* ---- packing ---- */

static void pack(const job *j, const xai__side *s, int64_t batch, int64_t first, int n, range k,
                 int width, float *to) {
  if (k.begin >= k.end) return;
  s->pack(s, j->k, batch, first, n, k.begin, k.end, width, to);
  if (s->edit.form != XAI__ONES && !xai__edit_is_identity(s->edit))
    j->k->edit(s->edit, to, length(k) * width);
}

/* Row tiles of a block differ by at most one in height. Packed, they lie as far apart as the
 * highest of them, with some slack for what packing spills; tiles of a piece of K are together. */
static int64_t row_tiles(const job *j, range rows) { return ceil_div(length(rows), j->k->rows); }
static range row_tile(const job *j, range rows, int64_t t) {
  return part(rows, row_tiles(j, rows), 1, t);
}

static int64_t tile_at(const job *j, range rows, int64_t piece, int64_t t) {
  const range k = piece_of_k(j, piece);
  return row_tiles(j, rows) * (k.begin * j->k->rows + piece * XAI__MAX_VECTOR) +
         t * (length(k) * j->k->rows + XAI__MAX_VECTOR);
}

static void pack_tile(const job *j, int64_t batch, range rows, int64_t t, float *to) {
  const range r = row_tile(j, rows, t);
  const int n = (int)length(r);
  for (int64_t i = 0; i < j->k_pieces; i++)
    pack(j, j->p->row, batch, r.begin, n, piece_of_k(j, i), n, to + tile_at(j, rows, i, t));
}

static int64_t lane_panels(const job *j) { return ceil_div(j->p->lane->count, j->panel); }

static int lanes_of(const job *j, int64_t lane) {
  return (int)at_most(j->panel, j->p->lane->count - lane);
}

static int width_of(const job *j, int64_t lane) {
  return lanes_of(j, lane) > j->k->vector ? j->panel : j->k->vector;
}

/* Where the panel at `lane` begins among all, with slack for what packing spills. */
static int64_t panel_at(int64_t k, int64_t lane) { return lane * (k + 1); }

static void pack_lanes(const job *j, int64_t batch, int64_t lane, range k, float *to) {
  pack(j, j->p->lane, batch, lane, lanes_of(j, lane), k, width_of(j, lane), to);
}

/* ---- a panel ---- */

/* The rows, and the piece of a panel, being worked on. */
typedef struct area {
  int64_t batch, piece;
  range rows, tiles, lanes;
  const float *packed_rows;
  const int64_t *row_at, *lane_at;
} area;

static void finish(const job *j, const area *s, int64_t row, int height, int width, float *acc) {
  const xai__problem *p = j->p;
  const int64_t first = p->spot.bias_kind == XAI__BIAS_OF_ROW ? row : s->lanes.begin;
  j->k->finish(&p->spot, acc, height, (int)length(s->lanes), width,
               s->row_at + (row - s->rows.begin), s->lane_at, s->batch * p->bias_per_batch + first);
}

/* Multiplies a packed panel with the row tiles, which fetch `next` on the way. */
static void multiply(const job *j, const area *s, const float *b, xai__fetch next, float *slot) {
  const int width = width_of(j, s->lanes.begin), vectors = width / j->k->vector;
  const int64_t k = length(piece_of_k(j, s->piece)), fetched = k / XAI__AHEAD;
  const bool first = s->piece == 0, last = s->piece == j->k_pieces - 1;
  const int64_t tiles = row_tiles(j, s->rows), higher = length(s->rows) % tiles;
  const int64_t step = tile_at(j, s->rows, s->piece, 1) - tile_at(j, s->rows, s->piece, 0);
  const float *a = s->packed_rows + tile_at(j, s->rows, s->piece, s->tiles.begin);
  int64_t row = row_tile(j, s->rows, s->tiles.begin).begin;
  for (int64_t t = s->tiles.begin; t < s->tiles.end; t++, a += step) { /* row_tile, without divisions */
    const int height = (int)(length(s->rows) / tiles) + (t < higher);
    const xai__fetch some = {next.at, next.step, at_most(fetched, next.count)};
    j->k->tile(height, vectors, k, a, b, slot, !first, next.count > 0 ? some : (xai__fetch){b, 0, 0});
    next.at += some.count * next.step;
    next.count -= some.count;
    if (last) finish(j, s, row, height, width, slot);
    if (j->k_pieces > 1) slot += (int64_t)j->k->rows * j->panel;
    row += height;
  }
}

/* What is read after piece `i` of the panel at `lane`, if the one at `then` comes next. */
static xai__fetch after(const job *j, int64_t batch, int64_t i, int64_t lane, int64_t then) {
  const xai__side *side = j->p->lane;
  const bool more = i + 1 < j->k_pieces;
  const range k = piece_of_k(j, more ? i + 1 : 0);
  if (!more) lane = then;
  if (!side->ahead || lane >= side->count) return (xai__fetch){0};
  return side->ahead(side, batch, lane, k.begin, k.end);
}

/* The panel at `lane`, all of K; then comes, as a rule, the one at `then`. */
static void panel(const job *j, area *s, int64_t lane, int64_t then, int thread) {
  const int width = width_of(j, lane);
  int64_t lane_at[XAI__MAX_LANES];
  s->lanes = (range){lane, lane + lanes_of(j, lane)};
  s->lane_at = lane_at;
  j->p->lane->place(j->p->lane, s->batch, lane, lanes_of(j, lane), lane_at);
  for (s->piece = 0; s->piece < j->k_pieces; s->piece++) {
    const range k = piece_of_k(j, s->piece);
    float *const slots = j->slots + (size_t)thread * j->slots_size;
    if (j->all_panels) {
      const float *packed = j->all_panels + panel_at(j->p->k, lane) + k.begin * width;
      const xai__fetch next = {packed + length(k) * width, width, length(k)};
      multiply(j, s, packed, next, slots);
    } else {
      float *packed = j->packed_panel + (size_t)thread * j->panel_size;
      pack_lanes(j, s->batch, lane, k, packed);
      multiply(j, s, packed, after(j, s->batch, s->piece, lane, then), slots);
    }
  }
}

/* ---- tasks ---- */

static range all_tiles(const job *j, range rows) { return (range){0, row_tiles(j, rows)}; }

/* Rows that the task packs, times all lanes. */
static void own_rows(const job *j, int64_t batch, range rows, int thread) {
  float *packed = j->packed_rows + (size_t)thread * j->rows_size;
  int64_t *row_at = j->row_at + thread * j->row_block;
  area s = {.batch = batch, .rows = rows, .tiles = all_tiles(j, rows), .packed_rows = packed,
            .row_at = row_at};
  j->p->row->place(j->p->row, batch, rows.begin, (int)length(rows), row_at);
  for (int64_t t = 0; t < row_tiles(j, rows); t++) pack_tile(j, batch, rows, t, packed);
  for (int64_t i = 0, n = lane_panels(j); i < n; i++)
    panel(j, &s, i * j->panel, (i + 1) * j->panel, thread);
}

static void own_batch(void *ctx, int64_t batch, int thread) {
  const job *j = ctx;
  own_rows(j, batch, j->rows, thread);
}

static void shared_lanes(void *ctx, int64_t i, int thread) {
  const job *j = ctx;
  (void)thread;
  pack_lanes(j, j->batch, i * j->panel, (range){0, j->p->k},
             j->packed_panel + panel_at(j->p->k, i * j->panel));
}

static void part_of_rows(void *ctx, int64_t i, int thread) {
  const job *j = ctx;
  own_rows(j, j->batch, part(j->rows, j->row_parts, j->k->rows, i), thread);
}

static void shared_rows(void *ctx, int64_t tile, int thread) {
  const job *j = ctx;
  (void)thread;
  pack_tile(j, j->batch, j->rows, tile, j->packed_rows);
}

/* Threads take turns, as a rule. */
static void panel_of_lanes(void *ctx, int64_t index, int thread) {
  const job *j = ctx;
  const int64_t n = lane_panels(j), i = index % n;
  area s = {.batch = j->batch, .rows = j->rows, .packed_rows = j->packed_rows,
            .row_at = j->row_at};
  s.tiles = part(all_tiles(j, j->rows), j->row_parts, 1, index / n);
  panel(j, &s, i * j->panel, (i + j->threads) * j->panel, thread);
}

static void run_shared_lanes(xai__engine *e, job *j) {
  for (j->batch = 0; j->batch < j->p->batch; j->batch++) {
    if (!j->p->lane->packed) xai__pool_run(e->pool, lane_panels(j), shared_lanes, j);
    xai__pool_run(e->pool, j->row_parts, part_of_rows, j);
  }
}

static void run_shared_rows(xai__engine *e, job *j) {
  const range rows = j->rows;
  const int64_t blocks = ceil_div(length(rows), j->row_block);
  for (j->batch = 0; j->batch < j->p->batch; j->batch++)
    for (int64_t i = 0; i < blocks; i++) {
      j->rows = part(rows, blocks, 1, i);
      j->row_parts = at_most(ceil_div((int64_t)j->threads * TASKS_A_THREAD, lane_panels(j)),
                             row_tiles(j, j->rows));
      j->p->row->place(j->p->row, j->batch, j->rows.begin, (int)length(j->rows), j->row_at);
      xai__pool_run(e->pool, row_tiles(j, j->rows), shared_rows, j);
      xai__pool_run(e->pool, lane_panels(j) * j->row_parts, panel_of_lanes, j);
    }
}

/* ---- the plan ---- */

static void share(job *j, int64_t k) {
  const xai__problem *p = j->p;
  const int64_t rows = p->row->count, lanes = p->lane->count;
  const double work = (double)rows * (double)lanes * (double)k * (double)p->batch;
  if (rows * k <= OWN_FLOATS &&
      (j->threads == 1 || p->batch >= 2 * j->threads || work <= 2 * SMALL_WORK))
    j->shared = NOTHING;
  else
    j->shared =
        rows * k > LONG_FLOATS && lanes <= rows && lanes * k <= SHARED_FLOATS ? LANES : ROWS;
}

static void plan(job *j) {
  const int64_t rows = j->p->row->count, k = at_least(1, j->p->k), height = j->k->rows;
  j->rows = (range){0, rows};
  j->row_block = rows;
  j->panel = 2 * j->k->vector;
  share(j, k);
  j->k_pieces = ceil_div(k, rows <= FEW_ROWS ? LONGEST_K_OF_FEW_ROWS : LONGEST_K);
  int64_t panel_k = XAI__PIECE * ceil_div(ceil_div(k, XAI__PIECE), j->k_pieces);
  if (j->shared == ROWS) {
    const int64_t most = at_least(height, SHARED_FLOATS / k / height * height);
    j->row_block = ceil_div(rows, ceil_div(rows, most));
  } else if (j->shared == LANES) {
    const int64_t tiles = ceil_div(rows, height), fair = (int64_t)j->threads * TASKS_A_THREAD;
    j->row_parts = at_most(tiles, at_least(fair, ceil_div(rows * k, PART_FLOATS)));
    j->row_block = ceil_div(tiles, j->row_parts) * height;
    panel_k = k;
  }
  const int64_t tiles = ceil_div(j->row_block, height), tall = at_most(height, j->row_block);
  j->rows_size = (size_t)(tiles * (height * k + j->k_pieces * XAI__MAX_VECTOR));
  j->panel_size = (size_t)((panel_k + 1) * j->panel);
  j->slots_size = (size_t)((j->k_pieces > 1 ? tiles : 1) * tall * j->panel);
}

static float *take(xai__engine *e, size_t n, size_t size, xai_error *err) {
  return xai__scratch(e, n * size, sizeof(float), err);
}

static int take_scratch(xai__engine *e, job *j, xai_error *err) {
  const size_t threads = (size_t)j->threads, owners = j->shared == ROWS ? 1 : threads;
  const size_t panels = j->p->lane->packed      ? 0
                        : j->shared == LANES ? (size_t)lane_panels(j)
                                             : threads;
  if (!(j->packed_rows = take(e, owners, j->rows_size, err)) ||
      !(j->packed_panel = take(e, panels, j->panel_size, err)) ||
      !(j->slots = take(e, threads, j->slots_size, err)) ||
      !(j->row_at = xai__scratch(e, owners * (size_t)j->row_block, sizeof *j->row_at, err)))
    return xai__no_memory(err);
  j->all_panels = j->shared == LANES ? j->packed_panel : NULL;
  if (j->p->lane->packed) j->all_panels = j->p->lane->packed;
  return XAI_OK;
}

int64_t xai__side_pack_count(const xai__kernels *kernels, int64_t count, int64_t k) {
  return ceil_div(count, 2 * kernels->vector) * 2 * kernels->vector * (k + 1);
}

void xai__side_pack(xai__engine *e, const xai__side *s, int64_t k, float *to) {
  const xai__problem p = {.k = k, .lane = s};
  job j = {.k = &e->k, .p = &p, .panel = 2 * e->k.vector, .packed_panel = to};
  xai__pool_run(e->pool, lane_panels(&j), shared_lanes, &j);
}

int xai__problem_run(xai__engine *e, const xai__problem *p, xai_error *err) {
  if (p->batch <= 0 || p->row->count <= 0 || p->lane->count <= 0) return XAI_OK;
  job j = {.k = &e->k, .p = p, .threads = xai__pool_threads(e->pool)};
  plan(&j);
  const size_t mark = xai__scratch_mark(e);
  const int status = take_scratch(e, &j, err);
  if (!status && j.shared == ROWS)
    run_shared_rows(e, &j);
  else if (!status && j.shared == LANES)
    run_shared_lanes(e, &j);
  else if (!status)
    xai__pool_run(e->pool, p->batch, own_batch, &j);
  xai__scratch_release(e, mark);
  return status;
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

void xai__problem_turn(xai__problem *p) {
  const xai__side *s = p->row;
  p->row = p->lane;
  p->lane = s;
  if (p->spot.bias_kind == XAI__BIAS_OF_ROW)
    p->spot.bias_kind = XAI__BIAS_OF_LANE;
  else if (p->spot.bias_kind == XAI__BIAS_OF_LANE)
    p->spot.bias_kind = XAI__BIAS_OF_ROW;
}

void xai__problem_orient(const xai__kernels *k, xai__problem *p) {
  if (speed(k, p->row->count, p->lane->count) * 1.1 < speed(k, p->lane->count, p->row->count))
    xai__problem_turn(p);
}
