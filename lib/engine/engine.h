/* The engine: threads, scratch memory, and every heavy product.
 *
 * All convolutions and matrix products of the library, forward and transposed, go through
 * xai__product_forward and xai__product_adjoint. They take *edits* of their operands (clamp,
 * square, add gamma), applied as operands are packed, and an *epilogue* that says where the result
 * goes, so a faster kernel drops in here without touching an operator or a rule.
 *
 * Work is split over outputs, never over a sum: the same bits for any number of threads. */
#ifndef XAI_ENGINE_ENGINE_H
#define XAI_ENGINE_ENGINE_H
#include "tensor/tensor.h"

typedef struct xai__engine xai__engine;

/* threads <= 0: one per processor. max_isa as in xai_options. */
int xai__engine_create(xai__memory *m, int threads, int max_isa, xai__engine **out,
                       xai_error *err);
void xai__engine_free(xai__engine *e);
xai__memory *xai__engine_memory(const xai__engine *e);
/* The instruction set it uses. */
enum { XAI__ISA_PORTABLE = 1, XAI__ISA_256 = 2 /* AVX2 or NEON */, XAI__ISA_512 = 3 };
int xai__engine_isa(const xai__engine *e);

/* Around a call of the library: threads are awake within it. */
void xai__engine_begin(xai__engine *e);
void xai__engine_end(xai__engine *e);

/* Calls f(ctx, begin, end) on ranges that cover [0, n), each at least `grain` long (but the last).
 * The ranges may depend on the number of threads: what f computes for an index must not depend on
 * the range it came in. Not reentrant: f must not call it. */
typedef void (*xai__range_fn)(void *ctx, int64_t begin, int64_t end);
void xai__parallel(xai__engine *e, int64_t n, int64_t grain, xai__range_fn f, void *ctx);

/* Scratch: a stack of 64-byte aligned blocks kept by the engine for the calling thread. Take a
 * mark, take blocks, release back to the mark. Not zeroed. */
size_t xai__scratch_mark(const xai__engine *e);
void *xai__scratch(xai__engine *e, size_t n, size_t size, xai_error *err);
void xai__scratch_release(xai__engine *e, size_t mark);
int64_t xai__scratch_held(const xai__engine *e); /* bytes, in use or not */

/* v -> pos * v for v > 0, neg * v for v < 0 (LINEAR); v^2; 1. The same type edits inputs, weights
 * and biases: identity {1,1}, v+ {1,0}, v- {0,1}, v + g v+ {1+g,1}, v + g v- {1,1+g}, none {0,0}. */
typedef struct xai__edit {
  enum { XAI__LINEAR, XAI__SQUARE, XAI__ONES } form;
  float pos, neg;
} xai__edit;
static const xai__edit xai__identity = {XAI__LINEAR, 1, 1};
static inline float xai__edited(xai__edit e, float v) {
  if (e.form == XAI__SQUARE) return v * v;
  if (e.form == XAI__ONES) return 1;
  return v * (v > 0 ? e.pos : e.neg);
}
static inline bool xai__edit_is_identity(xai__edit e) {
  return e.form == XAI__LINEAR && e.pos == 1 && e.neg == 1;
}
static inline bool xai__edit_is_none(xai__edit e) {
  return e.form == XAI__LINEAR && e.pos == 0 && e.neg == 0;
}

/* A pointwise function: v[i] = f(v[i]), the same bits wherever an element lies. */
typedef struct xai__map {
  void (*f)(const struct xai__map *m, float *v, int64_t n);
} xai__map;

/* Where a result goes: y = map(acc + x); y += acc; y += coef * edit(x) * acc; x of y's shape. SET may
 * do without x (which may be y) and without map. */
typedef struct xai__epilogue {
  enum { XAI__SET, XAI__ADD, XAI__MULTIPLY_ADD } form;
  float coef;
  const float *x;
  xai__edit edit;
  const xai__map *map;
} xai__epilogue;
static const xai__epilogue xai__set = {XAI__SET, 1, NULL, {XAI__LINEAR, 1, 1}, NULL};
static const xai__epilogue xai__add_to = {XAI__ADD, 1, NULL, {XAI__LINEAR, 1, 1}, NULL};

/* A linear map z = w (x) + b.
 *
 * CONV: x [n, groups*c, in...], w [groups*m, c, kernel...], z [n, groups*m, out...]; 1 to 3 spatial
 *   axes, unused ones are 1 (stride 1, dilation 1, pad 0); pad is the leading pad, the trailing one
 *   follows from `out`. Taps outside the image do not exist, whatever the edit of x.
 * CONV_TRANSPOSE: the transpose of a CONV: x [n, groups*c, in...], w [groups*c, m, kernel...],
 *   z [n, groups*m, out...]; in and out are this node's own.
 * MATMUL: z [batch][rows][m] = x [batch][rows][c] times w [c][m] (w_transposed: [m][c]); with
 *   w_batches > 1 there is one w a batch (w_batches == batch), else all share one.
 *   w_left: z [batch][m][rows] = w [m][c] (w_transposed: [c][m]) times x [batch][c][rows].
 *
 * bias b: NULL; or n_bias elements: one per output channel (groups * m; MATMUL: m), or else one per
 * element of one item's z (n_bias = elements of z / n), or one per element of z (n_bias = all). */
typedef struct xai__product {
  enum { XAI__CONV, XAI__CONV_TRANSPOSE, XAI__MATMUL } kind;
  int64_t n;            /* items along the leading axis: bias of full size repeats every z / n */
  int64_t groups, c, m; /* channels in and out, of one group */
  int64_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3]; /* CONV* */
  int64_t batch, rows, w_batches;                                   /* MATMUL */
  bool w_transposed, w_left;                                        /* MATMUL */
  const float *w, *b;
  int64_t n_bias;
  const float *packed; /* w as xai__product_pack makes it, for xai__product_forward; or NULL */
} xai__product;

int64_t xai__product_in_count(const xai__product *p);  /* elements of x */
int64_t xai__product_out_count(const xai__product *p); /* elements of z */
int64_t xai__product_weight_count(const xai__product *p);

/* Weights packed once for many calls: MATMUL with one w and several rows; other products have 0
 * floats. Depends on the engine's instruction set. */
int64_t xai__product_pack_count(const xai__engine *e, const xai__product *p);
void xai__product_pack(xai__engine *e, const xai__product *p, float *to);

/* z (epilogue)= we(w) xe(x) + be(b). b absent or be none: no bias. */
int xai__product_forward(xai__engine *e, const xai__product *p, const float *x, xai__edit xe,
                         xai__edit we, xai__edit be, float *z, xai__epilogue ep, xai_error *err);
/* g (epilogue)= we(w)' s, of x's shape. */
int xai__product_adjoint(xai__engine *e, const xai__product *p, const float *s, xai__edit we,
                         float *g, xai__epilogue ep, xai_error *err);

/* Plain product of activations, for MatMul and attention: z [batch][m][n] (epilogue)= a b with
 * a [batch][m][k] (a_transposed: [k][m]), b [batch][k][n] (b_transposed: [n][k]). The batch strides
 * are in elements; 0 repeats. Batches with stride 0 in z are summed in order (SET is then refused). */
typedef struct xai__gemm {
  int64_t batch, m, n, k, a_stride, b_stride, z_stride;
  bool a_transposed, b_transposed;
} xai__gemm;
int xai__gemm_run(xai__engine *e, const xai__gemm *g, const float *a, const float *b, float *z,
                  xai__epilogue ep, xai_error *err);

/* Whole-array loops (parallel). */
void xai__fill(xai__engine *e, float *y, int64_t n, float v);
void xai__add_scaled(xai__engine *e, float *y, const float *x, int64_t n, float scale); /* y += s x */
void xai__add_product(xai__engine *e, float *y, const float *a, const float *b, int64_t n); /* y += a b; 0 where b is */
bool xai__any_negative(xai__engine *e, const float *x, int64_t n);
/* Any i with sign * by[i] > 0 and v[i] not 0. */
bool xai__any_where(xai__engine *e, float sign, const float *by, const float *v, int64_t n);
bool xai__all_finite(const float *x, int64_t n);
/* Sums in double, in a fixed order. */
double xai__sum(xai__engine *e, const float *x, int64_t n);
double xai__dot(xai__engine *e, const float *x, const float *y, int64_t n);

#endif
