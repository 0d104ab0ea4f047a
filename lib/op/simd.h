/* Inner loops of operators, compiled once for every instruction set (simd_*.c, all from
 * simd_body.h), and the choice among them. */
#ifndef XAI_OP_SIMD_H
#define XAI_OP_SIMD_H
#include "op/op.h"

/* ---- pointwise functions (activation.c) ---- */

typedef struct xai__pointwise {
  float alpha, beta; /* of the row's attributes; Clip: low, high */
  const float *x, *y, *g;
  float *out;
} xai__pointwise;

enum {
#define LOOP(name, ...) XAI__ROW_##name,
#define ROW LOOP
#include "op/activation_list.h"
#undef LOOP
#undef ROW
  XAI__ROWS
};

/* ---- a row of a softmax (softmax.c) ---- */

typedef struct xai__softmax {
  int64_t n, step; /* elements, and how far they are apart */
  bool log;
  const float *x, *y, *g;
  float *out;
} xai__softmax;

/* ---- a row of a normalisation (norm.c) ---- */

/* Element j has parameter j / inner. */
typedef struct xai__norm {
  int64_t n, inner;
  bool rms;
  float epsilon;
  const float *x, *g, *w, *b;
  float *y;
  double shift, stretch;  /* vjp: what comes back through the mean and 1 / s */
  double mean, inverse;   /* m, 1 / s: set by all of them */
} xai__norm;

/* Of a xai__pointwise: out = f(x), out += f'(x) g; and v = f(v) as a product's finish does it. */
typedef struct xai__simd_pointwise {
  xai__range_fn value, slope;
  void (*apply)(float alpha, float beta, float *v, int64_t n);
} xai__simd_pointwise;

typedef struct xai__simd {
  xai__simd_pointwise activation[XAI__ROWS];
  void (*softmax_forward)(const xai__softmax *s);
  void (*softmax_vjp)(const xai__softmax *s);
  void (*softmax_relevance)(const xai__softmax *s);
  void (*norm_forward)(xai__norm *s);
  void (*norm_vjp)(xai__norm *s);
  void (*norm_relevance)(xai__norm *s);
} xai__simd;

extern const xai__simd xai__simd_portable, xai__simd_avx2, xai__simd_avx512, xai__simd_neon;

/* Those of the instruction set that the engine was made for. */
const xai__simd *xai__simd_of(const xai__engine *e);

#endif
