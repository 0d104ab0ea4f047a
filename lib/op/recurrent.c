/* RNN, GRU, LSTM along their sequences: forward, backward through time, and relevance.
 *
 * Relevance [Arras et al. 2017]: a product of a gate and a signal hands all to the signal, a sum in
 * proportion to its terms, and the linear map of the candidate z = W x + R h + b by the rule
 * epsilon, s = R / stab(z): x (W' s), h (R' s); b keeps its share, or is not seen (bias=zero).
 *
 * Backwards the forward pass is run again, with traces. */
#include "op/loop.h"
#include "op/recurrent.h"
#include "op/simd.h"
#include <math.h>
#include <string.h>

/* ---- pieces of steps ---- */

int xai__cell_recur(xai__recurrent *r, const float *x, int first, int n) {
  xai__gemm g = {.batch = 1, .m = r->items, .n = n * r->size, .k = r->size, .b_transposed = true};
  return xai__gemm_run(r->c->engine, &g, x, r->r + first * r->size * r->size, r->part, xai__set,
                       r->c->err);
}

int xai__cell_recur_back(xai__recurrent *r, const float *s, int first, int n, float *out,
                         xai__epilogue ep) {
  xai__gemm g = {.batch = 1, .m = r->items, .n = r->size, .k = n * r->size};
  return xai__gemm_run(r->c->engine, &g, s, r->r + first * r->size * r->size, out, ep, r->c->err);
}

/* Elements at a time that are clipped first. */
enum { PIECE = 256 };

static int64_t piece(const xai__recurrent *r, int f, const float *z, int64_t at, float *x) {
  int64_t n = r->size - at < PIECE ? r->size - at : PIECE;
  float clip = r->f[f].clip;
  for (int64_t i = 0; i < n; i++) x[i] = fminf(fmaxf(z[at + i], -clip), clip);
  return n;
}

void xai__cell_activate(const xai__recurrent *r, int f, const float *z, float *y) {
  float x[PIECE];
  for (int64_t at = 0, n; at < r->size; at += n) {
    n = piece(r, f, z, at, x);
    xai__pointwise p = {r->f[f].alpha, r->f[f].beta, x, NULL, NULL, y + at};
    r->f[f].value(&p, 0, n);
  }
}

void xai__cell_slope(const xai__recurrent *r, int f, const float *z, const float *y,
                     const float *g, float *gz) {
  float x[PIECE], seen[PIECE];
  for (int64_t at = 0, n; at < r->size; at += n) {
    n = piece(r, f, z, at, x);
    for (int64_t i = 0; i < n; i++) seen[i] = x[i] == z[at + i] ? g[at + i] : 0;
    xai__pointwise p = {r->f[f].alpha, r->f[f].beta, x, y + at, seen, gz + at};
    r->f[f].slope(&p, 0, n);
  }
}

void xai__cell_items(xai__recurrent *r, xai__range_fn f) {
  xai__split(r->c->engine, r->items, xai__grain(r->gates * r->size), f, r);
}

/* ---- along the sequences ---- */

/* The row of X, of all but layout (T,N), that step k of item b reads. */
static int64_t row_of(const xai__recurrent *r, int64_t k, int64_t b) {
  int64_t length = r->lens ? r->lens[b] : r->steps;
  int64_t t = !r->reverse || k >= length ? k : length - 1 - k;
  return r->a->layout ? b * r->steps + t : t * r->items + b;
}
/* Where the H elements of that row are in Y, and those of item b in a state. */
static int64_t y_of(const xai__recurrent *r, int64_t row, int64_t b) {
  int64_t t_d = row * r->directions + r->direction;
  if (!r->a->layout) t_d = (row / r->items * r->directions + r->direction) * r->items + b;
  return t_d * r->size;
}
static int64_t state_of(const xai__recurrent *r, int64_t b) {
  return (r->a->layout ? b * r->directions + r->direction : r->direction * r->items + b) * r->size;
}

static float *take(xai__recurrent *r, int64_t n) {
  return xai__scratch(r->c->engine, (size_t)n, sizeof(float), r->c->err);
}

static float *zeros(xai__recurrent *r, int64_t n) {
  float *x = take(r, n);
  if (x) xai__fill(r->c->engine, x, n, 0);
  return x;
}

/* An initial state to step 0 of its trace. */
static void begin_state(xai__recurrent *r, int operand, float *trace) {
  const xai__call *c = r->c;
  size_t bytes = (size_t)r->size * sizeof(float);
  for (int64_t b = 0; b < r->items; b++) {
    if (xai__has(c, operand))
      memcpy(trace + b * r->size, xai__f(&c->in[operand]) + state_of(r, b), bytes);
    else
      memset(trace + b * r->size, 0, bytes);
  }
}

/* Runs one direction, filling the traces. */
static int run(xai__recurrent *r, const xai__cell *cell) {
  int64_t rows = r->steps * r->items, g = r->gates * r->size, state = r->items * r->size;
  float *wx = take(r, rows * g);
  r->z = take(r, rows * g);
  r->y = take(r, rows * g);
  r->h = take(r, rows * r->size + state);
  r->cell = cell->has_cell ? take(r, rows * r->size + state) : NULL;
  r->u = take(r, rows * r->size);
  r->part = take(r, r->items * g);
  if (!wx || !r->z || !r->y || !r->h || (cell->has_cell && !r->cell) || !r->u || !r->part)
    return r->c->err->status;
  xai__gemm in = {.batch = 1, .m = rows, .n = g, .k = r->inputs, .b_transposed = true};
  XAI__TRY(xai__gemm_run(r->c->engine, &in, xai__f(&r->c->in[XAI__CELL_X]), r->w, wx, xai__set,
                         r->c->err));
  begin_state(r, XAI__CELL_H, r->h);
  if (r->cell) begin_state(r, XAI__CELL_C, r->cell);
  for (r->k = 0; r->k < r->steps; r->k++) {
    for (int64_t b = 0; b < r->items; b++) {
      float *z = xai__cell_at(r, r->z, r->k, b, g);
      memcpy(z, wx + row_of(r, r->k, b) * g, (size_t)g * sizeof *z);
      for (int64_t i = 0; r->wb && i < g; i++) z[i] += r->wb[i];
    }
    XAI__TRY(cell->forward(r));
    for (int64_t b = 0; b < r->items; b++) { /* a sequence that is over keeps its state */
      if (xai__cell_active(r, b)) continue;
      float *h = xai__cell_at(r, r->h, r->k, b, r->size);
      memcpy(h + state, h, (size_t)r->size * sizeof *h);
      if (!r->cell) continue;
      h = xai__cell_at(r, r->cell, r->k, b, r->size);
      memcpy(h + state, h, (size_t)r->size * sizeof *h);
    }
  }
  return XAI_OK;
}

static int check_lens(const xai__recurrent *r) {
  const xai__call *c = r->c;
  for (int64_t b = 0; r->lens && b < r->items; b++)
    if (r->lens[b] < 0 || r->lens[b] > r->steps)
      return xai__fail(c->err, c->in_static[XAI__CELL_LENS] ? XAI_E_MODEL : XAI_E_INPUT,
                       c->node->name, "%s: sequence %lld has length %lld, there are %lld steps",
                       c->node->op->type, (long long)b, (long long)r->lens[b], (long long)r->steps);
  return XAI_OK;
}

static float *result(const xai__call *c, int k) { return k < c->n_out ? c->out[k].data : NULL; }

static void write_results(xai__recurrent *r) {
  const xai__call *c = r->c;
  size_t bytes = (size_t)r->size * sizeof(float);
  float *y = result(c, 0), *last[] = {result(c, 1), result(c, 2)}, *trace[] = {r->h, r->cell};
  for (r->k = 0; y && r->k < r->steps; r->k++)
    for (int64_t b = 0; b < r->items; b++) {
      float *to = y + y_of(r, row_of(r, r->k, b), b);
      if (xai__cell_active(r, b)) memcpy(to, xai__cell_at(r, r->h, r->k + 1, b, r->size), bytes);
      else memset(to, 0, bytes);
    }
  for (int i = 0; i < 2; i++)
    for (int64_t b = 0; last[i] && b < r->items; b++)
      memcpy(last[i] + state_of(r, b), xai__cell_at(r, trace[i], r->steps, b, r->size), bytes);
}

int xai__recurrent_forward(xai__call *c, const xai__cell *cell) {
  xai__recurrent r;
  XAI__TRY(xai__recurrent_read(c, cell, &r));
  XAI__TRY(check_lens(&r));
  for (int d = 0; d < r.directions; d++) {
    size_t mark = xai__scratch_mark(c->engine);
    int status = xai__recurrent_direction(&r, cell, d);
    if (!status) status = run(&r, cell);
    if (!status) write_results(&r);
    xai__scratch_release(c->engine, mark);
    XAI__TRY(status);
  }
  return XAI_OK;
}

/* ---- backwards ---- */

static void add(float *to, const float *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* What comes back to the states after the last step; to Y joins them as the steps are crossed. */
static void begin_back(xai__recurrent *r, const xai__view *gout) {
  float *to[] = {r->gh, r->gcell};
  for (int i = 0; i < 2; i++)
    for (int64_t b = 0; i + 1 < r->c->n_out && to[i] && gout[i + 1].data && b < r->items; b++)
      add(to[i] + b * r->size, xai__f(&gout[i + 1]) + state_of(r, b), r->size);
}

/* gin of an initial state; relevance of one that nobody asks for is the caller's to account for. */
static void end_back(xai__recurrent *r, const xai__view *gin, int operand, const float *g) {
  if (operand >= r->c->n_in || !gin[operand].data) return;
  for (int64_t b = 0; b < r->items; b++)
    add(xai__f(&gin[operand]) + state_of(r, b), g + b * r->size, r->size);
}

/* gin[X] from gz of all steps, in the order of X's rows: g_rows W, by relevance x (s W). */
static int to_input(xai__recurrent *r, const xai__cell *cell, const float *g_rows,
                    const xai__view *gin) {
  int64_t rows = r->steps * r->items, n = r->o ? r->size : r->gates * r->size;
  xai__gemm g = {.batch = 1, .m = rows, .n = r->inputs, .k = n};
  const float *w = r->w + (r->o ? cell->candidate * r->size * r->inputs : 0);
  xai__epilogue times = {XAI__MULTIPLY_ADD, 1, xai__f(&r->c->in[XAI__CELL_X]), xai__identity, NULL};
  if (!gin[XAI__CELL_X].data) return XAI_OK;
  return xai__gemm_run(r->c->engine, &g, g_rows, w, xai__f(&gin[XAI__CELL_X]),
                       r->o ? times : xai__add_to, r->c->err);
}

static int back_direction(xai__recurrent *r, const xai__cell *cell, const xai__view *gout,
                          const xai__view *gin) {
  XAI__TRY(run(r, cell));
  int64_t width = r->o ? r->size : r->gates * r->size, state = r->items * r->size;
  float *g_rows = zeros(r, r->steps * r->items * width);
  r->gh = zeros(r, state);
  r->gcell = cell->has_cell ? zeros(r, state) : NULL;
  r->gz = take(r, r->items * r->gates * r->size);
  if (!g_rows || !r->gh || (cell->has_cell && !r->gcell) || !r->gz) return r->c->err->status;
  begin_back(r, gout);
  for (r->k = r->steps - 1; r->k >= 0; r->k--) {
    for (int64_t b = 0; b < r->items && gout[0].data; b++)
      if (xai__cell_active(r, b))
        add(r->gh + b * r->size, xai__f(&gout[0]) + y_of(r, row_of(r, r->k, b), b), r->size);
    xai__fill(r->c->engine, r->gz, r->items * width, 0);
    XAI__TRY(cell->back(r));
    for (int64_t b = 0; b < r->items; b++)
      if (xai__cell_active(r, b))
        memcpy(g_rows + row_of(r, r->k, b) * width, r->gz + b * width,
               (size_t)width * sizeof *g_rows);
  }
  end_back(r, gin, XAI__CELL_H, r->gh);
  if (r->gcell) end_back(r, gin, XAI__CELL_C, r->gcell);
  return to_input(r, cell, g_rows, gin);
}

/* Weights have no derivative. */
static int need_constant_weights(const xai__call *c, const xai__view *gin) {
  for (int i = XAI__CELL_W; i < c->n_in; i++)
    if (i != XAI__CELL_H && i != XAI__CELL_C && gin[i].data)
      return xai__fail(c->err, XAI_E_UNSUPPORTED, c->node->name,
                       "%s has no derivative for its operand %d here", c->node->op->type, i);
  return XAI_OK;
}

int xai__recurrent_back(xai__call *c, const xai__cell *cell, const xai__own_options *o,
                        const xai__view *gout, const xai__view *gin) {
  xai__recurrent r;
  XAI__TRY(need_constant_weights(c, gin));
  XAI__TRY(xai__recurrent_read(c, cell, &r));
  double before = o && o->ledger ? xai__own_total(c, gin, c->n_in) : 0;
  r.o = o;
  for (int d = 0; d < r.directions; d++) {
    size_t mark = xai__scratch_mark(c->engine);
    int status = xai__recurrent_direction(&r, cell, d);
    if (!status) status = back_direction(&r, cell, gout, gin);
    xai__scratch_release(c->engine, mark);
    XAI__TRY(status);
  }
  if (o) xai__own_lose_rest(c, o, gout, gin, before);
  return XAI_OK;
}
