/* The table of inner kernels of one instruction set; filled by xai__kernels_*, portable first.
 *
 * Every kernel of packed or streamed operands sums pieces of XAI__PIECE terms, each one chain
 * acc = fma(a_k, b_k, acc) with k ascending, and adds the pieces up in order, whatever the tile an
 * output falls in: all of them agree bit for bit within an instruction set. */
#ifndef XAI_ENGINE_KERNELS_H
#define XAI_ENGINE_KERNELS_H
#include "engine/block_kernels.h"

#define XAI__MAX_VECTOR 16              /* floats in the widest vector */
#define XAI__MAX_LANES (2 * XAI__MAX_VECTOR)
#define XAI__MAX_ROWS 16

/* Lanes [at, at + count) of a panel come from source[from + i * step]. */
typedef struct xai__run {
  int at, count;
  int64_t from;
} xai__run;

/* Where a tile goes: element (r, l) to z[row[r] + lane[l]]; see finish. */
typedef struct xai__spot {
  float *z;
  const float *bias; /* NULL: none */
  int64_t n_bias;
  enum { XAI__BIAS_OF_ROW, XAI__BIAS_OF_LANE, XAI__BIAS_OF_ELEMENT } bias_kind;
  xai__edit be;
  xai__epilogue ep;
} xai__spot;

/* Memory that is read soon: `count` times two cache lines, `step` apart. */
typedef struct xai__fetch {
  const float *at;
  int64_t step, count;
} xai__fetch;

#define XAI__PIECE 128        /* terms of a sum that are added up by themselves */
#define XAI__AHEAD 4           /* steps of k: XAI__PIECE is a multiple */
#define XAI__GEMV_RANGE 1024  /* outputs of one sum_rows at most */

typedef struct xai__kernels {
  int vector, rows; /* floats a vector; most rows of a tile */
  /* acc[rows][vectors * vector] (+)= sum over k of a[k][rows] b[k][vectors * vector]; vectors is
   * 1 or 2; resume: start from acc, else from 0. What is `ahead` is fetched on the way, an item
   * every XAI__AHEAD steps of k. */
  void (*tile)(int rows, int vectors, int64_t k, const float *a, const float *b, float *acc,
               bool resume, xai__fetch ahead);
  /* to[k][width] from source[i * stride + k] (transpose) or source[k * stride + i] (copy), i below
   * count; lanes from count to width are 0. */
  void (*transpose)(const float *from, int64_t stride, int count, int64_t k, int width, float *to);
  void (*copy)(const float *from, int64_t stride, int count, int64_t k, int width, float *to);
  /* to[k * pitch + i] from source[i * stride + k], i below 16, k below n <= 16; 0 from i = count on.
   * What lies `ahead` is fetched. */
  void (*turn)(const float *from, int64_t stride, int count, int n, int64_t ahead, int64_t pitch, float *to);
  /* For each of `channels`: to[c * to_step ..+ width] from runs of from[c * plane], else 0. */
  void (*gather)(const float *from, int64_t plane, int64_t channels, const xai__run *run, int runs,
                 int64_t step, bool ones, int width, float *to, int64_t to_step);
  void (*edit)(xai__edit e, float *v, int64_t n);
  /* Adds the bias, applies the epilogue. bias_at: first of the tile (not for XAI__BIAS_OF_ELEMENT).
   * acc is destroyed. */
  void (*finish)(const xai__spot *s, float *acc, int rows, int lanes, int width,
                 const int64_t *row, const int64_t *lane, int64_t bias_at);
  /* acc[j] = sum over i < k of x[at[i]] times edited w[at[i] * stride + j], j < n. */
  void (*sum_rows)(const float *w, int64_t stride, const int64_t *at, int64_t k, const float *x,
                   int64_t n, xai__edit e, float *acc);
  /* acc[j] = sum over i < k of x[i] times edited w[j * stride + i], j < n <= a vector; acc is
   * written up to a multiple of a vector. */
  void (*sum_columns)(const float *w, int64_t stride, int n, int64_t k, const float *x,
                      xai__edit e, float *acc);
  /* acc[r * acc_row + i] = sum over j < k of w[j][rows] x[at[j] + i], r < rows <= 4, i < n; acc is
   * written, and x read, up to a multiple of a vector. */
  void (*slide)(int rows, int64_t k, const float *w, const float *x, const int64_t *at, int64_t n,
                float *acc, int64_t acc_row);
  /* to[i] = edited x[i * step] */
  void (*take)(xai__edit e, const float *x, int64_t step, int64_t n, float *to);
  /* to[i] = from[i % phases * stride + i / phases], i < n */
  void (*weave)(const float *from, int64_t stride, int64_t phases, int64_t n, float *to);
  /* Adds the bias to a row of n at z[element]; channel: for a bias of rows. */
  void (*add_bias)(const xai__spot *s, float *acc, int64_t n, int64_t element, int64_t channel);
  /* y (epilogue)= acc along a row of n; x beside y. */
  void (*emit)(const xai__epilogue *ep, float *y, const float *x, const float *acc, int64_t n);
  void (*add_scaled)(float *y, const float *x, int64_t n, float scale);
} xai__kernels;

void xai__kernels_portable(xai__kernels *k);
void xai__kernels_avx2(xai__kernels *k);
void xai__kernels_avx512(xai__kernels *k);
void xai__kernels_neon(xai__kernels *k);
/* The best instruction set of this machine up to max_isa (0: no bound); its kernels. */
int xai__isa(int max_isa);
void xai__kernels_choose(int isa, xai__kernels *k, xai__block_kernels *b);

#endif
