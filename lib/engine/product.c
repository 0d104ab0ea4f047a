/* The entry points: a linear map's kind and direction become a gather or a matrix product. */
#include "engine/convolve.h"
#include "engine/matrix.h"
#include "engine/state.h"

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

int64_t xai__product_in_count(const xai__product *p) {
  if (p->kind == XAI__MATMUL) return p->batch * p->rows * p->c;
  return p->n * p->groups * p->c * volume(p->in);
}

int64_t xai__product_out_count(const xai__product *p) {
  if (p->kind == XAI__MATMUL) return p->batch * p->rows * p->m;
  return p->n * p->groups * p->m * volume(p->out);
}

int64_t xai__product_weight_count(const xai__product *p) {
  if (p->kind == XAI__MATMUL) return (p->w_batches > 1 ? p->w_batches : 1) * p->c * p->m;
  return p->groups * p->c * p->m * volume(p->kernel);
}

/* What a call computes besides the map itself. */
typedef struct call {
  const float *x;
  xai__edit xe, we;
  xai__spot spot;
} call;

/* w [groups * u][v][kernel], u channels on the small side of the convolution, v on the large. */
static int convolve(xai__engine *e, const xai__product *p, bool adjoint, const call *with,
                    xai_error *err) {
  const bool transpose = p->kind == XAI__CONV_TRANSPOSE, gather = adjoint != transpose;
  const int64_t u = transpose ? p->c : p->m, v = transpose ? p->m : p->c;
  const int64_t *large = transpose ? p->out : p->in, *small = transpose ? p->in : p->out;
  const int64_t taps = volume(p->kernel);
  xai__convolution c = {.geometry = {.adjoint = gather, .p = p},
                        .n = p->n,
                        .groups = p->groups,
                        .sc = gather ? u : v,
                        .tc = gather ? v : u,
                        .source = volume(gather ? small : large),
                        .target = volume(gather ? large : small),
                        .w = p->w,
                        .w_group = u * v * taps,
                        .w_target = gather ? taps : v * taps,
                        .w_source = gather ? v * taps : taps,
                        .we = with->we,
                        .xe = with->xe,
                        .x = with->x,
                        .spot = with->spot};
  for (int d = 0; d < 3; d++) {
    c.geometry.large[d] = large[d];
    c.geometry.small[d] = small[d];
  }
  return xai__convolve(e, &c, err);
}

/* w's outputs as a side, in z beside each other (w_left: `apart` from each other). */
static xai__matrix_side weights(const xai__product *p, bool adjoint, xai__edit we, int64_t apart) {
  const int64_t k = adjoint ? p->m : p->c, m = adjoint ? p->c : p->m;
  const bool k_last = (p->w_transposed != p->w_left) != adjoint; /* w is [m][k] */
  return xai__matrix(p->w, m, we, p->w_batches > 1 ? k * m : 0, k_last ? k : 1, k_last ? 1 : m, 0,
                     apart);
}

int64_t xai__product_pack_count(const xai__engine *e, const xai__product *p) {
  if (p->kind != XAI__MATMUL || p->w_batches > 1 || p->w_left || p->batch * p->rows < 2) return 0;
  const xai__side w = {.count = p->m}, x = {.count = p->batch * p->rows};
  xai__problem q = {.row = &x, .lane = &w};
  xai__problem_orient(&e->k, &q);
  if (q.lane != &w) return 0; /* not packed in lanes */
  return xai__side_pack_count(&e->k, p->m, p->c);
}

void xai__product_pack(xai__engine *e, const xai__product *p, float *to) {
  const xai__matrix_side w = weights(p, false, xai__identity, 1);
  xai__side_pack(e, &w.side, p->c, to);
}

/* One side is w's outputs, the other x's rows; x is [batch][rows][c], or [batch][c][rows] with
 * w_left, and z likewise. Rows of all batches are one side where w is shared and x allows it. */
static int multiply(xai__engine *e, const xai__product *p, bool adjoint, const call *with,
                    xai_error *err) {
  const int64_t k = adjoint ? p->m : p->c, m = adjoint ? p->c : p->m;
  const bool merge = p->w_batches <= 1 && !p->w_left;
  const int64_t batch = merge ? 1 : p->batch, rows = merge ? p->batch * p->rows : p->rows;
  xai__matrix_side w = weights(p, adjoint, with->we, p->w_left ? rows : 1);
  if (!adjoint && xai__edit_is_identity(with->we)) w.side.packed = p->packed;
  if (rows == 1) return xai__gemv(e, &w, with->x, with->xe, batch, k, &with->spot, err);
  const xai__matrix_side x =
      xai__matrix(with->x, rows, with->xe, rows * k, p->w_left ? 1 : k, p->w_left ? rows : 1,
                  rows * m, p->w_left ? 1 : m);
  xai__problem q = {.batch = batch, .k = k, .row = &w.side, .lane = &x.side, .spot = with->spot};
  if (!p->w_left) xai__problem_turn(&q); /* neighbours in z are outputs */
  xai__problem_orient(&e->k, &q);
  return xai__problem_run(e, &q, err);
}

static int run(xai__engine *e, const xai__product *p, bool adjoint, const call *with,
               xai_error *err) {
  return p->kind == XAI__MATMUL ? multiply(e, p, adjoint, with, err)
                                : convolve(e, p, adjoint, with, err);
}

int xai__product_forward(xai__engine *e, const xai__product *p, const float *x, xai__edit xe,
                         xai__edit we, xai__edit be, float *z, xai__epilogue ep, xai_error *err) {
  const int64_t channels = p->kind == XAI__MATMUL ? p->m : p->groups * p->m;
  call c = {x, xe, we, {.z = z, .be = be, .ep = ep}};
  if (p->b && !xai__edit_is_none(be)) {
    c.spot.bias = p->b;
    c.spot.n_bias = p->n_bias;
    c.spot.bias_kind = p->n_bias == channels ? XAI__BIAS_OF_ROW : XAI__BIAS_OF_ELEMENT;
  }
  return run(e, p, false, &c, err);
}

int xai__product_adjoint(xai__engine *e, const xai__product *p, const float *s, xai__edit we,
                         float *g, xai__epilogue ep, xai_error *err) {
  const call c = {s, xai__identity, we, {.z = g, .ep = ep}};
  return run(e, p, true, &c, err);
}
